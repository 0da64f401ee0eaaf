"""What the benchmarks share: the machine, tables, intervals, interleaved timing, JSON.

Importing it first pins the threads (``LIMNER_THREADS``, 1 if unset) and forbids downloads. Knows
nothing of what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

THREADS = int(os.environ.get("LIMNER_THREADS", "1"))
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = str(THREADS)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    *("limner", "bm25s", "faiss-cpu", "langchain-core", "langgraph", "langgraph-checkpoint-sqlite"),
    *("numpy", "onnxruntime", "pillow", "rapidocr", "rich", "sentence-transformers", "torch"),
    *("transformers", "typer"),
)

Row = Sequence[object]


def arguments(description: str, name: str) -> argparse.ArgumentParser:
    """A parser with the option that every benchmark has."""
    summary = description.partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json", metavar="FILE")
    return parser


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, versions, load, threads, date."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "load": [round(load, 2) for load in os.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "revision": revision(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def revision() -> str:
    """The commit of the product that is measured; marked where its files were changed since."""
    import limner as product

    git = ["git", "-C", str(Path(product.__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    status = [*git, "status", "--porcelain", "--", ".", ":!benchmarks"]
    changed = subprocess.run(status, capture_output=True, text=True).stdout.strip()
    return commit.stdout.strip() + (" with changes" if changed else "")


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def write(path: Path, body: Mapping[str, Any]) -> None:
    """Write the figures with the machine they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "command": " ".join(["python", *sys.argv]), **body}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\nwritten: {path}")


def show(title: str, head: Sequence[str], rows: Iterable[Row]) -> None:
    """Print a table; the first column left-aligned, the others right-aligned."""
    cells = [[str(c) for c in head], *([_cell(c) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    print(f"\n{title}")
    for row in cells:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join([first, *rest]))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def squeezed(text: str) -> str:
    """A text with its white space normalised."""
    return " ".join(text.split())


def interval(values: Sequence[float], clusters: Sequence[Hashable], seed: int = 0) -> list[float]:
    """The mean and its 95 % interval: 2,000 seeded bootstrap samples of whole clusters."""
    import numpy as np

    groups: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        groups.setdefault(cluster, []).append(float(value))
    sums = np.array([[sum(group), len(group)] for group in groups.values()])
    drawn = np.random.default_rng(seed).integers(len(sums), size=(2_000, len(sums)))
    totals = sums[drawn].sum(axis=1)
    low, high = np.percentile(totals[:, 0] / totals[:, 1], [2.5, 97.5])
    return [float(np.mean(values)), float(low), float(high)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": median(values), "min": min(values), "max": max(values), "n": len(values)}


def spread_text(values: Sequence[float], unit: str = "", digits: int = 3) -> str:
    """``median (min–max) unit`` for a table."""
    found = (f"{value:.{digits}f}" for value in (median(values), min(values), max(values)))
    return "{} ({}–{})".format(*found) + (f" {unit}" if unit else "")


def interleaved(
    runs: Mapping[str, Callable[[], float]], rounds: int, warm: int = 1
) -> dict[str, list[float]]:
    """Run A B A B …, and keep what each returns; the first ``warm`` rounds do not count."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + warm):
        for name, run in runs.items():
            value = run()
            if number >= warm:
                found[name].append(value)
    return found


def seconds(work: Callable[[], object]) -> float:
    """How long a piece of work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ratios(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Round by round, a over b."""
    return [x / y for x, y in zip(a, b, strict=True)]


def limner(*words: str | Path, cwd: Path | None = None) -> str:
    """Run the product's command line and give its output; an error ends the benchmark."""
    command = [sys.executable, "-m", "limner", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
