"""Other stores at the same re-sync: 1 % of the vectors deleted and added, and on the disk again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import interleaved, seconds, show, spread, spread_text
from numpy.typing import NDArray

Rows = NDArray[np.float32]


def beside(n: int, dimensions: int, rounds: int) -> list[dict[str, Any]]:
    """What each store takes for 1 % of ``n`` vectors; ours is its vectors alone, without texts.

    Args:
        n: vectors that are there.
        dimensions: of each.
        rounds: how often, in turn.
    """
    place = Path(tempfile.mkdtemp())
    dice = np.random.default_rng(5)
    vectors = dice.standard_normal((n, dimensions), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    stores = {
        name: make(place / name, vectors)
        for name, make in (
            ("limner, vectors alone", _limner),
            ("FAISS Flat, IndexIDMap2", _faiss),
            ("LangChain FAISS", _langchain),
            ("Chroma", _chroma),
            ("LanceDB", _lancedb),
        )
    }
    state = {name: [0, n] for name in stores}  # the next to be deleted, the next to be added
    part = max(n // 100, 1)

    def one(name: str) -> float:
        first, fresh = state[name]
        state[name] = [first + part, fresh + part]
        new = vectors[dice.integers(0, n, part)]
        return seconds(lambda: stores[name](range(first, first + part), fresh, new))

    times = interleaved({name: (lambda name=name: one(name)) for name in stores}, rounds)
    ours = times["limner, vectors alone"]
    rows = [
        {
            "store": name,
            "seconds": spread(found),
            "text": spread_text(found, "s"),
            "times ours": float(np.median(found) / np.median(ours)),
        }
        for name, found in times.items()
    ]
    show(
        f"1 % of {n} × {dimensions} deleted and added, durable",
        ("store", "median (min–max)", "times ours"),
        [(row["store"], row["text"], row["times ours"]) for row in rows],
    )
    shutil.rmtree(place, ignore_errors=True)
    return rows


Change = Callable[[range, int, Rows], None]


def _limner(folder: Path, vectors: Rows) -> Change:
    from limner.index.vector_stores.faiss import FaissStore

    store = FaissStore(folder, vectors.shape[1])
    store.add(range(len(vectors)), vectors)
    store.commit()

    def change(gone: range, first: int, new: Rows) -> None:
        store.remove(gone)
        store.add(range(first, first + len(new)), new)
        store.commit()
        store.sweep()

    return change


def _faiss(folder: Path, vectors: Rows) -> Change:
    import faiss

    folder.mkdir()
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
    index.add_with_ids(vectors, np.arange(len(vectors)))

    def change(gone: range, first: int, new: Rows) -> None:
        index.remove_ids(np.array(gone, np.int64))
        index.add_with_ids(new, np.arange(first, first + len(new)))
        faiss.write_index(index, str(folder / "index"))

    return change


def _langchain(folder: Path, vectors: Rows) -> Change:
    from langchain_community.vectorstores import FAISS
    from langchain_core.embeddings import Embeddings

    class Given(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise NotImplementedError

        def embed_query(self, text: str) -> list[float]:
            raise NotImplementedError

    def pairs(rows: Rows, first: int) -> list[tuple[str, list[float]]]:
        return [(f"text {first + i}", row.tolist()) for i, row in enumerate(rows)]

    ids = [str(i) for i in range(len(vectors))]
    store = FAISS.from_embeddings(pairs(vectors, 0), Given(), ids=ids)

    def change(gone: range, first: int, new: Rows) -> None:
        store.delete([str(i) for i in gone])
        store.add_embeddings(pairs(new, first), ids=[str(first + i) for i in range(len(new))])
        store.save_local(str(folder))

    return change


def _chroma(folder: Path, vectors: Rows) -> Change:
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(str(folder), Settings(anonymized_telemetry=False))
    collection = client.create_collection("rows", embedding_function=None)
    for at in range(0, len(vectors), 5_000):
        some = vectors[at : at + 5_000]
        collection.add(ids=[str(at + i) for i in range(len(some))], embeddings=some)

    def change(gone: range, first: int, new: Rows) -> None:
        collection.delete(ids=[str(i) for i in gone])
        collection.add(ids=[str(first + i) for i in range(len(new))], embeddings=new)

    return change


def _lancedb(folder: Path, vectors: Rows) -> Change:
    import lancedb
    import pyarrow as pa

    def table(rows: Rows, first: int) -> pa.Table:
        flat = pa.array(rows.reshape(-1), pa.float32())
        return pa.table(
            {
                "id": pa.array(np.arange(first, first + len(rows))),
                "vector": pa.FixedSizeListArray.from_arrays(flat, rows.shape[1]),
            }
        )

    rows = lancedb.connect(str(folder)).create_table("rows", table(vectors, 0))

    def change(gone: range, first: int, new: Rows) -> None:
        rows.delete(f"id >= {gone.start} AND id < {gone.stop}")
        rows.add(table(new, first))

    return change
