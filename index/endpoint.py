"""Vectors from a server that speaks OpenAI's ``/v1/embeddings``: vLLM, TEI, llama.cpp, Ollama.

Knows what such servers are asked and answer; nothing of passages, files or search.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import DeveloperError, ModelError, ModelMissing, ModelOutputError
from ..prompts import prompt
from .embedding_server import Address, RefusedError, Server, one_line, unusable
from .embeddings import Vectors

__all__ = ["EndpointEmbeddings"]

_BATCH = 32  # texts in a request: what TEI takes unless told otherwise
_IN_FLIGHT = 8
_SHORTEST = 64  # characters: a text that is refused at this length is not too long
_SAME_AS_EMPTY = " "  # several servers refuse an empty text


class EndpointEmbeddings:
    """An embedding model behind an OpenAI-compatible address; asked on first use.

    The key comes from the variable ``LIMNER_EMBEDDING_KEY`` and is shown in
    no error. A busy server (429, 502, 503, 504, a reset connection) is asked again, each time
    after a longer wait; one that hangs is not. A text that the server refuses as too long is
    halved at a space, and its vector is the normalised mean of its halves', weighted by their
    lengths: one odd passage does not stop ten thousand, and none of its words is left out.

    Args:
        address: ``http://host:8000/v1?dimensions=512#model-name``. Without a fragment, the only
            model that the server lists; without ``dimensions``, the model's own.
        query_prompt: put before every question. Left out, models with ``Qwen3-Embedding`` in
            their names get the instruction they were trained with, others nothing.
        concurrency: most requests in flight, 1 to 8.
        timeout: seconds that one answer may take.
        attempts: how often a busy server is asked.
        backoff: seconds before the second attempt; doubled before each further one.

    Raises:
        DeveloperError: the address is not of that form.
        ModelError: the key cannot be sent.

    Any other method or property may raise, naming the address and the next step:
        ModelMissing: no server answers, or it has no such model.
        ModelError: the server refuses, fails, or takes too long.
        ModelOutputError: the answer is not the vectors that were asked for.
    """

    def __init__(
        self,
        address: str,
        *,
        query_prompt: str = "",
        concurrency: int = _IN_FLIGHT,
        timeout: float = 60.0,
        attempts: int = 6,
        backoff: float = 0.5,
    ) -> None:
        if not 1 <= concurrency <= _IN_FLIGHT:
            raise DeveloperError(f"concurrency is 1 to {_IN_FLIGHT}, not {concurrency}")
        self._address = Address.parse(address)
        self._prompt = query_prompt
        self._concurrency = concurrency
        self._server = Server(self._address, concurrency, timeout, max(attempts, 1), backoff)
        self._encoding = {"encoding_format": "base64"}

    @property
    def name(self) -> str:
        """The model, and the dimensions asked for. Not the host: a server may move."""
        asked = self._address.dimensions
        return f"{self._model}?dimensions={asked}" if asked else self._model

    @property
    def recipe(self) -> str:
        """All that determines a passage's vector.

        The server keeps its dtype and pooling to itself, so its address stands for them.
        """
        facts = (self._address.base, self._model, self._facts.revision, self.dimensions)
        return "endpoint " + json.dumps(facts)

    @cached_property
    def dimensions(self) -> int:
        """Length of a vector: asked for in the address, or found by embedding one word."""
        return self._address.dimensions or int(self._batch(["length"], "", 0).shape[1])

    @property
    def max_tokens(self) -> int:
        """Tokens of a passage that the model reads: what vLLM or TEI say, or 512."""
        return self._facts.max_tokens or 512

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions: float32 ``(n, dimensions)``, L2-normalised."""
        return self._encode(texts, self._prompt or _trained_prompt(self._model))

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages: float32 ``(n, dimensions)``, L2-normalised."""
        return self._encode(texts, "")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """An estimate of the tokens of each text, meant to be too high rather than too low.

        A run of up to four lower-case letters, with a capital before them or not, counts as one
        token; any other sign as one; a sign of a script that few tokenizers know, as three.
        English comes out about a third too long. The server's own tokenizer is not asked: a
        chunker counts every sentence, and a request for each would take longer than the
        embedding. Where the estimate is too low after all, the text is halved.
        """
        return [len(_PIECE.findall(text)) + 2 * len(_RARE.findall(text)) for text in texts]

    def _encode(self, texts: Sequence[str], prompt: str) -> Vectors:
        dimensions = self.dimensions  # found before the threads start
        if not texts:
            return np.zeros((0, dimensions), np.float32)
        batches = [texts[at : at + _BATCH] for at in range(0, len(texts), _BATCH)]
        pool = ThreadPoolExecutor(min(self._concurrency, len(batches)))
        try:
            found = pool.map(lambda batch: self._batch(batch, prompt, dimensions), batches)
            return np.concatenate(list(found))
        finally:  # after an error nothing new is sent; what is in flight ends by its timeout
            pool.shutdown(wait=False, cancel_futures=True)

    def _batch(self, texts: Sequence[str], prompt: str, dimensions: int) -> Vectors:
        try:
            return self._asked(texts, prompt, dimensions)
        except RefusedError as refusal:
            if self._encoding and "encoding_format" in refusal.words:
                self._encoding = {}
                return self._batch(texts, prompt, dimensions)
            if refusal.status == 404:
                raise ModelMissing(str(refusal), refusal.hint) from None
            if not refusal.too_long or (len(texts) == 1 and len(texts[0]) <= _SHORTEST):
                raise
        if len(texts) == 1:
            return self._mean_of_halves(texts[0], prompt, dimensions)
        middle = len(texts) // 2
        halves = (texts[:middle], texts[middle:])
        return np.concatenate([self._batch(half, prompt, dimensions) for half in halves])

    def _mean_of_halves(self, text: str, prompt: str, dimensions: int) -> Vectors:
        middle = text.rfind(" ", _SHORTEST // 4, len(text) // 2) + 1 or len(text) // 2
        halves = (text[:middle], text[middle:])
        vectors = [self._batch([half], prompt, dimensions) * len(half) for half in halves]
        return _normalised(vectors[0] + vectors[1], self._address)

    def _asked(self, texts: Sequence[str], prompt: str, dimensions: int) -> Vectors:
        sent = [_encodable(prompt + text) or _SAME_AS_EMPTY for text in texts]
        body: dict[str, object] = {"model": self._model, "input": sent, **self._encoding}
        if self._address.dimensions:
            body["dimensions"] = self._address.dimensions
        answer = self._server.ask("/embeddings", body)
        return _vectors(answer, len(texts), dimensions, self._address)

    @cached_property
    def _model(self) -> str:
        if self._address.model:
            return self._address.model  # known without a server
        models = self._facts.models
        if len(models) == 1:
            return models[0]
        listed = ", ".join(models) or "none"
        raise ModelMissing(
            f"{self._address}: which model? The server lists {listed}",
            f"name one: {self._address.base}#{models[0] if models else 'model-name'}",
        )

    @cached_property
    def _facts(self) -> _Facts:
        try:
            return _facts_of_list(self._server.ask("/models"), self._address)
        except RefusedError as refusal:
            if refusal.status not in (404, 405, 501):
                raise
        try:
            return _facts_of_tei(self._server.ask("/../info"))
        except ModelError:  # neither is part of what is needed
            return _Facts()


_PIECE = re.compile(r"[A-Z]?[a-z]{1,4}|[^\sa-z]")
_RARE = re.compile(r"[\u0900-\u1fff\ua000-\uabff\U00010000-\U0010ffff]")  # Indic, Thai, emoji …


def _trained_prompt(model: str) -> str:
    if "qwen3-embedding" not in model.lower():
        return ""
    return prompt("embedding_query", task=prompt("embedding_task"), query="")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class _Facts:
    """What a server says of itself, as far as it does."""

    models: tuple[str, ...] = ()
    revision: str = ""
    max_tokens: int = 0


def _facts_of_list(answer: object, address: Address) -> _Facts:
    """What ``/v1/models`` says; in ``root`` vLLM names what is behind the name it serves."""
    listed = answer.get("data") if isinstance(answer, dict) else None
    entries = [e for e in listed or () if isinstance(e, dict)] if isinstance(listed, list) else []
    models = tuple(one_line(str(e.get("id", ""))) for e in entries)
    wanted = address.model or (models[0] if len(models) == 1 else "")
    entry = next((e for e in entries if e.get("id") == wanted), {})
    return _Facts(models, str(entry.get("root") or ""), _positive(entry.get("max_model_len")))


def _facts_of_tei(answer: object) -> _Facts:
    if not isinstance(answer, dict) or not answer.get("model_id"):
        return _Facts()
    model, revision = one_line(str(answer["model_id"])), str(answer.get("model_sha") or "")
    return _Facts((model,), revision, _positive(answer.get("max_input_length")))


def _positive(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _vectors(answer: object, count: int, dimensions: int, address: Address) -> Vectors:
    """The vectors of an answer, in the order of its ``index``: float32 ``(count, dimensions)``.

    Args:
        answer: as the server gave it.
        count: texts that were sent.
        dimensions: expected; 0 where any length will do.
        address: for the errors.
    """
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise unusable(address, "the answer holds no list of vectors")
    if len(data) != count:
        raise unusable(address, f"{len(data)} vectors for {count} texts")
    found = {entry.get("index", at): entry.get("embedding") for at, entry in enumerate(data)}
    if found.keys() != set(range(count)):
        raise unusable(address, "the vectors are not numbered as the texts were")
    rows = [_decoded(found[at], address) for at in range(count)]
    lengths = {len(row) for row in rows}
    if len(lengths) > 1 or 0 in lengths or (dimensions and lengths != {dimensions}):
        got = " and ".join(map(str, sorted(lengths)))
        wanted = f" where {dimensions} is expected" if dimensions else ""
        raise ModelOutputError(
            f"{address}: vectors of length {got}{wanted}",
            "was another model started there, or does it not know ?dimensions=",
        )
    return _normalised(np.stack(rows), address)


def _decoded(embedding: object, address: Address) -> np.ndarray:
    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4")
        if isinstance(embedding, list):
            row = np.asarray(embedding, np.float64)
            if row.ndim == 1:
                return row
    except (ValueError, TypeError, OverflowError):
        pass  # as below
    raise unusable(address, "a vector is neither numbers nor base64")


def _normalised(rows: np.ndarray, address: Address) -> Vectors:
    with np.errstate(over="ignore", invalid="ignore"):
        wide = rows.astype(np.float64)
        norms = np.linalg.norm(wide, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not norms.all():
        raise ModelOutputError(
            f"{address}: a vector is NaN, infinite or zero",
            "look at the server's dtype: some models need float32 or bfloat16",
        )
    return np.ascontiguousarray(wide / norms, np.float32)
