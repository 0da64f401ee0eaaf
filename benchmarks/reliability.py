"""Faults and attacks: what becomes of a library, row by row, with the peers where they can run.

Claims, by row: 1, killed at 500 points it reopens at a committed state and nothing acknowledged is
lost; 2, nor is it when a power cut drops writes that were not flushed; 3, any failing call leaves
the old library intact and says why; 4, several writers lock or merge; 8, no path leads out of the
named inputs; 13, nothing planted is executed; 17, neither memory nor open files grow; 18, strange
places end in a message.

    python benchmarks/reliability.py --rows 1 2 3 4 8 13 17 18 [--points 500] [--peers]

Needs a C compiler for rows 1 to 3, and root for parts of row 18. Rows that are not named keep the
figures that the file of results holds.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import arguments, show, write

Result = dict[str, Any]


def row_1(folder: Path, options: Any) -> Result:
    part = importlib.import_module("reliability_kill")
    found = part.killed(folder, options.points)
    found["with a cache"] = part.killed_with_a_cache(folder, max(options.points // 25, 2))
    if options.peers:
        peers = importlib.import_module("reliability_peers")
        found["peers"] = peers.killed(folder / "peers", max(options.points // 8, 4))
    return found


def row_2(folder: Path, options: Any) -> Result:
    return importlib.import_module("reliability_power").dropped(folder, options.orders)


def row_3(folder: Path, options: Any) -> Result:
    return importlib.import_module("reliability_faults").failing(folder, options.step)


def row_4(folder: Path, options: Any) -> Result:
    found = importlib.import_module("reliability_writers").writing(folder, options.rounds)
    if options.peers:
        peers = importlib.import_module("reliability_peers")
        found["peers"] = peers.writing(folder / "peers", max(options.rounds // 10, 2))
    return found


def row_8(folder: Path, options: Any) -> Result:
    return importlib.import_module("reliability_paths").attacked(folder)


def row_13(folder: Path, options: Any) -> Result:
    return importlib.import_module("reliability_hostile").planted(folder)


def row_17(folder: Path, options: Any) -> Result:
    return importlib.import_module("reliability_soak").soaked(folder, options.turns)


def row_18(folder: Path, options: Any) -> Result:
    return importlib.import_module("reliability_places").strange(folder)


ROWS: dict[int, Callable[[Path, Any], Result]] = {
    **{1: row_1, 2: row_2, 3: row_3, 4: row_4, 8: row_8, 13: row_13, 17: row_17, 18: row_18},
}


def main() -> None:
    parser = arguments(__doc__ or "", "reliability")
    parser.add_argument("--rows", type=int, nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--points", type=int, default=500, help="kills of row 1")
    parser.add_argument("--orders", type=int, default=200, help="power cuts of row 2")
    parser.add_argument("--step", type=int, default=1, help="row 3: every n-th call fails")
    parser.add_argument("--rounds", type=int, default=50, help="of row 4")
    parser.add_argument("--turns", type=int, default=2000, help="of row 17")
    parser.add_argument("--peers", action="store_true", help="the others too")
    options = parser.parse_args()
    os.environ["LIMNER_CACHE"] = "off"
    for key in ("ANONYMIZED_TELEMETRY", "CHROMA_TELEMETRY_ENABLED"):
        os.environ[key] = "False"
    if {1, 2, 3} & set(options.rows):
        _with_shim()
    for number in options.rows:
        folder = Path(tempfile.mkdtemp(prefix="limner-reliability-"))
        started = time.monotonic()
        try:
            found = ROWS[number](folder, options)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        found["seconds"] = round(time.monotonic() - started)
        _keep(options.out, number, found)
        show(f"Row {number}", ("", ""), list(_flat(found)))


def _with_shim() -> None:
    from reliability_shim import preloaded

    place = Path(tempfile.gettempdir()) / f"limner-shim-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    preloaded(place)


def _keep(path: Path, number: int, found: Result) -> None:
    """Put a row's figures among those of the other rows."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else {}
    rows[str(number)] = found | {"command": " ".join(["python", *sys.argv])}
    write(path, {"rows": dict(sorted(rows.items(), key=lambda row: int(row[0])))})


def _flat(found: Result, before: str = "") -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for key, value in found.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{before}{key}: ")
        else:
            shown = f"{len(value)}, in the file" if isinstance(value, list) else str(value)
            lines.append((f"{before}{key}", shown))
    return lines


if __name__ == "__main__":
    main()
