from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.tools.grounding import MATCH, best_line, overlap, similarity
from limner.tools.ocr import Line

LINES = tuple(
    Line(text, (0, 20 * i, 100, 20 * i + 18), 1.0)
    for i, text in enumerate(
        ["VPN settings", "Server  vpn.tidewater.example", "Error 809", "Error 8090", "Try again"]
    )
)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("Error 809", "Error 809"),
        ("error 809.", "Error 809"),
        ("vpn.tidewater.example", "Server  vpn.tidewater.example"),
        ("Server vpn.tidevvater.example", "Server  vpn.tidewater.example"),
        ("Try agaln", "Try again"),
    ],
)
def test_the_right_line_is_found(words: str, line: str) -> None:
    found = best_line(words, LINES)
    assert found is not None and found.text == line


@pytest.mark.parametrize("words", ["Printer ready", "", "…", "8", "disconnect the modem"])
def test_what_is_not_there_is_not_found(words: str) -> None:
    assert best_line(words, LINES) is None


def test_no_lines_no_match() -> None:
    assert best_line("anything", ()) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_similarity_is_a_share(a: str, b: str) -> None:
    assert 0.0 <= similarity(a, b) <= 1.0


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=40))
def test_a_line_is_like_itself(text: str) -> None:
    assert similarity(text, text) >= MATCH


def test_overlap() -> None:
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1.0
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0.0
