"""Chroma: approximate search in a folder or on a server that several processes share.

Knows ids and vectors; the library says which ids count, and that is written down elsewhere.

**One commit point.** The token lists the ids that count, as runs. Vectors are written before the
token is, by upserts, which may be repeated; what was removed is deleted in `ChromaStore.sweep`,
after the token was. A crash in between leaves strays, never gaps. Strays are never returned, an id
that is used after all is overwritten, and the first sweep of the next writer deletes the rest.
`ChromaStore.compact` copies what counts into a new collection and lets the sweep drop the old one.
So a token is valid until the sweep that follows the next one; who reads with it then may hear
`LibraryDamaged`, and opens the library again.

**What is read back is verified.** Chroma returns float32 bit for bit, from a folder and over HTTP
(1.5.9), so each row carries a CRC-32 of its id and bytes. Scores are computed here, from those
bytes: they are those of exact search, and only the choice of rows is approximate.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DeveloperError, LibraryDamaged, LibraryMismatch
from ..embeddings import Vectors
from .base import Ids, checked
from .chroma_place import REPAIR, SYNC, Folder, Place, Server, chroma

__all__ = ["ChromaStore"]

_HNSW = {
    "space": "ip",
    "max_neighbors": 16,
    "ef_construction": 200,
    "ef_search": 400,
    "sync_threshold": SYNC,
    "batch_size": 1000,
}
"""20,000 clustered vectors of 384 numbers: recall@50 is 1.0000 at 3.8 ms, with Chroma's defaults
(100 and 100) 0.9996 at 2.0 ms; adding takes 12 s instead of 9.5 s. 60,000 in clusters of twenty:
recall@10 is 1.0, recall@50, for which there are no near ones, 0.89."""

_BATCH = 2000  # rows of a request; servers allow 5,461
_EXACT = 256  # up to so many candidates are fetched and compared here: 8 ms, as a filtered search
_SPARE = 10  # rows asked for beyond k, so that equals at the end are seen
_WHOLE = ["embeddings", "metadatas"]


class ChromaStore:
    """Implements `VectorStore` with a Chroma collection.

    Args:
        dimensions: length of a vector.
        token: the state to open; empty for an empty store.
        folder: where Chroma keeps its files; created by the first commit.
        address: of a server instead, as ``http://host:8000``.
        collection: its name there, which no other library has.

    Raises:
        ModelMissing: Chroma is not installed.
        LibraryUnreachable: the server does not answer, or is no Chroma server.
        LibraryDamaged: the collection is missing or holds fewer vectors than the token says.
        LibraryMismatch: the collection was made for vectors of another length.
    """

    def __init__(
        self,
        dimensions: int,
        token: str = "",
        *,
        folder: Path | None = None,
        address: str = "",
        collection: str,
    ) -> None:
        if (folder is None) == (not address):
            raise DeveloperError("a Chroma store has either a folder or an address")
        self._dimensions = dimensions
        self._collection = collection
        self._place: Place = Folder(folder) if folder else Server(address)
        self._generation, self._ids = _unpacked(token)
        self._added: dict[int, Vectors] = {}
        self._removed = self._gone = self._ids[:0]
        self._compacting = False
        chroma()
        if self._generation:
            self._own(self._generation)
            if (missing := len(self._ids) - self._ask("count")) > 0:
                raise self._damaged(f"{missing:,} vectors are missing")
        elif address:
            self._place.run(lambda api: api.heartbeat())

    @property
    def ids(self) -> Ids:
        """The ids of all vectors, ascending."""
        return self._ids

    @property
    def summary(self) -> str:
        """How the vectors are searched now, in a few words for people."""
        return f"approximate (HNSW), by Chroma in {self._place.name}"

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self._ids)

    def add(self, ids: Sequence[int] | Ids, vectors: Vectors) -> None:
        """Add vectors; Chroma hears of it in the commit.

        Raises:
            DeveloperError: a known or repeated id, another shape, NaN or infinity.
        """
        new = np.asarray(ids, np.int64)
        vectors = checked(vectors, len(new), self._dimensions)
        known = np.isin(new, self._ids).any() or not self._added.keys().isdisjoint(new.tolist())
        if known or len(np.unique(new)) != len(new):
            raise DeveloperError("ids must be new and each given once")
        self._added |= zip(new.tolist(), vectors.copy(), strict=True)

    def remove(self, ids: Sequence[int] | Ids) -> None:
        """Remove vectors; unknown ids are no error. Chroma hears of it in the sweep."""
        gone = np.asarray(ids, np.int64)
        for i in gone.tolist():
            self._added.pop(i, None)
        self._removed = np.union1d(self._removed, np.intersect1d(gone, self._ids))

    def get(self, ids: Sequence[int] | Ids) -> Vectors:
        """The vectors of known ids, float32 ``(len(ids), dimensions)``, in their order.

        Raises:
            LibraryDamaged: one of them is not there, or not what was written.
        """
        wanted, places = np.unique(np.asarray(ids, np.int64), return_inverse=True)
        if not np.isin(wanted, self._ids).all():
            raise self._damaged("it does not hold all of the vectors asked for")
        rows = np.zeros((len(wanted), self._dimensions), np.float32)
        for part in _parts(wanted):
            answer = self._ask("get", ids=_names(part), include=_WHOLE)
            found, vectors = self._verified(answer)
            if len(found) != len(part):
                raise self._damaged(f"{len(part) - len(found):,} vectors are missing")
            rows[np.searchsorted(wanted, found)] = vectors
        return rows[places.reshape(-1)]

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Vectors, Ids]:
        """The nearest vectors by inner product, best first; of equals the smaller id first.

        Which they are is approximate, their scores are exact; see `VectorStore.search`.
        """
        queries = checked(queries, len(queries), self._dimensions)
        candidates = self._ids if among is None else np.intersect1d(self._ids, among)
        k = max(0, min(k, len(candidates)))
        scores = np.zeros((len(queries), k), np.float32)
        ids = np.zeros((len(queries), k), np.int64)
        few = None
        if k and len(queries) and len(candidates) <= _EXACT:
            few = candidates, self.get(candidates)
        for at, query in enumerate(queries if k else ()):
            scores[at], ids[at] = _best(query, *(few or self._near(query, k, candidates)), k)
        return scores, ids

    def commit(self) -> str:
        """Write what was added, and return the token of this state.

        Raises:
            LibraryUnreachable: the server does not answer; nothing has changed, ask again later.
        """
        new = np.array(sorted(self._added), np.int64)
        kept = np.setdiff1d(self._ids, self._removed)
        generation = self._generation
        if self._compacting or (len(new) and not generation):
            generation += 1
            self._place.create(self._name(generation), **self._made())
            self._own(generation)
        if generation > self._generation:
            for part in _parts(kept):
                self._write(generation, part, self.get(part))
        for part in _parts(new):
            self._write(generation, part, np.stack([self._added[i] for i in part.tolist()]))
        self._generation, self._ids = generation, np.union1d(kept, new)
        self._gone = np.setdiff1d(np.union1d(self._gone, self._removed), self._ids)
        self._added, self._removed, self._compacting = {}, self._removed[:0], False
        return _packed(generation, self._ids)

    def compact(self) -> None:
        """Let the next commit copy what counts to a new collection; the sweep drops the old."""
        self._compacting = self._generation > 0

    def sweep(self) -> None:
        """Delete what only earlier states needed, and what a crash has left."""
        if not self._generation:
            return
        self._delete(self._gone)
        self._gone = self._gone[:0]
        if self._ask("count") > len(self._ids):
            held = self._numbers(self._ask("get", include=[])["ids"])
            self._delete(np.setdiff1d(held, self._ids))
        self._place.drop(self._name(self._generation + 1))  # a compaction that was cut off
        earlier = self._generation - 1
        while earlier and self._place.drop(self._name(earlier)):
            earlier -= 1

    def close(self) -> None:
        """Let go of files and connections; used again, the store opens them again."""
        self._place.close()

    def _name(self, generation: int) -> str:
        return f"{self._collection}.{generation}"

    def _made(self) -> dict[str, Any]:
        metadata = {"limner": self._collection, "dimensions": self._dimensions}
        return {"configuration": {"hnsw": dict(_HNSW)}, "metadata": metadata}

    def _ask(self, verb: str, generation: int = 0, **named: Any) -> Any:
        return self._place.ask(self._name(generation or self._generation), verb, **named)

    def _damaged(self, what: str) -> LibraryDamaged:
        return LibraryDamaged(f"{self._place.name}: {what}", REPAIR)

    def _own(self, generation: int) -> None:
        """Nothing is written to, or deleted from, a collection that is not this library's.

        Raises:
            LibraryDamaged, LibraryMismatch: it is not.
        """
        metadata = self._place.metadata(self._name(generation))
        if metadata.get("limner") != self._collection:
            raise self._damaged(f"the collection {self._name(generation)} is not this library's")
        if metadata["dimensions"] != self._dimensions:
            raise LibraryMismatch(
                f"{self._place.name}: vectors of {metadata['dimensions']} numbers, where the "
                f"embedding model gives {self._dimensions}",
                "name the model that the library was made with: --embedding-model",
            )

    def _write(self, generation: int, ids: Ids, rows: Vectors) -> None:
        sums = [{"crc": _checksum(i, row)} for i, row in zip(ids.tolist(), rows, strict=True)]
        written: dict[str, Any]
        size = self._place.most_rows() or len(ids)
        for at in range(0, len(ids), size):
            part = slice(at, at + size)
            written = {"ids": _names(ids[part]), "embeddings": rows[part], "metadatas": sums[part]}
            self._ask("upsert", generation, **written)

    def _delete(self, ids: Ids) -> None:
        for part in _parts(ids):
            self._ask("delete", ids=_names(part))

    def _near(self, query: Vectors, k: int, candidates: Ids) -> tuple[Ids, Vectors]:
        """At least the k best of many, and all that equal the last of them, as Chroma finds them.

        It may return fewer than it has, and strays; then it is asked for more, in the end for all.
        """
        names = _names(candidates) if len(candidates) < len(self._ids) else None
        n = k + _SPARE
        while n < len(candidates):
            asked: dict[str, Any] = {
                "query_embeddings": [query],
                "n_results": n,
                "ids": names,
                "include": _WHOLE,
            }
            answer = self._ask("query", **asked)
            ids, rows = self._verified({part: answer[part][0] for part in ("ids", *_WHOLE)})
            counts = np.isin(ids, candidates)
            ids, rows = ids[counts], rows[counts]
            scores, _ = _best(query, ids, rows, len(ids))
            if len(ids) > k and scores[k - 1] > scores[-1]:
                return ids, rows
            n *= 4
        return candidates, self.get(candidates)

    def _verified(self, found: Any) -> tuple[Ids, Vectors]:
        ids = self._numbers(found["ids"])
        rows = np.asarray(found["embeddings"], np.float32).reshape(len(ids), self._dimensions)
        for i, row, noted in zip(ids.tolist(), rows, found["metadatas"], strict=True):
            if not noted or noted.get("crc") != _checksum(i, row):
                raise self._damaged(f"the vector {i} was damaged")
        return ids, rows

    def _numbers(self, names: Sequence[str]) -> Ids:
        try:
            return np.array([int(name) for name in names], np.int64)
        except ValueError:
            raise self._damaged("the collection holds rows that are not Limner's") from None


def _best(query: Vectors, ids: Ids, rows: Vectors, k: int) -> tuple[Vectors, Ids]:
    """The k best of some.

    In double precision, so that equal vectors have equal scores wherever they stand.
    """
    scores = (rows.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    order = np.lexsort((ids, -scores))[:k]
    return scores[order], ids[order]


def _checksum(i: int, row: Vectors) -> int:
    return zlib.crc32(row.astype("<f4").tobytes(), zlib.crc32(str(i).encode()))


def _names(ids: Ids) -> list[str]:
    return list(map(str, ids.tolist()))


def _parts(ids: Ids) -> Iterator[Ids]:
    return (ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH))


def _packed(generation: int, ids: Ids) -> str:
    """The ids as runs: their starts and ends, each as the distance from the one before."""
    starts = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 2) != 1)
    ends = np.append(starts[1:], len(ids))[: len(starts)] - 1
    edges = np.stack([ids[starts], ids[ends] + 1], 1).reshape(-1)
    return json.dumps({"generation": generation, "runs": np.diff(edges, prepend=0).tolist()})


def _unpacked(token: str) -> tuple[int, Ids]:
    state: dict[str, Any] = json.loads(token) if token else {"generation": 0, "runs": []}
    edges = np.cumsum(np.array(state["runs"], np.int64)).reshape(-1, 2)
    runs: list[Ids] = [np.arange(start, end, dtype=np.int64) for start, end in edges.tolist()]
    return int(state["generation"]), np.concatenate([np.zeros(0, np.int64), *runs])
