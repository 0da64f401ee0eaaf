"""Row 2: a power cut. Writes that were not flushed are dropped, in random orders, after any call.

A run is recorded call by call; a `Disk` then knows for each moment what is certain to be there and
what may or may not be. What a flush of a file promises is its data, and what a flush of a folder
promises are its names: nothing else, as POSIX has it.
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reliability_shim import Op, Shim, read_log
from reliability_world import OPERATIONS, World, forked, state_in_child

__all__ = ["Disk", "dropped"]

_SECTOR = 512


@dataclass
class _File:
    """Bytes that are certain, and what was done since the last flush."""

    sure: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)


@dataclass
class _Names:
    """Entries that are certain, and changes since the last flush; a file or a folder each."""

    sure: dict[str, Any] = field(default_factory=dict)
    now: dict[str, Any] = field(default_factory=dict)
    waiting: list[dict[str, Any]] = field(default_factory=list)

    def change(self, **entries: Any) -> None:
        """One change of one or two names, which happens as a whole or not."""
        self.waiting.append(entries)
        _put(self.now, entries)


class Disk:
    """A folder as a disk holds it.

    Args:
        folder: what is in it now is certain to be there.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self._top = _loaded(folder)

    def do(self, op: Op) -> None:
        """One recorded call."""
        if op.kind in "WP":
            self._file(op.path).waiting.append((op.offset, op.data))
        elif op.kind == "T":
            self._file(op.path).waiting.append((op.offset, None))
        elif op.kind == "S":
            self._flush(self._at(op.path))
        elif op.kind in "CMUD":
            new = {"C": _File, "M": _Names}.get(op.kind, lambda: None)()
            self._parent(op.path).change(**{Path(op.path).name: new})
        elif op.kind == "R":
            self._rename(op.path, os.fsdecode(op.data))

    def _rename(self, old: str, new: str) -> None:
        before, after = self._parent(old), self._parent(new)
        moved = before.now[Path(old).name]
        if before is after:
            before.change(**{Path(old).name: None, Path(new).name: moved})
        else:
            after.change(**{Path(new).name: moved})
            before.change(**{Path(old).name: None})

    def write(self, place: Path, dice: random.Random, how: str) -> None:
        """What the disk may hold after a power cut.

        Args:
            place: where to put it; must not be there.
            dice: which of the writes that are not certain came through.
            how: ``none``, ``all``, ``in order`` (the first few) or ``any``.
        """
        _write(self._top, place, dice, how)

    def _flush(self, what: Any) -> None:
        if isinstance(what, _File):
            for offset, data in what.waiting:
                _apply(what.sure, offset, data)
        else:
            for entries in what.waiting:
                _put(what.sure, entries)
        what.waiting = []

    def _at(self, path: str) -> Any:
        found: Any = self._top
        for part in Path(path).relative_to(self._root).parts:
            found = found.now[part]
        return found

    def _file(self, path: str) -> _File:
        found = self._at(path)
        assert isinstance(found, _File)
        return found

    def _parent(self, path: str) -> _Names:
        found = self._at(str(Path(path).parent))
        assert isinstance(found, _Names)
        return found


def _put(names: dict[str, Any], entries: dict[str, Any]) -> None:
    for name, entry in entries.items():
        if entry is None:
            names.pop(name, None)
        else:
            names[name] = entry


def _loaded(path: Path) -> Any:
    if path.is_file():
        return _File(bytearray(path.read_bytes()))
    entries = {child.name: _loaded(child) for child in path.iterdir()}
    return _Names(dict(entries), dict(entries))


def _chosen(waiting: list[Any], dice: random.Random, how: str) -> list[Any]:
    if how == "in order":
        return waiting[: dice.randint(0, len(waiting))]
    if how == "any":
        return [one for one in waiting if dice.random() < 0.5]
    return waiting if how == "all" else []


def _write(what: Any, place: Path, dice: random.Random, how: str) -> None:
    if isinstance(what, _File):
        data = bytearray(what.sure)
        for offset, part in _chosen(what.waiting, dice, how):
            _apply(data, offset, _torn(part, dice) if how == "any" else part)
        place.write_bytes(data)
        return
    place.mkdir()
    names = dict(what.sure)
    for entries in _chosen(what.waiting, dice, how):
        _put(names, entries)
    for name, entry in names.items():
        _write(entry, place / name, dice, how)


def _torn(part: bytes | None, dice: random.Random) -> bytes | None:
    """Now and then only the first sectors of a write came through."""
    if part is None or dice.random() < 0.7:
        return part
    return part[: dice.randint(0, len(part) // _SECTOR) * _SECTOR]


def _apply(data: bytearray, offset: int, part: bytes | None) -> None:
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    if part is None:
        del data[offset:]
    else:
        data[offset : offset + len(part)] = part


# ── the row ──────────────────────────────────────────────────────────────────────────────────


def dropped(folder: Path, orders: int) -> dict[str, Any]:
    """Cut the power ``orders`` times in each operation and count how the library opens."""
    world, dice = World(folder / "power"), random.Random(3)
    counts = {"opened at a committed state": 0, "lost what was acknowledged": 0, "corrupt": 0}
    examples, done, operations = list[str](), 0, [o for o in OPERATIONS if "migrate" not in o]
    hows = ("none", "any", "in order", "all", "any")
    logs = {o: _recorded(world, o) for o in operations}
    for number in range(orders):
        operation = operations[number % len(operations)]
        ops, before, states = logs[operation]
        how = hows[number // len(operations) % len(hows)]
        cut = len(ops) if number % 10 == 0 else dice.randint(0, len(ops))
        verdict, why = _cut(world, before, states, ops[:cut], dice, how)
        counts[verdict] += 1
        done += 1
        if why:
            last = ops[cut - 1] if cut else None
            place = f"{last.kind} {Path(last.path).name}" if last else "the start"
            examples.append(f"{operation}, {how}, after {cut} of {len(ops)} ({place}): {why}")
    calls = {o: len(logs[o][0]) for o in operations}
    return {"orders": done, **counts, "calls": calls, "examples": examples[:12]}


def _recorded(world: World, operation: str) -> tuple[list[Op], Path, list[str]]:
    """The calls of an undisturbed run, a copy of what was there before, and its states."""
    states = world.states(operation)
    place, log = world.prepare(operation), world.folder / f"{operation}.log"
    before = world.folder / f"before-{operation}"
    shutil.copytree(place.parent, before)
    handle = os.open(log, os.O_CREAT | os.O_WRONLY, 0o600)
    shim = Shim(place.parent)

    def work() -> dict[str, Any]:
        from limner.index import writer

        apply, number = writer.Writer.apply, 0

        def followed(self: Any, *arguments: Any, **named: Any) -> Any:
            nonlocal number
            result = apply(self, *arguments, **named)
            number += 1
            shim.mark(number)
            return result

        writer.Writer.apply = followed  # type: ignore[method-assign]
        shim.record(handle)
        world.run(operation, place)
        shim.mark(len(states) - 1)
        return {}

    forked(work)
    os.close(handle)
    return list(read_log(log)), before, states


def _cut(
    world: World, before: Path, states: list[str], ops: list[Op], dice: random.Random, how: str
) -> tuple[str, str]:
    place = world.prepare("add")
    root = place.parent
    root.rmdir()
    shutil.copytree(before, root)
    disk = Disk(root)
    for op in ops:
        if op.kind != "A":
            disk.do(op)
    shutil.rmtree(root)
    disk.write(root, dice, how)
    found = state_in_child(place)
    acknowledged = max((op.offset for op in ops if op.kind == "A"), default=0)
    state = found.get("state")
    if state in states[acknowledged : acknowledged + 2]:
        return "opened at a committed state", ""
    if state in states:
        return "lost what was acknowledged", f"{states.index(state)} instead of {acknowledged}"
    return "corrupt", str(found.get("message") or found)[:200].replace(str(world.folder), "")
