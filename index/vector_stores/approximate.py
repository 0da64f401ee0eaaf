"""An inverted file beside the vectors, for segments too large to be read for every question.

FAISS puts every vector into one of some thousand lists and keeps one byte per number (IVF, SQ8). A
search reads the lists nearest to the question and names candidates, which are scored exactly from
the float32 vectors. The structure is built once, stored as bytes, and read where they are mapped;
what is removed later is masked. How many lists are read is chosen by measurement when it is built.
Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embeddings import Vectors
from .base import Ids
from .scan import Candidates, Part, scores_of

__all__ = ["SEGMENT_ROWS", "STORE_ROWS", "Inverted", "inverted"]

STORE_ROWS = 200_000
"""A store of fewer is searched exactly: 100,000 x 384 take one thread 5 ms."""

SEGMENT_ROWS = 50_000
"""A segment of fewer is searched exactly beside the others."""

_RECALL = 0.97
_PROBES = (4, 8, 16, 32, 64, 128, 256)
_SAMPLE = 48  # vectors per list that the lists are trained with
_QUERIES = 128
_BLOCK = 1 << 16
_K = 10


class Inverted:
    """Finds candidates in one segment.

    Args:
        data: what `inverted` gave as ``ivf``; kept, and read where it lies.
        tuned: what it gave as ``tuned``.
    """

    def __init__(self, data: NDArray[np.uint8], tuned: NDArray[np.float64]) -> None:
        import faiss

        self._data = data
        reader: Any = getattr(faiss, "ZeroCopyIOReader")  # noqa: B009 - FAISS's types lack it
        self._reader = reader(faiss.swig_ptr(data), len(data))
        self._index: Any = faiss.read_index(self._reader, faiss.IO_FLAG_MMAP_IFC)
        self.lists, self.probes = int(tuned[0]), int(tuned[1])
        self.recall = float(tuned[2])

    def __call__(self, part: Part, queries: Vectors, k: int) -> Candidates:
        """The rows that FAISS finds, with their scores computed exactly."""
        probes, least = self.probes, min(k, part.count)
        rows = _found(self._index, queries, _wanted(k), probes, part.bits)
        while (rows[:, least - 1] < 0).any() and probes < self.lists:  # the mask left too few
            probes *= 4
            rows = _found(self._index, queries, _wanted(k), probes, part.bits)
        scores = np.full(rows.shape, -np.inf)
        for i, query in enumerate(queries):
            there = rows[i] >= 0
            scores[i, there] = scores_of(part.vectors[rows[i, there]], query)
        return Candidates(rows, scores)


def inverted(pieces: Sequence[Vectors], store_rows: int) -> dict[str, NDArray[Any]]:
    """The arrays that a segment of these vectors holds beside them; none for a small one.

    Args:
        pieces: float32 ``(n, dimensions)`` each, in the order of the rows.
        store_rows: of the whole store.

    Returns:
        ``ivf``, uint8, and ``tuned``, float64: the number of lists, how many are read, and the
        recall@10 that was measured with its own vectors as questions.
    """
    rows = sum(map(len, pieces))
    if store_rows < STORE_ROWS or rows < SEGMENT_ROWS:
        return {}
    import faiss

    lists = int(2 ** np.round(np.log2(2 * np.sqrt(rows))))
    rng = np.random.default_rng(rows)
    sample = _taken(pieces, np.sort(rng.choice(rows, min(lists * _SAMPLE, rows), replace=False)))
    dimensions = sample.shape[1]
    quantizer = faiss.IndexFlatIP(dimensions)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, dimensions, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.niter, index.cp.max_points_per_centroid = 8, _SAMPLE
    index.train(sample)
    for block in _blocks(pieces):
        index.add(block)
    chosen = np.sort(rng.choice(rows, min(_QUERIES, rows), replace=False))
    tuned = np.array([lists, *_tuned(index, pieces, chosen)])
    return {"ivf": faiss.serialize_index(index), "tuned": tuned}


def _tuned(index: Any, pieces: Sequence[Vectors], chosen: Ids) -> tuple[int, float]:
    """How many lists to read for the recall that is wanted, and what it then was.

    Stored vectors are the questions, each without itself: how many of its ten nearest are found
    among the candidates.
    """
    queries = _taken(pieces, chosen)
    truth = _nearest(pieces, queries, _K + 1)
    wanted = [set(row.tolist()) - {own} for row, own in zip(truth, chosen.tolist(), strict=True)]
    recall, probes = 0.0, 0
    for probes in _PROBES:
        rows = _found(index, queries, _wanted(_K + 1), probes, None)
        hits = [len(w.intersection(r.tolist())) for w, r in zip(wanted, rows, strict=True)]
        recall = sum(hits) / sum(map(len, wanted))
        if recall >= _RECALL or probes >= index.nlist:
            break
    return probes, recall


def _wanted(k: int) -> int:
    """How many candidates for k answers: the lists' scores are rounded to one byte per number."""
    return k + k // 2 + 5


def _found(
    index: Any, queries: Vectors, k: int, probes: int, bits: NDArray[np.uint8] | None
) -> Ids:
    import faiss

    settings: Any = faiss.SearchParametersIVF  # FAISS's own types do not know its arguments
    parameters = settings(nprobe=probes)
    if bits is not None:
        selector = faiss.IDSelectorBitmap(len(bits) * 8, faiss.swig_ptr(bits))
        parameters = settings(nprobe=probes, sel=selector)
    return np.asarray(index.search(queries, k, params=parameters)[1], np.int64)


def _nearest(pieces: Sequence[Vectors], queries: Vectors, k: int) -> Ids:
    import faiss

    scores, rows, start = [], [], 0
    for block in _blocks(pieces):
        near, at = faiss.knn(queries, block, min(k, len(block)), faiss.METRIC_INNER_PRODUCT)
        scores.append(near)
        rows.append(at + start)
        start += len(block)
    order = np.argsort(-np.hstack(scores), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(np.hstack(rows), order, 1)


def _blocks(pieces: Sequence[Vectors]) -> Iterator[Vectors]:
    """The vectors in blocks of one size, so that memory does not grow with them."""
    waiting: list[Vectors] = []
    for piece in pieces:
        for at in range(0, len(piece), _BLOCK):
            waiting.append(piece[at : at + _BLOCK])
            if sum(map(len, waiting)) >= _BLOCK:
                yield np.concatenate(waiting)
                waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _taken(pieces: Sequence[Vectors], rows: Ids) -> Vectors:
    """Some rows, ascending, of all the pieces."""
    starts = np.cumsum([0, *map(len, pieces)])
    bounds = np.searchsorted(rows, starts)
    found = [
        piece[rows[a:b] - start]
        for piece, start, a, b in zip(pieces, starts, bounds, bounds[1:], strict=False)
        if b > a
    ]
    return np.concatenate(found)
