"""Hybrid search: one score out of meaning and words. Knows passages, vectors and BM25 scores.

``score = cosine + 0.25 · BM25 / ln(N + 1)``. Summing scores keeps what fusing ranks throws away:
how much better the first is than the second (``benchmarks/xquad.py`` prints both).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .embeddings import Vectors
from .keyword import KeywordIndex
from .passage import Passage
from .vector_stores.base import VectorStore

__all__ = ["KEYWORD_WEIGHT", "HybridIndex"]

KEYWORD_WEIGHT = 0.25
"""Of the keyword score beside the cosine; the best of 0.1 to 0.5 on half of XQuAD's articles, flat
from 0.2 to 0.35."""

_DEPTH = 50
"""Candidates that each of the two searches brings, at least."""


class HybridIndex:
    """One consistent state of a library, searchable.

    Args:
        passages: by key.
        store: holds a vector for each of them.
    """

    def __init__(self, passages: Mapping[int, Passage], store: VectorStore) -> None:
        self._passages = passages
        self._store = store
        self._keywords = KeywordIndex({key: p.searchable for key, p in passages.items()})
        self._figures = {p.image: key for key, p in passages.items() if p.modality == "figure"}

    def search(self, queries: Sequence[str], vectors: Vectors, k: int) -> tuple[Passage, ...]:
        """The best passages over several wordings of one question.

        Args:
            queries: the wordings.
            vectors: of the wordings, ``(len(queries), d)``.
            k: how many at most.

        Returns:
            Best first, each with its score: the highest over the wordings.
        """
        best: dict[int, float] = {}
        for query, vector in zip(queries, vectors, strict=True):
            for key, score in self._scores(query, vector, max(k, _DEPTH)).items():
                for found in {key, self._figure(key)}:
                    best[found] = max(score, best.get(found, score))
        ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        return tuple(self._passages[key].with_score(round(score, 4)) for key, score in ranked[:k])

    def _figure(self, key: int) -> int:
        """The figure that shows the picture of a passage: what is read off one finds the other."""
        return self._figures.get(self._passages[key].image, key)

    def knows(self, stem: str) -> bool:
        """Whether any passage holds a word of that stem."""
        return stem in self._keywords

    def _scores(self, query: str, vector: Vectors, depth: int) -> dict[int, float]:
        cosines, ids = self._store.search(vector[np.newaxis], depth)
        scores = dict(zip(ids[0].tolist(), cosines[0].tolist(), strict=True))
        said = dict(self._keywords.search(query, depth))
        rest = [key for key in said if key not in scores]
        scores |= zip(rest, (self._store.get(rest) @ vector).tolist(), strict=True)
        return {key: c + KEYWORD_WEIGHT * said.get(key, 0.0) for key, c in scores.items()}
