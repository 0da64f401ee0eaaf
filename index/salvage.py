"""What a book still gives that may be damaged: every row that reads, and what is wrong with others.

Tables are scanned from both ends, without their indexes, so that a broken page costs its own rows
only. Knows the tables of `limner.index.manifest`; changes nothing.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .database import checksum
from .document import Document, Stamp
from .files import Places
from .manifest import SCHEMA
from .report import Problem

__all__ = ["META", "Row", "Salvage", "lines_of", "opened", "passages_of"]

META = ("format", "model", "store", "dimensions", "vectors", "words", "places")

_META = "checksum, key, value"
_DOCUMENTS = "checksum, source, id, path, size, mtime, ctime, sha256"
_PASSAGES = "checksum, key, document, ordinal, page, modality, image, body"
_LINES = "checksum, image, body"
_BOOK = "library.db"
_PAGE = 4096  # bytes, as SQLite makes them
_COUNT = slice(28, 32)  # where the first page says how many there are


@dataclass(frozen=True, slots=True)
class Row:
    """Where a passage stands.

    Attributes:
        document: the id of its file.
        ordinal: its place in the file.
        image: its picture.
        read: whether its text was read off the picture, so that the lines of that are kept too.
    """

    document: int
    ordinal: int
    image: str | None
    read: bool


@dataclass(slots=True)
class Salvage:
    """The rows of a book.

    Attributes:
        problems: what is wrong with it.
        torn: whether SQLite itself stumbled, so that rows may be gone without a trace.
        meta: values that match their checksums.
        documents: files whose entries match theirs, by id.
        doubtful: entries that do not, as far as they read.
        passages: by key; those that match.
        claims: what damaged passages say of themselves; it may be wrong.
        lines: pictures whose text is there.
        doubtful_lines: pictures whose text is damaged.
        sequences: the highest key that each table ever had.
        guessed_folders: what a damaged entry of the added folders names.
        grafted: whether they were read with another first page; see `opened`.
        names_torn: whether entries of files may be gone without a trace.
    """

    problems: list[Problem] = field(default_factory=list)
    torn: bool = False
    meta: dict[str, str] = field(default_factory=dict)
    documents: dict[int, Document] = field(default_factory=dict)
    doubtful: list[Document] = field(default_factory=list)
    passages: dict[int, Row] = field(default_factory=dict)
    claims: list[tuple[int, Row]] = field(default_factory=list)
    lines: set[str] = field(default_factory=set)
    doubtful_lines: set[str] = field(default_factory=set)
    sequences: dict[str, int] = field(default_factory=dict)
    guessed_folders: list[str] = field(default_factory=list)
    grafted: bool = False
    names_torn: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a book; where SQLite stumbles over it, also with its first page made anew."""
        with opened(path) as connection:
            found = cls.of(connection)
        if found.torn:
            with suppress(sqlite3.Error, OSError), opened(path, grafted=True) as connection:
                other = cls.of(connection)
                if other._rows_held > found._rows_held:
                    other.torn, other.problems, other.grafted = True, found.problems, True
                    return other
        return found

    @property
    def _rows_held(self) -> int:
        return len(self.meta) + len(self.documents) + len(self.passages) + len(self.lines)

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> Self:
        """Read a book, whatever state it is in; see `opened`."""
        found = cls()
        found._check_file(connection)
        found._read_meta(connection)
        found._read_documents(connection)
        found._read_passages(connection)
        found._read_lines(connection)
        found._check_sequences(connection)
        return found

    @property
    def sound(self) -> bool:
        """Whether the book can stay as it is."""
        return not self.problems

    @property
    def places(self) -> Places | None:
        """The folders that were added; None where that is damaged."""
        if "places" not in self.meta:
            return None
        added, removed = json.loads(self.meta["places"])
        return Places(frozenset(map(Path, added)), frozenset(map(Path, removed)))

    def _check_file(self, connection: sqlite3.Connection) -> None:
        """What SQLite finds, and whether tables and indexes are those that belong there."""
        try:
            said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
            there = _schema(connection)
        except sqlite3.Error as error:
            said, there = [str(error)], _wanted_schema()
        if said != ["ok"]:
            self._tear(said[0].partition("\n")[2] or said[0])
        elif there != _wanted_schema():
            self._tear("its tables are not those of a library")

    def _read_meta(self, connection: sqlite3.Connection) -> None:
        for found, key, value in self._rows(connection, "meta", "key", _META):
            if found == checksum("meta", key, value):
                self.meta[key] = value
            elif key == "places":
                self.guessed_folders = _folders_in(value)
        for key in META:
            if key not in self.meta:
                self._add(f"its entry of the {key} was damaged")

    def _read_documents(self, connection: sqlite3.Connection) -> None:
        paths: set[Path] = set()
        for row in self._rows(connection, "documents", "id", _DOCUMENTS):
            found, source, number, path, size, mtime, ctime, sha256 = row
            document = _document(row)
            rest = (source, number, path, size, mtime, ctime, sha256)
            if found == checksum(*rest) and document.path not in paths:
                paths.add(document.path)
                self.documents[number] = document
            else:
                self._add(f"the entry of {ascii(document.source)[1:-1]} was damaged")
                self.doubtful.append(document)

    def _read_passages(self, connection: sqlite3.Connection) -> None:
        for row in self._rows(connection, "passages", "key", _PASSAGES):
            found, key, document, ordinal, _, modality, image, body = row
            if found == checksum(*row[1:]):
                read = modality == "screenshot" and json.loads(body)[3] is not None
                self.passages[key] = Row(document, ordinal, image, read)
            else:
                self._add(f"passage {key} was damaged")
                self.claims.append((key, Row(document, ordinal, image, False)))
        self._check_order()

    def _check_order(self) -> None:
        """The passages of a file are numbered from 0 on, and each belongs to a file."""
        known = self.documents.keys() | {document.id for document in self.doubtful}
        for number, ordinals in self.ordinals().items():
            if number not in known:
                self._add(f"{len(ordinals)} passages belong to no file")
            elif sorted(ordinals) != list(range(len(ordinals))):
                self._add(f"passages of file {number} are missing")

    def ordinals(self) -> dict[int, list[int]]:
        """The places that passages of each file take, damaged ones too."""
        found: dict[int, list[int]] = {}
        for row in (*self.passages.values(), *(row for _, row in self.claims)):
            if isinstance(row.document, int) and isinstance(row.ordinal, int):
                found.setdefault(row.document, []).append(row.ordinal)
        return found

    def _read_lines(self, connection: sqlite3.Connection) -> None:
        for found, image, body in self._rows(connection, "ocr_lines", "image", _LINES):
            if found == checksum(image, body):
                self.lines.add(image)
            else:
                self._add(f"the text read off {ascii(image)[1:-1]} was damaged")
                self.doubtful_lines.add(str(image))
        needed = {row.image for row in self.passages.values() if row.read and row.image}
        for image in sorted(needed - self.lines - self.doubtful_lines):
            self._add(f"the text read off {image} is missing")
            self.doubtful_lines.add(image)

    def _check_sequences(self, connection: sqlite3.Connection) -> None:
        try:
            rows = connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        except sqlite3.Error:  # it was named already
            rows = []
        self.sequences = {name: seq for name, seq in rows if isinstance(seq, int)}
        for table, keys in (("documents", self.documents), ("passages", self.passages)):
            if keys and not max(keys) <= self.sequences.get(table, 0) < 2**62:
                self._add(f"the last key of its {table} was damaged")

    def _add(self, reason: str) -> None:
        self.problems.append(Problem(_BOOK, reason))

    def _tear(self, reason: str) -> None:
        if not self.torn:
            self._add(reason)
        self.torn = True

    def _rows(
        self, connection: sqlite3.Connection, table: str, key: str, columns: str
    ) -> Iterator[tuple[Any, ...]]:
        place = columns.split(", ").index(key)
        seen: set[object] = set()
        for way in ("ASC", "DESC"):
            query = f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {key} {way}"
            try:
                for row in connection.execute(query):
                    if row[place] not in seen:
                        seen.add(row[place])
                        yield row
                if way == "ASC":
                    return
            except (sqlite3.Error, OverflowError, MemoryError) as error:
                self._tear(str(error))
                self.names_torn |= table == "documents"


@contextmanager
def opened(path: Path, grafted: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to a book; no writer commits before it ends, as far as the file allows that.

    Args:
        path: the book.
        grafted: open a copy in memory instead, whose first page is that of a new book: it says
            where the tables are, and without it SQLite reads nothing.
    """
    if grafted:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.deserialize(_grafted(path.read_bytes()))
    else:
        address = f"{path.resolve().as_uri()}?mode=rw"
        connection = sqlite3.connect(address, uri=True, timeout=30, isolation_level=None)
    # Damaged text must not keep the other rows from being read; its checksum cannot match.
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    with closing(connection):
        with suppress(sqlite3.Error):
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        yield connection


def passages_of(connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """The rows of passages that match their checksums: its key first, as SCHEMA has them."""
    for found, *row in Salvage()._rows(connection, "passages", "key", _PASSAGES):
        if found == checksum(*row):
            yield tuple(row)


def lines_of(connection: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    """The texts read off pictures that match their checksums: picture, text, checksum."""
    for found, image, body in Salvage()._rows(connection, "ocr_lines", "image", _LINES):
        if found == checksum(image, body):
            yield image, body, found


def _grafted(data: bytes) -> bytes:
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript(SCHEMA)
        empty = new.serialize()
    size = max(-(-len(data) // _PAGE) * _PAGE, len(empty))
    page = bytearray(empty[:_PAGE])
    page[_COUNT] = (size // _PAGE).to_bytes(4, "big")
    return bytes(page) + data[_PAGE:].ljust(size - _PAGE, b"\0")


def _schema(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {" ".join(str(sql).split()) for (sql,) in rows}


def _wanted_schema() -> set[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return _schema(connection)


def _document(row: tuple[Any, ...]) -> Document:
    _, source, number, path, size, mtime, ctime, sha256 = row
    raw = path if isinstance(path, bytes) else str(path).encode("utf-8", "surrogateescape")
    numbers = (value if isinstance(value, int) else 0 for value in (size, mtime, ctime))
    file = os.fsdecode(raw.replace(b"\0", b""))
    return Document(number, file, str(source), Stamp(*numbers), str(sha256))


def _folders_in(value: object) -> list[str]:
    """The folders that a damaged entry names, where it can be read at all."""
    try:
        added, _ = json.loads(str(value))
        return [str(name) for name in added]
    except (ValueError, TypeError):
        return []
