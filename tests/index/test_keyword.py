from __future__ import annotations

import math

import pytest

from limner.index.keyword import KeywordIndex
from limner.tools.sentences import stems

TEXTS = {
    3: "The laser cutter cuts plywood.",
    7: "Error E-26 means that the cooling water of the laser is warm.",
    9: "Batteries and boxes. A box of batteries.",
}


def test_the_best_match_comes_first_and_what_shares_no_word_not_at_all() -> None:
    index = KeywordIndex(TEXTS)
    assert [key for key, _ in index.search("cooling of the laser", 5)] == [7, 3]
    assert [key for key, _ in index.search("BATTERY", 5)] == [9]  # case and number do not count
    assert index.search("submarine", 5) == index.search("the of", 5) == index.search("", 5) == []
    assert len(index.search("laser", 1)) == 1


def test_scores_are_bm25() -> None:
    index = KeywordIndex(TEXTS)
    ((key, score),) = index.search("plywood", 5)
    lengths = [len(stems(text)) for text in TEXTS.values()]
    norm = 1.2 * (1 - 0.75 + 0.75 * lengths[0] / (sum(lengths) / 3))
    expected = math.log(1 + (3 - 1 + 0.5) / 1.5) / (1 + norm) / math.log(4)
    assert key == 3
    assert score == pytest.approx(expected, rel=1e-4)


def test_which_words_it_knows() -> None:
    index = KeywordIndex(TEXTS)
    assert stems("boxes")[0] in index and "submarine" not in index


@pytest.mark.parametrize("texts", [{}, {1: ""}, {1: "the of"}, {1: "\ud800 …"}])
def test_nothing_to_find(texts: dict[int, str]) -> None:
    assert KeywordIndex(texts).search("laser the", 5) == []
