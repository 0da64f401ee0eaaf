"""Which sentences tell what to do, and which questions ask for that."""

from __future__ import annotations

import pytest

from limner.tools.instructions import goes_on, instructs, is_step
from limner.tools.quoting import asks_advice, asks_what_to_do


@pytest.mark.parametrize(
    "sentence",
    [
        "Open Settings > Licence and set the renewal date.",
        "2. Press Reset.",
        "Restart.",
        "Then restart the program.",
        "Do not switch it off.",
        "To clear E-26, let the chiller run.",
        "If the light blinks, call the desk.",
        "Fix: empty the bin.",
        "Remedy – a new cable.",
        "D-12: the induction has lapsed; book a refresher in the portal.",
        "The renewal date must be set under Settings.",
        "You need to pay at the desk.",
        "The fault is cured by a restart.",
    ],
)
def test_commands_steps_and_needs_tell_what_to_do(sentence: str) -> None:
    assert instructs(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "Error E-42 means the licence expired.",
        "Print jobs wait until their owner holds the fob.",
        "Open files are kept for an hour.",
        "Set of spare keys.",
        "The office is open from 9 to 17.",
        "When the printer is jammed, a red light shows.",
        "Do this:",
        "Licences cost 20 euros: a year each.",
    ],
)
def test_other_sentences_do_not(sentence: str) -> None:
    assert not instructs(sentence)


def test_a_next_step_leans_on_the_one_before() -> None:
    assert goes_on("Then press Reset.") and goes_on("3) Press it.") and goes_on("It blinks twice.")
    assert not goes_on("Press Reset.") and not goes_on("Items are kept.")
    assert is_step("12. Press it.") and not is_step("2.5 bar is enough.")


@pytest.mark.parametrize(
    ("question", "to_do"),
    [
        ("How do I fix this?", True),
        ("How to resolve this error", True),
        ("What should I do about E-42?", True),
        ("I see E-42. What must we do?", True),
        ("Please help me with this", True),
        ("What now?", True),
        ("How do I get rid of it?", True),
        ("What does E-42 mean?", False),
        ("Why does it stop?", False),
        ("How do pumps work?", False),
        ("Which solution cleans the tank?", False),
        ("What do I owe?", False),
    ],
)
def test_questions_that_ask_what_to_do(question: str, to_do: bool) -> None:
    assert asks_what_to_do(question) is to_do
    assert asks_advice(question) or not to_do
