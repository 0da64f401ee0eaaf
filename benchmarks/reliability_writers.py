"""Row 4: several writers, and readers beside a writer, each a process of its own.

Right is: a lock with a clear message, or everything that was acknowledged is there; a reader sees
whole files only, and never fewer than before.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from reliability_world import forked, read_here, state_in_child

from limner.errors import LibraryLocked
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library

__all__ = ["together", "writing"]

_PARTS = 3
_FILES = 6


def writing(folder: Path, rounds: int) -> dict[str, Any]:
    """Two writers, eight writers, and a writer with four readers, ``rounds`` times each."""
    folder = folder.resolve()
    return {
        "rounds": rounds,
        "2 writers": _writers(folder / "two", 2, rounds),
        "8 writers": _writers(folder / "eight", 8, rounds),
        "a writer and 4 readers": _readers(folder / "readers", 4, rounds),
    }


def together(works: list[Callable[[], dict[str, Any]]]) -> list[dict[str, Any]]:
    """Run in processes of their own, at the same time, and give what each returns."""
    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(forked, works))


def _documents(folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True)
    paths = []
    for n in range(count):
        parts = [f"# Part {part}\n\nNote {n} part {part}." for part in range(_PARTS)]
        paths.append(folder / f"{n:02}.md")
        paths[-1].write_text("\n\n".join(parts))
    return paths


def _add(place: Path, paths: list[Path], patient: bool = False) -> dict[str, Any]:
    """Add one after the other; say which were acknowledged and how often the lock was met."""
    read_here()
    added, refused = [], 0
    with Library.open(place, HashEmbeddings()) as library:
        for path in paths:
            for _ in range(5000 if patient else 1):
                try:
                    added += library.add(path).added
                    break
                except LibraryLocked as error:
                    assert "another process is writing" in str(error) and error.hint
                    refused += 1
                    time.sleep(0.01)
    return {"added": added, "refused": refused}


def _writers(folder: Path, count: int, rounds: int) -> dict[str, int]:
    tally = Counter[str]({"crashes": 0, "wrong": 0})
    paths = _documents(folder / "docs", count * 2)
    for number in range(rounds):
        place = folder / "library"
        shutil.rmtree(place, ignore_errors=True)
        patient = number % 2 == 1  # every second round they try again until it works
        shares = [paths[2 * n : 2 * n + 2] for n in range(count)]
        works = [lambda some=some: _add(place, some, patient) for some in shares]  # noqa: B023
        answers = together(works)
        tally["crashes"] += sum("added" not in answer for answer in answers)
        tally["refused"] += sum(answer.get("refused", 0) for answer in answers)
        done = {name for answer in answers for name in answer.get("added", ())}
        tally["acknowledged"] += len(done)
        held = forked(lambda: {"sources": _sources(place)})  # noqa: B023
        sound = "state" in state_in_child(place)
        complete = not patient or len(done) == 2 * count
        tally["wrong"] += set(held.get("sources", {})) != done or not sound or not complete
    return dict(tally)


def _sources(place: Path) -> dict[str, int]:
    with Library.open(place, HashEmbeddings()) as library:
        return library.sources()


def _readers(folder: Path, count: int, rounds: int) -> dict[str, int]:
    tally = Counter[str]({"crashes": 0, "wrong": 0})
    paths = _documents(folder / "docs", _FILES)
    for _ in range(rounds):
        place, stop = folder / "library", folder / "stop"
        shutil.rmtree(place, ignore_errors=True)
        stop.unlink(missing_ok=True)

        def write(place: Path = place, stop: Path = stop) -> dict[str, Any]:
            try:
                return _add(place, paths)
            finally:
                stop.touch()

        works = [write, *(lambda: _read(place, stop) for _ in range(count))]  # noqa: B023
        writer, *readers = together(works)
        tally["crashes"] += sum("seen" not in one for one in readers) + ("added" not in writer)
        for reader in readers:
            seen = reader.get("seen", [])
            tally["searches"] += len(seen)
            tally["states seen"] += len(set(seen))
            tally["wrong"] += seen != sorted(seen) or reader.get("partial", 0) > 0
            tally["wrong"] += bool(seen) and seen[-1] != _FILES
    return dict(tally)


def _read(place: Path, stop: Path) -> dict[str, Any]:
    """Search until the writer has ended and once more; how many files each search showed."""
    seen, partial, last = [], 0, False
    with Library.open(place, HashEmbeddings()) as library:
        while True:
            last = stop.exists()
            files = Counter(p.source for p in library.search("note part", k=500))
            partial += any(passages != _PARTS for passages in files.values())
            seen.append(len(files))
            time.sleep(0.002)
            if last:
                return {"seen": seen, "partial": partial}
