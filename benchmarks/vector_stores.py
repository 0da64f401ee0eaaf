"""Vector stores: building durably, and searching exactly and approximately, beside their peers.

``build``: passages with precomputed vectors, until all is on the disk and was read back. ``query``:
1,000 questions one by one against brute force in double precision. ``million``: memory and time of
a million. ``change``: one of a hundred vectors replaced. ``plot`` draws the costs by size. Figures
are ratios of interleaved runs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import common
import numpy as np
import peers
from million import vectors

SLOW = ("LangChain FAISS", "LanceDB", "Chroma")
QUESTIONS = 1_000
PACKAGES = ("chromadb", "lancedb", "langchain-community", "pyarrow", "xxhash", "matplotlib")


def passages(count: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Texts of about 800 characters with what a chunk carries."""
    rng = np.random.default_rng(5)
    words = np.array([f"w{n:05d}" for n in range(20_000)])
    drawn = words[rng.zipf(1.3, (count, 120)) % len(words)]
    texts = [" ".join(row) for row in drawn.tolist()]
    return texts, [{"source": f"handbook/{n // 20}.md", "page": n % 20} for n in range(count)]


def built(name: str, rows: tuple[Any, ...]) -> tuple[float, peers.Search, Path]:
    """How long one builder takes in an empty folder, and its search."""
    folder = Path(tempfile.mkdtemp(prefix="limner-bench-"))
    started = time.perf_counter()
    search = peers.BUILDS[name](*rows, folder)
    return time.perf_counter() - started, search, folder


def build(size: int, dimensions: int, rounds: int, slow: bool) -> dict[str, Any]:
    """Interleaved rounds of the quick ones; the slow ones once."""
    rows = (*passages(size), vectors(0, size, dimensions))

    def run(name: str) -> Callable[[], float]:
        def once() -> float:
            took, _, folder = built(name, rows)
            shutil.rmtree(folder)
            return took

        return once

    quick = {name: run(name) for name in peers.BUILDS if name not in SLOW}
    found = common.interleaved(quick, rounds)
    for name in SLOW if slow else ():
        found[name] = [run(name)()]
        print(name, round(found[name][0], 2), flush=True)
    ours = found["limner"]
    against_bare = common.ratios(ours, found["bare script"])
    against_faiss = common.ratios(ours, found["FAISS alone"])
    common.show(
        f"build, {size:,} x {dimensions}",
        ["store", "seconds", "over ours"],
        [[n, common.spread_text(t), median(t) / median(ours)] for n, t in found.items()],
    )
    whole = common.ratios(found["limner, a whole library"], found["bare script with bm25s"])
    print(f"  ours over the bare script: {common.spread_text(against_bare)}  (mark: 1.5)")
    print(f"  a whole library over the bare script with bm25s: {common.spread_text(whole)}")
    return {
        "rows": size,
        "dimensions": dimensions,
        "seconds": {name: common.spread(times) for name, times in found.items()},
        "ours_over_bare": common.spread(against_bare),
        "library_over_bare_with_bm25s": common.spread(whole),
        "ours_over_faiss_alone": common.spread(against_faiss),
        "peers_over_ours": {n: median(found[n]) / median(ours) for n in SLOW if n in found},
    }


def truth(questions: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The ten nearest by brute force in double precision."""
    scores, ids = [], []
    wide = questions.astype(np.float64)
    for at in range(0, len(known), 10_000):
        block = wide @ known[at : at + 10_000].astype(np.float64).T
        near = np.argpartition(-block, 10, axis=1)[:, :11]
        scores.append(np.take_along_axis(block, near, 1))
        ids.append(near + at)
    order = np.argsort(-np.hstack(scores), axis=1, kind="stable")[:, : peers.K]
    return np.take_along_axis(np.hstack(ids), order, 1)


def timed(
    searches: dict[str, tuple[int, peers.Search]], questions: np.ndarray, wanted: np.ndarray
) -> dict[str, Any]:
    """Every question to every store in turn; per store its times, recall and exact answers."""
    import faiss

    times: dict[str, list[float]] = {name: [] for name in searches}
    threads_ms: dict[str, list[float]] = {name: [] for name in searches}
    hits: dict[str, list[int]] = {name: [] for name in searches}
    same = dict.fromkeys(searches, 0)
    for number, question in enumerate(questions):
        for name, (threads, search) in searches.items():
            if faiss.omp_get_max_threads() != threads:
                faiss.omp_set_num_threads(threads)
            started, thread = time.perf_counter(), time.thread_time()
            answer = list(search(question))
            threads_ms[name].append((time.thread_time() - thread) * 1e3)
            times[name].append((time.perf_counter() - started) * 1e3)
            hits[name].append(len(set(answer) & set(wanted[number].tolist())))
            same[name] += answer == wanted[number].tolist()
    return {
        name: {
            "threads": searches[name][0],
            "recall_at_10": float(np.mean(hits[name]) / peers.K),
            "ids_equal": same[name] / len(questions),
            "p50_ms": float(np.percentile(t, 50)),
            "p99_ms": float(np.percentile(t, 99)),
            "min_ms": min(t),
            "thread_p50_ms": float(np.median(threads_ms[name])),  # of the calling thread
            "qps": 1e3 / float(np.median(t)),
        }
        for name, t in times.items()
    }


def query(size: int, dimensions: int, slow: bool) -> dict[str, Any]:
    rows = (*passages(size), vectors(0, size, dimensions))
    questions = vectors(10**9, QUESTIONS, dimensions)
    wanted = truth(questions, rows[2])
    names = ["limner", "FAISS alone", *(SLOW if slow else ())]
    made = {name: built(name, rows)[1:] for name in names}
    searches = {name: (1, made[name][0]) for name in names[:2]}
    searches["limner, 2 threads"] = (2, made["limner"][0])
    found = timed(searches, questions, wanted)
    again = {
        "FAISS alone, 2 threads": (2, made["FAISS alone"][0])
    }  # its threads wait for each other
    found |= timed(again, questions[: QUESTIONS // 20], wanted)
    if slow:
        others = {name: (1, made[name][0]) for name in SLOW}
        found |= timed(others, questions[: QUESTIONS // 5], wanted)
    for _, folder in made.values():
        shutil.rmtree(folder)
    flat = found["FAISS alone"]["qps"]
    columns = ("recall_at_10", "ids_equal", "p50_ms", "p99_ms", "min_ms", "thread_p50_ms", "qps")
    common.show(
        f"query, {size:,} x {dimensions}, one at a time",
        [
            "store",
            "recall@10",
            "ids equal",
            "p50 ms",
            "p99 ms",
            "min ms",
            "thread ms",
            "per s",
            "to FAISS",
        ],
        [[n, *(f[c] for c in columns), f["qps"] / flat] for n, f in found.items()],
    )
    return {"rows": size, "dimensions": dimensions, "stores": found}


def million(size: int, dimensions: int) -> dict[str, Any]:
    """Builds with a commit for every batch and with one, each reopened in a process of its own."""
    found: dict[str, Any] = {"rows": size, "dimensions": dimensions}
    for name, every in (("one_commit", 10**9), ("commit_every_8192", 1)):
        folder = Path(tempfile.mkdtemp(prefix="limner-bench-"))
        for what, extra in (("build", every), ("query", 200), ("flat", 20))[: 3 - (every == 1)]:
            found[f"{name}_{what}"] = _apart(what, folder, size, dimensions, extra)
            print(name, what, found[f"{name}_{what}"], flush=True)
        shutil.rmtree(folder)
    return found


def change(size: int, dimensions: int, rounds: int) -> dict[str, Any]:
    """One of a hundred vectors replaced by another, beside FAISS's index written whole."""
    folder = Path(tempfile.mkdtemp(prefix="limner-bench-"))
    _apart("build", folder, size, dimensions, 10**9)
    found = _apart("change", folder, size, dimensions, rounds)
    shutil.rmtree(folder)
    rows = [[n, common.spread_text(found[f"{n}_ms"], "ms", 1)] for n in ("limner", "faiss")]
    common.show(f"{found['changed']:,} of {size:,} vectors replaced", ["store", "until safe"], rows)
    return {"rows": size, "dimensions": dimensions, **found}


def _apart(what: str, folder: Path, size: int, dimensions: int, extra: int) -> dict[str, Any]:
    """A step in a process of its own, so that its memory is its own."""
    words = [what, str(folder), *map(str, (size, dimensions, extra))]
    command = [sys.executable, str(Path(__file__).with_name("million.py")), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def plot(results: dict[str, Any], path: Path) -> None:
    """The cost of a question, and of a change of one in a hundred, by size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    questions, changes = _lines(results)
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    titles = ("A question: the ten nearest", "A re-sync: 1 % of the vectors replaced, durably")
    for axes, lines, title in zip(panels, (questions, changes), titles, strict=True):
        for name, points in lines.items():
            style = {"linewidth": 2.6, "zorder": 3} if name == "limner" else {"linewidth": 1.3}
            places = sorted(points)
            axes.plot(places, [points[n] for n in places], marker="o", label=name, **style)
        axes.set(xscale="log", yscale="log", xlabel="vectors of 384 numbers", ylabel="median ms")
        axes.set_title(title)
        axes.grid(True, which="major", alpha=0.3)
        axes.legend(frameon=False, fontsize=9)
    best = results["million"]["one_commit_query"]
    panels[0].annotate(
        f"approximate from 200k:\nrecall {best['recall_at_10']:.3f}",
        (results["million"]["rows"], best["p50_ms"]),
        (-12, -30),
        textcoords="offset points",
        ha="right",
        fontsize=8,
    )
    figure.savefig(path, dpi=110)
    print(f"written: {path.name}")


def _lines(results: dict[str, Any]) -> tuple[dict[str, dict[int, float]], ...]:
    """Median milliseconds by store and size: of a question, and of a change."""
    questions: dict[str, dict[int, float]] = {}
    changes: dict[str, dict[int, float]] = {}
    for part in results["query"]:
        for name, figures in part["stores"].items():
            if part["dimensions"] == 384 and "threads" not in name:
                questions.setdefault(name, {})[part["rows"]] = figures["p50_ms"]
    large = results["million"]
    questions["limner"][large["rows"]] = large["one_commit_query"]["p50_ms"]
    questions["FAISS alone"][large["rows"]] = large["one_commit_flat"]["p50_ms"]
    for part in results["change"]:
        for name, key in (("limner", "limner_ms"), ("FAISS alone, written whole", "faiss_ms")):
            changes.setdefault(name, {})[part["rows"]] = median(part[key])
    return questions, changes


def main() -> None:
    parser = common.arguments(__doc__ or "", "vector_stores")
    parts = ("build", "query", "million", "change", "plot")
    parser.add_argument("--part", choices=parts, action="append")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[384])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-peers", action="store_true", help="leave out the slow ones")
    given = parser.parse_args()
    common.PACKAGES = (*common.PACKAGES, *PACKAGES)
    results = json.loads(given.out.read_text("utf-8")) if given.out.exists() else {}
    peers_too = not given.no_peers
    for part in given.part or parts:
        if part == "million":
            results[part] = million(1_000_000, given.dimensions[0])
            results[part]["machine"] = common.machine()
        elif part == "change":
            sizes = (*given.sizes, 1_000_000)
            results[part] = [change(n, given.dimensions[0], given.rounds) for n in sizes]
        elif part == "plot":
            plot(results, given.out.with_suffix(".png"))
        else:
            kept = [r for r in results.get(part, []) if not _again(r, given)]
            results[part] = kept
            for size in given.sizes:
                for dimensions in given.dimensions:
                    work = (size, dimensions)
                    new = (
                        build(*work, given.rounds, peers_too)
                        if part == "build"
                        else query(*work, peers_too)
                    )
                    results[part].append({"machine": common.machine(), **new})
        common.write(
            given.out, {k: v for k, v in results.items() if k not in ("machine", "command")}
        )


def _again(result: dict[str, Any], given: Any) -> bool:
    return result["rows"] in given.sizes and result["dimensions"] in given.dimensions


if __name__ == "__main__":
    main()
