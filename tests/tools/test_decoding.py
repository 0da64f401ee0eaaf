"""Tokens to text: however they come, every letter once, nothing behind a stop."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from limner.tools.chat_models.decoding import Detokenizer, Row, StopText
from limner.tools.chat_models.processing import share

TEXT = st.text(alphabet="ab ▁é水🌊\n<|]", max_size=40)


def bytes_of(tokens: list[int]) -> str:
    """A tokenizer whose tokens are bytes, so that letters lie over several."""
    return bytes(tokens).decode("utf-8", "replace")


@given(TEXT, st.lists(st.integers(1, 5), min_size=1, max_size=60))
def test_each_letter_comes_once(text: str, sizes: list[int]) -> None:
    tokens = list(text.encode())
    row, given, at = Detokenizer(bytes_of), "", 0
    for size in sizes * len(tokens):
        piece = row.feed(tokens[at : at + size])
        assert "\ufffd" not in piece
        given, at = given + piece, at + size
    assert given + row.close() == text


def test_half_a_letter_at_the_end_is_given_as_unknown() -> None:
    row = Detokenizer(bytes_of)
    assert row.feed([*b"ab", 0xF0, 0x9F]) == ""
    assert row.close() == "ab\ufffd"


@given(TEXT, st.lists(st.text("ab<|\n", min_size=1, max_size=4), max_size=3), st.data())
def test_nothing_behind_a_stop(text: str, words: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    stop = StopText(words)
    given = "".join(map(stop.feed, pieces)) + stop.close()
    places = [at for word in words if (at := text.find(word)) >= 0]
    if places:  # the word that is complete first ends the text; another may have begun before it
        assert text.startswith(given)
    else:
        assert given == text
    assert stop.met == bool(places)
    assert not any(word in given for word in words)


def test_a_row_ends_at_its_end_token() -> None:
    row = Row(bytes_of, ["STOP"], 9)
    assert [row.feed(ord(c), False) for c in "abS"] == ["a", "b", ""]
    assert row.feed(0, is_end=True) == "S" and row.ended == "stop" and row.tokens == 4
    assert row.feed(ord("x"), False) == ""


def test_a_row_ends_before_a_stop_word() -> None:
    row = Row(bytes_of, ["STOP"], 5)
    assert "".join(row.feed(ord(c), False) for c in "aSTOP") == "a" and row.ended == "stop"


@given(TEXT, st.integers(1, 30))
def test_a_row_ends_after_its_most_tokens_with_all_it_held_back(text: str, most: int) -> None:
    row, tokens = Row(bytes_of, ["\n<|"], most), list((text + "x" * most).encode())
    given = ""
    while not row.ended:
        given += row.feed(tokens[row.tokens], False)
    whole = bytes_of(tokens[: row.tokens])
    assert row.tokens <= most
    assert (row.ended, given) in {("length", whole), ("stop", whole.partition("\n<|")[0])}
    assert (row.ended == "stop") == ("\n<|" in whole)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60), st.integers(1, 20_000))
def test_pictures_share_fairly(wanted: list[int], budget: int) -> None:
    bound = share(wanted, budget)
    taken = sum(min(tokens, bound) for tokens in wanted)
    assert bound >= 1
    if sum(wanted) <= budget:
        assert all(tokens <= bound for tokens in wanted)
    elif budget >= len(wanted):
        assert taken <= budget
        assert sum(min(tokens, bound + 1) for tokens in wanted) > budget - len(wanted)
