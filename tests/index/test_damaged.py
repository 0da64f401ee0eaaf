"""Places and libraries that are not as they should be."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from limner.errors import (
    LibraryDamaged,
    LibraryError,
    LibraryMismatch,
    LibraryReadOnly,
    ModelOutputError,
)
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library


def texts(library: Library, query: str, k: int = 5) -> list[str]:
    return [p.text for p in library.search(query, k)]


def consistent(library: Library) -> bool:
    """Every passage has its vector, every picture is there: a fresh look at the disk."""
    with Library.open(library.folder, HashEmbeddings()) as fresh:
        fresh.search("anything")
        return all(fresh.media.open(image) for image in fresh.images())


def test_a_place_that_is_no_folder(tmp_path: Path, model: HashEmbeddings) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LibraryDamaged, match="a file, not a library"):
        Library.open(tmp_path / "file", model)
    for place in ("nul\0", "n" * 300, "~nobody-at-all/x"):
        with pytest.raises(LibraryError, match="cannot be opened"):
            Library.open(place, model)
    below = Library.open(tmp_path / "file" / "below", model)
    with pytest.raises(LibraryReadOnly, match="not a directory"):
        below.add(tmp_path / "file")


def test_another_embedding_model(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    with pytest.raises(LibraryMismatch, match="hash-64, not hash-32"):
        Library.open(shelf.folder, HashEmbeddings(32))


def test_a_newer_format(
    shelf: Library, docs: Path, model: HashEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.index.manifest.FORMAT", 3)
    shelf.add(docs)
    monkeypatch.undo()
    with pytest.raises(LibraryMismatch, match="newer version") as caught:
        Library.open(shelf.folder, model)
    assert "pip install" in caught.value.hint


def damaged(library: Library) -> bool:
    """Whether a damage is noticed, by an error that says so."""
    try:
        with Library.open(library.folder, HashEmbeddings()) as fresh:
            fresh.search("high water")
            fresh.sources()
            fresh.sync()
    except LibraryDamaged as error:
        return bool(error.hint)
    return False


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE passages SET body = replace(body, 'noon', 'dusk')",
        "UPDATE passages SET document = document % 3 + 1",
        "UPDATE passages SET ordinal = ordinal + 1",
        "UPDATE passages SET key = key + 100",
        "UPDATE passages SET body = CAST(X'FFFE' AS TEXT)",
        "DELETE FROM passages WHERE key = 2",
        "DELETE FROM documents WHERE id = 2",
        "UPDATE documents SET source = 'other.md' WHERE id = 2",
        "UPDATE documents SET path = X'2F612E6D64' WHERE id = 2",
        "UPDATE documents SET sha256 = upper(sha256)",
        "UPDATE documents SET mtime = mtime + 1",
        "UPDATE meta SET value = '[]' WHERE key = 'vectors'",
        "UPDATE meta SET value = '[' WHERE key = 'vectors'",
        "UPDATE meta SET value = '[[], []]' WHERE key = 'places'",
        "UPDATE meta SET value = 'one' WHERE key = 'format'",
        "DELETE FROM meta WHERE key = 'places'",
        "DROP TABLE documents",
    ],
)
def test_a_damaged_book_is_noticed(shelf: Library, docs: Path, statement: str) -> None:
    shelf.add(docs)
    assert not damaged(shelf)
    with sqlite3.connect(shelf.folder / "library.db") as book:
        book.execute("PRAGMA foreign_keys = ON")
        book.execute(statement)
    assert damaged(shelf)


@pytest.mark.parametrize("data", [b"", b"x", b"SQLite format 3\0", os.urandom(8192)])
def test_a_file_that_is_no_book(shelf: Library, docs: Path, data: bytes) -> None:
    shelf.add(docs)
    shelf.close()
    (shelf.folder / "library.db").write_bytes(data)
    assert damaged(shelf)


def test_every_single_damage_is_noticed_or_harmless(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    expected = [(p.text, p.source) for p in shelf.search("water", k=9)]
    shelf.close()
    book, noticed = shelf.folder / "library.db", 0
    good, dice = book.read_bytes(), np.random.default_rng(1)
    for at in dice.choice(np.flatnonzero(np.frombuffer(good, np.uint8)), 200, replace=False):
        bad = bytearray(good)
        bad[at] ^= 1 << int(dice.integers(8))
        book.write_bytes(bad)
        try:
            with Library.open(shelf.folder, HashEmbeddings()) as fresh:
                assert [(p.text, p.source) for p in fresh.search("water", k=9)] == expected
        except (LibraryDamaged, LibraryMismatch):
            noticed += 1
    assert noticed > 50


def test_missing_vectors_are_noticed(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    for path in (shelf.folder / "vectors").iterdir():
        path.unlink()
    assert damaged(shelf)


def test_a_missing_book_is_noticed(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    shelf.close()
    (shelf.folder / "library.db").unlink()
    assert damaged(shelf)  # and is no empty library


def test_an_older_copy_of_the_book_is_noticed(shelf: Library, docs: Path) -> None:
    shelf.add(docs / "tides.md")
    old = (shelf.folder / "library.db").read_bytes()
    shelf.add(docs)
    shelf.close()
    (shelf.folder / "library.db").write_bytes(old)
    assert damaged(shelf)


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: np.full((n, 64), np.nan, np.float32),
        lambda n: np.zeros((n + 1, 64), np.float32),
        lambda n: np.zeros((n, 63), np.float32),
    ],
)
def test_a_model_that_misbehaves(
    shelf: Library, docs: Path, model: HashEmbeddings, answer: Callable
) -> None:
    shelf.add(docs / "tides.md")
    model.encode_document = lambda texts: answer(len(texts))  # type: ignore[method-assign]
    with pytest.raises(ModelOutputError):
        shelf.add(docs)
    assert shelf.sources() == {"tides.md": 1} and consistent(shelf)
    del model.encode_document
    assert len(shelf.add(docs).added) == 2


def test_a_row_that_is_gone_is_noticed_before_anything_is_searched(
    shelf: Library, docs: Path
) -> None:
    shelf.add(docs)
    shelf.close()
    with closing(sqlite3.connect(shelf.folder / "library.db")) as book, book:
        book.execute("DELETE FROM passages WHERE key = (SELECT min(key) FROM passages)")
    (shelf.folder / "library.newest").unlink()
    with pytest.raises(LibraryDamaged, match="do not belong together"):
        shelf.search("anything")
