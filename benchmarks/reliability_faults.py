"""Row 3: the command line on a disk where the i-th call fails, for every i and three errors.

A fault strikes once, or from there on for good (a disk that stays full). What counts as right: the
library is at a state that was committed; where that is not the last one, the exit code is not 0 and
one line with a hint, no traceback, says why; no temporary file is left once the fault has passed.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from reliability_shim import Shim
from reliability_world import OPERATIONS, World, forked, shared_long, state_in_child

__all__ = ["commanded", "failing"]

_CODES = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}

_KINDS = [(code, on) for on in (False, True) for code in _CODES]
_SHORT = ("remove",)  # every kind at every call; elsewhere the kinds take turns


def failing(folder: Path, step: int) -> dict[str, Any]:
    """Let every ``step``-th call of each operation fail."""
    world, tally = World(folder / "faults"), Counter[str]()
    wrong, messages, calls = list[str](), Counter[str](), dict[str, int]()
    for operation in OPERATIONS:
        world.states(operation)
        calls[operation] = _calls(world, operation)
        for at in range(0, calls[operation], step):
            for code, on in _KINDS if operation in _SHORT else [_KINDS[at // step % len(_KINDS)]]:
                why = _failed_once(world, operation, at, _CODES[code], on, tally, messages)
                tally["faults"] += 1
                if why:
                    kind = "for good" if on else "once"
                    wrong.append(f"{operation}, {code} {kind} at call {at}: {why}")
    return {
        "faults": tally["faults"],
        "every n-th call": step,
        "all six kinds at each call of": ", ".join(_SHORT),
        "a committed state": tally["sound"],
        "exit code not 0 where it was cut short": tally["refused"],
        "harmless": tally["harmless"],
        "tracebacks": tally["traceback"],
        "without a hint": tally["no hint"],
        "temporary files left": tally["left"],
        "wrong": len(wrong),
        "examples": wrong[:16],
        "calls": calls,
        "messages": dict(messages.most_common(20)),
    }


def _calls(world: World, operation: str) -> int:
    place, counter = world.prepare(operation), shared_long()
    shim = Shim(place, counter)
    forked(lambda: _command(world, operation, place, shim, None))
    return counter.value


def _failed_once(
    world: World,
    operation: str,
    at: int,
    code: int,
    on: bool,
    tally: Counter[str],
    messages: Counter[str],
) -> str:
    place, states = world.prepare(operation), world.states(operation)
    shim = Shim(place)
    done = forked(lambda: _command(world, operation, place, shim, (at, code, on)))
    left = [p.name for p in place.rglob("*") if p.name.endswith((".part", ".tmp"))]
    found = state_in_child(place)
    if found.get("state") not in states:
        return f"{str(found.get('message') or found)[-250:]} after: {done.get('stderr', '')[:200]}"
    tally["sound"] += 1
    words = str(done.get("stderr", ""))
    if "Traceback" in words or "code" not in done:
        tally["traceback"] += 1
        return f"a traceback: {words[-400:]}{done.get('traceback', '')[-300:]}"
    if left and not on:
        tally["left"] += 1
        if not _swept(world, operation, place):
            return f"left behind for good: {left}"
    if done["code"] == 0:
        tally["harmless"] += 1
        return "" if found["state"] == states[-1] else "exit code 0, and not done"
    tally["refused"] += 1
    lines = words.replace(str(place), "LIBRARY").replace(str(world.folder), "").splitlines()
    messages["; ".join(lines)[:160]] += 1
    if "\ntry: " not in words:
        tally["no hint"] += 1
    return ""


def _swept(world: World, operation: str, place: Path) -> bool:
    """Whether the next run leaves nothing."""
    forked(lambda: _command(world, operation, place, Shim(place), None))
    return not list(place.rglob("*.part"))


def _command(
    world: World, operation: str, place: Path, shim: Shim, fault: tuple[int, int, bool] | None
) -> dict[str, Any]:
    words = {
        "add": ["add", world.docs],
        "sync": ["sync"],
        "remove": ["rm", world.docs / "04.md", world.docs / "05.md"],
        "migrate": ["migrate", "--store", "chroma"],
        "migrate back": ["migrate", "--store", "faiss"],
    }[operation]
    os.chdir(world.folder)

    def begin() -> None:
        if fault is None:
            shim.count()
        else:
            shim.fail_at(*fault)

    return commanded([*words, "--library", place], world.folder / "words", begin, shim.disarm)


def commanded(words: list[Any], output: Path, begin: Any, end: Any) -> dict[str, Any]:
    """Run the command line in this process, which is a forked child; its code and its words."""
    from reliability_world import read_here

    from limner.agent.cli import main
    from limner.index import ingest, library
    from limner.index.embeddings import HashEmbeddings

    library.find_embeddings = lambda name: HashEmbeddings()  # type: ignore[assignment]
    read_here()
    ingest._SECONDS = 0.0  # type: ignore[misc]
    handle = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["limner", *map(str, words)]
    code: object = 0
    begin()
    try:
        main()
    except SystemExit as error:
        code = error.code or 0
    finally:
        end()
    sys.stdout.flush()
    sys.stderr.flush()
    return json.loads(json.dumps({"code": code, "stderr": output.read_text()}))
