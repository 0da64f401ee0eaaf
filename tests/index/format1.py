"""Writes a library as version 0.1 of Limner did: format 1. Knows nothing of the upgrade.

Also a program: ``python format1.py STEP FOLDER`` opens the library there and is killed at a step.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.index.manifest import Manifest
from limner.index.vector_stores.faiss import FaissStore

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
    body TEXT NOT NULL,
    checksum TEXT NOT NULL
);
CREATE INDEX passages_by_document ON passages(document);
CREATE TABLE ocr_lines (image TEXT PRIMARY KEY, body TEXT NOT NULL, checksum TEXT NOT NULL)
    WITHOUT ROWID;
"""


def checksum(*values: object) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def turn_back(folder: Path, segments: int = 2, last_key: int = 0) -> None:
    """Rewrite a library of today as one of format 1: the same files, passages, keys and vectors."""
    book = Manifest(folder / "library.db", None)
    documents, model, keys = book.documents(), book.model, book.keys()
    chunks = {doc.id: book.chunks(doc.id) for doc in documents}
    places = book._meta("places")
    lines = book._database.all("SELECT image, body, checksum FROM ocr_lines")
    store = FaissStore(folder / "vectors", book.dimensions or 1, book.vectors)
    vectors = store.get(keys)
    store.close()
    book.close()
    for name in ("vectors", "words"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "library.db").unlink()
    parts = np.array_split(np.arange(len(keys)), segments) if len(keys) else []
    names = sorted(_segment(folder / "vectors", keys[p], vectors[p]) for p in parts if len(p))
    token = json.dumps(names) if names else ""
    meta = {"format": "1", "model": model, "vectors": token, "places": places}
    with sqlite3.connect(folder / "library.db") as old:
        old.executescript(SCHEMA)
        rows = [(key, value, checksum("meta", key, value)) for key, value in meta.items()]
        old.executemany("INSERT INTO meta VALUES (?, ?, ?)", rows)
        for doc in documents:
            stamp, path = doc.stamp, os.fsencode(doc.path)
            rest = (path, stamp.size, stamp.mtime, stamp.ctime, doc.sha256)
            values = (doc.id, path, doc.source, *rest[1:])
            mark = checksum(doc.source, doc.id, *rest)
            old.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values, mark))
            for ordinal, (key, c) in enumerate(chunks[doc.id]):
                told = [c.text, c.heading, c.context, c.page, c.box, c.image, c.modality]
                body = json.dumps(told)
                row = (key, doc.id, ordinal, body, checksum(key, doc.id, ordinal, body))
                old.execute("INSERT INTO passages VALUES (?, ?, ?, ?, ?)", row)
        old.executemany("INSERT INTO ocr_lines VALUES (?, ?, ?)", lines)
        if last_key:
            old.execute("UPDATE sqlite_sequence SET seq=? WHERE name='passages'", (last_key,))
    old.close()


def _segment(folder: Path, keys: np.ndarray, vectors: np.ndarray) -> str:
    data = keys.astype("<i8").tobytes() + vectors.astype("<f4").tobytes()
    folder.mkdir(exist_ok=True)
    name = f"{hashlib.sha256(data).hexdigest()}.vectors"
    (folder / name).write_bytes(data)
    return name


def _die_at(step: int) -> None:
    """Be killed at the n-th time that something is flushed, renamed, deleted, or put in a table."""
    left = step

    def mortal(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    os.fsync = mortal(os.fsync)
    Path.replace = mortal(Path.replace)  # type: ignore[method-assign]
    Path.unlink = mortal(Path.unlink)  # type: ignore[method-assign]
    connect = sqlite3.connect

    class Connection(sqlite3.Connection):
        def execute(self, *arguments: object) -> sqlite3.Cursor:
            return mortal(super().execute)(*arguments)  # type: ignore[return-value]

    sqlite3.connect = lambda *a, **b: connect(*a, factory=Connection, **b)  # type: ignore


if __name__ == "__main__":
    _die_at(int(sys.argv[1]))
    Library.open(sys.argv[2], HashEmbeddings()).close()
