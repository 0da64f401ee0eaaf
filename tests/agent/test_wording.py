from __future__ import annotations

import pytest

from limner.agent.state import Attachment, Exchange
from limner.agent.wording import is_follow_up, reworded, wordings
from limner.tools.ocr import Line

BEFORE = (Exchange("What do I do on VPN error 809 on Windows?", "Add a value. [1]"),)


@pytest.mark.parametrize("question", ["And on macOS?", "What about guests?", "How long is it?"])
def test_what_leans_on_the_question_before(question: str) -> None:
    assert is_follow_up(question)


@pytest.mark.parametrize(
    "question", ["What colour is my bike?", "When was the lighthouse built?", "🙂🙂", "?"]
)
def test_what_stands_alone_is_not_pulled_to_the_question_before(question: str) -> None:
    assert not is_follow_up(question)
    assert wordings(question, BEFORE, ()) == (question,)
    assert all("809" not in wording for wording in reworded(question, (question,)))


def test_the_same_preposition_takes_the_place_of_the_last() -> None:
    assert wordings("And on macOS?", BEFORE, ()) == ("What do I do on VPN error 809 on macOS?",)


def test_another_follow_up_is_joined() -> None:
    assert wordings("And for guests?", BEFORE, ()) == (f"{BEFORE[0].question} And for guests?",)


def test_a_screen_adds_the_rows_that_report_trouble() -> None:
    rows = tuple(Line(t, (0, 0, 1, 1), 1.0) for t in ("VPN", "Error 809: no answer", "Cancel"))
    asked = wordings("How do I fix this?", (), (Attachment("m", "shot.png", rows),))
    assert asked == ("How do I fix this?", "How do I fix this? Error 809: no answer")


def test_one_more_try_is_not_the_same_again() -> None:
    (bare,) = reworded("Where are the spill kits?", ())
    assert reworded("Where are the spill kits?", (bare,)) == ()
