"""Malformed documents and bombs, through the limited reader: rows 6 and 7 of the reliability list.

Good documents of seven formats are written on the fly and damaged with a seed: cut off, bits
flipped, parts swapped with another file. They are read one by one among good ones; the time of
each and the most memory that its process took beyond what it held before are kept. On a shared
machine the clock says little, so the processor's time stands beside it and is what bombs are held
to; where the process was lost, both are the clock's, and its memory is what it was allowed.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import common
from bombs import bombs, pdf
from PIL import Image, ImageDraw, ImageFont

from limner.errors import LimnerError
from limner.index.loaders import load
from limner.index.reading import Reader
from limner.tools.media import MediaStore

WORDS = (
    *("The", "laser", "cutter", "stands", "in", "the", "quiet"),
    *("room", "and", "every", "member", "may", "book", "it"),
)
GOOD_EVERY = 20  # inputs between two good documents
SLOWEST, SLOWEST_BOMB = 10.0, 2.0  # seconds
LARGEST, LARGEST_BOMB = 1000, 300  # MB
LOST = ("crashed the reader", "took more than", "needed more than")


@dataclass(frozen=True)
class Read:
    """What became of one file."""

    name: str
    kind: str
    seconds: float
    cpu_seconds: float
    megabytes: float
    outcome: str


def sentence(dice: random.Random) -> str:
    return " ".join(dice.choices(WORDS, k=9)) + "."


def good_pdf(dice: random.Random) -> bytes:
    rows = [f"BT /F1 10 Tf 50 {450 - 14 * n} Td ({sentence(dice)}) Tj ET" for n in range(20)]
    content = "\n".join(rows).encode()
    return pdf(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 500 500] /Contents 4 0 R "
            b"/Resources << /Font << /F1 5 0 R >> >> >>",
            b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
    )


def good_docx(dice: random.Random) -> bytes:
    import docx

    document = docx.Document()
    document.add_heading("The workshop")
    for _ in range(8):
        document.add_paragraph(sentence(dice))
    table = document.add_table(2, 2)
    table.cell(0, 0).text, table.cell(1, 1).text = "hours", "nine"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def good_html(dice: random.Random) -> bytes:
    inner = "".join(f"<p>{sentence(dice)}</p><ul><li>{sentence(dice)}</ul>" for _ in range(8))
    rows = "<tr><th>day<th>hours<tr><td>Friday<td>nine"
    return f"<html><h1>The workshop</h1>{inner}<table>{rows}</table></html>".encode()


def good_md(dice: random.Random) -> bytes:
    inner = "\n\n".join(f"{sentence(dice)}\n\n- {sentence(dice)}" for _ in range(8))
    return f"# The workshop\n\n{inner}\n\n|day|hours|\n|-|-|\n|Friday|nine|\n".encode()


def picture(kind: str) -> Callable[[random.Random], bytes]:
    def good(dice: random.Random) -> bytes:
        image = Image.new("RGB", (240, 48), "white")
        words = " ".join(dice.choices(WORDS, k=3))
        ImageDraw.Draw(image).text((8, 10), words, "black", ImageFont.load_default(20))
        out = io.BytesIO()
        image.save(out, kind)
        return out.getvalue()

    return good


MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    ".pdf": good_pdf,
    ".docx": good_docx,
    ".html": good_html,
    ".md": good_md,
    ".png": picture("PNG"),
    ".jpeg": picture("JPEG"),
    ".webp": picture("WEBP"),
}


def truncated(data: bytes, other: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(1, len(data))]


def flipped(data: bytes, other: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 4, 16, 64, 256))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def spliced(data: bytes, other: bytes, dice: random.Random) -> bytes:
    start, end = sorted(dice.choices(range(len(data)), k=2))
    cut = dice.randrange(len(other))
    return data[:start] + other[cut : cut + dice.randrange(1, 4000)] + data[end:]


DAMAGES = {"truncated": truncated, "flipped": flipped, "spliced": spliced}


def write_inputs(folder: Path, count: int, seed: int) -> Iterator[tuple[Path, str]]:
    """Files and what was done to them: every n-th is good."""
    dice = random.Random(seed)
    for number in range(count):
        suffix = list(MAKERS)[number % len(MAKERS)]
        damage = dice.choice(list(DAMAGES))
        other = MAKERS[dice.choice(list(MAKERS))](dice)
        path = folder / f"{number:04}{suffix}"
        path.write_bytes(DAMAGES[damage](MAKERS[suffix](dice), other, dice))
        yield path, f"{suffix} {damage}"
        if number % GOOD_EVERY == 0:
            suffix = list(MAKERS)[number // GOOD_EVERY % len(MAKERS)]
            good = folder / f"{number:04}-good{suffix}"
            good.write_bytes(MAKERS[suffix](dice))
            yield good, "good"


class Meter:
    """The memory of the processes that this one has started."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._ticks: dict[str, int] = {}

    def start(self) -> None:
        """Begin to measure."""
        self._before, self._ticks = {}, {c: self._cpu(c) for c in self._children()}
        for child in self._children():
            try:
                Path(f"/proc/{child}/clear_refs").write_text("5")  # the peak begins anew
                self._before[child] = self._kilobytes(child, "VmRSS")
            except OSError:
                continue

    def megabytes(self) -> float:
        """The most that any of them has grown since ``start``; a new one counts from 40 MB."""
        grown = [
            self._kilobytes(child, "VmHWM") - self._before.get(child, 40_000)
            for child in self._children()
        ]
        return round(max(grown, default=0) / 1000, 1)

    def cpu_seconds(self) -> float | None:
        """Processor time since ``start``; None where a process was lost."""
        if self._ticks.keys() - set(self._children()):
            return None
        return sum(self._cpu(c) - before for c, before in self._ticks.items()) / 100

    def _cpu(self, child: str) -> int:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def _children(self) -> list[str]:
        tasks = Path("/proc/self/task").iterdir()
        return [child for task in tasks for child in (task / "children").read_text().split()]

    def _kilobytes(self, child: str, name: str) -> int:
        try:
            lines = Path(f"/proc/{child}/status").read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def read(reader: Reader, path: Path, kind: str, meter: Meter) -> tuple[Read, object]:
    meter.start()
    started = time.perf_counter()
    try:
        blocks: object = reader.read_one(path)
        outcome = "read"
    except LimnerError as error:
        blocks, outcome = None, str(error).replace(str(path), "").lstrip(": ")
    seconds = round(time.perf_counter() - started, 3)
    cpu = meter.cpu_seconds()
    cpu = seconds if cpu is None else cpu
    lost = re.search(r"needed more than (\d+) MB", outcome)
    megabytes = max(meter.megabytes(), float(lost[1]) if lost else 0.0)
    return Read(path.name, kind, seconds, cpu, megabytes, outcome[:160]), blocks


def malformed(count: int, seed: int, folder: Path) -> tuple[list[Read], int, int]:
    """Read every input; also how many good ones there were, and how many came out equal."""
    found, good, equal = [], 0, 0
    own = MediaStore(folder / "own")
    inputs = folder / "inputs"
    inputs.mkdir()
    with Reader(folder / "media", 1) as reader:
        meter = Meter()
        read(reader, _warm(folder), "", meter)  # the engine that reads pictures is loaded
        for path, kind in write_inputs(inputs, count, seed):
            outcome, blocks = read(reader, path, kind, meter)
            found.append(outcome)
            if kind == "good":
                good += 1
                equal += blocks == load(path, own)
    return found, good, equal


def _warm(folder: Path) -> Path:
    path = folder / "warm.png"
    path.write_bytes(MAKERS[".png"](random.Random(0)))
    return path


def burst(folder: Path) -> list[Read]:
    """Read every bomb."""
    found = []
    with Reader(folder / "media", 1) as reader:
        meter = Meter()
        for name, data in bombs():
            path = folder / name
            path.write_bytes(data)
            warm = folder / f"warm{path.suffix}"  # the parser itself is not at fault
            if not warm.exists() and path.suffix in MAKERS:
                warm.write_bytes(MAKERS[path.suffix](random.Random(0)))
            elif not warm.exists():
                warm.write_text("[1]")
            read(reader, warm, "", meter)
            found.append(read(reader, path, path.suffix, meter)[0])
            path.unlink()
    return found


def summary(found: list[Read], slowest: float, largest: float) -> dict[str, Any]:
    # Where a process cannot be told to have lacked memory, it is said to have done so or crashed.
    reasons = [next((w for w in reversed(LOST) if w in r.outcome), "") for r in found]
    lost = Counter(reasons)
    return {
        "inputs": len(found),
        "read": sum(r.outcome == "read" for r in found),
        "refused": sum(r.outcome != "read" for r in found),
        "without_a_reason": sum(not r.outcome for r in found),
        "crashed": lost[LOST[0]],
        "ended_for_time": lost[LOST[1]],
        "ended_for_memory": lost[LOST[2]],
        "slowest_cpu_seconds": max((r.cpu_seconds for r in found), default=0.0),
        "slowest_seconds": max((r.seconds for r in found), default=0.0),
        "most_megabytes": max((r.megabytes for r in found), default=0.0),
        "too_slow": [asdict(r) for r in found if r.cpu_seconds > slowest],
        "too_large": [asdict(r) for r in found if r.megabytes > largest],
    }


def tables(found: list[Read], burst_: list[Read]) -> None:
    kinds = sorted({r.kind for r in found})
    groups = {kind: [r for r in found if r.kind == kind] for kind in kinds}
    rows = [
        (
            kind,
            len(group),
            sum(r.outcome == "read" for r in group),
            sum(r.outcome != "read" for r in group),
            max(r.seconds for r in group),
            max(r.megabytes for r in group),
        )
        for kind, group in groups.items()
    ]
    common.show("malformed", ("", "inputs", "read", "refused", "s at most", "MB at most"), rows)
    lines = [(r.name, r.seconds, r.cpu_seconds, r.megabytes, r.outcome[:70]) for r in burst_]
    common.show("bombs", ("", "s", "CPU s", "MB", "outcome"), lines)


def main() -> None:
    parser: argparse.ArgumentParser = common.arguments(__doc__ or "", "malformed")
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-bombs", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found, good, equal = malformed(options.inputs, options.seed, Path(name))
        burst_ = [] if options.no_bombs else burst(Path(name))
    tables(found, burst_)
    bad = [r for r in found if r.kind != "good"]
    body = {
        "malformed": summary(bad, SLOWEST, LARGEST),
        "good": {"inputs": good, "equal_blocks": equal},
        "bombs": summary(burst_, SLOWEST_BOMB, LARGEST_BOMB),
        "each_bomb": [asdict(r) for r in burst_],
    }
    for part in ("malformed", "bombs", "good"):
        print(f"\n{part}: " + ", ".join(f"{k} {v}" for k, v in body[part].items()))
    common.write(options.out, body)
    failed = good != equal or any(
        body[part][key]
        for part in ("malformed", "bombs")
        for key in ("without_a_reason", "too_slow", "too_large")
    )
    sys.exit(failed or body["malformed"]["crashed"] + body["malformed"]["ended_for_time"] > 0)


if __name__ == "__main__":
    main()
