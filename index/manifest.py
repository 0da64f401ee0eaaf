"""The library's book: which files, which passages, which vectors. One commit point.

Every row carries a checksum that is compared whenever it is read. Knows nothing of models,
formats or search.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LibraryMismatch
from ..tools.ocr import Line
from .chunking import Chunk
from .database import Database, Value, checksum
from .document import Document, Stamp
from .files import Places
from .filters import Filter
from .passage import Passage
from .segments import Keys

__all__ = ["FORMAT", "SCHEMA", "Manifest", "passage_row"]

FORMAT = 2
"""2: what a search filters on stands in columns; words and vectors are segments of arrays."""

SCHEMA = """
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
    page INTEGER, modality TEXT NOT NULL, image TEXT,
    body TEXT NOT NULL,
    checksum TEXT NOT NULL
);
CREATE INDEX passages_by_document ON passages(document, ordinal);
CREATE INDEX passages_by_image ON passages(image) WHERE image IS NOT NULL;
CREATE TABLE ocr_lines (image TEXT PRIMARY KEY, body TEXT NOT NULL, checksum TEXT NOT NULL)
    WITHOUT ROWID;
"""

_PASSAGE = "checksum, key, document, ordinal, page, modality, image, body"
_MANY = 500  # values that one statement takes


class Manifest:
    """The open book of one library. Methods that change it want a `transaction`.

    Args:
        path: the file; see `create`.
        model: the embedding model's name; None opens the book whatever it was made with.

    Raises:
        LibraryMismatch: made by another version or another embedding model.
        LibraryDamaged: not a library, or damaged.
    """

    def __init__(self, path: Path, model: str | None) -> None:
        self._database = Database(path)
        try:
            self._check(model)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def create(path: Path, model: str, store: str) -> None:
        """Write an empty book, whole or not at all.

        Args:
            path: where; there is nothing yet.
            model: the embedding model's name.
            store: see `store`.
        """
        meta = {
            "format": str(FORMAT),
            "model": model,
            "store": store,
            "dimensions": "0",
            "vectors": "",
            "words": "",
            "places": "[[], []]",
        }
        rows = [(key, value, checksum("meta", key, value)) for key, value in meta.items()]
        Database.create(path, SCHEMA, "INSERT INTO meta VALUES (?, ?, ?)", rows)

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

    # ── what holds for the whole library ─────────────────────────────────────────────────────

    @property
    def model(self) -> str:
        """The embedding model's name."""
        return self._meta("model")

    @property
    def store(self) -> str:
        """Which vector store it is, as `limner.index.vector_stores.StoreChoice` writes it."""
        return self._meta("store")

    @property
    def dimensions(self) -> int:
        """Length of its vectors; 0 before there are any."""
        return int(self._meta("dimensions"))

    @property
    def vectors(self) -> str:
        """The vector store's token that belongs to the passages."""
        return self._meta("vectors")

    @property
    def words(self) -> str:
        """The keyword index's token that belongs to the passages."""
        return self._meta("words")

    def note(self, **values: str) -> None:
        """Write down ``model``, ``store``, ``dimensions``, ``vectors`` or ``words``."""
        for key, value in values.items():
            self._set_meta(key, value)

    def places(self) -> Places:
        """The folders that were added, and what was removed from them."""
        added, removed = json.loads(self._meta("places"))
        return Places(frozenset(map(Path, added)), frozenset(map(Path, removed)))

    def set_places(self, places: Places) -> None:
        """Write down the folders."""
        names = [sorted(map(str, paths)) for paths in (places.added, places.removed)]
        self._set_meta("places", json.dumps(names))

    # ── files ────────────────────────────────────────────────────────────────────────────────

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
        path, source, stamp = os.fsencode(document.file), document.source, document.stamp
        number = document.id or self._next("documents")
        rest = (path, stamp.size, stamp.mtime, stamp.ctime, document.sha256)
        self._database.run(
            "INSERT INTO documents (id, checksum, source, path, size, mtime, ctime, sha256) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
            "checksum=excluded.checksum, source=excluded.source, path=excluded.path, "
            "size=excluded.size, mtime=excluded.mtime, ctime=excluded.ctime, "
            "sha256=excluded.sha256",
            *(number, checksum(source, number, *rest), source, *rest),
        )
        return number

    def delete_documents(self, ids: Iterable[int]) -> None:
        """Forget files and their passages."""
        self._database.run_each("DELETE FROM documents WHERE id=?", [(n,) for n in ids])

    # ── passages ─────────────────────────────────────────────────────────────────────────────

    def count(self) -> int:
        """How many passages there are."""
        return int(self._database.all("SELECT count(*) FROM passages")[0][0])

    def counts(self) -> dict[int, int]:
        """How many passages each file has, by the file's id."""
        return dict(
            self._database.all(
                "SELECT document, count(*) FROM passages NOT INDEXED GROUP BY document"
            )
        )

    def kinds(self) -> dict[str, int]:
        """How many passages there are of each modality."""
        return dict(self._database.all("SELECT modality, count(*) FROM passages GROUP BY modality"))

    def keys(self, where: Filter | None = None) -> Keys:
        """The keys of all passages, or of those that a filter admits, ascending."""
        where = where or Filter()
        clauses: list[str] = []
        values: list[Value] = []
        if where.chooses_files:
            clauses.append("document IN (SELECT value FROM json_each(?))")
            values.append(json.dumps([doc.id for doc in self.documents() if where.admits(doc)]))
        if where.pages:
            clauses.append("page BETWEEN ? AND ?")
            values += where.pages
        if where.modality:
            clauses.append("modality = ?")
            values.append(where.modality)
        condition = f" WHERE {' AND '.join(clauses)}" if clauses else ""
        rows = self._database.all(f"SELECT key FROM passages{condition} ORDER BY key", *values)
        return np.fromiter((key for (key,) in rows), np.int64, len(rows))

    def chunks(self, document: int) -> list[tuple[int, Chunk]]:
        """Keys and chunks of a file, in reading order."""
        query = f"SELECT {_PASSAGE} FROM passages WHERE document=? ORDER BY ordinal"
        return [(row[1], self._chunk(*row)) for row in self._database.all(query, document)]

    def passages(self, keys: Iterable[int]) -> dict[int, Passage]:
        """Passages of these keys, in their order; unknown ones are left out.

        Raises:
            LibraryDamaged: a row does not match its checksum.
        """
        wanted = list(keys)
        rows: dict[int, Sequence[Any]] = {}
        for some in _slices(wanted):
            query = f"SELECT {_PASSAGE} FROM passages WHERE key IN ({_marks(some)})"
            rows |= {row[1]: row for row in self._database.all(query, *some)}
        sources = self._sources({row[2] for row in rows.values()})
        found = {key: rows[key] for key in wanted if key in rows}
        for key, row in found.items():
            self._database.require(row[2] in sources, f"the file of passage {key}")
        return {key: self._passage(sources[row[2]], row) for key, row in found.items()}

    def around(self, key: int, reach: int) -> list[Passage]:
        """A passage with as many before and after it in its file, in reading order."""
        rows = self._database.all(
            "SELECT n.key FROM passages p JOIN passages n ON n.document = p.document "
            "AND n.ordinal BETWEEN p.ordinal - ? AND p.ordinal + ? WHERE p.key = ? "
            "ORDER BY n.ordinal",
            *(reach, reach, key),
        )
        return list(self.passages(number for (number,) in rows).values())

    def figures(self, images: Iterable[str]) -> dict[str, int]:
        """The first figure that shows each picture, where one does."""
        found: dict[str, int] = {}
        for some in _slices(sorted(set(images))):
            query = (
                "SELECT image, min(key) FROM passages WHERE modality = 'figure' AND image IN "
                f"({_marks(some)}) GROUP BY image"
            )
            found |= dict(self._database.all(query, *some))
        return found

    def insert_chunks(self, document: int, chunks: Sequence[tuple[int, Chunk]]) -> list[int]:
        """Insert chunks with their ordinals and return the new keys."""
        if not chunks:
            return []
        first = self._next("passages")
        rows = [passage_row(first + i, document, n, c) for i, (n, c) in enumerate(chunks)]
        self._database.run_each(
            f"INSERT INTO passages ({_PASSAGE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
        )
        return [first + i for i in range(len(chunks))]

    def update_chunks(self, document: int, chunks: Iterable[tuple[int, int, Chunk]]) -> None:
        """Replace what keys hold: each with its ordinal and chunk."""
        self._database.run_each(
            "UPDATE passages SET checksum=?1, document=?3, ordinal=?4, page=?5, modality=?6, "
            "image=?7, body=?8 WHERE key=?2",
            [passage_row(key, document, ordinal, c) for key, ordinal, c in chunks],
        )

    def delete_chunks(self, keys: Iterable[int]) -> None:
        """Forget passages."""
        self._database.run_each("DELETE FROM passages WHERE key=?", [(int(key),) for key in keys])

    # ── pictures ─────────────────────────────────────────────────────────────────────────────

    def images(self, among: Iterable[str] | None = None) -> set[str]:
        """The media references that passages hold: all, or those of a few."""
        query = f"SELECT {_PASSAGE} FROM passages WHERE image "
        if among is None:
            rows = self._database.all(f"{query} IS NOT NULL")
        else:
            some = _slices(sorted(set(among)))
            rows = [r for s in some for r in self._database.all(f"{query} IN ({_marks(s)})", *s)]
        return {str(self._chunk(*row).image) for row in rows}

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
        self._database.run_each("DELETE FROM ocr_lines WHERE image=?", [(i,) for i in images])

    # ── rows and their checksums ─────────────────────────────────────────────────────────────

    def _check(self, model: str | None) -> None:
        folder = self._database.path.parent
        version = int(self._meta("format"))
        if version != FORMAT:
            older = version < FORMAT
            raise LibraryMismatch(
                f"{folder}: made by {'an older' if older else 'a newer'} version of Limner "
                f"(format {version}, this one reads {FORMAT})",
                "limner sync" if older else "pip install --upgrade limner",
            )
        recorded = self.model
        if model is not None and recorded != model:
            raise LibraryMismatch(
                f"{folder}: made with the embedding model {recorded}, not {model}",
                "open it with that model, or limner migrate --embedding-model to change it",
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

    def _next(self, table: str) -> int:
        """A key that no row of a table ever had."""
        rows = self._database.all("SELECT seq FROM sqlite_sequence WHERE name=?", table)
        return int(rows[0][0]) + 1 if rows else 1

    def _sources(self, ids: Iterable[int]) -> dict[int, str]:
        found = {}
        for some in _slices(sorted(ids)):
            query = (
                "SELECT checksum, source, id, path, size, mtime, ctime, sha256 FROM documents "
                f"WHERE id IN ({_marks(some)})"
            )
            for row in self._database.all(query, *some):
                found[row[2]] = self._document(*row).source
        return found

    def _document(
        self, found: str, source: str, number: int, path: bytes, *rest: Value
    ) -> Document:
        self._database.verify(f"the entry of {source}", found, source, number, path, *rest)
        size, mtime, ctime, sha256 = rest
        stamp = Stamp(int(size), int(mtime), int(ctime))
        return Document(number, os.fsdecode(path), source, stamp, str(sha256))

    def _passage(self, source: str, row: Sequence[Any]) -> Passage:
        c = self._chunk(*row)
        return Passage(
            str(row[1]), c.text, source, c.page, c.box, c.image, c.modality, c.heading, c.context
        )

    def _chunk(self, found: str, key: int, *rest: Any) -> Chunk:
        self._database.verify(f"passage {key}", found, key, *rest)
        _, _, page, modality, image, body = rest
        text, heading, context, box = json.loads(body)
        return Chunk(text, heading, context, page, tuple(box) if box else None, image, modality)


def passage_row(key: int, document: int, ordinal: int, c: Chunk) -> tuple[Value | None, ...]:
    """The columns of a passage, its checksum first."""
    body = json.dumps([c.text, c.heading, c.context, c.box])
    values = (key, document, ordinal, c.page, c.modality, c.image, body)
    return checksum(*values), *values


def _slices(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[at : at + _MANY] for at in range(0, len(values), _MANY))


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
