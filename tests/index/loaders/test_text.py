from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from limner.errors import SourceError
from limner.index.loaders import Block, load
from limner.index.loaders import text as module
from limner.tools.media import MediaStore

Write = Callable[[str, str | bytes], Path]

FRENCH = "Le café est fermé à midi. L'été, les élèves vont à la plage."
GERMAN = "Die Tür ist geöffnet – „Größe“: 5 cm."
RUSSIAN = "Привет, это мастерская. Лазерный резак стоит в комнате четыре."
POLISH = "Zażółć gęślą jaźń. Wejście jest zamknięte, proszę dzwonić."
JAPANESE = "これは日本語の文章です。レーザーカッターは部屋にあります。"


@pytest.mark.parametrize(
    ("words", "encoding"),
    [
        (FRENCH, "utf-8"),
        (FRENCH, "utf-8-sig"),
        (FRENCH, "utf-16"),
        (FRENCH, "utf-32"),
        (FRENCH, "latin-1"),
        (GERMAN, "cp1252"),
        ("café", "latin-1"),
        (POLISH, "cp1250"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift-jis"),
        (JAPANESE, "euc-jp"),
    ],
)
def test_encodings(write: Write, media: MediaStore, words: str, encoding: str) -> None:
    assert load(write("a.txt", words.encode(encoding)), media) == [Block("paragraph", words)]


def test_legacy_letters_far_from_the_start(write: Write, media: MediaStore) -> None:
    plain = "Plain words without any accent.\n\n" * 10_000
    blocks = load(write("a.txt", (plain + RUSSIAN).encode("cp1251")), media)
    assert blocks[-1].text == RUSSIAN


@pytest.mark.parametrize("data", [b"words \0 words", bytes(range(1, 32)) * 20, b"\xff\xfea"])
def test_binary_is_no_text(write: Write, media: MediaStore, data: bytes) -> None:
    with pytest.raises(SourceError, match=r"a\.txt"):
        load(write("a.txt", data), media)


def test_too_large(write: Write, media: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 10)
    with pytest.raises(SourceError, match="larger than"):
        load(write("a.txt", "eleven chars"), media)


def test_paragraphs(write: Write, media: MediaStore) -> None:
    words = (
        "Handbook\n========\n\n"
        "Words that were wrapped by hand at about\r\n"
        "forty letters to the line, like these\r\nhere.\r\n"
        "\f"
        "Rules\n-----\n"
        "- first\n  goes on\n* second\n3. third\n\n"
        "----------\n"
        "Server: vpn\nUser: okafor\n\n"
        "Room\tMachine\n3\tsaw\n"
    )
    assert load(write("a.txt", words), media) == [
        Block("heading", "Handbook", level=1),
        Block(
            "paragraph",
            "Words that were wrapped by hand at about forty letters to the line, like these here.",
        ),
        Block("heading", "Rules", level=2),
        Block("item", "first goes on"),
        Block("item", "second"),
        Block("item", "3. third"),
        Block("paragraph", "Server: vpn\nUser: okafor"),
        Block("row", "Room  Machine"),
        Block("row", "3  saw"),
    ]


def test_form_feeds_part_paragraphs(write: Write, media: MediaStore) -> None:
    assert load(write("a.txt", "One.\fTwo."), media) == [
        Block("paragraph", "One."),
        Block("paragraph", "Two."),
    ]


def test_old_mac_line_ends(write: Write, media: MediaStore) -> None:
    assert len(load(write("a.txt", "One.\r\rTwo."), media)) == 2


def test_a_very_long_line(write: Write, media: MediaStore) -> None:
    started = time.perf_counter()
    (block,) = load(write("a.txt", "words and spaces  " * 300_000), media)
    assert len(block.text) > 4_000_000
    assert time.perf_counter() - started < 5


def test_csv(write: Write, media: MediaStore) -> None:
    table = '\ufeff\nRoom;Machine;"Price; in euros"\n3;saw;5\n4;;"9;50"\n;;\n5;lathe;1;extra\n'
    assert load(write("a.csv", table), media) == [
        Block("row", "Room: 3; Machine: saw; Price; in euros: 5"),
        Block("row", "Room: 4; Price; in euros: 9;50"),
        Block("row", "Room: 5; Machine: lathe; Price; in euros: 1; extra"),
    ]


def test_csv_with_line_ends_in_cells_tabs_and_a_header_alone(
    write: Write, media: MediaStore
) -> None:
    assert load(write("a.csv", 'a,b\n1,"x\ny"\n'), media) == [Block("row", "a: 1; b: x\ny")]
    assert load(write("b.tsv", "a\tb\n1\t2,5\n"), media) == [Block("row", "a: 1; b: 2,5")]
    quoted = 'a;"x, y, z"\n1;2\n'  # the commas part nothing
    assert load(write("d.csv", quoted), media) == [Block("row", "a: 1; x, y, z: 2")]
    assert load(write("c.csv", "a,b\n"), media) == [Block("row", "a; b")]


def test_csv_with_an_endless_cell(write: Write, media: MediaStore) -> None:
    with pytest.raises(SourceError, match="not a table"):
        load(write("a.csv", "a,b\n" + "x" * 200_000 + "\n"), media)


def test_json(write: Write, media: MediaStore) -> None:
    document = {
        "title": "Machines",
        "place": {"city": "Quay"},
        "machines": [
            {"name": "saw", "rooms": [3, 4], "note": None},
            {"name": "laser", "spare": [{"part": "lens"}]},
        ],
    }
    assert load(write("a.json", json.dumps(document)), media) == [
        Block("row", "title: Machines; place city: Quay"),
        Block("row", "machines name: saw; machines rooms: 3; machines rooms: 4"),
        Block("row", "machines name: laser"),
        Block("row", "machines spare part: lens"),
    ]
    assert load(write("b.json", '["one", "two"]'), media) == [
        Block("row", "one"),
        Block("row", "two"),
    ]


@pytest.mark.parametrize("words", ['{"a": ', "[" * 100_000, '{"a": ' * 900 + "1" + "}" * 900])
def test_bad_or_bottomless_json(write: Write, media: MediaStore, words: str) -> None:
    try:
        assert load(write("a.json", words), media)
    except SourceError as error:
        assert "not valid JSON" in str(error)
