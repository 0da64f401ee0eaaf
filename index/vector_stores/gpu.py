"""Inner-product search on a GPU, where ``faiss-gpu`` stands in place of ``faiss-cpu``.

The live rows of a part are copied to the GPU once, in float16 when they are many; what it finds is
scored again from the float32 vectors. Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..embeddings import Vectors
from .base import Ids
from .scan import Candidates, Part, scores_of

__all__ = ["OnGpu", "gpus"]

_HALF = 4 << 30  # bytes of float32 from which the GPU keeps half of them
_MORE = 32

Make = Callable[[int, bool], Any]


def gpus() -> int:
    """How many GPUs FAISS can use; none with ``faiss-cpu``."""
    import faiss

    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


class OnGpu:
    """Finds candidates in one part as it is now.

    Args:
        part: its live rows are copied.
        make: gives an empty index for so many dimensions, with float16 or not.
    """

    def __init__(self, part: Part, make: Make | None = None) -> None:
        everything = np.arange(len(part.keys))
        self._rows: Ids = everything if part.mask is None else everything[part.mask]
        self._index = (make or _flat)(part.vectors.shape[1], part.vectors.nbytes > _HALF)
        for at in range(0, len(self._rows), 1 << 16):
            self._index.add(part.vectors[self._rows[at : at + (1 << 16)]])

    def __call__(self, part: Part, queries: Vectors, k: int) -> Candidates:
        """The rows that the GPU finds, with their scores computed exactly."""
        wanted = min(k + _MORE, len(self._rows), max(k, 2048))  # 2048: the most a GPU can select
        rows = self._rows[self._index.search(queries, wanted)[1]]
        found = [scores_of(part.vectors[at], q) for at, q in zip(rows, queries, strict=True)]
        return Candidates(rows, np.array(found))


def _flat(dimensions: int, half: bool) -> Any:
    import faiss

    settings = faiss.GpuIndexFlatConfig()
    settings.useFloat16 = half
    return faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), dimensions, settings)
