"""A library's own way to its embedding model: through the cache, and with every vector checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ModelOutputError
from .embedding_cache import EmbeddingCache
from .embeddings import Embeddings, Vectors

__all__ = ["Embedder"]


@dataclass(frozen=True, slots=True)
class Embedder:
    """Texts and questions of one library become vectors.

    Attributes:
        model: that makes them.
        cache: where those of texts that were embedded before are kept; None for nowhere.
        folder: the library's, by which the cache knows who needs a vector.
    """

    model: Embeddings
    cache: EmbeddingCache | None
    folder: Path

    def passages(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages: float32 ``(n, dimensions)``.

        Raises:
            ModelOutputError: of another shape, or not finite.
        """
        if not texts:
            return np.zeros((0, self.model.dimensions), np.float32)
        if self.cache is None:
            vectors = self.model.encode_document(texts)
        else:
            vectors = self.cache.encode(self.model, texts, str(self.folder.resolve()))
        return self._checked(vectors, len(texts))

    def questions(self, texts: Sequence[str]) -> Vectors:
        """Vectors of questions: float32 ``(n, dimensions)``.

        Raises:
            ModelOutputError: of another shape, or not finite.
        """
        return self._checked(self.model.encode_query(texts), len(texts))

    def forget(self, texts: Sequence[str]) -> None:
        """Let the cache drop texts that the library no longer holds."""
        if self.cache is not None and texts:
            self.cache.forget(texts, str(self.folder.resolve()))

    def _checked(self, vectors: Vectors, n: int) -> Vectors:
        if vectors.shape != (n, self.model.dimensions) or not np.isfinite(vectors).all():
            raise ModelOutputError(
                f"{self.model.name} gave vectors of shape {vectors.shape} for {n} texts, "
                f"or NaN among them; {self.model.dimensions} finite numbers each are needed",
                "limner doctor",
            )
        return vectors
