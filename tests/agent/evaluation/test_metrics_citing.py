"""Citations: which sentences have one, whether its passage bears them out, what was left out."""

from __future__ import annotations

import pytest

from limner.agent.answer import Answer, Part, Picture, Retrieved, Text
from limner.agent.evaluation.metrics.citing import Claim, checkable, citing, claims
from limner.agent.evaluation.questions import Place, Question
from limner.agent.supporting import UNCITED, UNSUPPORTED
from limner.index.passage import Passage

PASSAGES = (
    Passage("1", "High water is at noon, at 12:40 on Friday. It holds 1,500 litres.", "tides.md"),
    Passage("2", "Press “Reset now” for 15 seconds.", "boiler.pdf", 3, heading="Error 26"),
    Passage("3", "A map", "boiler.pdf", 4, (0, 0, 10, 10), "m", "figure"),
    Passage("a1", "Save", "shot.png", image="m", modality="screenshot"),
)


def answered(*texts: str, **how: bool) -> Answer:
    return Answer(tuple(Text(t) for t in texts), PASSAGES, **how)


def measured(*texts: str, **fields: object) -> dict[str, float | None]:
    return dict(citing(Question("q", "?", **fields), answered(*texts)))  # type: ignore[arg-type]


def test_claims_are_sentences_with_the_marks_in_and_behind_them() -> None:
    answer = answered(
        f"It is at noon. [1] Press it [2], then wait! [2][3]\nNot so. {UNCITED}",
        f"1. Open the *port*. [1] {UNSUPPORTED}\n2. [2] Wait.\n\n…\n\nStep 3: go [9].",
    )
    assert list(claims(answer)) == [
        Claim("It is at noon.", (1,)),
        Claim("Press it, then wait!", (2, 3)),
        Claim("Not so."),
        Claim("Open the *port*.", (1,)),
        Claim("Wait.", (2,)),
        Claim("go [9]."),
    ]


def test_marks_behind_sentences_of_other_scripts() -> None:
    assert [c.citations for c in claims(answered("満潮は正午です。[1] 待ってください。[2]"))] == [
        (1,),
        (2,),
    ]


def test_share_of_sentences_with_a_citation() -> None:
    assert measured("It is noon. [1] It is high. And low. [2]")["sentences_cited"] == 2 / 3
    assert measured("It is noon.", "It is high [1].")["sentences_cited"] == 0.5


def test_what_needs_no_source_has_no_share() -> None:
    assert measured("Once upon a time.", answerable=None)["sentences_cited"] is None


@pytest.mark.parametrize(
    "answer",
    [
        answered(),
        answered("…", "[1]"),
        answered("Not in your library: tides.md 12.", abstained=True),
        answered("That is declined.", refused=True),
        Answer((Picture("m", "", "", Retrieved(PASSAGES[2])),), PASSAGES),
    ],
)
def test_where_nothing_is_claimed_nothing_is_scored(answer: Answer) -> None:
    place = Place("boiler.pdf", 4, (0, 0, 10, 10))
    question = Question("q", "?", relevant=("tides.md",), reference_images=(place,))
    assert set(citing(question, answer).values()) == {None}


def test_what_can_be_checked() -> None:
    said = 'Press “Reset now.” or «Stop», `sudo 5` and "1,250" for 1,500 ms on the 3.5th, 1,2.'
    assert checkable(said) == {"reset now", "stop", "sudo 5", "1250", "1500", "3.5", "1,2"}
    assert checkable("The keeper’s ‘house’ “ ”") == set()


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("It is at 12:40. [1]", 1.0),
        ("It is at 12:41. [1]", 0.0),
        ("It is at 40. [1]", 0.0),  # a part of a number is none
        ("It holds 1500 litres. [1]", 1.0),
        ("Press “reset  now” [2].", 1.0),
        ("Press “reset then” [2].", 0.0),
        ("On error 26 wait. [2]", 1.0),  # stands above it
        ("It is at 12:40 on the 31st. [1]", 0.0),
        ("It is at 12:40, wait 15 seconds. [1][2]", 1.0),  # together they hold both
        ("It is at 12:40, wait 16 seconds. [1][2]", 0.0),
        ("It is at 12:40. [1][2]", 0.5),  # the second has no part in it
        ("It is at 12:40. [1] Wait 99 seconds. [2]", 0.5),
        ("1. It is at noon. [1]", None),  # the item's number is not claimed
        ("It is at noon. [1]", None),
        ("It is at 12:40.", None),  # cites nothing
        ("Save 77 files. [4]", None),  # more is seen on a picture than was read off it
        ("Save 77 files. [4][1]", None),
        ("It is at 12:40. [9]", None),  # there is no such passage
    ],
)
def test_a_cited_passage_holds_what_is_claimed(text: str, share: float | None) -> None:
    assert measured(text)["citations_supported"] == share


@pytest.mark.parametrize(
    ("relevant", "share"),
    [
        (("tides.md",), 1.0),
        (("tides.md", "boiler.pdf#3"), 1.0),
        (("tides.md", "boiler.pdf#4"), 0.5),
        (("boiler.pdf",), 1.0),
        (("other.md",), 0.0),
        (("shot.png",), 0.0),
        ((), None),
    ],
)
def test_the_relevant_pages_that_are_cited(relevant: tuple[str, ...], share: float | None) -> None:
    assert measured("It is. [1][2][4]", relevant=relevant)["page_recall"] == share


def test_a_claim_without_citations_recalls_nothing() -> None:
    assert measured("It is.", relevant=("tides.md",))["page_recall"] == 0.0


@pytest.mark.parametrize(
    ("places", "share"),
    [
        ((Place("boiler.pdf", 4, (0, 0, 10, 20)),), 1.0),
        ((Place("boiler.pdf", 4, (0, 0, 10, 21)),), 0.0),
        ((Place("boiler.pdf", 3, (0, 0, 10, 10)),), 0.0),  # page 3 is cited, without a box
        ((Place("boiler.pdf", 4, (0, 0, 10, 10)), Place("boiler.pdf", 4)), 1.0),
        ((Place("boiler.pdf", 4, (0, 0, 9, 9)), Place("boiler.pdf", 4, (50, 50, 60, 60))), 0.5),
        ((Place("boiler.pdf", 4),), None),
        ((), None),
        (None, None),
    ],
)
def test_the_boxes_that_are_cited(places: tuple[Place, ...] | None, share: float | None) -> None:
    assert measured("It is. [2][3]", reference_images=places)["box_recall"] == share


def test_citations_of_a_part_count_without_marks_in_its_text() -> None:
    parts: tuple[Part, ...] = (Text("It is.", (1,)),)
    question = Question("q", "?", relevant=("tides.md",))
    assert citing(question, Answer(parts, PASSAGES))["page_recall"] == 1.0
