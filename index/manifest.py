"""The library's book: which files, which passages, which vectors. One commit point.

Every row carries a checksum that is compared whenever it is read. Knows nothing of models,
formats or search.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import LibraryMismatch
from ..tools.ocr import Line
from .chunking import Chunk
from .database import Database, Value, checksum
from .files import Places
from .passage import Passage

__all__ = ["FORMAT", "Document", "Manifest", "Stamp"]

FORMAT = 1

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,
    source TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    checksum TEXT NOT NULL
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
        sha256: of its bytes; empty where they changed while they were read.
    """

    id: int
    path: Path
    source: str
    stamp: Stamp
    sha256: str


class Manifest:
    """The open book of one library. Methods that change it want a `transaction`.

    Args:
        path: the file; see `create`.
        model: the embedding model's name.

    Raises:
        LibraryMismatch: made by a newer version or another embedding model.
        LibraryDamaged: not a library, or damaged.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._database = Database(path)
        try:
            self._check(model)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def create(path: Path, model: str) -> None:
        """Write an empty book, whole or not at all.

        Args:
            path: where; there is nothing yet.
            model: the embedding model's name, recorded for good.
        """
        meta = {"format": str(FORMAT), "model": model, "vectors": "", "places": "[[], []]"}
        rows = [(key, value, checksum("meta", key, value)) for key, value in meta.items()]
        Database.create(path, _SCHEMA, "INSERT INTO meta VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def version(self) -> int:
        """A number that changes when another connection writes."""
        return self._database.version()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when it ends."""
        with self._database.transaction():
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every read within sees the same state, and no writer commits before it ends."""
        with self._database.snapshot():
            yield

    @property
    def token(self) -> str:
        """The vector store's state that belongs to the passages."""
        return self._meta("vectors")

    def set_token(self, token: str) -> None:
        """Write down the vector store's state."""
        self._set_meta("vectors", token)

    def places(self) -> Places:
        """The folders that were added, and what was removed from them."""
        added, removed = json.loads(self._meta("places"))
        return Places(frozenset(map(Path, added)), frozenset(map(Path, removed)))

    def set_places(self, places: Places) -> None:
        """Write down the folders."""
        names = [sorted(map(str, paths)) for paths in (places.added, places.removed)]
        self._set_meta("places", json.dumps(names))

    def documents(self) -> list[Document]:
        """Every file, by source.

        Raises:
            LibraryDamaged: a row does not match its checksum.
        """
        rows = self._database.all(
            "SELECT checksum, source, id, path, size, mtime, ctime, sha256 FROM documents "
            "ORDER BY source"
        )
        return [self._document(*row) for row in rows]

    def put_document(self, document: Document) -> int:
        """Insert or update a file and return its id."""
        path, source, stamp = os.fsencode(document.path), document.source, document.stamp
        number = document.id or self._database.run(
            "INSERT INTO documents (path, source, size, mtime, ctime, sha256, checksum) "
            "VALUES (?, ?, 0, 0, 0, '', '')",
            path,
            source,
        )
        rest = (path, stamp.size, stamp.mtime, stamp.ctime, document.sha256)
        self._database.run(
            "UPDATE documents SET checksum=?, source=?, path=?, size=?, mtime=?, ctime=?, "
            "sha256=? WHERE id=?",
            *(checksum(source, number, *rest), source, *rest, number),
        )
        return number

    def delete_documents(self, ids: Iterable[int]) -> None:
        """Forget files and their passages."""
        self._database.run_each("DELETE FROM documents WHERE id=?", ids)

    def chunks(self, document: int) -> list[tuple[int, Chunk]]:
        """Keys and chunks of a file, in reading order."""
        rows = self._database.all(
            "SELECT checksum, key, document, ordinal, body FROM passages WHERE document=? "
            "ORDER BY ordinal",
            document,
        )
        return [(row[1], self._chunk(*row)) for row in rows]

    def passages(self) -> dict[int, Passage]:
        """Every passage by key, by source and in reading order.

        Raises:
            LibraryDamaged: a row does not match its checksum.
        """
        sources = {doc.id: doc.source for doc in self.documents()}
        rows = self._database.all(
            "SELECT p.checksum, p.key, p.document, p.ordinal, p.body FROM passages p "
            "JOIN documents d ON d.id = p.document ORDER BY d.source, p.ordinal"
        )
        found = {}
        for row in rows:
            key, source, c = row[1], sources[row[2]], self._chunk(*row)
            found[key] = Passage(
                str(key), c.text, source, c.page, c.box, c.image, c.modality, c.heading, c.context
            )
        return found

    def insert_chunks(self, document: int, chunks: Sequence[tuple[int, Chunk]]) -> list[int]:
        """Insert chunks with their ordinals and return the new keys."""
        keys = []
        for ordinal, c in chunks:
            key = self._database.run(
                "INSERT INTO passages (document, ordinal, body, checksum) VALUES (?, ?, '', '')",
                *(document, ordinal),
            )
            self.update_chunk(key, document, ordinal, c)
            keys.append(key)
        return keys

    def update_chunk(self, key: int, document: int, ordinal: int, c: Chunk) -> None:
        """Replace what a key holds."""
        body = json.dumps([c.text, c.heading, c.context, c.page, c.box, c.image, c.modality])
        self._database.run(
            "UPDATE passages SET ordinal=?, body=?, checksum=? WHERE key=?",
            *(ordinal, body, checksum(key, document, ordinal, body), key),
        )

    def delete_chunks(self, keys: Iterable[int]) -> None:
        """Forget passages."""
        self._database.run_each("DELETE FROM passages WHERE key=?", keys)

    def images(self) -> set[str]:
        """Every media reference that a passage holds."""
        return {p.image for p in self.passages().values() if p.image}

    def lines(self, image: str) -> tuple[Line, ...]:
        """What was read off a picture when it was added."""
        rows = self._database.all("SELECT checksum, body FROM ocr_lines WHERE image=?", image)
        if not rows:
            return ()
        found, body = rows[0]
        self._database.verify(f"the text read off {image}", found, image, body)
        return tuple(Line.from_dict(line) for line in json.loads(body))

    def put_lines(self, image: str, lines: Sequence[Line]) -> None:
        """Write down what was read off a picture."""
        body = json.dumps([line.to_dict() for line in lines])
        self._database.run(
            "INSERT OR REPLACE INTO ocr_lines VALUES (?, ?, ?)",
            *(image, body, checksum(image, body)),
        )

    def delete_lines(self, images: Iterable[str]) -> None:
        """Forget what was read off pictures."""
        self._database.run_each("DELETE FROM ocr_lines WHERE image=?", images)

    def _check(self, model: str) -> None:
        folder = self._database.path.parent
        version, recorded = self._meta("format"), self._meta("model")
        if int(version) > FORMAT:
            raise LibraryMismatch(
                f"{folder}: made by a newer version of Limner (format {version}, this one reads "
                f"{FORMAT})",
                "pip install --upgrade limner",
            )
        if recorded != model:
            raise LibraryMismatch(
                f"{folder}: made with the embedding model {recorded}, not {model}",
                "open it with that model, or use another --library",
            )

    def _meta(self, key: str) -> str:
        rows = self._database.all("SELECT checksum, value FROM meta WHERE key=?", key)
        found, value = rows[0] if rows else ("", "")
        self._database.verify(f"its {key}", found, "meta", key, value)
        return str(value)

    def _set_meta(self, key: str, value: str) -> None:
        self._database.run(
            "UPDATE meta SET value=?, checksum=? WHERE key=?",
            *(value, checksum("meta", key, value), key),
        )

    def _document(
        self, found: str, source: str, number: int, path: bytes, *rest: Value
    ) -> Document:
        self._database.verify(f"the entry of {source}", found, source, number, path, *rest)
        size, mtime, ctime, sha256 = rest
        stamp = Stamp(int(size), int(mtime), int(ctime))
        return Document(number, Path(os.fsdecode(path)), source, stamp, str(sha256))

    def _chunk(self, found: str, key: int, document: int, ordinal: int, body: str) -> Chunk:
        self._database.verify(f"passage {key}", found, key, document, ordinal, body)
        text, heading, context, page, box, image, modality = json.loads(body)
        box = tuple(box) if box else None
        return Chunk(text, heading, context, page, box, image, modality)
