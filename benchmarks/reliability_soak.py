"""Row 17: hours in minutes. Re-syncs of a folder that changes, searches, and turns on fakes.

Memory is what the process holds resident after a collection; its slope is that of a straight line
through the samples of the second half, when caches have filled. Open files are counted then too.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library

__all__ = ["soaked"]

_SYNCS = 200
_FILES = 20
_SAMPLES = 40


def soaked(folder: Path, turns: int) -> dict[str, Any]:
    """200 re-syncs with 10 searches each in one process, and turns of an agent."""
    folder = folder.resolve()
    return {
        "syncs": _syncs(folder / "syncs"),
        "turns in one session": _turns(folder / "session", turns, "soak"),
        "turns without a session": _turns(folder / "alone", turns, None),
    }


def _syncs(folder: Path) -> dict[str, Any]:
    docs, dice = folder / "docs", random.Random(5)
    docs.mkdir(parents=True)
    for n in range(_FILES):
        _write(docs, n, 0)
    wrong = 0
    with Library.open(folder / "library", HashEmbeddings()) as library:
        library.add(docs)

        def step(number: int) -> None:
            nonlocal wrong
            changed = dice.sample(range(_FILES), 3)
            for n in changed[:2]:
                _write(docs, n, number + 1)
            (docs / f"{changed[2]:02}.md").unlink(missing_ok=True)
            library.sync()
            held = {path.name for path in docs.glob("*.md")}
            wrong += set(library.sources()) != held
            for n in range(10):
                library.search(f"note {n} in version {number}")

        found = _sampled(step, _SYNCS)
    size = sum(path.stat().st_size for path in (folder / "library").rglob("*") if path.is_file())
    return {**found, "searches": 10 * _SYNCS, "wrong": wrong, "library MB": round(size / 1e6, 2)}


def _write(docs: Path, n: int, version: int) -> None:
    parts = [f"# Part {m}\n\nNote {n} part {m} in version {version}." for m in range(5)]
    (docs / f"{n:02}.md").write_text("\n\n".join(parts))


def _turns(folder: Path, turns: int, session: str | None) -> dict[str, Any]:
    from limner.agent.agent import Agent
    from limner.tools.chat_models.scripted import Scripted

    folder.mkdir(parents=True)
    (folder / "tides.md").write_text("# Tides\n\nHigh water is at noon.\n")
    with Library.open(folder / "library", HashEmbeddings()) as library:
        library.add(folder / "tides.md")
        chat = Scripted(replies=["High water is at noon. [1]"])
        with Agent(library, chat_model=chat, session=session) as agent:

            def step(number: int) -> None:
                agent.ask(f"When is high water, {number}?")
                chat.asked.clear()  # the fake's own memory

            found = _sampled(step, turns)
        size = sum(p.stat().st_size for p in library.folder.rglob("*") if p.is_file())
    return {**found, "KB on the disk a turn": round(size / 1e3 / turns, 2)}


def _sampled(step: Callable[[int], object], count: int) -> dict[str, Any]:
    """Take ``count`` steps; memory and open files on the way."""
    process, started = psutil.Process(), time.monotonic()
    at, memory, files = [], [], []
    for number in range(count):
        step(number)
        if number % max(count // _SAMPLES, 1) == 0 or number == count - 1:
            gc.collect()
            at.append(number)
            memory.append(process.memory_info().rss / 1e6)
            files.append(process.num_fds())
    half = len(at) // 2
    slope = float(np.polyfit(at[half:], memory[half:], 1)[0]) * 1000
    return {
        "steps": count,
        "MB a 1,000 steps": round(slope, 3),
        "MB by the way": " ".join(
            f"{memory[i]:.1f}" for i in range(0, len(at), max(len(at) // 8, 1))
        ),
        "open files, least and most": f"{min(files[1:])} and {max(files[1:])}",
        "ms a step": round(1000 * (time.monotonic() - started) / count, 1),
    }
