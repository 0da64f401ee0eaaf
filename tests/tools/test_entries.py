"""Which sentence of a manual is about which code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.tools.entries import codes, entries, heads, places
from limner.tools.quoting import quotable


def test_codes_are_named_alike_however_they_are_written() -> None:
    assert codes("E26") == codes("E-26") and codes("Error: 809") == codes("error 809")
    assert codes("LOCKED E-26, Error 809, 0x80AF and A4 of 2019") == {"e26", "error 809", "0x80af"}


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("F22: low. Open it. F28: no flame.", ["f22", "f22", "f28"]),
        ("Fault F22 – low.\nWe are open.", ["f22", ""]),
        ("F22 Pressure low\nOpen the loop.\nF28 No flame\nPress reset.", ["f22"] * 2 + ["f28"] * 2),
        ("Error 809: no answer. Change it.", ["error 809"] * 2),
        ("Since F22 came in, it leaks. F28 is rare.", ["", "f28"]),
        ("The A4 tray holds 20.", [""]),
        ("The message F22 means low. If error F28 shows, call.", ["f22", "f28"]),
        ("F22 is low.\nOpen it.\nClose it.\nIt is raining.\nIt rains.", ["f22"] * 5),
        ("F22 is low.\nOpen it.\nWe help.\nOpen a window.", ["f22", "f22", "", ""]),
        ("F22 is low. Open it.\nOpen a window.\n1. Pull.", ["f22", "f22", "", ""]),
        ("F22 is low. Open it.\nThen close it.", ["f22", "f22", "f22"]),
    ],
)
def test_an_entry_goes_on_to_the_next_or_to_the_end_of_its_lines(
    text: str, about: list[str]
) -> None:
    assert entries(text) == about


def test_places_part_what_is_about_no_code_too() -> None:
    text = "A light shows. Open the flap.\nToner lasts.\nOrder it early.\nDo so:\nCall us."
    assert [place.number for place in places(text)] == [0, 0, 1, 1, 2, 2]


@given(st.lists(st.sampled_from(["F22: low.", "Open it.", "E-26 Door", "a b", ""]), max_size=8))
def test_each_sentence_has_its_code(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert len(entries(text)) == len(quotable(text, "text"))


@pytest.mark.parametrize(
    ("sentence", "opens"),
    [("F22: low.", True), ("F22 Pressure low", True), ("E-26", True), ("F22 never leaks.", False)],
)
def test_speaking_of_a_code_first_opens_no_entry(sentence: str, opens: bool) -> None:
    assert heads(sentence) is opens


def test_a_line_that_leads_to_steps_belongs_to_what_told_none() -> None:
    text = "It shows E-26.\nTo mend it:\n1. Open it.\n2. Close it."
    assert [place.number for place in places(text)] == [0, 0, 0, 0]
    told = "Open the tap.\nOpening hours:\nNine to five."
    assert [place.number for place in places(told)] == [0, 1, 1]
