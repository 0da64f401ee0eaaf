"""The words of an answer against its references, at the edges that scorers disagree on."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.agent.answer import Answer, Text
from limner.agent.evaluation.metrics.alignment import common_length, edit_distance
from limner.agent.evaluation.metrics.text import (
    MEASURES,
    anls,
    contains,
    exact_match,
    number,
    relaxed_accuracy,
    rouge_l,
    text,
    token_f1,
)
from limner.agent.evaluation.metrics.words import (
    normalised,
    plain_text,
    squad_words,
    without_marks,
    words,
)
from limner.agent.evaluation.questions import Question
from limner.agent.supporting import UNCITED, UNSUPPORTED
from limner.index.passage import Passage

PASSAGES = tuple(Passage(str(n), "High water.", "tides.md") for n in range(3))


def answered(*texts: str, **how: bool) -> Answer:
    return Answer(tuple(map(Text, texts)), PASSAGES, **how)


def scores(answer: Answer, *references: str) -> dict[str, float | None]:
    return dict(text(Question("q", "When?", references=references), answer))


def test_marks_and_our_own_remarks_are_no_words_of_the_answer() -> None:
    answer = answered(f"It is at noon. [1] {UNSUPPORTED}", f"Not later [2][3]. {UNCITED}")
    assert plain_text(answer) == "It is at noon.\n\nNot later."
    assert set(scores(answered("Noon [1]."), "noon").values()) == {1.0, 0.0, 0.8}
    assert scores(answered("The noon. [2]"), "Noon")["exact_match"] == 1.0


def test_a_mark_of_no_passage_is_text() -> None:
    assert without_marks("See [4] and [0] and a[3] [2024].", 3) == "See [4] and [0] and a [2024]."


def test_without_references_the_text_is_not_scored() -> None:
    assert scores(answered("Noon.")) == dict.fromkeys(MEASURES)


def test_the_best_reference_counts_for_each_measure_alone() -> None:
    found = scores(answered("100"), "one hundred", "104", "0")
    assert found["relaxed_accuracy"] == 1.0
    assert found["exact_match"] == 0.0
    assert scores(answered("b c"), "a", "b c d", "c")["token_f1"] == 0.8


@pytest.mark.parametrize("how", ["abstained", "refused"])
def test_our_own_notice_is_no_answer(how: str) -> None:
    notice = answered("This is not in your library: tides.md.", **{how: True})
    assert set(scores(notice, "tides.md").values()) == {0.0}
    assert set(scores(notice, "").values()) == {1.0}  # as SQuAD 2.0 words “no answer”


@pytest.mark.parametrize("name", MEASURES)
def test_empty_and_empty_is_right_and_one_of_them_is_wrong(name: str) -> None:
    measure = MEASURES[name]
    assert measure("", "") == measure(" \n", "\t") == 1.0
    assert measure("", "noon") == measure("noon", "") == 0.0


@pytest.mark.parametrize("name", MEASURES)
@given(said=st.text(max_size=30), reference=st.text(max_size=30))
def test_every_measure_is_a_share_and_knows_its_own_text(
    name: str, said: str, reference: str
) -> None:
    assert 0.0 <= MEASURES[name](said, reference) <= 1.0
    assert MEASURES[name](said, said) == 1.0


@pytest.mark.parametrize(
    ("said", "normal"),
    [
        ("The  Keeper's house.", "keepers house"),
        ("“Noon” – ¡sí! …", "noon sí"),
        ("Cafe\u0301", "café"),
        ("An A-Team", "ateam"),
        ("The", "the"),
        ("A.", "a"),
        ("?!", "?!"),
        ("", ""),
        ("$5", "5"),
        ("5 €", "5 €"),
        ("die Flut", "die flut"),
        ("\ud800.", "\ud800"),
    ],
)
def test_the_normal_form(said: str, normal: str) -> None:
    assert normalised(said) == normal


def test_what_is_only_an_article_or_punctuation_is_not_nothing() -> None:
    assert exact_match("A", "B") == exact_match("", "A") == exact_match("...", "") == 0.0
    assert exact_match("a.", "A") == exact_match("!", "!") == 1.0
    assert token_f1("?", "!") == 0.0


def test_words_of_scripts_without_blanks() -> None:
    assert squad_words("東京タワー、333m") == ["東", "京", "タ", "ワ", "ー", "333m"]
    assert words("東京 Tower") == ["東", "京", "tower"]
    assert 0 < token_f1("東京です", "東京") < 1
    assert 0 < rouge_l("東京です", "東京") < 1


def test_words_keep_their_vowel_signs_and_accents() -> None:
    assert words("हिन्दी भाषा, naïve_tea l'été") == ["हिन्दी", "भाषा", "naïve", "tea", "l", "été"]
    assert rouge_l("Прилив в полдень", "прилив в полдень!") == 1.0


@pytest.mark.parametrize(
    ("said", "reference", "stands"),
    [
        ("Cut at 20\n mm/s with  65 percent.", "20 mm/s with 65 percent", True),
        ("It takes 15 minutes.", "5 minutes", False),
        ("It takes 1.5 minutes.", "5 minutes", False),
        ("It costs 5,000 or 5.", "5", True),
        ("It costs 5,000.", "5", False),
        ("It costs 5. No more.", "5", True),
        ("Room 5b", "5", True),
        ("Cafe\u0301 noir", "Café", True),
        ("vpn", "VPN", False),
        ("a.c", "a+c", False),
    ],
)
def test_a_reference_stands_in_the_answer(said: str, reference: str, stands: bool) -> None:
    assert contains(said, reference) == stands


def test_a_reference_over_a_mark_is_found() -> None:
    answer = answered("The fee is 12 euros [1] a month. [2]")
    assert scores(answer, "12 euros a month")["contains"] == 1.0


@pytest.mark.parametrize(
    ("said", "reference", "score"),
    [
        ("Lighthouse", "lighthouse", 1.0),
        ("lighthose", "lighthouse", 0.9),
        ("ab", "ac", 0.0),  # half of it: not below the threshold
        ("abc", "abd", 2 / 3),
        ("high  water", "high water", 1.0),
        ("highwater", "high water", 0.9),
        ("x" * 100, "y", 0.0),
    ],
)
def test_likeness_by_edits(said: str, reference: str, score: float) -> None:
    assert anls(said, reference) == pytest.approx(score)


@given(st.text("abc", max_size=12), st.text("abcd", max_size=12))
def test_edits_and_subsequences_as_the_plain_tables_give_them(a: str, b: str) -> None:
    row, line = list(range(len(b) + 1)), [0] * (len(b) + 1)
    for i, x in enumerate(a, 1):
        row, last = [i], row
        line, over = [0], line
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
            line.append(over[j - 1] + 1 if x == y else max(over[j], line[-1]))
    assert edit_distance(a, b) == row[-1]
    assert common_length(a, b) == line[-1]


def test_long_texts_are_laid_against_each_other_in_a_moment() -> None:
    rng = random.Random(0)
    long = "".join(rng.choices("abcdefgh ", k=20_000))
    assert edit_distance(long, long[5:] + "xy") == 7
    assert rouge_l(long, long) == 1.0


@pytest.mark.parametrize(
    ("said", "reference", "right"),
    [
        ("105", "100", True),
        ("95", "100", True),
        ("105.1", "100", False),
        ("94.9", "100", False),
        ("1.05", "1", True),
        ("-95", "-100", True),
        ("95", "-100", False),
        ("−100", "-100", True),
        ("0", "0.0", True),
        ("0.001", "0", False),
        ("1,250", "1250", True),
        ("$1,200.50", "1200", True),
        ("1200 €", "€ 1,200", True),
        ("-$5", "-5", True),
        ("1\u202f200", "1200", True),
        ("12 %", "12", True),
        ("12%", "0.12", True),
        ("0.12", "12%", True),
        ("12%", "1.2", False),
        ("12%", "13%", False),
        ("1200%", "12", True),
        ("307%", "3.07%", False),
        ("2e3", "2000", True),
        ("42.", "42", True),
        ("1,5", "15", False),
        ("1_000", "1000", False),
        ("nan", "NaN", True),  # a word like another
        ("inf", "-inf", False),
        ("1e9999", "2e9999", False),
        ("Blue.", "blue", True),
        ("“Blue”", "blue", True),
        ("Because", "b", False),
        ("light blue", "blue", False),
        ("85 dB", "85", False),
        ("...", "!", False),
    ],
)
def test_numbers_within_five_percent_and_texts_as_they_are(
    said: str, reference: str, right: bool
) -> None:
    assert relaxed_accuracy(said, reference) == right


def test_what_is_a_number() -> None:
    assert number("US$ 5") is number("$") is number("") is number("1,00") is None
    assert number("+.5%") == (Decimal("0.5"), True)
    assert number("1" * 10_000) == (Decimal("1" * 10_000), False)
    assert number("٣") == (Decimal(3), False)


def test_the_longest_common_subsequence_of_words() -> None:
    assert rouge_l("police killed the gunman", "police kill the gunman") == 0.75
    assert rouge_l("the gunman police killed", "police killed the gunman") == 0.5
    assert rouge_l("?!", "...") == 1.0  # neither has a word
