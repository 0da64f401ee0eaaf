"""FAISS over immutable mapped segments: one store, its files and its searches.

A segment (`..segments`) holds ``keys``, ``vectors`` float32 in the order of the keys, and ``norm``,
which no vector's length exceeds. What was added since the last commit is searched in memory beside
them. Searches read the mapped vectors where they lie: `scan` exactly, and past a stated size
`approximate` with an inverted file, rescored exactly. Knows ids and vectors only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import DeveloperError, LibraryDamaged
from ..embeddings import Vectors
from ..segments import Arrays, Segment, Segments
from .approximate import SEGMENT_ROWS, STORE_ROWS, Inverted, inverted
from .base import Ids, checked
from .gpu import OnGpu, gpus
from .scan import Mask, Part, Workers, largest_norm, ranked

__all__ = ["FaissStore"]

_FEW = 32  # among less than one in so many, the rows are gathered
_RUN, _RUNS = 16, 4096  # runs shorter than that on average are copied, if they are more than that


class FaissStore:
    """Implements `VectorStore`.

    Args:
        folder: where the segments live; created by the first commit.
        dimensions: length of a vector.
        token: the state to open; empty for an empty store.

    Raises:
        LibraryDamaged: a segment is missing, or not what the token names. What is in it is
            verified when first needed: every method may raise it.
    """

    def __init__(self, folder: Path, dimensions: int, token: str = "") -> None:
        self._folder = folder
        self._dimensions = dimensions
        self._segments = Segments(folder, ".vectors", token)
        self._new: list[Part] = []
        self._compact = False
        self._parts: list[Part] | None = None  # what a search goes through, until a change
        self._workers = Workers()
        for segment in self._segments:
            if segment.shape("vectors") != (len(segment), dimensions):
                raise LibraryDamaged(f"{segment.path} was damaged", "limner doctor --repair")

    @property
    def ids(self) -> Ids:
        """The ids of all vectors, ascending."""
        return np.sort(np.concatenate([self._segments.keys(), *(part.keys for part in self._new)]))

    @property
    def summary(self) -> str:
        """How the vectors are searched now."""
        if gpus():
            return "FAISS on the GPU, inner product, rescored exactly"
        engines = [part.engine for part in self._whole() if isinstance(part.engine, Inverted)]
        if not engines:
            return "FAISS, exact inner product"
        largest = max(engines, key=lambda engine: engine.lists)
        return (
            f"FAISS, IVF {largest.lists} lists / {largest.probes} probes + SQ8, rescored exactly "
            f"(recall@10 {min(e.recall for e in engines):.2f} for vectors of its own)"
        )

    def __len__(self) -> int:
        return len(self._segments) + sum(part.count for part in self._new)

    def add(self, ids: Sequence[int] | Ids, vectors: Vectors) -> None:
        """Add vectors under new ids."""
        names = np.asarray(ids, np.int64)
        vectors = checked(vectors, len(names), self._dimensions)
        order = np.argsort(names, kind="stable")
        names = names[order]
        if np.any(np.diff(names) == 0) or self._knows(names):
            raise DeveloperError("ids must be new and each given once")
        if len(names):
            self._parts = None
            self._new.append(Part(names, vectors[order], largest_norm(vectors)))

    def remove(self, ids: Sequence[int] | Ids) -> None:
        """Remove vectors; unknown ids are no error."""
        names = np.asarray(ids, np.int64)
        self._segments.remove(names)
        self._parts = None
        kept = [(part, ~np.isin(part.keys, names)) for part in self._new]
        self._new = [
            part if k.all() else Part(part.keys[k], part.vectors[k], part.norm)
            for part, k in kept
            if k.any()
        ]

    def get(self, ids: Sequence[int] | Ids) -> Vectors:
        """The vectors of known ids."""
        names = np.asarray(ids, np.int64)
        found = np.empty((len(names), self._dimensions), np.float32)
        missing = np.ones(len(names), np.bool_)
        for part in [*map(self._part, self._segments), self._gathered()]:
            rows, there = _found(part, names)
            found[there] = part.vectors[rows[there]]
            missing &= ~there
        if missing.any():
            raise LibraryDamaged(
                f"{self._folder}: {np.count_nonzero(missing)} vectors are not there",
                "limner doctor --repair",
            )
        return found

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        """The nearest vectors, best first; of equals the smaller id first."""
        queries = checked(queries, len(queries), self._dimensions)
        parts = self._whole()
        if among is not None:
            chosen = (_restricted(part, np.asarray(among, np.int64)) for part in parts)
            parts = [part for part in chosen if part.count]
        k = min(k, sum(part.count for part in parts))
        if k < 1 or not len(queries):
            empty = (len(queries), 0)
            return np.zeros(empty, np.float32), np.zeros(empty, np.int64)
        return ranked(parts, queries, k, self._workers)

    def commit(self) -> str:
        """Write what is new, and what is to be merged with it, as one segment."""
        due = self._segments.due(sum(part.count for part in self._new), self._compact)
        if self._new or due:
            merged = _merged([*self._new, *map(self._part, due)], len(self))
            self._segments.commit(merged, due)
        self._new, self._compact, self._parts = [], False, None
        return self._segments.token

    def compact(self) -> None:
        """Let the next commit rewrite every segment that has lost a vector."""
        self._compact = True

    def sweep(self) -> None:
        """Delete the segments that only earlier states needed."""
        self._segments.sweep()

    def close(self) -> None:
        """Let the threads go; the files go with the last array that is mapped."""
        self._workers.close()

    def _knows(self, names: Ids) -> bool:
        """Whether one of them is in a file, though it be removed, or is new already."""
        filed = any(segment.rows(names)[1].any() for segment in self._segments)
        return filed or any(np.isin(names, part.keys).any() for part in self._new)

    def _whole(self) -> list[Part]:
        """Everything, each part with what finds candidates in it faster than a scan."""
        if self._parts is None:
            new = self._gathered()
            parts = [self._equipped(segment) for segment in self._segments]
            self._parts = [part for part in [*parts, new] if part.count]
        return self._parts

    def _equipped(self, segment: Segment) -> Part:
        part = self._part(segment)
        if gpus() and part.count:
            return replace(part, engine=OnGpu(part))
        if "ivf" in segment and len(self) >= STORE_ROWS and part.count >= SEGMENT_ROWS:
            return replace(part, engine=Inverted(segment["ivf"], segment["tuned"]))
        return part

    def _part(self, segment: Segment) -> Part:
        norm, mask = float(segment["norm"][0]), self._segments.live(segment)
        return Part(segment.keys, segment["vectors"], norm, mask)

    def _gathered(self) -> Part:
        """What is new, as one."""
        if len(self._new) > 1:
            ids = np.concatenate([part.keys for part in self._new])
            vectors = np.concatenate([part.vectors for part in self._new])
            if np.any(np.diff(ids) < 0):
                order = np.argsort(ids, kind="stable")
                ids, vectors = ids[order], vectors[order]
            self._new = [Part(ids, vectors, max(part.norm for part in self._new))]
        if not self._new:
            return Part(np.zeros(0, np.int64), np.zeros((0, self._dimensions), np.float32), 0.0)
        return self._new[0]


def _found(part: Part, names: Ids) -> tuple[Ids, Mask]:
    """For each name its row, and whether it is there and counts."""
    if not len(part.keys):
        return np.zeros(len(names), np.int64), np.zeros(len(names), np.bool_)
    rows = np.minimum(np.searchsorted(part.keys, names), len(part.keys) - 1)
    there = part.keys[rows] == names
    return rows, there if part.mask is None else there & part.mask[rows]


def _restricted(part: Part, among: Ids) -> Part:
    """A part with only these ids: copied where they are few, masked where they are many."""
    rows, there = _found(part, among)
    rows = rows[there]
    if len(rows) * _FEW <= len(part.keys):
        return Part(part.keys[rows], part.vectors[rows], part.norm)
    mask = np.zeros(len(part.keys), np.bool_)
    mask[rows] = True
    large = isinstance(part.engine, Inverted) and len(rows) >= SEGMENT_ROWS
    return Part(part.keys, part.vectors, part.norm, mask, part.engine if large else None)


def _merged(parts: Sequence[Part], store_rows: int) -> Arrays | None:
    """The arrays of a segment with every row that counts, or None where none does.

    The vectors are runs of the mapped ones, so that a merge needs no memory of their size, unless
    the runs are too short for that.
    """
    counted = [np.arange(len(p.keys)) if p.mask is None else np.flatnonzero(p.mask) for p in parts]
    keys = np.concatenate([p.keys[rows] for p, rows in zip(parts, counted, strict=True)])
    if not len(keys):
        return None
    order = np.argsort(keys, kind="stable")
    rows = np.concatenate(counted)[order]
    owner = np.repeat(np.arange(len(parts)), list(map(len, counted)))[order]
    ends = np.flatnonzero((np.diff(rows) != 1) | (np.diff(owner) != 0)) + 1
    starts, ends = np.append(0, ends), np.append(ends, len(rows))
    vectors: list[Vectors] = []
    if len(starts) * _RUN <= len(rows) or len(starts) < _RUNS:
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            at = int(rows[start])
            vectors.append(parts[owner[start]].vectors[at : at + end - start])
    else:
        vectors.append(np.empty((len(rows), parts[0].vectors.shape[1]), np.float32))
        for number, part in enumerate(parts):
            vectors[0][owner == number] = part.vectors[rows[owner == number]]
    norm = np.array([max(part.norm for part in parts)])
    extra = inverted(vectors, store_rows)
    return {"keys": keys[order], "vectors": vectors, "norm": norm, **extra}
