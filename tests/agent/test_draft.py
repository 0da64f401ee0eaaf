from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from limner.agent.draft import DraftParser, Slot, cited, parse

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
