"""What becomes of a library whose files are damaged on the disk; beside it three vector stores.

Claims: of 2,000 damages (files truncated, flipped, overwritten, emptied, deleted, swapped, of an
earlier state, of another library) each is detected with an error of its own or leaves everything
as it was; none crashes; and a repair rebuilds the library from its sources.

    python benchmarks/damage.py [--damages 2000] [--peers 200]

A damage counts as detected where opening, listing or searching raises ``LibraryError``, as harmless
where passages, searches with their scores, and pictures are those of the undamaged library. Every
few cases run in a process of their own, so that one that the system kills is counted.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common import arguments, show, write

_CHUNK = 40
_SECONDS = 300  # that a chunk may take
_OUTCOMES = ("detected", "harmless", "silently wrong", "crashed")
_REPAIRS = ("rebuilt", "after migrate", "after add", "not rebuilt")

Case = dict[str, Any]


def main() -> None:
    parser = arguments(__doc__ or "", "damage")
    parser.add_argument("--damages", type=int, default=2000)
    parser.add_argument("--peers", type=int, default=200, help="damages of each of the others")
    parser.add_argument("--jobs", type=int, default=4, help="processes at a time")
    parser.add_argument("--child", nargs=4, metavar=("WHO", "FOLDER", "FIRST", "END"))
    options = parser.parse_args()
    if options.child:
        who, folder, first, end = options.child
        _child(who, Path(folder), range(int(first), int(end)))
        return
    with tempfile.TemporaryDirectory(prefix="limner-damage-") as name:
        ours = _limner(Path(name), options.damages, options.jobs)
        peers = {}
        for who in ("limner", "langchain-faiss", "chroma", "lancedb") if options.peers else ():
            peers[who] = _peer(who, Path(name) / who, options.peers, options.jobs)
    rows = [(who, *(counts.get(o, 0) for o in _OUTCOMES)) for who, counts in peers.items()]
    show("One file with one bit flipped, or cut short", ("", *_OUTCOMES), rows)
    write(options.out, {**ours, "peers": peers})


def _limner(folder: Path, damages: int, jobs: int) -> dict[str, Any]:
    from damage_cases import build

    build(folder / "world")
    cases = _run("library", folder / "world", damages, jobs)
    outcomes = Counter(case["outcome"] for case in cases)
    repairs = Counter(case["repair"] for case in cases if case["outcome"] == "detected")
    by_kind: dict[str, Counter[str]] = {}
    for case in cases:
        by_kind.setdefault(case["kind"], Counter())[case["outcome"]] += 1
    wrong = [c for c in cases if c["outcome"] in _OUTCOMES[2:] or c["repair"] == "not rebuilt"]
    rows = [(kind, *(by_kind[kind][o] for o in _OUTCOMES)) for kind in sorted(by_kind)]
    show(
        f"{damages} damages", ("", *_OUTCOMES), [*rows, ("all", *(outcomes[o] for o in _OUTCOMES))]
    )
    show("Repairs of what was detected", ("", "cases"), [(r, repairs[r]) for r in _REPAIRS])
    return {
        "damages": damages,
        "outcomes": {o: outcomes[o] for o in _OUTCOMES},
        "repairs": {r: repairs[r] for r in _REPAIRS},
        "by_kind": {kind: dict(counts) for kind, counts in sorted(by_kind.items())},
        "not_passed": [_without_place(case, folder) for case in wrong],
    }


def _peer(who: str, folder: Path, damages: int, jobs: int) -> dict[str, int]:
    folder.mkdir(parents=True, exist_ok=True)
    made = subprocess.run([*_command(who, folder, 0, 0)], capture_output=True, text=True)
    if made.returncode:
        print(f"{who} does not run here: {made.stderr.strip()[-300:]}", file=sys.stderr)
        return {}
    return dict(Counter(case["outcome"] for case in _run(who, folder, damages, jobs)))


def _run(who: str, folder: Path, count: int, jobs: int) -> list[Case]:
    """Every case, in children."""
    starts = range(0, count, _CHUNK)
    cases: list[Case] = []
    with ThreadPoolExecutor(jobs) as pool:
        for some in pool.map(lambda n: _chunk(who, folder, n, min(n + _CHUNK, count)), starts):
            cases += some
            print(f"\r{who}: {len(cases)} of {count}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return cases


def _chunk(who: str, folder: Path, first: int, end: int) -> list[Case]:
    """A few cases; one that a child dies of has crashed, and another child does the rest."""
    cases: list[Case] = []
    while first + len(cases) < end:
        at = first + len(cases)
        try:
            done = subprocess.run(
                _command(who, folder, at, end), capture_output=True, text=True, timeout=_SECONDS
            )
            text, died = done.stdout, f"exit status {done.returncode}"
        except subprocess.TimeoutExpired as error:
            text, died = (error.stdout or b"").decode(), "no end"
        cases += [json.loads(line) for line in text.splitlines() if line.startswith('{"seed"')]
        if first + len(cases) < end:
            case = {"seed": first + len(cases), "part": "", "kind": "unknown", "why": died}
            cases.append({**case, "outcome": "crashed", "repair": "", "left": ""})
    return cases


def _command(who: str, folder: Path, first: int, end: int) -> list[str]:
    child = ["--child", who, str(folder), str(first), str(end)]
    return [sys.executable, "-W", "ignore", __file__, *child]


def _child(who: str, folder: Path, seeds: Iterable[int]) -> None:
    if who == "library":
        _damaged_libraries(folder, seeds)
    else:
        from damage_peers import damaged_peers

        for case in damaged_peers(who, folder, seeds):
            print(json.dumps(case), flush=True)


def _damaged_libraries(folder: Path, seeds: Iterable[int]) -> None:
    from damage_cases import World, content, damage, mended, outcome

    world = World(folder)
    expected = content(world.library)
    for seed in seeds:
        copy = folder / f"case-{seed}"
        shutil.copytree(world.library, copy)
        part, kind = damage(world, copy, seed)
        came, why = outcome(copy, expected)
        repair, left = mended(world, copy, expected) if came != "harmless" else ("", "")
        shutil.rmtree(copy)
        case = {"seed": seed, "part": part, "kind": kind, "outcome": came, "why": why}
        print(json.dumps({**case, "repair": repair, "left": left}), flush=True)


def _without_place(case: Case, folder: Path) -> Case:
    return {k: v.replace(str(folder), "") if isinstance(v, str) else v for k, v in case.items()}


if __name__ == "__main__":
    main()
