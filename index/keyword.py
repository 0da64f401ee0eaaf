"""BM25 over the words of passages. Knows texts and integer keys; nothing of vectors or files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..tools.sentences import stems

__all__ = ["KeywordIndex"]


class KeywordIndex:
    """BM25 (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75) over the stems of a set of texts.

    Scores are divided by ``ln(N + 1)``, the weight of a word that one of N texts holds, so that
    they mean the same in a small set and in a large one.

    Args:
        texts: what can be found, by key.
    """

    def __init__(self, texts: Mapping[int, str]) -> None:
        self._keys = np.fromiter(texts, np.int64, len(texts))
        tokens = [stems(text) for text in texts.values()]
        self._documents = Counter(word for document in tokens for word in set(document))
        self._bm25: Any = None
        if self._documents:
            import bm25s

            self._bm25 = bm25s.BM25(k1=1.2, b=0.75)
            self._bm25.index(tokens, show_progress=False)

    def __contains__(self, stem: object) -> bool:
        """Whether any text holds a word of that stem."""
        return stem in self._documents

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """The best keys with their scores, best first; only those that share a word."""
        known = [word for word in stems(query) if word in self._documents]
        if not known:
            return []
        scores = self._bm25.get_scores(known) / math.log(len(self._keys) + 1)
        best = np.argsort(-scores, kind="stable")[:k]
        return [(int(self._keys[i]), float(scores[i])) for i in best if scores[i] > 0]
