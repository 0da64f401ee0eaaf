"""One million vectors built, reopened and searched, each step in a process of its own.

Run by ``vector_stores.py --part million``; prints one line of JSON: seconds, the most memory that
the process had, and what was measured.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 8_192
SPREAD = 48  # directions in which passages differ most, as in real embeddings


def vectors(start: int, count: int, dimensions: int, seed: int = 7) -> np.ndarray:
    """Unit vectors of 2,000 topics in a few dozen directions, and a little noise in all."""
    shape = np.random.default_rng(seed)
    scale = np.arange(1, SPREAD + 1) ** -0.3
    topics = shape.normal(size=(2_000, SPREAD)).astype(np.float32) * scale.astype(np.float32)
    turned = shape.normal(size=(SPREAD, dimensions)).astype(np.float32) / SPREAD**0.5
    found = np.empty((count, dimensions), np.float32)
    for at in range(0, count, BATCH):
        rng = np.random.default_rng([seed, start + at])
        n = min(BATCH, count - at)
        own = rng.normal(size=(n, SPREAD)).astype(np.float32) * scale.astype(np.float32)
        low = topics[rng.integers(0, len(topics), n)] + own
        rows = low @ turned + 0.1 * rng.standard_normal((n, dimensions), np.float32)
        found[at : at + n] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def build(folder: Path, rows: int, dimensions: int, every: int) -> dict[str, Any]:
    """Add batches as an ingest does, with a commit after so many."""
    from limner.index.vector_stores.faiss import FaissStore

    store, started, written, token, made = FaissStore(folder, dimensions), 0.0, 0, "", 0.0
    seen: set[str] = set()
    started = time.perf_counter()
    for number, at in enumerate(range(0, rows, BATCH), 1):
        before = time.perf_counter()
        n = min(BATCH, rows - at)
        batch = vectors(at, n, dimensions)
        made += time.perf_counter() - before
        store.add(np.arange(at, at + n), batch)
        if number % every == 0 or at + n == rows:
            token = store.commit()
            store.sweep()
            sizes = {p.name: p.stat().st_size for p in folder.iterdir()}
            written += sum(size for name, size in sizes.items() if name not in seen)
            seen |= sizes.keys()
    (folder / "token.json").write_text(token, encoding="utf-8")
    return {
        "build_s": time.perf_counter() - started - made,
        "written_per_byte_of_vectors": written / (rows * dimensions * 4),
        "segments": len(json.loads(token)["segments"]),
        "summary": store.summary,
    }


def query(folder: Path, rows: int, dimensions: int, count: int) -> dict[str, Any]:
    """Open, verify, and search; the truth is the 100 best in float32, scored in float64."""
    import faiss

    from limner.index.vector_stores.faiss import FaissStore

    faiss.omp_set_num_threads(1)
    questions = vectors(10**9, count, dimensions)
    started = time.perf_counter()
    store = FaissStore(folder, dimensions, (folder / "token.json").read_text(encoding="utf-8"))
    opened = time.perf_counter() - started
    store.search(questions[:1], 10)
    first = time.perf_counter() - started
    found, times = [], []
    for question in questions:
        started = time.perf_counter()
        found.append(store.search(question[None], 10)[1][0])
        times.append(time.perf_counter() - started)
    largest = max(store._whole(), key=lambda part: len(part.keys))
    raw = {} if largest.engine is None else _raw(largest.engine, largest, questions)
    truth = _truth(questions, rows, dimensions)
    hits = [len(set(a) & set(b)) for a, b in zip(found, truth, strict=True)]
    return {
        "open_s": opened,
        "first_search_s": first,
        "p50_ms": float(np.percentile(times, 50) * 1e3),
        "p99_ms": float(np.percentile(times, 99) * 1e3),
        "recall_at_10": float(np.mean(hits) / 10),
        "rows_by_engine": {
            kind: sum(p.count for p in store._whole() if (p.engine is None) == exact)
            for kind, exact in (("exact", True), ("inverted", False))
        },
        **raw,
    }


def flat(folder: Path, rows: int, dimensions: int, count: int) -> dict[str, Any]:
    """FAISS's exact index of the same vectors, in memory."""
    import faiss

    faiss.omp_set_num_threads(1)
    index, times = faiss.IndexFlatIP(dimensions), []
    for at in range(0, rows, BATCH):
        index.add(vectors(at, min(BATCH, rows - at), dimensions))
    for question in vectors(10**9, count, dimensions):
        started = time.perf_counter()
        index.search(question[None], 10)
        times.append(time.perf_counter() - started)
    return {"p50_ms": float(np.median(times) * 1e3)}


def change(folder: Path, rows: int, dimensions: int, rounds: int) -> dict[str, Any]:
    """Take one of a hundred vectors out, put as many others in, until all is on the disk.

    FAISS's exact index of the same vectors does it beside, and can only be written whole.
    """
    import faiss

    from limner.index.vector_stores.faiss import FaissStore

    faiss.omp_set_num_threads(1)
    store = FaissStore(folder, dimensions, (folder / "token.json").read_text(encoding="utf-8"))
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions))
    for at in range(0, rows, BATCH):
        n = min(BATCH, rows - at)
        index.add_with_ids(vectors(at, n, dimensions), np.arange(at, at + n))
    times: dict[str, list[float]] = {"limner": [], "faiss": []}
    many, order = rows // 100, np.random.default_rng(0).permutation(rows)
    for number in range(rounds):
        gone = order[number * many : (number + 1) * many]
        fresh = np.arange(many) + rows + number * many
        new = vectors(2 * 10**9 + number * many, many, dimensions)
        started = time.perf_counter()
        store.remove(gone)
        store.add(fresh, new)
        (folder / "token.json").write_text(store.commit(), encoding="utf-8")
        store.sweep()
        times["limner"].append(time.perf_counter() - started)
        started = time.perf_counter()
        index.remove_ids(gone)
        index.add_with_ids(new, fresh)
        _durable(index, folder / "flat.faiss")
        times["faiss"].append(time.perf_counter() - started)
    (folder / "flat.faiss").unlink()
    return {
        "changed": many,
        **{f"{name}_ms": [t * 1e3 for t in taken] for name, taken in times.items()},
    }


def _durable(index: Any, path: Path) -> None:
    import faiss

    faiss.write_index(index, str(path.with_suffix(".new")))
    with path.with_suffix(".new").open("rb") as file:
        os.fsync(file.fileno())
    path.with_suffix(".new").replace(path)


def _raw(engine: Any, part: Any, questions: np.ndarray) -> dict[str, Any]:
    """The largest segment alone: FAISS's own search of its lists, and the store's, interleaved."""
    from limner.index.vector_stores.scan import Workers, ranked

    index, hits = engine._index, {"faiss": 0, "ours": 0}
    times: dict[str, list[float]] = {"faiss": [], "ours": []}
    clock: dict[str, list[float]] = {"faiss": [], "ours": []}
    exact = _best(questions, part.vectors)
    index.nprobe, workers = engine.probes, Workers()
    for question, wanted in zip(questions, exact, strict=True):
        works = {
            "faiss": lambda q=question: part.keys[index.search(q[None], 10)[1][0]],
            "ours": lambda q=question: ranked([part], q[None], 10, workers)[1][0],
        }
        for name, work in works.items():
            started, thread = time.perf_counter(), time.thread_time()  # others disturb it less
            answer = work()
            times[name].append(time.thread_time() - thread)
            clock[name].append(time.perf_counter() - started)
            hits[name] += len(set(answer) & set(part.keys[wanted]))
    return {
        "largest_segment": len(part.keys),
        "lists": engine.lists,
        "probes": engine.probes,
        **{f"{name}_p50_ms": float(np.median(t) * 1e3) for name, t in clock.items()},
        **{f"{name}_thread_p50_ms": float(np.median(t) * 1e3) for name, t in times.items()},
        **{f"{name}_recall_at_10": n / len(questions) / 10 for name, n in hits.items()},
        "thread_ratio": float(np.median(times["ours"]) / np.median(times["faiss"])),
    }


def _best(questions: np.ndarray, rows: np.ndarray) -> np.ndarray:
    import faiss

    return faiss.knn(questions, rows, 10, faiss.METRIC_INNER_PRODUCT)[1]


def _truth(questions: np.ndarray, rows: int, dimensions: int) -> np.ndarray:
    import faiss

    scores, ids = [], []
    for at in range(0, rows, BATCH):
        block = vectors(at, min(BATCH, rows - at), dimensions)
        near = faiss.knn(questions, block, min(20, len(block)), faiss.METRIC_INNER_PRODUCT)[1]
        wide = questions.astype(np.float64)[:, None, :] * block[near]
        scores.append(wide.sum(axis=2))
        ids.append(near + at)
    order = np.argsort(-np.hstack(scores), axis=1, kind="stable")[:, :10]
    return np.take_along_axis(np.hstack(ids), order, 1)


def main() -> None:
    what, folder, rows, dimensions, extra = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])
    folder.mkdir(parents=True, exist_ok=True)
    works = {"build": build, "query": query, "flat": flat, "change": change}
    found = works[what](folder, rows, dimensions, extra)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({**found, "peak_rss_gib": peak}))


if __name__ == "__main__":
    main()
