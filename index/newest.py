"""Which state of the book was written last, noted beside it: an older copy in its place is noticed.

SQLite counts the changes of a file in its header; the note says how far the count had come. It is
written after the book and so never ahead of it, and not while a journal tells that the last change
may yet be undone; a note that is missing or damaged says nothing.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..errors import LibraryDamaged
from .database import checksum

__all__ = ["check_newest", "note_newest"]

_COUNT = slice(24, 28)


def note_newest(folder: Path) -> None:
    """Note the state of the book as it is now; where that cannot be, the note stays behind."""
    if (folder / "library.db-journal").exists():
        return
    note = folder / "library.newest"
    part = note.with_name("library.newest.part")
    try:
        count = _count(folder)
        part.write_text(f"{count} {checksum(count)}")
        part.replace(note)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def check_newest(folder: Path) -> None:
    """Compare the book with the note; called before the book is read.

    Raises:
        LibraryDamaged: an older state of the book has taken its place.
    """
    try:
        noted, _, mark = (folder / "library.newest").read_text("ascii").partition(" ")
    except (OSError, ValueError):
        return
    if noted.isdigit() and mark == checksum(int(noted)) and _count(folder) < int(noted):
        raise LibraryDamaged(
            f"{folder / 'library.db'}: older than what was written last", "limner doctor --repair"
        )


def _count(folder: Path) -> int:
    with (folder / "library.db").open("rb") as stream:
        return int.from_bytes(stream.read(28)[_COUNT], "big")
