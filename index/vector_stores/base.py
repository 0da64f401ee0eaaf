"""The contract of a vector store. Knows ids and vectors; nothing of texts or models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import DeveloperError
from ..embeddings import Vectors

__all__ = ["Ids", "VectorStore", "checked"]

Ids = NDArray[np.int64]


class VectorStore(Protocol):
    """Vectors under stable integer ids, searched by inner product.

    Changes count once ``commit`` has returned. What it returns is written down by the caller in the
    same transaction as the texts, so that vectors and texts have one commit point. Opening a store
    with a token gives every vector that it had then; a store that many share (`ChromaStore`) may
    give later ones too, which the caller drops, knowing which ids count.

    Example:
        >>> store = FaissStore(folder, dimensions=384)
        >>> store.add([1, 2], vectors)
        >>> token = store.commit()
        >>> scores, ids = FaissStore(folder, 384, token).search(query, k=2)
    """

    @property
    def ids(self) -> Ids:
        """The ids of all vectors, ascending."""
        ...

    @property
    def summary(self) -> str:
        """How the vectors are searched now, in a few words for people."""
        ...

    def __len__(self) -> int:
        """How many vectors there are; cheap."""
        ...

    def add(self, ids: Sequence[int] | Ids, vectors: Vectors) -> None:
        """Add vectors.

        Args:
            ids: new, each once, never used before.
            vectors: float32 ``(len(ids), dimensions)``, finite.

        Raises:
            DeveloperError: a known or repeated id, another shape, NaN or infinity.
        """
        ...

    def remove(self, ids: Sequence[int] | Ids) -> None:
        """Remove vectors; unknown ids are no error."""
        ...

    def get(self, ids: Sequence[int] | Ids) -> Vectors:
        """The vectors of known ids, float32 ``(len(ids), dimensions)``, in their order.

        Raises:
            LibraryDamaged: one of them is not there.
        """
        ...

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        """The nearest vectors by inner product, best first; of equals the smaller id first.

        Args:
            queries: float32 ``(q, dimensions)``, finite.
            k: more than there are gives all of them.
            among: only these ids, ascending; None for all.

        Returns:
            Scores float32 and ids int64, each ``(q, min(k, candidates))``.

        Raises:
            DeveloperError: another shape, NaN or infinity.
        """
        ...

    def commit(self) -> str:
        """Make every change durable and return the token of this state."""
        ...

    def compact(self) -> None:
        """Let the next ``commit`` leave nothing of removed vectors on the disk."""
        ...

    def sweep(self) -> None:
        """Delete what only earlier states needed; called once the token is written down."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def checked(vectors: Vectors, n: int, dimensions: int) -> Vectors:
    """Vectors as a contiguous float32 array.

    Raises:
        DeveloperError: not ``(n, dimensions)``, or NaN or infinity among them.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.shape != (n, dimensions):
        raise DeveloperError(
            f"vectors of shape {vectors.shape} where {(n, dimensions)} is needed",
            "was the library made with another embedding model?",
        )
    if not np.isfinite(vectors).all():
        raise DeveloperError("a vector holds NaN or infinity", "look at the embedding model")
    return vectors
