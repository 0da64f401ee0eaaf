"""Rows 1 and 4 for LangChain's FAISS, Chroma and LanceDB: killed while writing, and two writers.

Each writes batches of 20 rows with texts and says after each that it is done. Readable means that a
new process opens what was left and searches it, complete that every acknowledged row is there.
"""

from __future__ import annotations

import importlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["killed", "writing"]

_DIMENSIONS = 384
_ROWS = 20
_BATCHES = 500


class _Hashed:
    """Vectors from a seed; LangChain's interface."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [_vector(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return _vector(text)

    __call__ = embed_query


def _vector(text: str) -> list[float]:
    return np.random.default_rng(abs(hash(text))).random(_DIMENSIONS).tolist()


def _texts(batch: int, writer: int = 0) -> list[str]:
    return [f"writer {writer} batch {batch} row {n}" for n in range(_ROWS)]


def _faiss_write(folder: Path, writer: int, batches: int) -> None:
    from langchain_community.vectorstores import FAISS

    store = None
    if (folder / "index.faiss").exists():
        store = _faiss_open(folder)
    for batch in range(batches):
        texts = _texts(batch, writer)
        if store is None:
            store = FAISS.from_texts(texts, _Hashed())
        else:
            store.add_texts(texts)
        store.save_local(str(folder))
        print(batch, flush=True)


def _faiss_open(folder: Path) -> Any:
    from langchain_community.vectorstores import FAISS

    return FAISS.load_local(str(folder), _Hashed(), allow_dangerous_deserialization=True)


def _faiss_read(folder: Path) -> set[str]:
    store = _faiss_open(folder)
    count = store.index.ntotal
    return {found.page_content for found in store.similarity_search("row", k=count)}


def _chroma(folder: Path) -> Any:
    import chromadb

    settings = chromadb.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(folder), settings)
    return client.get_or_create_collection("rows", embedding_function=None)


def _chroma_write(folder: Path, writer: int, batches: int) -> None:
    rows = _chroma(folder)
    for batch in range(batches):
        texts = _texts(batch, writer)
        rows.add(ids=texts, documents=texts, embeddings=[_vector(text) for text in texts])
        print(batch, flush=True)


def _chroma_read(folder: Path) -> set[str]:
    rows = _chroma(folder)
    count = rows.count()
    rows.query(query_embeddings=[_vector("row")], n_results=max(min(count, 100), 1))
    return set(rows.get()["documents"])


def _lance_write(folder: Path, writer: int, batches: int) -> None:
    import lancedb

    base = lancedb.connect(str(folder))
    for batch in range(batches):
        texts = _texts(batch, writer)
        rows = [{"text": text, "vector": _vector(text)} for text in texts]
        if batch == 0 and writer == 0:
            base.create_table("rows", rows, exist_ok=True)
        else:
            base.open_table("rows").add(rows)
        print(batch, flush=True)


def _lance_read(folder: Path) -> set[str]:
    import lancedb

    table = lancedb.connect(str(folder)).open_table("rows")
    table.search(_vector("row")).limit(10).to_list()
    return set(table.to_arrow().column("text").to_pylist())


_PEERS: dict[str, tuple[Callable[..., None], Callable[[Path], set[str]]]] = {
    "LangChain FAISS": (_faiss_write, _faiss_read),
    "Chroma": (_chroma_write, _chroma_read),
    "LanceDB": (_lance_write, _lance_read),
}


def killed(folder: Path, trials: int) -> dict[str, dict[str, int]]:
    """Kill each ``trials`` times at a random moment of its writing."""
    results = {}
    for name in _PEERS:
        dice = random.Random(4)
        tally = {"kills": trials, "readable": 0, "complete": 0}
        for trial in range(trials):
            place = folder / name.replace(" ", "-") / str(trial)
            place.mkdir(parents=True)
            done = _kill_once(name, place, dice)
            found = _seen(name, place)
            wanted = {text for batch in range(done) for text in _texts(batch)}
            tally["readable"] += found is not None
            tally["complete"] += found is not None and found >= wanted
        results[name] = tally
    return results


def _kill_once(name: str, place: Path, dice: random.Random) -> int:
    """How many batches were acknowledged before the kill."""
    process = _started("write", name, place, 0, _BATCHES)
    assert process.stdout is not None
    goal, done = dice.randint(1, 15), 0
    while done < goal and process.stdout.readline():
        done += 1
    time.sleep(dice.uniform(0, 0.02))
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    return done + rest.count("\n")


def writing(folder: Path, rounds: int) -> dict[str, dict[str, int]]:
    """Two writers at once with ten batches each, and then a reader."""
    results = {}
    for name in _PEERS:
        tally = {"rounds": rounds, "writers that failed": 0, "readable": 0, "complete": 0}
        for number in range(rounds):
            place = folder / name.replace(" ", "-") / f"two{number}"
            place.mkdir(parents=True)
            _started("write", name, place, 0, 1).communicate()
            writers = [_started("write", name, place, n, 10) for n in (1, 2)]
            for writer in writers:
                writer.stdout.readline()  # type: ignore[union-attr]
            (place.parent / f"go{number}").touch()
            acks = [writer.communicate()[0].count("\n") for writer in writers]
            tally["writers that failed"] += sum(writer.returncode != 0 for writer in writers)
            found = _seen(name, place)
            wanted = {t for n in (1, 2) for batch in range(acks[n - 1]) for t in _texts(batch, n)}
            tally["readable"] += found is not None
            tally["complete"] += found is not None and found >= wanted
        results[name] = tally
    return results


def _wait(name: str, place: Path) -> None:
    """Have everything imported, say so, and begin when told."""
    module = {"LangChain FAISS": "faiss", "Chroma": "chromadb", "LanceDB": "lancedb"}[name]
    importlib.import_module(module)
    importlib.import_module("langchain_community.vectorstores")
    print("ready", flush=True)
    go = place.parent / place.name.replace("two", "go")
    while not go.exists():
        time.sleep(0.001)


def _started(verb: str, name: str, place: Path, *numbers: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, verb, name, str(place), *map(str, numbers)]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    return subprocess.Popen(command, **quiet)  # type: ignore[call-overload,no-any-return]


def _seen(name: str, place: Path) -> set[str] | None:
    """What a new process reads; None where it fails."""
    process = _started("read", name, place)
    try:
        out, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    return set(out.splitlines()) if process.returncode == 0 else None


if __name__ == "__main__":
    _, _verb, _name, _place, *_numbers = sys.argv
    if _verb == "write":
        if int(_numbers[0]):
            _wait(_name, Path(_place))
        _PEERS[_name][0](Path(_place), *map(int, _numbers))
    else:
        print("\n".join(_PEERS[_name][1](Path(_place))))
