from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from limner.errors import LibraryDamaged, LibraryError, LibraryLocked
from limner.index.database import Database, checksum


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "folder with ? and #" / "book.db"
    Database.create(path, "CREATE TABLE t (x TEXT)", "INSERT INTO t VALUES (?)", [("a",), ("b",)])
    return path


def rows(database: Database) -> list[str]:
    return [x for (x,) in database.all("SELECT x FROM t ORDER BY x")]


def test_a_new_file_holds_its_first_rows_and_nothing_is_beside_it(path: Path) -> None:
    assert rows(Database(path)) == ["a", "b"]
    assert list(path.parent.iterdir()) == [path]


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    database = Database(path)
    with pytest.raises(KeyError), database.transaction():
        database.run("INSERT INTO t VALUES (?)", "c")
        raise KeyError
    assert rows(database) == ["a", "b"]
    with database.transaction():
        database.run_each("INSERT INTO t VALUES (?)", ["c", "d"])
    assert rows(Database(path)) == ["a", "b", "c", "d"]


def test_a_snapshot_stays_and_the_version_tells(path: Path) -> None:
    reader, writer = Database(path), Database(path)
    with reader.snapshot():
        before = reader.version()
        assert rows(reader) == ["a", "b"]
        with writer.transaction():
            writer.run("INSERT INTO t VALUES (?)", "c")
            assert rows(reader) == ["a", "b"]
            writer.run("DELETE FROM t")
            writer._connection.execute("PRAGMA busy_timeout = 50")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                writer._connection.execute("COMMIT")  # not before the reader is done
            writer._give_up()
            writer._connection.execute("BEGIN")
    assert reader.version() == before
    with writer.transaction():
        writer.run("INSERT INTO t VALUES (?)", "c")
    assert rows(reader) == ["a", "b", "c"] and reader.version() != before


def test_two_transactions_at_once(path: Path) -> None:
    first, second = Database(path), Database(path)
    second._connection.execute("PRAGMA busy_timeout = 50")
    with first.transaction():
        with pytest.raises(LibraryLocked, match="busy"), second.transaction():
            pass
        first.run("INSERT INTO t VALUES (?)", "c")
    with second.transaction():  # and it can be used again
        assert rows(second) == ["a", "b", "c"]


def test_what_is_deleted_is_overwritten(path: Path) -> None:
    database = Database(path)
    with database.transaction():
        database.run("INSERT INTO t VALUES (?)", "a secret " * 2000)
    assert b"secret" in path.read_bytes()
    with database.transaction():
        database.run("DELETE FROM t WHERE x LIKE 'a secret%'")
    assert b"secret" not in path.read_bytes()


def test_errors_are_ours(path: Path, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="cannot be opened"):
        Database(tmp_path / "missing.db")
    with pytest.raises(LibraryDamaged) as caught:
        Database(path).all("SELECT x FROM another")
    assert caught.value.hint
    closed = Database(path)
    closed.close()
    with pytest.raises(sqlite3.ProgrammingError):  # a mistake of the program, no damage
        closed.all("SELECT x FROM t")


def test_verify(path: Path) -> None:
    database = Database(path)
    database.verify("a row", checksum(1, "a", b"\xff", "\ud800"), 1, "a", b"\xff", "\ud800")
    with pytest.raises(LibraryDamaged, match="a row was damaged"):
        database.verify("a row", checksum(1, "a"), 1, "b")
    assert checksum(1, "2") != checksum("1", 2) != checksum(12)
