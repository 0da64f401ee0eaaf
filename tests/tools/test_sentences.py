from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.tools import sentences
from limner.tools.sentences import (
    CachedEncoder,
    sentence_spans,
    split_rows,
    split_sentences,
    stems,
)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It is on. It works!", ["It is on.", "It works!"]),
        ("Dr. Ito saw Mr. Lee. They spoke.", ["Dr. Ito saw Mr. Lee.", "They spoke."]),
        ("It costs 3.50 euros. Pay at 5 p.m. now.", ["It costs 3.50 euros.", "Pay at 5 p.m. now."]),
        ("J. R. Hart wrote it. A. Moss read it.", ["J. R. Hart wrote it.", "A. Moss read it."]),
        ("Made by J. A. Moss in May.", ["Made by J. A. Moss in May."]),
        ("She moved to the U.S. She stayed.", ["She moved to the U.S.", "She stayed."]),
        ("The U.S. Army came.", ["The U.S. Army came."]),
        ("Tools, e.g. Saws, are sharp. Beware.", ["Tools, e.g. Saws, are sharp.", "Beware."]),
        (
            "See Fig. 3 and No. 5. No. It is wrong.",
            ["See Fig. 3 and No. 5.", "No.", "It is wrong."],
        ),
        ('"Why?" she asked. "Go."', ['"Why?" she asked.', '"Go."']),
        ("He said “Stop.” Then he left.", ["He said “Stop.”", "Then he left."]),
        ("1. Open the lid. 2. Press Start.", ["1. Open the lid.", "2. Press Start."]),
        (
            "Steps:\n1. Open it.\n- take care\n- wait",
            ["Steps:", "1. Open it.", "- take care", "- wait"],
        ),
        ("A soft\nwrap ends here. Good.", ["A soft wrap ends here.", "Good."]),
        ("A title\n\nA paragraph.", ["A title", "A paragraph."]),
        ("Size | Price\nsmall | 3\nThe end.", ["Size | Price", "small | 3", "The end."]),
        ("Wait... what? Yes… No.", ["Wait... what?", "Yes…", "No."]),
        ("水は熱い。触るな。", ["水は熱い。", "触るな。"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_split(text, sentences):
    assert split_sentences(text) == sentences


@given(st.text(alphabet="aB1 .?!\n\t|\"'()-…。", max_size=80))
def test_spans_lose_nothing(text):
    spans = sentence_spans(text)
    assert all(a < b for a, b in spans)
    assert all(b <= c for (_, b), (c, _) in pairwise(spans))
    assert "".join("".join(text[a:b].split()) for a, b in spans) == "".join(text.split())


def test_rows_are_lines():
    assert split_rows("Server   vpn.example\n\n  OK \n") == ["Server vpn.example", "OK"]


def test_stems_join_forms_of_a_word():
    for one, other in [
        ("printers", "printer's"),
        ("stopped", "stopping"),
        ("companies", "company"),
        ("closes", "closed"),
        ("10,000", "10000"),
    ]:
        assert stems(one) == stems(other)


def test_stems_keep_codes_and_drop_stop_words():
    assert stems("What is the error 0x80070005 in v2.1?") == ["error", "0x80070005", "v2.1"]
    assert stems("vpn.example.org") == ["vpn", "exampl", "org"]


PIECES = st.sampled_from("aAsSedDinNgGyY19.,'’²ßİΣσ _-\n\t\xa0\u2009\x1c\u0345ü日\ud800")


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(PIECES, max_size=40)))
def test_stems_of_a_text_are_those_of_its_words_however_it_is_cut(text):
    words = (w.replace("’", "'").removesuffix("'s") for w in sentences._WORD.findall(text.lower()))
    expected = [sentences._stem(word) for word in words if word not in sentences.STOP_WORDS]
    assert stems(text) == stems(text) == expected


def test_few_pieces_are_remembered(monkeypatch):
    monkeypatch.setattr(sentences._Pieces, "_MOST", 3)
    monkeypatch.setattr(sentences, "_pieces", sentences._Pieces())
    words = ["lid", "box", "key", "door", "x" * 65]
    assert stems(" ".join(words)) == words
    assert list(sentences._pieces) == ["door"]


class Counting:
    def __init__(self):
        self.asked = []

    def encode_query(self, inputs):
        return self.encode_document(inputs)

    def encode_document(self, inputs):
        self.asked.append(list(inputs))
        return np.array([[len(text), 1] for text in inputs], np.float32)


def test_cache_asks_once_and_keeps_order():
    inner = Counting()
    encoder = CachedEncoder(inner)
    first = encoder.encode_document(["a", "bb", "a"])
    second = encoder.encode_document(["bb", "ccc"])
    assert first[:, 0].tolist() == [1, 2, 1]
    assert second[:, 0].tolist() == [2, 3]
    assert inner.asked == [["a", "bb"], ["ccc"]]


def test_cache_tells_queries_from_documents_and_is_bounded():
    inner = Counting()
    encoder = CachedEncoder(inner, size=2)
    encoder.encode_query(["a"])
    encoder.encode_document(["a"])
    encoder.encode_document(["b", "c"])
    encoder.encode_query(["a"])
    assert inner.asked == [["a"], ["a"], ["b", "c"], ["a"]]


def test_cache_of_nothing():
    assert CachedEncoder(Counting()).encode_document([]).shape[0] == 0
