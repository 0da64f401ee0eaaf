"""Brings a library of format 1 to this one, in one transaction. Knows both formats.

Format 1 kept all of a passage in one column, vectors in files of ids and rows without a header,
and no words at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LibraryDamaged
from .chunking import Chunk
from .database import Database, checksum
from .durable import writable
from .embeddings import Vectors
from .keyword import KeywordIndex
from .lock import locked
from .manifest import FORMAT, SCHEMA, passage_row
from .segments import Keys
from .vector_stores import StoreChoice
from .vector_stores.faiss import FaissStore

__all__ = ["is_old", "upgrade"]


def is_old(folder: Path) -> bool:
    """Whether a library is of format 1.

    Raises:
        LibraryDamaged: it cannot be read.
    """
    database = Database(folder / "library.db")
    try:
        return _meta(database).get("format") == "1"
    finally:
        database.close()


def upgrade(folder: Path) -> None:
    """Rewrite a library of format 1; killed at any moment it is still the old one, or the new.

    Raises:
        LibraryLocked, LibraryReadOnly: it cannot be written now.
        LibraryDamaged: something in it does not match its checksum.
    """
    lock = locked(folder)
    try:
        database = Database(folder / "library.db")
        try:
            _upgrade(folder, database)
        finally:
            database.close()
    finally:
        lock.release()


def _upgrade(folder: Path, database: Database) -> None:
    meta = _meta(database)
    if meta.get("format") != "1":  # another process was faster
        return
    _verify(database)
    rows = database.all("SELECT checksum, key, document, ordinal, body FROM passages ORDER BY key")
    chunks = {row[1]: (row[2], row[3], _chunk(database, *row)) for row in rows}
    keys, vectors = _vectors(folder, json.loads(meta["vectors"] or "[]"), len(chunks))
    if keys.tolist() != list(chunks):
        raise _damaged(folder / "vectors", "vectors and passages do not belong together")
    store = FaissStore(folder / "vectors", vectors.shape[1] or 1)
    words = KeywordIndex(folder / "words")
    with writable(folder), database.transaction():
        last = database.all("SELECT seq FROM sqlite_sequence WHERE name='passages'")
        database.run("ALTER TABLE passages RENAME TO old_passages")
        database.run("DROP INDEX passages_by_document")
        for statement in (part for part in SCHEMA.split(";") if " passages" in part):
            database.run(statement)
        database.run_each(
            "INSERT INTO passages (checksum, key, document, ordinal, page, modality, image, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [passage_row(key, *rest) for key, rest in chunks.items()],
        )
        database.run("DROP TABLE old_passages")
        if last:  # no key is ever given twice
            database.run("DELETE FROM sqlite_sequence WHERE name='passages'")
            database.run("INSERT INTO sqlite_sequence VALUES ('passages', ?)", *last[0])
        if chunks:
            store.add(keys, vectors)
            words.add(keys.tolist(), [c.searchable for *_, c in chunks.values()])
        values = {
            "format": str(FORMAT),
            "store": str(StoreChoice()),
            "dimensions": str(vectors.shape[1]),
            "vectors": store.commit(),
            "words": words.commit(),
        }
        database.run_each(
            "INSERT OR REPLACE INTO meta (key, value, checksum) VALUES (?, ?, ?)",
            [(key, value, checksum("meta", key, value)) for key, value in values.items()],
        )
    store.sweep()


def _meta(database: Database) -> dict[str, str]:
    found = {}
    for key, value, mark in database.all("SELECT key, value, checksum FROM meta"):
        database.verify(f"its {key}", mark, "meta", key, value)
        found[key] = value
    return found


def _verify(database: Database) -> None:
    """Compare what is taken over as it stands with its checksums."""
    columns = "checksum, source, id, path, size, mtime, ctime, sha256"
    for mark, source, *rest in database.all(f"SELECT {columns} FROM documents"):
        database.verify(f"the entry of {source}", mark, source, *rest)
    for mark, image, body in database.all("SELECT checksum, image, body FROM ocr_lines"):
        database.verify(f"the text read off {image}", mark, image, body)


def _chunk(
    database: Database, mark: str, key: int, document: int, ordinal: int, body: str
) -> Chunk:
    database.verify(f"passage {key}", mark, key, document, ordinal, body)
    text, heading, context, page, box, image, modality = json.loads(body)
    return Chunk(text, heading, context, page, tuple(box) if box else None, image, modality)


def _vectors(folder: Path, names: Sequence[str], count: int) -> tuple[Keys, Vectors]:
    """Keys and vectors, by key. A row took 8 bytes for its key and 4 for each dimension."""
    files = [(folder / "vectors" / name) for name in names]
    data = [_read(path) for path in files]
    row = sum(map(len, data)) // max(count, 1)
    dimensions = max(row - 8, 0) // 4
    keys: list[Any] = [np.zeros(0, np.int64)]
    vectors: list[Any] = [np.zeros((0, dimensions), np.float32)]
    for path, content in zip(files, data, strict=True):
        n = len(content) // max(row, 1)
        if n * (8 + 4 * dimensions) != len(content):
            raise _damaged(path, "not as long as its passages need")
        keys.append(np.frombuffer(content, "<i8", n))
        vectors.append(np.frombuffer(content, "<f4", n * dimensions, 8 * n).reshape(n, dimensions))
    order = np.argsort(np.concatenate(keys))
    return np.concatenate(keys)[order], np.concatenate(vectors)[order]


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(path, str(error.strerror).lower()) from None
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise _damaged(path, "does not match its checksum")
    return content


def _damaged(path: Path, what: str) -> LibraryDamaged:
    return LibraryDamaged(f"{path}: {what}", "limner doctor --repair")
