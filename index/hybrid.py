"""Hybrid search: one score out of meaning and words. Knows keys, vectors and BM25 scores.

``score = cosine + 0.25 · BM25 / ln(N + 1)``. Summing scores keeps what fusing ranks throws away:
how much better the first is than the second (``benchmarks/xquad.py`` prints both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .embeddings import Vectors
from .keyword import KeywordIndex
from .segments import Keys
from .vector_stores.base import VectorStore

__all__ = ["KEYWORD_WEIGHT", "HybridIndex", "Match"]

KEYWORD_WEIGHT = 0.25
"""Of the keyword score beside the cosine; the best of 0.1 to 0.5 on half of XQuAD's articles, flat
from 0.2 to 0.35."""

_DEPTH = 50
"""Candidates that each of the two searches brings, at least."""


@dataclass(frozen=True, slots=True)
class Match:
    """A passage that was found, and why.

    Attributes:
        key: of the passage.
        cosine: of its vector and the question's, −1 to 1.
        keyword: its BM25 score over ``ln(N + 1)``; 0 where they share no word.
        query: the wording that fits it best.
    """

    key: int
    cosine: float
    keyword: float
    query: str

    @property
    def score(self) -> float:
        """Higher is better."""
        return self.cosine + KEYWORD_WEIGHT * self.keyword


@dataclass(frozen=True, slots=True)
class HybridIndex:
    """One consistent state of a library, searchable.

    Attributes:
        store: the vectors.
        keywords: the words; of the same keys.
    """

    store: VectorStore
    keywords: KeywordIndex

    def search(
        self, queries: Sequence[str], vectors: Vectors, k: int, among: Keys | None = None
    ) -> list[Match]:
        """What fits best over several wordings of one question.

        Args:
            queries: the wordings.
            vectors: of the wordings, ``(len(queries), d)``.
            k: how many are wanted; a few more may come.
            among: only these keys, ascending; None for all.

        Returns:
            Best first, each key once: with the wording that gives it the highest score.
        """
        best: dict[int, Match] = {}
        for query, vector in zip(queries, vectors, strict=True):
            for match in self._matches(query, vector, max(k, _DEPTH), among):
                if match.key not in best or match.score > best[match.key].score:
                    best[match.key] = match
        return sorted(best.values(), key=lambda match: (-match.score, match.key))

    def _matches(self, query: str, vector: Vectors, depth: int, among: Keys | None) -> list[Match]:
        found, ids = self.store.search(vector[np.newaxis], depth, among)
        cosines = dict(zip(ids[0].tolist(), found[0].tolist(), strict=True))
        said = dict(self.keywords.search(query, depth, among))
        rest = [key for key in said if key not in cosines]
        cosines |= zip(rest, (self.store.get(rest) @ vector).tolist(), strict=True)
        return [Match(key, c, said.get(key, 0.0), query) for key, c in cosines.items()]
