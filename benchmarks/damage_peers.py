"""The same damage to other stores: one file of theirs, one bit flipped or cut short.

Detected is any error at all; silently wrong is an answer that differs from the undamaged store's.
Texts and vectors are those of the library's own passages.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from limner.index.embeddings import HashEmbeddings

_TEXTS = 120
_WORDS = ("harbour", "light", "tide", "printer", "ink", "rope", "sail", "jam", "paper", "lamp")
_QUERIES = ("harbour light", "printer jam", "note 7", "rope and sail", "thing 11")

Case = dict[str, Any]


def _texts() -> list[str]:
    dice = random.Random(3)
    return [f"Note {n}: thing {n} with {' '.join(dice.sample(_WORDS, 5))}." for n in range(_TEXTS)]


def _limner_make(folder: Path) -> None:
    from limner.index.library import Library

    sources = folder.parent / "sources"
    sources.mkdir(exist_ok=True)
    for n, text in enumerate(_texts()):
        (sources / f"{n:03}.txt").write_text(text)
    with Library.open(folder, HashEmbeddings()) as library:
        library.add(sources)


def _limner_read(folder: Path) -> object:
    from limner.index.library import Library

    with Library.open(folder, HashEmbeddings()) as library:
        found = [[(p.text, p.score) for p in library.search(q, k=_TEXTS)] for q in _QUERIES]
        return [found, library.sources()]


def _langchain(embeddings: HashEmbeddings) -> Any:
    from langchain_core.embeddings import Embeddings

    class Adapter(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return embeddings.encode_document(texts).tolist()

        def embed_query(self, text: str) -> list[float]:
            return embeddings.encode_query([text])[0].tolist()

    return Adapter()


def _langchain_make(folder: Path) -> None:
    from langchain_community.vectorstores import FAISS

    FAISS.from_texts(_texts(), _langchain(HashEmbeddings())).save_local(str(folder))


def _langchain_read(folder: Path) -> object:
    from langchain_community.vectorstores import FAISS

    adapter = _langchain(HashEmbeddings())
    store = FAISS.load_local(str(folder), adapter, allow_dangerous_deserialization=True)
    found = [store.similarity_search_with_score(q, k=_TEXTS) for q in _QUERIES]
    return [[(d.page_content, round(float(s), 5)) for d, s in rows] for rows in found]


def _chroma_make(folder: Path) -> None:
    import chromadb

    collection = chromadb.PersistentClient(str(folder)).create_collection("notes")
    vectors = HashEmbeddings().encode_document(_texts())
    collection.add([str(n) for n in range(_TEXTS)], documents=_texts(), embeddings=vectors)


def _chroma_read(folder: Path) -> object:
    import chromadb

    collection = chromadb.PersistentClient(str(folder)).get_collection("notes")
    vectors = HashEmbeddings().encode_query(list(_QUERIES))
    found = collection.query(query_embeddings=vectors, n_results=3)
    held = collection.get(include=["documents", "embeddings"])
    rows = sorted(zip(held["ids"], held["documents"], held["embeddings"].tolist(), strict=True))
    best = [round(row[0], 3) for row in found["distances"]]  # its order of equals is not stable
    return [best, [len(row) for row in found["ids"]], rows]


def _lancedb_make(folder: Path) -> None:
    import lancedb

    vectors = HashEmbeddings().encode_document(_texts())
    rows = [{"text": t, "vector": v} for t, v in zip(_texts(), vectors, strict=True)]
    lancedb.connect(folder).create_table("t", rows)


def _lancedb_read(folder: Path) -> object:
    import lancedb

    table = lancedb.connect(folder).open_table("t")
    vectors = HashEmbeddings().encode_query(list(_QUERIES))
    found = [table.search(v).limit(50).to_list() for v in vectors]
    told = [[(r["text"], round(r["_distance"], 5)) for r in rows] for rows in found]
    held = table.to_arrow().to_pydict()
    return [told, held["text"], [[float(x) for x in v] for v in held["vector"]]]


_STORES: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "limner": (_limner_make, _limner_read),
    "langchain-faiss": (_langchain_make, _langchain_read),
    "chroma": (_chroma_make, _chroma_read),
    "lancedb": (_lancedb_make, _lancedb_read),
}


def damaged_peers(who: str, folder: Path, seeds: Iterable[int]) -> Iterator[Case]:
    """Damage a store once for each seed and look at it.

    Args:
        who: which.
        folder: where it is made, the first time.
        seeds: of the damages.
    """
    make, read = _STORES[who]
    store, truth = folder / "store", folder / "truth.json"
    if not truth.exists():
        make(store)
        copy = folder / "whole"  # some write while they read
        shutil.copytree(store, copy)
        truth.write_text(json.dumps(read(copy)))
    expected = truth.read_text()
    for seed in seeds:
        copy = folder / f"case-{seed}"
        shutil.copytree(store, copy)
        kind = _damage(copy, random.Random(seed))
        yield {"seed": seed, "kind": kind, "outcome": _outcome(read, copy, expected)}
        shutil.rmtree(copy, ignore_errors=True)


def _outcome(read: Callable[[Path], object], folder: Path, expected: str) -> str:
    try:
        found = json.dumps(read(folder))
    except BaseException:  # Rust's panics are no Exception
        return "detected"
    return "harmless" if found == expected else "silently wrong"


def _damage(folder: Path, dice: random.Random) -> str:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size]
    path, kind = dice.choice(files), dice.choice(("flipped", "truncated"))
    data = bytearray(path.read_bytes())
    if kind == "truncated":
        del data[dice.randrange(len(data)) :]
    else:
        used = [at for at, byte in enumerate(data) if byte]
        data[dice.choice(used or [0])] ^= 1 << dice.randrange(8)
    path.write_bytes(data)
    return kind
