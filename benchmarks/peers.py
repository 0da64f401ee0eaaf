"""Vector stores as a benchmark sees them: each builds from the same rows and then answers.

Every builder takes ``(texts, metadata, vectors, folder)``, leaves something durable in the folder,
and returns a search: a vector to the places of its ten nearest. Knows no figures.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Search = Callable[[np.ndarray], Sequence[int]]
Build = Callable[[list[str], list[dict[str, Any]], np.ndarray, Path], Search]

K = 10


def write_texts(texts: list[str], metadata: list[dict[str, Any]], folder: Path, token: str) -> str:
    """Texts, metadata and the vectors' token in one SQLite transaction; their checksum."""
    import xxhash

    database = sqlite3.connect(folder / "texts.db")
    database.executescript(
        "pragma journal_mode=wal; pragma synchronous=full;"
        "create table state (token text);"
        "create table texts (id integer primary key, text text, metadata text);"
    )
    checksum = xxhash.xxh3_128()
    rows = [(i, t, json.dumps(m)) for i, (t, m) in enumerate(zip(texts, metadata, strict=True))]
    for _, text, more in rows:
        checksum.update((text + more).encode())
    with database:
        database.executemany("insert into texts values (?, ?, ?)", rows)
        database.execute("insert into state values (?)", (token,))
    database.close()
    return checksum.hexdigest()


def read_texts(folder: Path, found: str) -> str:
    """The token, once every text has been read back and compared with the checksum."""
    import xxhash

    database = sqlite3.connect(folder / "texts.db")
    checksum = xxhash.xxh3_128()
    for text, more in database.execute("select text, metadata from texts order by id"):
        checksum.update((text + more).encode())
    if checksum.hexdigest() != found:
        raise RuntimeError("the texts did not come back")
    (token,) = database.execute("select token from state").fetchone()
    database.close()
    return str(token)


def limner(
    texts: list[str], metadata: list[dict[str, Any]], vectors: np.ndarray, folder: Path
) -> Search:
    """The product's vector store beside the bare script's texts, reopened and verified."""
    from limner.index.vector_stores.faiss import FaissStore

    store = FaissStore(folder / "vectors", vectors.shape[1])
    store.add(np.arange(len(vectors)), vectors)
    checksum = write_texts(texts, metadata, folder, store.commit())
    store.close()
    again = FaissStore(folder / "vectors", vectors.shape[1], read_texts(folder, checksum))
    again.search(vectors[:1], 1)  # touches, and so verifies, every array
    return lambda query: again.search(query[None], K)[1][0].tolist()


class Given:
    """An embedding model that is not asked: the vectors are there already."""

    name = recipe = "given"
    max_tokens = 512

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions


def whole_library(
    texts: list[str], metadata: list[dict[str, Any]], vectors: np.ndarray, folder: Path
) -> Search:
    """All that the product does: files, passages, vectors and words, reopened, all read back."""
    from limner.index.chunking import Chunk
    from limner.index.document import Document, Stamp
    from limner.index.library import Batch, Library
    from limner.index.writer import Change

    chunks = [Chunk(t, page=m["page"] + 1) for t, m in zip(texts, metadata, strict=True)]
    names = dict.fromkeys(m["source"] for m in metadata)
    per_file = -(-len(texts) // len(names))

    def batches() -> Iterator[Batch]:
        changes: list[Change] = []
        first = 0
        for number, name in enumerate(names):
            part = chunks[number * per_file : (number + 1) * per_file]
            document = Document(0, f"/{name}", name, Stamp(0, 0, 0), "")
            changes.append(Change(document, list(enumerate(part))))
            end = min((number + 1) * per_file, len(texts))
            if end - first >= 8_192 or end == len(texts):
                yield Batch(changes, vectors[first:end])
                changes, first = [], end

    model: Any = Given(vectors.shape[1])
    Library.open(folder / "library", model).write(batches())
    library = Library.open(folder / "library", model)
    with library._states.reading() as book:
        index = library._states.index(book)
        read = book.passages(book.keys().tolist())
        index.store.search(vectors[:1], 1)
        index.keywords.search(texts[0], 1)
    if len(read) != len(texts):
        raise RuntimeError("the passages did not come back")
    return lambda query: index.store.search(query[None], K)[1][0].tolist()


def bare_with_words(
    texts: list[str], metadata: list[dict[str, Any]], vectors: np.ndarray, folder: Path
) -> Search:
    """The bare script, and bm25s over the words of the texts, saved and loaded."""
    import bm25s

    from limner.tools.sentences import stems

    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index([stems(text) for text in texts], show_progress=False)
    index.save(str(folder / "words"))
    bm25s.BM25.load(str(folder / "words"))
    return bare(texts, metadata, vectors, folder)


def bare(
    texts: list[str], metadata: list[dict[str, Any]], vectors: np.ndarray, folder: Path
) -> Search:
    """The same durable work by hand: FAISS, one file, fsync, SQLite, one checksummed read-back."""
    import faiss
    import xxhash

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    data = faiss.serialize_index(index)
    checksum = xxhash.xxh3_128_hexdigest(data)
    with (folder / "index.faiss").open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    read_texts(folder, write_texts(texts, metadata, folder, checksum))
    back = np.fromfile(folder / "index.faiss", np.uint8)
    if xxhash.xxh3_128_hexdigest(back) != checksum:
        raise RuntimeError("the vectors did not come back")
    again = faiss.deserialize_index(back)
    return lambda query: again.search(query[None], K)[1][0].tolist()


def faiss_flat(
    texts: list[str], metadata: list[dict[str, Any]], vectors: np.ndarray, folder: Path
) -> Search:
    """FAISS alone: add and write; no texts, no fsync, nothing verified."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(folder / "index.faiss"))
    return lambda query: index.search(query[None], K)[1][0].tolist()


def langchain(
    texts: list[str], metadata: list[dict[str, Any]], vectors: np.ndarray, folder: Path
) -> Search:
    """LangChain's FAISS with its defaults, from precomputed vectors, saved."""
    from langchain_community.vectorstores import FAISS
    from langchain_community.vectorstores.utils import DistanceStrategy
    from langchain_core.embeddings import FakeEmbeddings

    store = FAISS.from_embeddings(
        zip(texts, vectors.tolist(), strict=True),
        FakeEmbeddings(size=vectors.shape[1]),
        metadatas=metadata,
        ids=[str(i) for i in range(len(texts))],
        distance_strategy=DistanceStrategy.MAX_INNER_PRODUCT,
    )
    store.save_local(str(folder))

    def search(query: np.ndarray) -> list[int]:
        found = store.similarity_search_with_score_by_vector(query.tolist(), k=K)
        return [int(str(document.id)) for document, _ in found]

    return search


def chroma(
    texts: list[str], metadata: list[dict[str, Any]], vectors: np.ndarray, folder: Path
) -> Search:
    """Chroma embedded, its defaults but for the inner product, batches as large as it takes."""
    import chromadb

    settings = chromadb.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(folder), settings)
    collection = client.create_collection("passages", configuration={"hnsw": {"space": "ip"}})
    step = client.get_max_batch_size()
    for at in range(0, len(texts), step):
        part = slice(at, at + step)
        collection.add(
            ids=[str(i) for i in range(at, min(at + step, len(texts)))],
            embeddings=vectors[part],
            documents=texts[part],
            metadatas=metadata[part],  # type: ignore[arg-type]
        )

    def search(query: np.ndarray) -> list[int]:
        found = collection.query(query_embeddings=query[None], n_results=K, include=["distances"])
        return [int(name) for name in found["ids"][0]]

    return search


def lancedb(
    texts: list[str], metadata: list[dict[str, Any]], vectors: np.ndarray, folder: Path
) -> Search:
    """LanceDB without an index: it searches flat."""
    import lancedb as lance
    import pyarrow as pa

    flat = pa.array(vectors.reshape(-1))
    table = pa.table(
        {
            "id": np.arange(len(texts)),
            "text": texts,
            "metadata": [json.dumps(m) for m in metadata],
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )
    stored = lance.connect(str(folder)).create_table("passages", table)

    def search(query: np.ndarray) -> list[int]:
        near = stored.search(query).distance_type("dot").limit(K).select(["id", "_distance"])
        return near.to_arrow()["id"].to_pylist()

    return search


BUILDS: dict[str, Build] = {
    "limner": limner,
    "bare script": bare,
    "limner, a whole library": whole_library,
    "bare script with bm25s": bare_with_words,
    "FAISS alone": faiss_flat,
    "LangChain FAISS": langchain,
    "LanceDB": lancedb,
    "Chroma": chroma,
}
