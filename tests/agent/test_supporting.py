"""Sentences that their sources do not bear out are told from those that they do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.agent.supporting import UNCITED, UNSUPPORTED, checked_text

PASSAGES = ["High water is at noon, at 12:40 on Friday.", "The VPN needs port 1701."]


@pytest.mark.parametrize(
    "text",
    [
        "High water is at noon. [1]",
        "On Friday it is high at 12:40 [1].",
        "Open port 1701. [2] A red square stands on the left of it. [a1]",
        "- **High water**: noon [1]\n- The port is 1701. [2]",
        "Here is how:",
        "I see.",
        "Does the VPN work on Friday at the harbour now?",
        "",
    ],
)
def test_what_is_borne_out_stays_as_it_is(text: str) -> None:
    assert checked_text(text, PASSAGES) == text


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("High water is at 13:10. [1]", f"High water is at 13:10. [1] {UNSUPPORTED}"),
        ("Open port 1702. [2]", f"Open port 1702. [2] {UNSUPPORTED}"),
        ("Badgers dig setts. [1]", f"Badgers dig setts. [1] {UNSUPPORTED}"),
        (
            "The keeper of the lighthouse lives far away.",
            f"The keeper of the lighthouse lives far away. {UNCITED}",
        ),
        (
            "High water is at noon. [1] It lasts until 13:45. [1] The square is there: [a1]",
            f"High water is at noon. [1] It lasts until 13:45. [1] {UNSUPPORTED} "
            "The square is there: [a1]",
        ),
        (
            "High water is at noon. [1] Port 99 is open. [2]",
            f"High water is at noon. [1] Port 99 is open. [2] {UNSUPPORTED}",
        ),
        (
            "Port 99 is open. [2] High water is at noon. [1]",
            f"Port 99 is open. [2] {UNSUPPORTED} High water is at noon. [1]",
        ),
    ],
)
def test_what_is_not_is_marked(text: str, marked: str) -> None:
    assert " ".join(checked_text(text, PASSAGES).split()) == marked


@given(st.text(alphabet="aB1. []\n?!:é", max_size=80))
def test_nothing_is_lost(text: str) -> None:
    marked = checked_text(text, PASSAGES).replace(UNSUPPORTED, "").replace(UNCITED, "")
    assert "".join(marked.split()) == "".join(text.split())
