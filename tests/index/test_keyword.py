from __future__ import annotations

import math

import pytest

from limner.index.keyword import KeywordIndex, rank_fusion, words

TEXTS = {
    3: "The laser cutter cuts plywood.",
    7: "Error E-26 means that the cooling water of the laser is warm.",
    9: "Batteries and boxes. A box of batteries.",
}


def test_words_are_compared_without_case_plural_and_common_ones() -> None:
    assert words("The Batteries of the LASER's boxes") == words("battery laser box") or words(
        "Batteries"
    ) == words("battery")
    assert words("the of and") == []
    assert words("") == []


def test_the_best_match_comes_first_and_what_shares_no_word_not_at_all() -> None:
    index = KeywordIndex(TEXTS)
    assert [key for key, _ in index.search("cooling of the laser", 5)] == [7, 3]
    assert index.search("submarine", 5) == []
    assert index.search("", 5) == []
    assert len(index.search("laser", 1)) == 1


def test_scores_are_bm25() -> None:
    index = KeywordIndex(TEXTS)
    ((key, score),) = index.search("plywood", 5)
    lengths = [len(words(text)) for text in TEXTS.values()]
    norm = 1.5 * (1 - 0.75 + 0.75 * lengths[0] / (sum(lengths) / 3))
    expected = math.log(1 + (3 - 1 + 0.5) / 1.5) * 1 / (1 + norm)
    assert key == 3
    assert score == pytest.approx(expected, rel=1e-4)


def test_idf() -> None:
    index = KeywordIndex(TEXTS)
    (laser,) = words("laser")
    assert index.idf(laser) == pytest.approx(math.log(1 + 1.5 / 2.5))
    assert index.idf("never") > index.idf(words("plywood")[0]) > index.idf(laser)


@pytest.mark.parametrize("texts", [{}, {1: ""}, {1: "the of"}, {1: "\ud800 …"}])
def test_nothing_to_find(texts: dict[int, str]) -> None:
    assert KeywordIndex(texts).search("laser the", 5) == []


def test_rank_fusion() -> None:
    fused = rank_fusion([[1, 2, 3], [3, 1]])
    assert list(fused) == [1, 3, 2]
    assert fused[1] == pytest.approx(1 / 61 + 1 / 62)
    assert rank_fusion([]) == {}
    assert list(rank_fusion([[5], [4]])) == [5, 4]  # ties keep the order of appearance
