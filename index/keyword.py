"""BM25 over the words of passages. Knows texts and integer keys; nothing of vectors or files."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["KeywordIndex", "rank_fusion", "words"]

_TOKEN = re.compile(r"[^\W_]+(?:[.'’][^\W_]+)*")
_STOPWORDS = frozenset(
    "a an and are as at be but by did do does for from had has have how i if in into is it its "
    "me my no not of on or our so such that the their then there these they this to was we were "
    "what when where which who whom whose why will with would you your can could should".split()
)


def words(text: str) -> list[str]:
    """The words of a text as they are compared: lower case, without stop words, plural removed."""
    found = (token.lower() for token in _TOKEN.findall(text))
    return [_stem(token) for token in found if token not in _STOPWORDS]


def _stem(word: str) -> str:
    if word.endswith(("'s", "’s")):
        word = word[:-2]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


class KeywordIndex:
    """BM25 (Robertson and Zaragoza 2009, k1 = 1.5, b = 0.75) over a fixed set of texts.

    Args:
        texts: what can be found, by key.
    """

    def __init__(self, texts: Mapping[int, str]) -> None:
        self._keys = np.fromiter(texts, np.int64, len(texts))
        tokens = [words(text) for text in texts.values()]
        self._documents = Counter(word for document in tokens for word in set(document))
        self._bm25: Any = None
        if self._documents:
            import bm25s

            self._bm25 = bm25s.BM25(k1=1.5, b=0.75)
            self._bm25.index(tokens, show_progress=False)

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The best keys with their scores, best first; only those that share a word."""
        known = [word for word in words(query) if word in self._documents]
        if not known:
            return []
        scores = self._bm25.get_scores(known)
        best = np.argsort(-scores, kind="stable")[:k]
        return [(int(self._keys[i]), float(scores[i])) for i in best if scores[i] > 0]

    def idf(self, word: str) -> float:
        """How rare a word (as given by `words`) is here: ``ln(1 + (N - n + 0.5) / (n + 0.5))``."""
        n = self._documents[word]
        return math.log(1 + (len(self._keys) - n + 0.5) / (n + 0.5))


def rank_fusion(rankings: Iterable[Iterable[int]], k: int = 60) -> dict[int, float]:
    """Reciprocal rank fusion (Cormack, Clarke and Büttcher 2009): the sum of ``1 / (k + rank)``.

    Returns:
        Scores by key, best first; ties keep the order of first appearance.
    """
    fused: dict[int, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, 1):
            fused[key] = fused.get(key, 0.0) + 1 / (k + rank)
    return dict(sorted(fused.items(), key=lambda item: -item[1]))
