from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.tools.layout import entries
from limner.tools.ocr import Line


def at(text: str, x: float, y: float, height: float = 20, width: float = 0) -> Line:
    return Line(text, (x, y, x + (width or 10 * len(text)), y + height), 0.9)


def texts(*lines: Line) -> list[str]:
    return [entry.text for entry in entries(lines)]


def test_a_label_and_the_value_beside_it_are_one_entry() -> None:
    (entry,) = entries([at("vpn.example.org", 600, 101), at("Server", 40, 100)])
    assert entry.text == "Server  vpn.example.org"
    assert entry.box == (40, 100, 750, 121)


def test_a_label_and_the_value_below_it_are_one_entry() -> None:
    form = [at("User name", 40, 100), at("ada.berg", 50, 126), at("Company", 40, 190)]
    assert texts(*form, at("Tidewater", 50, 216)) == ["User name  ada.berg", "Company  Tidewater"]


def test_tiles_side_by_side() -> None:
    labels = [at("Outside", 40, 100), at("Flow", 240, 100), at("Return", 440, 100)]
    values = [at("8.5 °C", 40, 124), at("55 °C", 240, 124), at("47 °C", 440, 124)]
    assert texts(*labels, *values) == ["Outside  8.5 °C", "Flow  55 °C", "Return  47 °C"]


def test_the_rows_of_a_table_stay_rows() -> None:
    cells = [
        at(text, x, y)
        for y, row in ((100, "Train To Gate"), (140, "IC7 Kiel 4"), (180, "RE2 Bonn 9"))
        for x, text in zip((40, 240, 440), row.split(), strict=True)
    ]
    assert texts(*cells) == ["Train  To  Gate", "IC7  Kiel  4", "RE2  Bonn  9"]


def test_navigation_is_kept_apart() -> None:
    menu = [at(text, 20, y) for text, y in (("General", 60), ("Ports", 92), ("About", 124))]
    form = [
        at("Model", 200, 70), at("C310", 600, 70), at("Serial", 200, 110), at("LC3-88", 600, 110),
    ]  # fmt: skip
    assert texts(*menu, *form) == ["General", "Ports", "About", "Model  C310", "Serial  LC3-88"]


def test_labels_of_a_form_are_no_navigation() -> None:
    form = [at(text, 20, y) for text, y in (("Name", 60), ("Port", 92), ("Sign-in", 124))]
    values = [at(text, 400, y) for text, y in (("proxy", 61), ("3129", 93), ("none", 125))]
    assert texts(*form, *values) == ["Name  proxy", "Port  3129", "Sign-in  none"]


def test_window_buttons_are_left_out() -> None:
    assert texts(at("VPN settings", 40, 10), at("□", 700, 10), at("X", 740, 10)) == ["VPN settings"]


def test_a_headline_is_no_label() -> None:
    assert texts(at("Not connected", 40, 60, 40), at("The server is silent.", 40, 110)) == [
        "Not connected",
        "The server is silent.",
    ]


ADVICE = at("Free at least 12 GB on the drive and", 40, 100)


def test_a_wrapped_sentence_is_one_entry() -> None:
    (entry,) = entries(
        [ADVICE, at("run the backup again, or choose another", 40, 126), at("target.", 42, 152)]
    )
    assert entry.text == f"{ADVICE.text} run the backup again, or choose another target."
    assert entry.box == (40, 100, 430, 172)


@pytest.mark.parametrize(
    "below",
    [
        at("Run the backup again.", 40, 126),  # begins anew
        at("run the backup again.", 90, 126),  # stands elsewhere
        at("run the backup again.", 40, 160),  # too far below
        at("run the backup again.", 40, 126, 34),  # larger
    ],
)
def test_what_does_not_go_on_stays_apart(below: Line) -> None:
    assert texts(ADVICE, below) == [ADVICE.text, below.text]


def test_after_its_end_and_after_a_label_no_sentence_goes_on() -> None:
    done = at("Free at least 12 GB on the drive.", 40, 100)
    assert len(texts(done, at("run the backup", 40, 126))) == 2
    pears = at("green pears of the old tree that stands behind here", 40, 126)
    assert len(texts(at("red apples", 40, 100), pears)) == 2


@pytest.mark.parametrize("lines", [[], [at("only", 5, 5)]])
def test_little_or_nothing(lines: list[Line]) -> None:
    assert [e.text for e in entries(lines)] == [line.text for line in lines]


numbers = st.integers(0, 1500)
some_lines = st.lists(st.builds(at, st.text("abcde ", min_size=4), numbers, numbers), max_size=25)


@given(some_lines)
def test_every_word_is_kept_once(lines: list[Line]) -> None:
    before = sorted(word for line in lines for word in line.text.split())
    after = sorted(word for entry in entries(lines) for word in entry.text.split())
    assert after == before
