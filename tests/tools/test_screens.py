"""Which rows of a screen tell what to do, and whether two screens are one."""

from __future__ import annotations

import pytest

from limner.tools.screens import is_copy, remedies

SCREEN = [
    "Backup failed",
    "Error NB-507: The target disk is full.",
    "Free at least 12 GB on drive D: and run the backup again.",
    "Retry  Cancel",
]


@pytest.mark.parametrize(
    "question",
    ["How do I fix this?", "What should I do?", "How can I solve this problem?",
     "How do I get rid of error NB-507?", "What do I do when the disk is full?"],
)  # fmt: skip
def test_what_a_screen_tells_to_do_about_its_trouble(question: str) -> None:
    assert remedies(question, SCREEN) == [2]


@pytest.mark.parametrize(
    "question",
    ["What does the error say?", "Why is the disk full?", "How do I add a user?",
     "How do I fix the printer?", "Which drive is it?"],
)  # fmt: skip
def test_other_questions_are_not_answered_so(question: str) -> None:
    assert remedies(question, SCREEN) == []


def test_buttons_and_forms_tell_nothing() -> None:
    assert remedies("How do I fix this?", ["Error 5: no disk", "Retry", "Open Settings"]) == []
    form = ["New account", "Enter your name and press the key", "Save"]
    assert remedies("How do I fix this?", form) == []  # it reports no trouble
    labels = ["Error 809: no answer", "Type L2TP/IPsec with pre-shared key"]
    assert remedies("How do I fix this?", labels) == []
    assert remedies("How do I fix this?", []) == []


def test_a_short_sentence_is_advice() -> None:
    assert remedies("How do I fix this?", ["Error 5: no link", "Restart it.", "Retry"]) == [1]


def test_of_a_page_of_instructions_the_first_few_count() -> None:
    page = ["Error 5: no disk", *(f"Press the key with number {n} now." for n in range(40))]
    assert remedies("How do I fix this?", page) == [1, 2, 3, 4, 5]


def test_copies_share_nearly_all_rows() -> None:
    assert is_copy(SCREEN, [["x"], [*SCREEN, "a clock"]])
    assert is_copy(SCREEN[:1] + SCREEN, [SCREEN])
    assert not is_copy(SCREEN, [SCREEN[:2]])
    assert not is_copy([], [SCREEN]) and not is_copy(SCREEN, [])
