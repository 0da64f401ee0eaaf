"""The library's book: which files, which passages, which vectors. SQLite; one commit point.

Every row that is read back carries a checksum, since SQLite's pages have none. Rows are deleted
with ``secure_delete``, so that what is removed is overwritten on the disk. Knows nothing of
models, formats or search.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import LibraryDamaged, LibraryError, LibraryMismatch, LibraryReadOnly
from ..tools.ocr import Line
from .chunking import Chunk
from .passage import Passage

__all__ = ["FORMAT", "Document", "Manifest", "Stamp"]

FORMAT = 1

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE excluded (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    source TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,
    sha256 TEXT NOT NULL
);
CREATE TABLE passages (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    body TEXT NOT NULL,
    checksum TEXT NOT NULL
);
CREATE INDEX passages_by_document ON passages(document);
CREATE TABLE ocr_lines (image TEXT PRIMARY KEY, body TEXT NOT NULL, checksum TEXT NOT NULL)
    WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells an unchanged file without reading it: size and times in nanoseconds."""

    size: int
    mtime: int
    ctime: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file now."""
        stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Document:
    """A file in the library.

    Attributes:
        id: 0 before it is written down.
        path: absolute.
        source: as passages name it.
        stamp: of the file when it was read.
        sha256: of its bytes.
    """

    id: int
    path: Path
    source: str
    stamp: Stamp
    sha256: str


class Manifest:
    """The open book of one library.

    Args:
        path: the SQLite file; created with its schema where missing.
        model: the embedding model's name, recorded on creation.

    Raises:
        LibraryMismatch: made by a newer version or another embedding model.
        LibraryDamaged: not a library, or damaged.
        LibraryReadOnly: missing, and the folder cannot be written.
    """

    def __init__(self, path: Path, model: str) -> None:
        self.path = path
        with _translated(path):
            new = not path.exists()
            target = f"{path.resolve().as_uri()}?mode={'rwc' if new else 'rw'}"
            self._db = sqlite3.connect(
                target, uri=True, timeout=10, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.execute("PRAGMA foreign_keys = ON")
            if not self._tables():
                self._create(model)
        self._check(model)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def version(self) -> int:
        """A number that changes when another process writes."""
        return int(self._one("PRAGMA data_version"))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when it ends."""
        with _translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every read within sees the same state."""
        with _translated(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    @property
    def token(self) -> str:
        """The vector store's state that belongs to the passages."""
        return self._meta("vectors") or ""

    def set_token(self, token: str) -> None:
        """Write down the vector store's state; within a transaction."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('vectors', ?)", (token,))

    def roots(self) -> list[Path]:
        """The folders and files that were added."""
        return [_path(p) for (p,) in self._all("SELECT path FROM roots ORDER BY path")]

    def set_roots(self, roots: Iterable[Path]) -> None:
        """Replace the roots; within a transaction."""
        self._db.execute("DELETE FROM roots")
        self._db.executemany("INSERT INTO roots VALUES (?)", [(os.fsencode(r),) for r in set(roots)])

    def excluded(self) -> set[Path]:
        """Files that were removed by name and stay out of a sync."""
        return {_path(p) for (p,) in self._all("SELECT path FROM excluded")}

    def set_excluded(self, paths: Iterable[Path]) -> None:
        """Replace the excluded files; within a transaction."""
        self._db.execute("DELETE FROM excluded")
        self._db.executemany("INSERT INTO excluded VALUES (?)", [(os.fsencode(p),) for p in set(paths)])

    def documents(self) -> list[Document]:
        """Every file, by source."""
        rows = self._all(
            "SELECT id, path, source, size, mtime, ctime, sha256 FROM documents ORDER BY source"
        )
        return [Document(i, _path(p), s, Stamp(size, m, c), h) for i, p, s, size, m, c, h in rows]

    def put_document(self, document: Document) -> int:
        """Insert or update a file and return its id; within a transaction."""
        stamp = document.stamp
        values = (os.fsencode(document.path), document.source, stamp.size, stamp.mtime, stamp.ctime)
        if document.id:
            self._db.execute(
                "UPDATE documents SET path=?, source=?, size=?, mtime=?, ctime=?, sha256=? "
                "WHERE id=?",
                (*values, document.sha256, document.id),
            )
            return document.id
        cursor = self._db.execute(
            "INSERT INTO documents (path, source, size, mtime, ctime, sha256) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (*values, document.sha256),
        )
        return int(cursor.lastrowid or 0)

    def delete_documents(self, ids: Iterable[int]) -> None:
        """Forget files and their passages; within a transaction."""
        self._db.executemany("DELETE FROM documents WHERE id=?", [(i,) for i in ids])

    def chunks(self, document: int) -> list[tuple[int, Chunk]]:
        """Keys and chunks of a file, in reading order."""
        rows = self._all(
            "SELECT key, document, body, checksum FROM passages WHERE document=? ORDER BY ordinal",
            (document,),
        )
        return [(key, self._chunk(key, doc, body, check)) for key, doc, body, check in rows]

    def passages(self) -> dict[int, Passage]:
        """Every passage by key, by source and in reading order.

        Raises:
            LibraryDamaged: a row does not match its checksum.
        """
        rows = self._all(
            "SELECT p.key, p.document, p.body, p.checksum, d.source FROM passages p "
            "JOIN documents d ON d.id = p.document ORDER BY d.source, p.ordinal"
        )
        found = {}
        for key, document, body, checksum, source in rows:
            c = self._chunk(key, document, body, checksum)
            found[key] = Passage(
                str(key), c.text, source, c.page, c.box, c.image, c.modality, c.context
            )
        return found

    def insert_chunks(self, document: int, chunks: Sequence[tuple[int, Chunk]]) -> list[int]:
        """Insert chunks with their ordinals and return the new keys; within a transaction."""
        keys = []
        for ordinal, c in chunks:
            cursor = self._db.execute(
                "INSERT INTO passages (document, ordinal, body, checksum) VALUES (?, ?, '', '')",
                (document, ordinal),
            )
            keys.append(int(cursor.lastrowid or 0))
            self.update_chunk(keys[-1], document, ordinal, c)
        return keys

    def update_chunk(self, key: int, document: int, ordinal: int, c: Chunk) -> None:
        """Replace what a key holds; within a transaction."""
        body = json.dumps([c.text, c.context, c.page, c.box, c.image, c.modality])
        self._db.execute(
            "UPDATE passages SET ordinal=?, body=?, checksum=? WHERE key=?",
            (ordinal, body, _checksum(key, document, body), key),
        )

    def delete_chunks(self, keys: Iterable[int]) -> None:
        """Forget passages; within a transaction."""
        self._db.executemany("DELETE FROM passages WHERE key=?", [(k,) for k in keys])

    def lines(self, image: str) -> tuple[Line, ...] | None:
        """What was read off a picture when it was added; None where it was never read."""
        rows = self._all("SELECT body, checksum FROM ocr_lines WHERE image=?", (image,))
        if not rows:
            return None
        body, checksum = rows[0]
        if checksum != _checksum(image, body):
            raise self._damaged(f"the lines of {image}")
        return tuple(Line.from_dict(line) for line in json.loads(body))

    def put_lines(self, image: str, lines: Sequence[Line]) -> None:
        """Write down what was read off a picture; within a transaction."""
        body = json.dumps([line.to_dict() for line in lines])
        self._db.execute(
            "INSERT OR REPLACE INTO ocr_lines VALUES (?, ?, ?)",
            (image, body, _checksum(image, body)),
        )

    def delete_lines(self, images: Iterable[str]) -> None:
        """Forget what was read off pictures; within a transaction."""
        self._db.executemany("DELETE FROM ocr_lines WHERE image=?", [(i,) for i in images])

    def images(self) -> set[str]:
        """Every media reference that a passage holds."""
        return {p.image for p in self.passages().values() if p.image}

    def _tables(self) -> int:
        return int(self._one("SELECT count(*) FROM sqlite_master"))

    def _create(self, model: str) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        if not self._tables():  # another process may have been faster
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._db.execute(statement)
            rows = [("format", str(FORMAT)), ("embedding_model", model)]
            self._db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        self._db.execute("COMMIT")

    def _check(self, model: str) -> None:
        folder = self.path.parent
        version = self._meta("format")
        if version is None or not version.isdigit():
            raise self._damaged("its format number")
        if int(version) > FORMAT:
            raise LibraryMismatch(
                f"{folder}: made by a newer version of Limner (format {version}, this one reads "
                f"{FORMAT})",
                "pip install --upgrade limner",
            )
        recorded = self._meta("embedding_model")
        if recorded != model:
            raise LibraryMismatch(
                f"{folder}: made with the embedding model {recorded}, not {model}",
                "open it with that model, or use another --library",
            )

    def _meta(self, key: str) -> str | None:
        rows = self._all("SELECT value FROM meta WHERE key=?", (key,))
        return str(rows[0][0]) if rows else None

    def _chunk(self, key: int, document: int, body: str, checksum: str) -> Chunk:
        if checksum != _checksum(key, document, body):
            raise self._damaged(f"passage {key}")
        text, context, page, box, image, modality = json.loads(body)
        return Chunk(text, context, page, tuple(box) if box else None, image, modality)

    def _damaged(self, what: str) -> LibraryDamaged:
        return LibraryDamaged(f"{self.path}: {what} was damaged", "limner doctor")

    def _one(self, query: str) -> int:
        return int(self._all(query)[0][0])

    def _all(self, query: str, values: Sequence[object] = ()) -> list[tuple[object, ...] | list]:  # type: ignore[type-arg]
        with _translated(self.path):
            return self._db.execute(query, values).fetchall()  # type: ignore[arg-type]


def _path(stored: object) -> Path:
    """File names are bytes on the disk, and not always UTF-8."""
    return Path(os.fsdecode(stored))  # type: ignore[arg-type]


def _checksum(*values: object) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        words = str(error)
        if "readonly" in words or "unable to open" in words:
            raise LibraryReadOnly(
                f"{path.parent}: cannot be written ({words})", "use another --library"
            ) from None
        if "locked" in words:
            raise LibraryError(f"{path.parent}: busy for too long", "try again") from None
        raise LibraryError(f"{path.parent}: {words}") from None
    except sqlite3.DatabaseError as error:
        raise LibraryDamaged(
            f"{path}: not a library that can be read ({error})",
            "delete the folder and add your files again",
        ) from None
