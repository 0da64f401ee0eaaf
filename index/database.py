"""One SQLite file: transactions, snapshots, checksums, and its errors as ours. Knows no tables."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import LibraryDamaged, LibraryError, LibraryLocked, LibraryReadOnly
from .durable import write_file

__all__ = ["Database", "Value", "checksum"]

Value = str | int | bytes


def checksum(*values: object) -> str:
    """Of a row: 16 hex digits. SQLite's own pages carry none."""
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Database:
    """A connection to an SQLite file that exists.

    What is deleted is overwritten on the disk, and a transaction that has ended survives a power
    cut. Threads may share it, one transaction or snapshot at a time.

    Args:
        path: see `create`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _translated(path):
            self._connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=rw",
                uri=True,
                timeout=30,
                isolation_level=None,
                check_same_thread=False,
            )
            for setting in ("secure_delete = ON", "foreign_keys = ON", "synchronous = EXTRA"):
                self._connection.execute(f"PRAGMA {setting}")

    @staticmethod
    def create(path: Path, schema: str, insert: str, rows: Iterable[Sequence[Value]]) -> None:
        """Write a new file, whole or not at all.

        Args:
            path: where; there is nothing yet.
            schema: the statements that make its tables.
            insert: the statement that puts the first rows in.
            rows: the values of each.
        """
        new = sqlite3.connect(":memory:")
        new.executescript(schema)
        new.executemany(insert, rows)
        new.commit()
        write_file(path, new.serialize())
        new.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def version(self) -> int:
        """A number that changes when another connection writes."""
        return int(self.all("PRAGMA data_version")[0][0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when it ends."""
        with _translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._give_up()
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every read within sees the same state, and no writer commits before it ends."""
        with _translated(self.path):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._give_up()

    def all(self, query: str, *values: Value) -> list[Any]:
        """Every row of a query."""
        with _translated(self.path):
            return self._connection.execute(query, values).fetchall()

    def run(self, statement: str, *values: Value) -> int:
        """Run a statement and return the id of the row it inserted last."""
        with _translated(self.path):
            return int(self._connection.execute(statement, values).lastrowid or 0)

    def run_each(self, statement: str, rows: Iterable[Sequence[Value | None]]) -> None:
        """Run a statement once with each row of values."""
        with _translated(self.path):
            self._connection.executemany(statement, rows)

    def verify(self, what: str, found: str, *values: object) -> None:
        """Compare a row with its checksum.

        Raises:
            LibraryDamaged: they differ.
        """
        if found != checksum(*values):
            raise LibraryDamaged(f"{self.path}: {what} was damaged", "limner doctor --repair")

    def require(self, there: bool, what: str) -> None:
        """Refuse a row that misses another.

        Raises:
            LibraryDamaged: it is not there.
        """
        if not there:
            raise LibraryDamaged(f"{self.path}: {what} is missing", "limner doctor --repair")

    def _give_up(self) -> None:
        if self._connection.in_transaction:  # some errors end it by themselves
            self._connection.execute("ROLLBACK")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours; misuse of the connection stays what it is."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise
    except (sqlite3.Error, UnicodeDecodeError) as error:  # damaged text, even in its messages
        raise _ours(error, path) from error


_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_UNOPENED = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)


def _ours(error: Exception, path: Path) -> LibraryError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in _UNWRITABLE:
        hint = "make room there, or choose another place with --library"
        return LibraryReadOnly(f"{path.parent}: cannot be written ({error})", hint)
    if code in _BUSY:
        return LibraryLocked(f"{path.parent}: busy for too long", "try again")
    if code in _UNOPENED:
        return LibraryError(f"{path}: cannot be opened ({error})", "use another --library")
    return LibraryDamaged(
        f"{path}: not a library that can be read ({error})",
        "limner doctor --repair",
    )
