"""Forty rendered screens, each asked one question as a person would ask it.

Claims: of screens that are attached, the asked string stands in the answer for 95 in 100, letter by
letter, and the marked box meets the right line with IoU ≥ 0.5 for 90 in 100. The same screens put
into one library and asked about by name are reported beside it.

    python benchmarks/screenshots.py [--seed N] [--keep DIR]

Four fonts, two sizes, light and dark; see ``screen_texts/`` for what is written on them. A box
is right where it meets the line's label and value together, or the value alone.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import arguments, limner, show, squeezed, write

# isort: split
from screen_content import Content, contents
from screens import Screen, Style, draw, styles

from limner.agent.agent import Agent
from limner.agent.answer import Answer, Marked
from limner.index.library import Library
from limner.tools.grounding import overlap

_IOU = 0.5


@dataclass(frozen=True)
class Case:
    """A screen, what stands on it, and how it looks."""

    file: str
    content: Content
    style: Style
    screen: Screen


def cases(seed: int) -> list[Case]:
    pairs = zip(contents(seed), styles(40, seed), strict=True)
    return [Case(f"{n:02}.png", c, style, draw(c, style)) for n, (c, style) in enumerate(pairs)]


def judged(case: Case, question: str, answer: Answer, source: str) -> dict[str, Any]:
    """What is right about one answer, with enough to mend it."""
    marked = [p.origin for p in answer.pictures if isinstance(p.origin, Marked)]
    boxes = [box for m in marked if m.passage.source == source for box in m.boxes]
    row, value = (
        max((overlap(box, truth) for box in boxes), default=0.0)
        for truth in (case.screen.row, case.screen.value)
    )
    return {
        "file": case.file,
        "kind": case.content.kind,
        "style": f"{case.style.font} {case.style.size} {'dark' if case.style.dark else 'light'}",
        "question": question,
        "asked": case.content.answer,
        "answer": answer.text,
        "string": not answer.abstained and _says(answer.text, case.content.answer),
        "abstained": answer.abstained,
        "cited": source in {answer.passages[n - 1].source for n in answer.citations},
        "box": max(row, value) >= _IOU,
        "row IoU": round(row, 4),
        "value IoU": round(value, 4),
        "marked": [picture.caption for picture in answer.pictures],
    }


def _says(text: str, asked: str) -> bool:
    """Whether the asked string stands in the text, and not as a part of a longer word."""
    return re.search(rf"(?<!\w){re.escape(squeezed(asked))}(?!\w)", squeezed(text)) is not None


def attached(found: Sequence[Case], folder: Path) -> list[dict[str, Any]]:
    """Each screen goes along with its question; the library is empty."""
    rows = []
    with Library.open(folder / "empty") as library, Agent(library) as agent:
        for case in found:
            question = case.content.ask(named=False)
            answer = agent.ask(question, [case.screen.image])
            rows.append(judged(case, question, answer, "picture 1"))
    return rows


def in_library(found: Sequence[Case], folder: Path, files: Path) -> list[dict[str, Any]]:
    """All screens are in one library; a question names the one it is about."""
    rows = []
    limner("add", files, "--library", folder / "library")
    with Library.open(folder / "library") as library, Agent(library) as agent:
        for case in found:
            question = case.content.ask(named=True)
            rows.append(judged(case, question, agent.ask(question), case.file))
    return rows


def report(title: str, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Print the shares by kind of screen, and every failure."""
    kinds = {
        kind: [r for r in rows if r["kind"] == kind] for kind in sorted({r["kind"] for r in rows})
    }
    head = ["string", "box", "cited", "abstained"]
    table = [[k, len(v), *(sum(r[h] for r in v) for h in head)] for k, v in kinds.items()]
    table.append(["all", len(rows), *(sum(r[h] for r in rows) for h in head)])
    show(title, ["", "screens", *head], table)
    for row in rows:
        if not (row["string"] and row["box"]):
            missing = " and ".join(h for h in ("string", "box") if not row[h])
            print(f"\n  {row['file']} ({row['kind']}, {row['style']}): {missing} missed")
            for key in ("question", "asked", "answer", "marked", "row IoU", "value IoU"):
                print(f"    {key}: {row[key]}")
    shares = {h: sum(r[h] for r in rows) / len(rows) for h in head}
    for kind in ("row IoU", "value IoU"):
        shares[f"{kind} ≥ {_IOU}"] = sum(r[kind] >= _IOU for r in rows) / len(rows)
    return shares


def main() -> None:
    parser = arguments(__doc__ or "", "screenshots")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the screens here")
    args = parser.parse_args()
    found = cases(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = args.keep or folder / "screens"
        files.mkdir(parents=True, exist_ok=True)
        for case in found:
            case.screen.image.save(files / case.file)
        parts = {
            "attached": attached(found, folder),
            "in the library": in_library(found, folder, files),
        }
    shares = {name: report(f"Screens, {name}", rows) for name, rows in parts.items()}
    write(args.out, {"seed": args.seed, "shares": shares, "screens": parts})


if __name__ == "__main__":
    main()
