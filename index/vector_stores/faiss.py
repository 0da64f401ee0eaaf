"""FAISS: exact inner-product search over immutable segment files. Knows ids and vectors only.

A segment is ``<sha256>.vectors``: n int64 ids, then n x d float32, little endian. Segments are
written once and never changed; a commit writes what is new as one segment, together with what is
left of those that lost a vector and with those that are no larger, so that what was removed is
gone from the disk and there are few of them. The token lists the live ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DeveloperError, LibraryDamaged
from ..durable import write_file
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
        LibraryDamaged: a segment is missing or does not match its checksum.
    """

    def __init__(self, folder: Path, dimensions: int, token: str = "") -> None:
        import faiss

        self._folder = folder
        self._dimensions = dimensions
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions))
        self._ids: set[int] = set()
        self._segments: dict[str, set[int]] = {}  # file name -> the ids it was written with
        for name in json.loads(token) if token else []:
            ids, vectors = self._read(name)
            self._segments[name] = set(ids.tolist())
            self.add(ids.tolist(), vectors)

    @property
    def ids(self) -> AbstractSet[int]:
        """The ids of all vectors."""
        return self._ids

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add vectors under new ids."""
        if len(set(ids)) != len(ids) or not self._ids.isdisjoint(ids):
            raise DeveloperError("ids must be new and each given once")
        self._index.add_with_ids(self._checked(vectors, len(ids)), np.asarray(ids, np.int64))
        self._ids.update(ids)

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors; unknown ids are no error."""
        known = self._ids.intersection(ids)
        if known:
            self._index.remove_ids(np.fromiter(known, np.int64, len(known)))
            self._ids -= known

    def get(self, ids: Sequence[int]) -> Vectors:
        """The vectors of known ids."""
        if not ids:
            return np.zeros((0, self._dimensions), np.float32)
        return np.asarray(self._index.reconstruct_batch(np.asarray(ids, np.int64)), np.float32)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """The nearest vectors, best first."""
        queries = self._checked(queries, len(queries))
        k = min(k, len(self._ids))
        if k < 1 or not len(queries):
            empty = (len(queries), 0)
            return np.zeros(empty, np.float32), np.zeros(empty, np.int64)
        scores, ids = self._index.search(queries, k)
        return scores, ids

    def commit(self) -> str:
        """Write what is not in a whole segment as one, and return the list of all."""
        whole = {name: ids for name, ids in self._segments.items() if ids <= self._ids}
        pending = self._ids.difference(*whole.values())
        for name in sorted(whole, key=lambda name: len(whole[name])):
            if len(whole[name]) > len(pending) and len(whole) <= _MOST_SEGMENTS:
                break
            pending |= whole.pop(name)
        if pending:
            whole[self._write(sorted(pending))] = pending
        self._segments = whole
        return json.dumps(sorted(whole))

    def sweep(self) -> None:
        """Delete segment files that the last commit does not list."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.suffix in (".vectors", ".part") and path.name not in self._segments:
                    path.unlink(missing_ok=True)

    def _checked(self, vectors: Vectors, n: int) -> Vectors:
        vectors = np.ascontiguousarray(vectors, np.float32)
        needed = (n, self._dimensions)
        if vectors.shape != needed:
            raise DeveloperError(
                f"vectors of shape {vectors.shape} where {needed} is needed",
                "was the library made with another embedding model?",
            )
        if not np.isfinite(vectors).all():
            raise DeveloperError("a vector holds NaN or infinity")
        return vectors

    def _read(self, name: str) -> tuple[Ids, Vectors]:
        path = self._folder / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise LibraryDamaged(f"{path}: the vectors are missing", "limner doctor") from None
        row = 8 + 4 * self._dimensions
        if name != _name(data) or len(data) % row:
            raise LibraryDamaged(f"{path}: the vectors were damaged", "limner doctor")
        n = len(data) // row
        ids = np.frombuffer(data, "<i8", n)
        vectors = np.frombuffer(data, "<f4", n * self._dimensions, 8 * n)
        return ids, vectors.reshape(n, self._dimensions)

    def _write(self, ids: Sequence[int]) -> str:
        data = np.asarray(ids, "<i8").tobytes() + self.get(ids).astype("<f4").tobytes()
        name = _name(data)
        write_file(self._folder / name, data)
        return name


def _name(data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}.vectors"
