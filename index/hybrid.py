"""Hybrid search: one score out of meaning and words. Knows keys, vectors and BM25 scores.

``score = cosine + 0.25 · keyword + 1 · code``, the last two BM25 / ln(N + 1): of all words, and of
the codes among them. Part numbers, tickets and error codes mean nothing to a model and must match.
Summing scores keeps what fusing ranks throws away: how much better the first is than the second
(``benchmarks/xquad.py`` prints both).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .embeddings import Vectors
from .keyword import KeywordIndex
from .segments import Keys
from .vector_stores.base import VectorStore

__all__ = ["CODE_WEIGHT", "KEYWORD_WEIGHT", "HybridIndex", "Match"]

KEYWORD_WEIGHT = 0.25
"""Of the keyword score beside the cosine; the best of 0.1 to 0.5 on half of XQuAD's articles, flat
from 0.2 to 0.35."""

CODE_WEIGHT = 1.0
"""Of the score of the codes alone. A code that one of 10,000 passages holds adds 0.3 to 0.5, more
than passages of one template differ in cosine; recall on XQuAD is the same from 0 to 2.5."""

_CODE = re.compile(
    r"\b(?:error|code|number|ticket|order|invoice|part|#)\W{0,2}([0-9]+)\b"
    r"|(\b[a-z]{1,5}-[0-9]+\b"
    r"|(?![0-9]{1,4}\b|[0-9]+(?:st|nd|rd|th|s)\b)(?=[^\W_]*[0-9])[^\W_]{3,})",
    re.IGNORECASE,
)
"""``error 809``, ``E-26``, ``T07777``: words with digits, but no years, counts or ordinals."""

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
        code: the same of the question's codes alone.
    """

    key: int
    cosine: float
    keyword: float
    query: str
    code: float = 0.0

    @property
    def score(self) -> float:
        """Higher is better."""
        return self.cosine + KEYWORD_WEIGHT * self.keyword + CODE_WEIGHT * self.code


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
        codes = " ".join(number or word for number, word in _CODE.findall(query))
        coded = dict(self.keywords.search(codes, depth, among))
        rest = [key for key in said | coded if key not in cosines]
        cosines |= zip(rest, (self.store.get(rest) @ vector).tolist(), strict=True)
        if coded:  # all that were found, also those beyond the depth of either list
            coded = dict(
                zip(cosines, self.keywords.scores(codes, [*cosines]).tolist(), strict=True)
            )
        return [
            Match(key, cosine, said.get(key, 0.0), query, coded.get(key, 0.0))
            for key, cosine in cosines.items()
        ]
