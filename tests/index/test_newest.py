"""The note of the newest state: an older book is noticed, an unfinished change is not noted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from limner.errors import LibraryDamaged
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.index.newest import note_newest


def test_an_older_book_in_its_place_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("High water is at noon.")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add(tmp_path / "a.txt")
    book = tmp_path / "library" / "library.db"
    older = shutil.copy(book, tmp_path / "older.db")
    (tmp_path / "a.txt").write_text("High water is at one.")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.sync()
    shutil.copy(older, book)
    with pytest.raises(LibraryDamaged, match="older than what was written last"):
        Library.open(tmp_path / "library", HashEmbeddings())


def test_a_change_that_may_be_undone_is_not_noted(tmp_path: Path) -> None:
    """A failed commit leaves the new count in the file and a journal that takes it back."""
    (tmp_path / "a.txt").write_text("High water is at noon.")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add(tmp_path / "a.txt")
    note = tmp_path / "library" / "library.newest"
    before, book = note.read_text(), tmp_path / "library" / "library.db"
    whole = bytearray(book.read_bytes())
    whole[24:28] = (int.from_bytes(whole[24:28], "big") + 1).to_bytes(4, "big")
    book.write_bytes(whole)
    journal = book.with_name("library.db-journal")
    journal.write_bytes(b"hot")
    note_newest(tmp_path / "library")
    assert note.read_text() == before
    journal.unlink()
    note_newest(tmp_path / "library")
    assert note.read_text() != before
