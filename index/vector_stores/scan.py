"""Exact search over arrays of vectors, with FAISS doing the scan. Knows neither files nor tokens.

FAISS scans the float32 vectors where they lie, in slices on as many threads as FAISS is allowed,
and names a few more candidates than are wanted. Its sums carry a rounding error that has a known
bound, so every row that could belong to the answer is among the candidates, or the slice is read
again (numpy, all scores); the candidates' scores are then computed in double precision. The answer
is therefore the one that brute force in double precision gives.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Vectors
from .base import Ids

__all__ = ["Candidates", "Engine", "Mask", "Part", "Workers", "largest_norm", "ranked", "scores_of"]

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

_MORE = 16  # candidates beyond k: near ties then seldom need a second reading
_SLICE = 1 << 22  # numbers (16 MiB); below that a second thread costs more than it gives
_BLOCK = 4096  # rows whose norms are computed at a time


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a scan of one slice found for each query.

    Attributes:
        rows: int64 ``(q, n)`` within the part; -1 where there were fewer.
        scores: ``(q, n)``, meaningless where the row is -1; float32 and best first from a scan,
            exact in float64 from an engine.
        settled: nothing else in the slice is to be considered.
    """

    rows: Rows
    scores: NDArray[Any]
    settled: bool = True


Engine = Callable[["Part", Vectors, int], Candidates]


@dataclass(frozen=True)
class Part:
    """Vectors to be searched.

    Attributes:
        keys: ascending.
        vectors: float32, contiguous, in the order of the keys.
        norm: no vector is longer.
        mask: which rows count; None for all.
        engine: finds candidates in its own way; None for the scan.
    """

    keys: Ids
    vectors: Vectors
    norm: float
    mask: Mask | None = None
    engine: Engine | None = None

    @cached_property
    def count(self) -> int:
        """How many rows count."""
        return len(self.keys) if self.mask is None else int(np.count_nonzero(self.mask))

    @cached_property
    def bits(self) -> NDArray[np.uint8] | None:
        """The mask as FAISS reads it; it keeps no reference of its own."""
        return None if self.mask is None else np.packbits(self.mask, bitorder="little")

    def __getitem__(self, rows: slice) -> Part:
        mask = None if self.mask is None else self.mask[rows]
        return replace(self, keys=self.keys[rows], vectors=self.vectors[rows], mask=mask)


class Workers:
    """The threads that scan; as many as FAISS may use (``OMP_NUM_THREADS``) when first needed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    @property
    def count(self) -> int:
        """How many."""
        import faiss

        return int(faiss.omp_get_max_threads())

    def map(self, work: Callable[[Any], Candidates], items: Sequence[Any]) -> list[Candidates]:
        """The work done for each item, the first by the caller; FAISS adds no threads."""
        import faiss

        count = self.count
        if count == 1:
            return [work(item) for item in items]
        others = [self._others(count).submit(work, item) for item in items[1:]]
        faiss.omp_set_num_threads(1)  # of this thread only
        try:
            return [work(items[0]), *(other.result() for other in others)]
        finally:
            faiss.omp_set_num_threads(count)

    def _others(self, count: int) -> ThreadPoolExecutor:
        import faiss

        if self._pool is None or self._process != os.getpid():  # threads do not survive a fork
            self._process = os.getpid()
            self._pool = ThreadPoolExecutor(
                count - 1, "scan", initializer=faiss.omp_set_num_threads, initargs=(1,)
            )
        return self._pool

    def close(self) -> None:
        """Let them end."""
        if self._pool is not None and self._process == os.getpid():
            self._pool.shutdown(wait=False)
        self._pool = None


def largest_norm(vectors: Vectors) -> float:
    """The length of the longest vector."""
    blocks = (vectors[at : at + _BLOCK] for at in range(0, len(vectors), _BLOCK))
    squares = (np.einsum("ij,ij->i", b, b, dtype=np.float64).max() for b in blocks)
    return float(np.sqrt(max(squares, default=0.0)))


def scores_of(vectors: Vectors, query: Vectors) -> NDArray[np.float64]:
    """Inner products in double precision; a vector's does not depend on where it lies."""
    product = vectors.astype(np.float64) * query.astype(np.float64)
    return np.asarray(product.sum(axis=1), np.float64)


def ranked(
    parts: Sequence[Part], queries: Vectors, k: int, workers: Workers
) -> tuple[Vectors, Ids]:
    """The k best of all parts, best first; of equals the smaller id first.

    Args:
        parts: with no key in common.
        queries: float32 ``(q, dimensions)``, finite.
        k: at most as many as rows count.
        workers: do the scans.

    Returns:
        Scores float32 and ids int64, each ``(q, k)``.
    """
    norm = max(part.norm for part in parts)
    questions = [_Question.of(query, norm) for query in queries]
    scaled = np.stack([question.scaled for question in questions])
    pieces = [piece for part in parts for piece in _pieces(part, workers.count)]

    def candidates(piece: Part) -> Candidates:
        return _scan(piece, scaled, k) if piece.engine is None else piece.engine(piece, queries, k)

    found = workers.map(candidates, pieces)
    scores = np.empty((len(queries), k), np.float32)
    ids = np.empty((len(queries), k), np.int64)
    for i, question in enumerate(questions):
        scores[i], ids[i] = _best(pieces, found, i, question, k)
    return scores, ids


@dataclass(frozen=True, slots=True)
class _Question:
    """A query, and what float32 can make of it.

    Attributes:
        query: as it was given.
        scaled: times ``factor``, a power of two, so that no inner product can overflow.
        factor: 1 but for very long vectors.
        slack: twice the largest error of a float32 inner product, in whatever order it is summed:
            |fl(x.q) - x.q| <= n u / (1 - n u) |x| |q|, u = 2**-24 (Higham, Accuracy and Stability
            of Numerical Algorithms, 3.1), and something for numbers too small for float32.
    """

    query: Vectors
    scaled: Vectors
    factor: float
    slack: float

    @classmethod
    def of(cls, query: Vectors, norm: float) -> _Question:
        """For vectors no longer than ``norm``."""
        wide = query.astype(np.float64)
        product = math.sqrt(float(wide @ wide)) * norm
        factor = 2.0 ** -max(0, math.frexp(product)[1] - 100)
        slack = len(query) * (1.01 * 2.0**-23 * product * factor + 2.0**-100)
        return cls(query, query * np.float32(factor), factor, slack)


def _pieces(part: Part, threads: int) -> list[Part]:
    if part.engine is not None:
        return [part]
    n, dimensions = part.vectors.shape
    step = max(-(-n // threads), _SLICE // max(dimensions, 1) + 1)
    return [part[at : at + step] for at in range(0, n, step)]


def _scan(part: Part, queries: Vectors, k: int) -> Candidates:
    import faiss

    n, dimensions = part.vectors.shape
    wanted = min(k + _MORE, n)
    scores = np.empty((len(queries), wanted), np.float32)
    rows = np.empty((len(queries), wanted), np.int64)
    arguments: list[Any] = [faiss.swig_ptr(queries), faiss.swig_ptr(part.vectors)]
    arguments += [dimensions, len(queries), n, wanted, faiss.swig_ptr(scores), faiss.swig_ptr(rows)]
    if part.bits is not None:
        arguments.append(faiss.IDSelectorBitmap(n, faiss.swig_ptr(part.bits)))
    faiss.knn_inner_product(*arguments)
    return Candidates(rows, scores, settled=wanted == n)


def _best(
    pieces: Sequence[Part], found: Sequence[Candidates], i: int, question: _Question, k: int
) -> tuple[Vectors, Ids]:
    """The answer to question i: all rows that the error bound does not rule out, scored exactly."""
    rows = [c.rows[i][c.rows[i] >= 0] for c in found]
    near = [c.scores[i][: len(r)] for c, r in zip(found, rows, strict=True)]
    every = np.concatenate(
        [s if p.engine is None else s * question.factor for p, s in zip(pieces, near, strict=True)]
    )
    least = np.partition(every, len(every) - k)[len(every) - k] if len(every) >= k else -np.inf
    lowest = float(least) - question.slack
    floor = np.nextafter(np.float32(lowest), np.float32(-np.inf))
    scores, ids = [], []
    for piece, candidates, at, score in zip(pieces, found, rows, near, strict=True):
        if piece.engine is None:
            full = len(at) == candidates.rows.shape[1] and not candidates.settled
            again = full and score[-1] >= floor
            at = _above(piece, question.scaled, floor) if again else at[score >= floor]
            score = scores_of(piece.vectors[at], question.query)
        scores.append(score)
        ids.append(piece.keys[at])
    exact, names = np.concatenate(scores), np.concatenate(ids)
    order = np.lexsort((names, -exact))[:k]
    with np.errstate(over="ignore"):
        return exact[order].astype(np.float32), names[order]


def _above(part: Part, query: Vectors, floor: np.float32) -> Rows:
    near = part.vectors @ query >= floor
    return np.flatnonzero(near if part.mask is None else near & part.mask)
