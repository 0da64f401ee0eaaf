from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.agent.draft import DraftParser, Slot, cited, parse, readable

DRAFT = """Open the port. [2]
[[show 3: the network map]]
Then restart [1][a1].

  [[mark a1: Error 809]]\x20\x20
[[draw: a lighthouse at dusk]]
[[show x: nonsense]]
inline [[show 1: stays text]] here"""


def test_text_and_slots_come_in_order() -> None:
    pieces = parse(DRAFT)
    assert pieces == [
        "Open the port. [2]",
        Slot(0, "show", "3", "the network map"),
        "Then restart [1][a1].",
        Slot(1, "mark", "a1", "Error 809"),
        Slot(2, "draw", "", "a lighthouse at dusk"),
        "[[show x: nonsense]]\ninline [[show 1: stays text]] here",
    ]


pieces_of_drafts = st.lists(
    st.sampled_from(
        [
            "[[",
            "]]",
            "[",
            "]",
            "show 1: map",
            "mark a2: x",
            "draw: y",
            "\n",
            " ",
            "word",
            "[3]",
            "é",
        ]
    )
    | st.text(max_size=5),
    max_size=30,
).map("".join)


@given(pieces_of_drafts, st.data())
def test_any_split_of_the_stream_gives_the_same(draft: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(draft)), max_size=8)))
    chunks = [draft[a:b] for a, b in zip([0, *cuts], [*cuts, len(draft)], strict=True)]
    assert parse(chunks) == parse(draft)


@given(pieces_of_drafts)
def test_no_word_is_lost(draft: str) -> None:
    parser = DraftParser()
    pieces = parser.feed(draft) + parser.close()
    if not any(isinstance(p, Slot) for p in pieces):
        assert "".join(str(p) for p in pieces) == draft


def test_text_is_given_before_its_line_ends() -> None:
    parser = DraftParser()
    assert parser.feed("A sen") == ["A sen"]
    assert parser.feed("tence.") == ["tence."]
    assert parser.feed("\n[[sh") == ["\n"]
    assert parser.feed("ow 1: map]]\n") == [Slot(0, "show", "1", "map")]


def test_an_endless_slot_becomes_text() -> None:
    parser = DraftParser()
    pieces = parser.feed("[[draw: " + "x" * 5_000)
    assert "".join(str(p) for p in pieces).startswith("[[draw: xxx")


def test_citations_are_found_once_each() -> None:
    assert cited("One [2]. Two [2][a1], three [0] [99999] [10].") == ["2", "a1", "10"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Turn [[show 1: the valve]] left. [1]", "Turn left. [1]"),
        ("Turn left. [1] [[Show 1: the\nvalve ]] Wait.", "Turn left. [1] Wait."),
        ("Turn left. [1]\n[[show x: nonsense]]\nWait.", "Turn left. [1]\n\nWait."),
        ("Turn left. [[mark a1: OK\nWait.", "Turn left.\nWait."),
        ("Turn left. [[show 1: x [[draw: y]] z", "Turn left. z"),
        ("Turn left. [[draw", "Turn left."),
        ("Turn left. [[sh", "Turn left."),
        ("Turn left. [[", "Turn left."),
        ("if [[ -f x ]]; then [[drawer]]", "if [[ -f x ]]; then [[drawer]]"),
        ("See [[1]] and [2].", "See [[1]] and [2]."),
    ],
)
def test_nothing_like_a_slot_is_read(text: str, read: str) -> None:
    assert readable(text) == read


@given(pieces_of_drafts)
def test_whatever_a_draft_holds_no_slot_is_read(draft: str) -> None:
    for piece in parse(draft):
        if isinstance(piece, str):
            assert not re.search(r"\[\[ *(show|mark|draw)\b", readable(piece))
