"""FAISS: exact inner-product search over immutable segment files. Knows ids and vectors only.

A segment is ``<sha256>.vectors``: n int64 ids, then n x d float32, little endian. Segments are
written once and never changed; a commit writes what is new as one segment and rewrites those that
lost a vector, so what was removed is gone from the disk. The token lists the live segments.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DeveloperError, LibraryDamaged
from ..embeddings import Vectors
from .base import Ids

__all__ = ["FaissStore"]

_MOST_SEGMENTS = 8


class FaissStore:
    """Implements `VectorStore` with a FAISS flat index.

    Args:
        folder: where the segments live; created on the first commit.
        dimensions: length of a vector.
        token: the state to open; empty for an empty store.

    Raises:
        LibraryDamaged: a segment does not match its checksum.
        FileNotFoundError: a segment is gone (a newer state has replaced it).
    """

    def __init__(self, folder: Path, dimensions: int, token: str = "") -> None:
        import faiss

        self._folder = folder
        self._dimensions = dimensions
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions))
        self._ids: set[int] = set()
        self._segments: dict[str, set[int]] = {}  # file name -> ids in it
        self._stale: set[str] = set()
        for name in json.loads(token) if token else []:
            ids, vectors = self._read(name)
            self._segments[name] = set(ids.tolist())
            self._insert(ids, vectors)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add vectors under new ids."""
        if len(set(ids)) != len(ids) or not self._ids.isdisjoint(ids):
            raise DeveloperError("ids must be new and each given once")
        if vectors.shape != (len(ids), self._dimensions):
            raise DeveloperError(
                f"vectors of shape {vectors.shape} where {(len(ids), self._dimensions)} is needed",
                "was the library made with another embedding model?",
            )
        if not np.isfinite(vectors).all():
            raise DeveloperError("a vector holds NaN or infinity")
        self._insert(np.asarray(ids, np.int64), vectors)

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors; unknown ids are no error."""
        known = self._ids.intersection(ids)
        if not known:
            return
        self._index.remove_ids(np.fromiter(known, np.int64, len(known)))
        self._ids -= known
        self._stale |= {name for name, held in self._segments.items() if held & known}

    def get(self, ids: Sequence[int]) -> Vectors:
        """The vectors of known ids."""
        if not ids:
            return np.zeros((0, self._dimensions), np.float32)
        return np.asarray(self._index.reconstruct_batch(np.asarray(ids, np.int64)), np.float32)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """The nearest vectors, best first."""
        k = min(k, len(self._ids))
        if k == 0:
            empty = (len(queries), 0)
            return np.zeros(empty, np.float32), np.zeros(empty, np.int64)
        scores, ids = self._index.search(np.ascontiguousarray(queries, np.float32), k)
        return scores, ids

    def commit(self) -> str:
        """Write what is new or lost a neighbour as one segment; return the new list of them."""
        if len(self._segments) - len(self._stale) >= _MOST_SEGMENTS:
            self._stale = set(self._segments)
        kept = {name: ids for name, ids in self._segments.items() if name not in self._stale}
        settled = set().union(*kept.values())
        pending = sorted(self._ids - settled)
        if pending:
            kept[self._write(np.asarray(pending, np.int64))] = set(pending)
        self._segments, self._stale = kept, set()
        return json.dumps(sorted(kept))

    def sweep(self) -> None:
        """Delete segment files that the last commit does not list."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.suffix in (".vectors", ".part") and path.name not in self._segments:
                    path.unlink(missing_ok=True)

    def _insert(self, ids: Ids, vectors: Vectors) -> None:
        self._index.add_with_ids(np.ascontiguousarray(vectors, np.float32), ids)
        self._ids.update(ids.tolist())

    def _read(self, name: str) -> tuple[Ids, Vectors]:
        data = (self._folder / Path(name).name).read_bytes()
        row = 8 + 4 * self._dimensions
        digest = hashlib.sha256(data).hexdigest()
        if name != f"{digest}.vectors" or len(data) % row:
            raise LibraryDamaged(
                f"{self._folder / name}: the vectors were damaged", "limner doctor"
            )
        n = len(data) // row
        ids = np.frombuffer(data, "<i8", n)
        vectors = np.frombuffer(data, "<f4", n * self._dimensions, 8 * n)
        return ids, vectors.reshape(n, self._dimensions)

    def _write(self, ids: Ids) -> str:
        data = ids.astype("<i8").tobytes() + self.get(ids.tolist()).astype("<f4").tobytes()
        name = f"{hashlib.sha256(data).hexdigest()}.vectors"
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f"{name}.part"
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(self._folder / name)
        _fsync_folder(self._folder)
        return name


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
