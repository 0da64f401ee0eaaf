"""The contract of a vector store. Knows ids and vectors; nothing of texts or models."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Vectors

__all__ = ["Ids", "VectorStore"]

Ids = NDArray[np.int64]


class VectorStore(Protocol):
    """Vectors under stable integer ids, searched by inner product.

    Changes show in ``search`` at once and become durable with ``commit``. What ``commit`` returns
    is written down by the caller in the same transaction as the texts, so that vectors and texts
    have one commit point; opening a store with that token gives exactly the vectors it had.

    Example:
        >>> store = FaissStore(folder, dimensions=384)
        >>> store.add([1, 2], vectors)
        >>> token = store.commit()
        >>> scores, ids = FaissStore(folder, 384, token).search(query, k=2)
    """

    @property
    def ids(self) -> AbstractSet[int]:
        """The ids of all vectors."""
        ...

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add vectors.

        Args:
            ids: new, each once.
            vectors: float32 ``(len(ids), dimensions)``, finite.

        Raises:
            DeveloperError: a known or repeated id, another shape, NaN or infinity.
        """
        ...

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors; unknown ids are no error."""
        ...

    def get(self, ids: Sequence[int]) -> Vectors:
        """The vectors of known ids, ``(len(ids), dimensions)``."""
        ...

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """The nearest vectors by inner product, best first.

        Args:
            queries: float32 ``(q, dimensions)``, finite.
            k: more than the store holds gives all of them.

        Returns:
            Scores and ids, each ``(q, min(k, len(ids)))``.

        Raises:
            DeveloperError: another shape, NaN or infinity.
        """
        ...

    def commit(self) -> str:
        """Make every change durable and return the token of this state."""
        ...

    def sweep(self) -> None:
        """Delete what only earlier states needed; called once the token is written down."""
        ...
