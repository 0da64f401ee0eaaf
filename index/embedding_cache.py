"""Vectors that were computed once, shared by libraries and processes. Only a cache.

Knows texts by their SHA-256 and libraries by a string; nothing of passages, files or search. When
its file cannot be used (locked, full, read-only, damaged), texts are embedded as if there were no
cache. Each row carries its own checksum: what does not match is dropped, never returned.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..tools.user_cache import user_cache
from .embeddings import Embeddings, Vectors
from .vector_stores.base import checked

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["EmbeddingCache"]

_SLICE = 256  # texts embedded between two commits
_BYTES = 2_000_000_000
_FILLED = 0.9  # of the bytes that may be used: what an eviction leaves
_FRESH = 3600  # seconds for which a vector that was used is not marked as used again
_PAUSE = 60.0  # seconds for which a file that could not be used is let alone
_PATIENCE = 5.0  # seconds that another process may keep the file busy

_VERSION = 1
_SCHEMA = f"""
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY, text BLOB NOT NULL, recipe BLOB NOT NULL, used INTEGER NOT NULL,
    checksum BLOB NOT NULL, vector BLOB NOT NULL, UNIQUE (text, recipe));
CREATE INDEX vectors_by_use ON vectors (used);
CREATE TABLE uses (text BLOB, library BLOB, PRIMARY KEY (text, library)) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""
_PUT = (
    "INSERT OR REPLACE INTO vectors (text, recipe, used, checksum, vector) VALUES (?, ?, ?, ?, ?)"
)
_DELETE_UNUSED = (
    "DELETE FROM vectors WHERE text = ?"
    " AND NOT EXISTS (SELECT 1 FROM uses WHERE uses.text = vectors.text)"
)
_GONE = "NOT EXISTS (SELECT 1 FROM vectors WHERE vectors.text = uses.text)"


class EmbeddingCache:
    """A file of vectors by text and recipe. Threads and processes may share it.

    Args:
        path: the file; made, with its folder, on first use. Only its owner may read it.
        max_bytes: the size above which the vectors used longest ago are deleted.

    Example:
        >>> from limner.index.embeddings import HashEmbeddings
        >>> cache = EmbeddingCache(Path("/tmp/limner-example/embeddings.db"))
        >>> cache.encode(HashEmbeddings(), ["one text", "another"], "/my/library").shape
        (2, 64)
    """

    def __init__(self, path: Path, max_bytes: int = _BYTES) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._paused_until = 0.0

    @classmethod
    def default(cls) -> Self | None:
        """The user's cache, or none where that is turned off; see `user_cache`.

        Raises:
            UserError: ``LIMNER_CACHE_BYTES`` is not a number of bytes.
        """
        place = user_cache()
        return cls(place[0] / "embeddings.db", place[1]) if place else None

    def encode(self, embeddings: Embeddings, texts: Sequence[str], library: str) -> Vectors:
        """Vectors of passages: those that are known, and the rest from the model.

        Each distinct text is embedded once. What is embedded is stored 256 texts at a time, so
        that a run that is killed embeds at most so many again.

        Args:
            embeddings: asked for what is missing, outside of any transaction.
            texts: any number, in any order.
            library: whose texts they are, for `forget`.

        Returns:
            float32 ``(n, dimensions)``, in the order of the texts.

        Raises:
            DeveloperError: the model gave another shape, NaN or infinity; nothing of that slice
                is stored.
        """
        size = embeddings.dimensions
        rows: dict[bytes, list[int]] = {}
        for row, text in enumerate(texts):
            rows.setdefault(_digest(text), []).append(row)
        result = np.empty((len(texts), size), np.float32)
        recipe = _digest(embeddings.recipe) if texts else b""
        known = self._known(list(rows), recipe, library, size)
        for key, vector in known.items():
            result[rows[key]] = vector
        missing = [key for key in rows if key not in known]
        with self._kept_open() if missing else nullcontext():
            for at in range(0, len(missing), _SLICE):
                keys = missing[at : at + _SLICE]
                new = embeddings.encode_document([texts[rows[key][0]] for key in keys])
                new = checked(new, len(keys), size)
                self._store(keys, recipe, library, new)
                for key, vector in zip(keys, new, strict=True):
                    result[rows[key]] = vector
        return result

    def forget(self, texts: Iterable[str], library: str) -> bool:
        """A library no longer holds some texts; vectors that no library uses are deleted.

        What is deleted is overwritten on the disk, and a damaged file set aside goes with it.

        Args:
            texts: those that no passage of the library has any more.
            library: as given to `encode`.

        Returns:
            Whether that was done; False where the file cannot be written.
        """
        owner = _digest(library)
        keys = [(key,) for key in {_digest(text) for text in texts}]

        def delete(connection: sqlite3.Connection) -> None:
            statement = "DELETE FROM uses WHERE text = ? AND library = ?"
            connection.executemany(statement, [(key, owner) for (key,) in keys])
            connection.executemany(_DELETE_UNUSED, keys)

        return not keys or self._delete(delete)

    def forget_library(self, library: str) -> bool:
        """A library is gone: as `forget` with every text of it."""
        owner = (_digest(library),)

        def delete(connection: sqlite3.Connection) -> None:
            keys = connection.execute("SELECT text FROM uses WHERE library = ?", owner).fetchall()
            connection.execute("DELETE FROM uses WHERE library = ?", owner)
            connection.executemany(_DELETE_UNUSED, keys)

        return self._delete(delete)

    def _known(
        self, keys: Sequence[bytes], recipe: bytes, library: str, size: int
    ) -> dict[bytes, Vectors]:
        """The vectors that are there and whole; the library is noted as a user of them."""
        known: dict[bytes, Vectors] = {}

        def read(connection: sqlite3.Connection) -> None:
            damaged, stale, now = [], [], int(time.time())
            for id_, key, used, found, blob in _rows(connection, keys, recipe):
                if not _whole(key, recipe, found, blob, size):
                    damaged.append((id_,))
                    continue
                known[key] = np.frombuffer(blob, "<f4")
                if not (isinstance(used, int) and now - _FRESH <= used <= now):
                    stale.append((now, id_))
            with _transaction(connection):
                _note_uses(connection, known, library)
                connection.executemany("UPDATE vectors SET used = ? WHERE id = ?", stale)
                connection.executemany("DELETE FROM vectors WHERE id = ?", damaged)

        if keys and time.monotonic() >= self._paused_until:
            self._do(read)
        return known

    def _store(self, keys: Sequence[bytes], recipe: bytes, library: str, vectors: Vectors) -> None:
        now = int(time.time())
        blobs = [vector.astype("<f4").tobytes() for vector in vectors]
        rows = [
            (key, recipe, now, _checksum(key, recipe, blob), blob)
            for key, blob in zip(keys, blobs, strict=True)
        ]

        def write(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                connection.executemany(_PUT, rows)
                _note_uses(connection, keys, library)
            if _bytes_used(connection) > self.max_bytes:
                self._evict(connection)

        if time.monotonic() >= self._paused_until:
            self._do(write)

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Delete what was used longest ago, in bulk, so that this is seldom done."""
        with _transaction(connection):
            while (used := _bytes_used(connection)) > _FILLED * self.max_bytes:
                (count,) = connection.execute("SELECT count(*) FROM vectors").fetchone()
                if not count:
                    break
                part = max(int(count * (1 - _FILLED * self.max_bytes / used)), 1)
                oldest = "SELECT id FROM vectors ORDER BY used, id LIMIT ?"
                connection.execute(f"DELETE FROM vectors WHERE id IN ({oldest})", (part,))
                connection.execute(f"DELETE FROM uses WHERE {_GONE}")
        _shrink(connection)

    def _delete(self, delete: Callable[[sqlite3.Connection], None]) -> bool:
        def work(connection: sqlite3.Connection) -> None:
            with _transaction(connection):
                delete(connection)
            _shrink(connection)

        try:
            for _ in range(2):  # a damaged file is set aside at the first attempt
                if not self.path.exists() or self._do(work):
                    self._set_aside_path.unlink(missing_ok=True)
                    return True
        except OSError:
            pass
        return False

    def _kept_open(self) -> AbstractContextManager[object]:
        """An idle connection: without one, each slice that ends would flush the whole log."""
        try:
            return closing(_connected(self.path))
        except _TROUBLES:
            return nullcontext()

    def _do(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Work on the file; say whether that went well. Its troubles are nobody else's."""
        inode = 0
        try:
            self._create()
            inode = self.path.stat().st_ino
            with closing(_connected(self.path)) as connection:
                work(connection)
            return True
        except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
            raise  # misuse
        except _TROUBLES as error:
            if not (_is_damage(error) and self._set_aside(inode)):
                self._paused_until = time.monotonic() + _PAUSE
            return False

    def _create(self) -> None:
        """Make the file, whole or not at all."""
        if self.path.exists():
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock():
            if self.path.exists():
                return
            new = self.path.with_name(f"{self.path.name}.new")
            _remove(new)
            try:
                os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
                with closing(sqlite3.connect(new)) as connection:
                    connection.executescript(_SCHEMA)
                _remove(self.path)  # the log of a file that is gone
                new.replace(self.path)
            finally:
                _remove(new)

    def _set_aside(self, inode: int) -> bool:
        """Put a damaged file away, unless another process has done so."""
        try:
            with self._lock():
                if self.path.exists() and self.path.stat().st_ino == inode:
                    _remove(self.path, "-wal", "-shm")
                    self.path.replace(self._set_aside_path)
            return True
        except OSError:
            return False

    @property
    def _set_aside_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.damaged")

    def _lock(self) -> BaseFileLock:
        from filelock import FileLock

        path = self.path.with_name(f"{self.path.name}.lock")
        return FileLock(path, timeout=_PATIENCE, mode=0o600)


def _connected(path: Path) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_PATIENCE, isolation_level=None)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        if connection.execute("PRAGMA user_version").fetchone() != (_VERSION,):
            raise sqlite3.DatabaseError("not a cache of this version")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors end it by themselves
            connection.execute("ROLLBACK")
        raise


def _rows(
    connection: sqlite3.Connection, keys: Sequence[bytes], recipe: bytes
) -> Iterator[tuple[Any, ...]]:
    """Id, text, time of use, checksum and vector; of whatever type, in a damaged file."""
    for at in range(0, len(keys), _SLICE):
        part = keys[at : at + _SLICE]
        marks = ",".join("?" * len(part))
        yield from connection.execute(
            "SELECT id, text, used, checksum, vector FROM vectors"
            f" WHERE recipe = ? AND text IN ({marks})",
            (recipe, *part),
        )


def _note_uses(connection: sqlite3.Connection, keys: Iterable[bytes], library: str) -> None:
    owner = _digest(library)
    statement = "INSERT OR IGNORE INTO uses (text, library) VALUES (?, ?)"
    connection.executemany(statement, [(key, owner) for key in keys])


def _bytes_used(connection: sqlite3.Connection) -> int:
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (connection.execute(f"PRAGMA {n}").fetchone()[0] for n in names)
    return int((pages - free) * size)


def _shrink(connection: sqlite3.Connection) -> None:
    """Give free pages back to the disk, and leave nothing of them in the log."""
    connection.executescript(  # execute would free one page and stop
        "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)"
    )


_TROUBLES = (sqlite3.Error, OSError, UnicodeDecodeError)  # the last from damaged names of tables
_DAMAGE = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,  # a table that is not there
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
)


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return not isinstance(error, OSError) and code in _DAMAGE


def _remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes or ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _whole(key: bytes, recipe: bytes, found: object, blob: object, size: int) -> bool:
    if not isinstance(blob, bytes) or len(blob) != 4 * size:
        return False
    return found == _checksum(key, recipe, blob)


def _digest(words: str) -> bytes:
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).digest()


def _checksum(key: bytes, recipe: bytes, blob: bytes) -> bytes:
    return hashlib.sha256(key + recipe + blob).digest()[:16]
