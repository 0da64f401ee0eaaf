"""Row 1: processes killed at every write, flush, rename and deletion, inside writes, and at random.

Kills at a call come from `reliability_shim`, so that SQLite's and Chroma's own are among them.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from reliability_shim import Shim
from reliability_world import (
    OPERATIONS,
    Counting,
    World,
    forked,
    read_here,
    shared_long,
    state_in_child,
)

from limner.index.embedding_cache import EmbeddingCache
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library

__all__ = ["killed", "killed_with_a_cache"]

_BATCH = 4  # passages of one document: the batches of a world are single files


def killed(folder: Path, points: int) -> dict[str, Any]:
    """Kill at ``points`` places and count what is found afterwards."""
    world, tally = World(folder / "kills"), Counter[str]()
    dice, wrong = random.Random(1), list[str]()
    kinds: dict[str, dict[str, int]] = {}
    plan: list[tuple[str, int, str]] = []
    for operation in OPERATIONS:
        world.states(operation)
        _needed(world, operation)
        _usual(world, operation)
        calls = _calls(world, operation)
        kinds[operation] = {"calls": calls}
        plan += [(operation, n, "before a call") for n in range(calls)]
        plan += [(operation, n, "inside a call") for n in range(0, calls, 3)]
    if len(plan) > points * 4 // 5:
        plan = dice.sample(plan, points * 4 // 5)
    moments = [(o, 0, "random moment") for o in OPERATIONS]
    plan += [moments[i % len(moments)] for i in range(points - len(plan))]
    most = 0
    for operation, number, how in plan:
        found = _killed_once(world, operation, number, how, dice)
        tally[how] += 1
        kinds[operation]["kills"] = kinds[operation].get("kills", 0) + 1
        for key in ("reopened", "resumed", "strays"):
            tally[key] += found[key]
        most = max(most, found["again"])
        if found["wrong"]:
            wrong.append(f"{operation}, {how} {number}: {found['wrong']}")
    return {
        "points": len(plan),
        "reopened at what was acknowledged or one commit later": tally["reopened"],
        "resumed to the end": tally["resumed"],
        "unfinished pictures left until gc": tally["strays"],
        "wrong": len(wrong),
        "examples": wrong[:8],
        "most passages embedded again": most,
        "a batch": _BATCH,
        "how": {h: tally[h] for h in ("before a call", "inside a call", "random moment")},
        "operations": kinds,
    }


def _calls(world: World, operation: str) -> int:
    """How many calls an undisturbed run makes."""
    place, counter = world.prepare(operation), shared_long()
    shim = Shim(place.parent, counter)

    def run() -> dict[str, Any]:
        shim.count()
        world.run(operation, place)
        shim.disarm()
        return {}

    forked(run)
    return counter.value


def _killed_once(
    world: World, operation: str, number: int, how: str, dice: random.Random
) -> dict[str, Any]:
    place, encoded, commits = world.prepare(operation), shared_long(), shared_long()
    model, shim = Counting(encoded), Shim(place.parent)

    def run() -> dict[str, Any]:
        if how != "random moment":
            shim.kill_at(number, torn=how == "inside a call")
        world.run(operation, place, model, commits)
        shim.disarm()
        return {}

    if how == "random moment":
        died = _killed_later(run, dice.uniform(0, _usual(world, operation)))
    else:
        died = forked(run)["status"] == -signal.SIGKILL
    if not died:
        return _killed_once(world, operation, max(number - 5, 0), how, dice)  # it ended before
    states, acknowledged = world.states(operation), commits.value
    found = state_in_child(place)
    wrong = ""
    if found.get("state") not in states[acknowledged : acknowledged + 2]:
        wrong = f"{acknowledged} acknowledged, found {found}"[:300]
    ended = _resumed(world, operation, place, model)
    if ended["wrong"] and not wrong:
        wrong = ended["wrong"]
    return {
        "reopened": found.get("state") in states[acknowledged : acknowledged + 2],
        "resumed": not ended["wrong"],
        "again": max(encoded.value - _needed(world, operation), 0),
        "strays": ended["strays"],
        "wrong": wrong,
    }


def _resumed(world: World, operation: str, place: Path, model: Counting) -> dict[str, Any]:
    """Do the same again, and look for what the killed run has left behind."""
    again = forked(lambda: world.run(operation, place, model) or {})
    after = state_in_child(place)
    wrong = ""
    if after.get("state") != world.states(operation)[-1]:
        wrong = f"resumed: {again.get('message', '')} {after}"[:300]
    left = [p.name for p in place.rglob("*.part")]
    if left:
        forked(lambda: {"pictures": Library.open(place, HashEmbeddings()).collect()})
    if still := [p.name for p in place.rglob("*.part")]:
        wrong = wrong or f"left behind by gc: {still}"
    return {"wrong": wrong, "strays": len(left)}


_NEEDED: dict[str, int] = {}
_USUAL: dict[str, float] = {}


def _needed(world: World, operation: str) -> int:
    """How many passages an undisturbed run embeds."""
    if operation not in _NEEDED:
        place, encoded = world.prepare(operation), shared_long()
        forked(lambda: world.run(operation, place, Counting(encoded)) or {})
        _NEEDED[operation] = encoded.value
    return _NEEDED[operation]


def _usual(world: World, operation: str) -> float:
    """How long an undisturbed run takes."""
    if operation not in _USUAL:
        place, started = world.prepare(operation), time.monotonic()
        forked(lambda: world.run(operation, place) or {})
        _USUAL[operation] = time.monotonic() - started
    return _USUAL[operation]


def _killed_later(work: Any, seconds: float) -> bool:
    """Whether it still ran then."""
    child = os.fork()
    if not child:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


# ── a cache of vectors beside ────────────────────────────────────────────────────────────────


def killed_with_a_cache(folder: Path, trials: int, passages: int = 2000) -> dict[str, Any]:
    """Kill a run of one large batch: what was embedded before is embedded again by slices."""
    from limner.index import ingest

    folder = folder.resolve() / "cached"
    docs = folder / "docs"
    docs.mkdir(parents=True)
    for n in range(passages // 20):
        parts = [f"# Part {n} {m}\n\nPassage {m} of {n} tells of thing{n}x{m}." for m in range(20)]
        (docs / f"{n:03}.md").write_text("\n\n".join(parts))
    dice, again = random.Random(2), list[int]()
    for trial in range(trials):
        place, encoded = folder / f"library{trial}", shared_long()
        cache = EmbeddingCache(folder / f"cache{trial}" / "embeddings.db")

        def run(place: Path = place, cache: Any = cache, encoded: Any = encoded) -> dict[str, Any]:
            read_here()
            ingest._SECONDS = 1e9  # type: ignore[misc]
            with Library(place, Counting(encoded), None, cache) as library:
                library.add(docs)
            return {"done": True}

        goal = dice.randrange(passages)
        _killed_when(run, lambda encoded=encoded, goal=goal: encoded.value >= goal)
        forked(run)
        again.append(encoded.value - passages)
    return {"kills": trials, "passages": passages, "embedded again": sorted(again)}


def _killed_when(work: Any, due: Any) -> None:
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set() and not due():
            time.sleep(0.001)
        if not ended.is_set():
            os.kill(child, signal.SIGKILL)

    watcher = threading.Thread(target=watch)
    watcher.start()
    watcher.join(120)
    os.waitpid(child, 0)
    ended.set()
