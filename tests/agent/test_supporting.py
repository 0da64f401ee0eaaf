"""Sentences that their sources do not bear out are told from those that they do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.agent.supporting import UNCITED, UNSUPPORTED, checked_text

PASSAGES = [
    "High water is at noon, at 12:40 on Friday.",
    "The VPN needs port 1701.",
    "E-26: the heat exchanger is too hot. Wait 15 minutes, then press reset. See IPv4 on Mid-2019.",
]


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
        "Wait 15 minutes. [3]",
        "E-26 means that it is too hot. [3] E26 is about heat. [3] Press reset at e-26. [3]",
        "1. Open the port. [2]\n2. **Step 3:** wait. [3]\nStep 2: press reset. [3]",
        "Error 1701 is about the VPN. [2]",
        "",
    ],
)
def test_what_is_borne_out_stays_as_it_is(text: str) -> None:
    assert checked_text(text, PASSAGES, attachments=1) == text


TOLD = [
    "Elephants fly north.",
    "Wait 33 minutes.",
    "The answer is 42.",
    "It is E-27.",
    "Paris is the capital of France.",
    "Bananas are yellow. [7]",
    "Bananas are yellow. [a2]",
    "Yes. [7]",
    "- Wait 33 minutes",
    "Wait 33 minutes:",
]
SAID = [
    "Here is how:",
    "Let me know if this helps.",
    "I hope this helps!",
    "Hope that answers your question.",
    "Feel free to ask further questions.",
    "Based on the passages, here is a summary.",
    "Here are the steps you need to follow.",
    "The passages do not say.",
    "I could not find this in the documents provided.",
    "Sorry, the library says nothing of it.",
    "See the picture below.",
    "Good luck!",
    "To summarise:",
    "Step 1:",
    "## 2. Summary",
    "3.",
    "Do you see error 809?",
    "You're welcome. Yes, sure.",
]


@pytest.mark.parametrize("sentence", TOLD)
def test_what_is_told_without_a_source_is_marked(sentence: str) -> None:
    assert checked_text(sentence, PASSAGES, attachments=1) == f"{sentence} {UNCITED}"


@pytest.mark.parametrize("sentence", SAID)
def test_a_turn_of_phrase_is_not(sentence: str) -> None:
    assert checked_text(sentence, PASSAGES) == sentence


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("High water is at 13:10. [1]", f"High water is at 13:10. [1] {UNSUPPORTED}"),
        ("Open port 1702. [2]", f"Open port 1702. [2] {UNSUPPORTED}"),
        ("Wait 26 minutes. [3]", f"Wait 26 minutes. [3] {UNSUPPORTED}"),
        ("Press reset at E-15. [3]", f"Press reset at E-15. [3] {UNSUPPORTED}"),
        ("Press reset at 0x1F. [3]", f"Press reset at 0x1F. [3] {UNSUPPORTED}"),
        ("See IPv6. [3]", f"See IPv6. [3] {UNSUPPORTED}"),
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
    assert " ".join(checked_text(text, PASSAGES, attachments=1).split()) == marked


@given(st.text(alphabet="aB1. []\n?!:é", max_size=80))
def test_nothing_is_lost(text: str) -> None:
    marked = checked_text(text, PASSAGES).replace(UNSUPPORTED, "").replace(UNCITED, "")
    assert "".join(marked.split()) == "".join(text.split())
