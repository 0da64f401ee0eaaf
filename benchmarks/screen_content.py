"""What stands on the forty screens of ``screen_texts/``: titles, fields, tables, one question each.

In those files a blank line ends a screen, ``-`` opens a field (a table's row) and ``*`` the asked
one. ``#`` is a seeded digit; ``{name}``, ``{town}`` (or ``{Town}``), ``{word}``, ``{date}`` and
``{time}`` are seeded choices, so another seed gives forty other screens. Knows nothing of how they
are drawn or asked.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["Content", "contents"]

_FOLDER = Path(__file__).parent / "screen_texts"

_CHOICES = {
    "name": "Priya Nair|Tomas Berg|Amelia Okafor|Lena Hofmann|Marc Delvaux|Yuki Tanabe|Owen Price",
    "town": "alder|kestrel|linden|fjord|harrow|meridian|larkspur|saltmarsh|tamarack|windmill",
    "word": "projects|archive|payroll|drawings|exports|recipes|minutes|scans",
    "date": "3 March 2025|14 April 2025|27 May 2025|9 June 2025|18 July 2025|30 August 2025",
    "time": "08:15|09:40|11:05|13:25|14:50|16:10|17:35",
}


@dataclass(frozen=True)
class Content:
    """One screen.

    Attributes:
        kind: how it is laid out: dialog, settings, page, table, login, tiles or terminal.
        title: of its window, unlike any other's.
        heading: the large line within it.
        text: paragraphs below the heading.
        fields: labels and values; for a table its rows, for a terminal lines with empty labels.
        asked: which field, and for a table which column.
        question: with ``{}`` where the window may be named, and ``{key}`` for a table's row.
        where: names the window in a question, for when it is not attached.
        answer: the asked string.
        buttons: at the bottom.
        side: entries of a navigation on the left, or the column heads of a table.
    """

    kind: str
    title: str
    heading: str
    text: tuple[str, ...]
    fields: tuple[tuple[str, ...], ...]
    asked: tuple[int, int]
    question: str
    where: str
    answer: str = ""
    buttons: tuple[str, ...] = ()
    side: tuple[str, ...] = ()

    def ask(self, named: bool) -> str:
        """The question, with or without the name of its window."""
        key = self.fields[self.asked[0]][0]
        return self.question.format(f" {self.where}" if named else "", key=key)


def contents(seed: int) -> list[Content]:
    """The forty screens of a seed."""
    rng = random.Random(seed)
    texts = [path.read_text(encoding="utf-8") for path in sorted(_FOLDER.glob("*.txt"))]
    blocks = [block for text in texts for block in text.strip().split("\n\n")]
    screens = [_filled(_read(block), rng) for block in blocks]
    assert len(screens) == 40 and len({screen.title for screen in screens}) == 40
    return screens


def _read(block: str) -> Content:
    """A block of ``key: value`` lines; ``-`` opens a field, ``*`` the asked one."""
    parts: dict[str, list[str]] = {}
    fields: list[tuple[str, ...]] = []
    asked = (0, 1)
    for line in block.splitlines():
        key, _, value = line.partition(" ")
        if key in "-*":
            cells = value.split(" | ")
            column = next((i for i, cell in enumerate(cells) if cell.startswith("*")), 1)
            asked = (len(fields), column) if key == "*" else asked
            fields.append(tuple(cell.removeprefix("*") for cell in cells))
        else:
            parts.setdefault(key, []).append(value)
    lists = {key: tuple(parts.get(key, [""])[0].split(" | ")) for key in ("buttons", "side")}
    return Content(
        kind=parts["kind"][0],
        title=parts["title"][0],
        heading=parts["heading"][0],
        text=tuple(parts.get("text", ())),
        fields=tuple(fields),
        asked=asked,
        question=parts["question"][0],
        where=parts["where"][0],
        answer=parts.get("answer", [""])[0],
        buttons=tuple(filter(None, lists["buttons"])),
        side=tuple(filter(None, lists["side"])),
    )


def _filled(content: Content, rng: random.Random) -> Content:
    chosen = {name: rng.choice(words.split("|")) for name, words in _CHOICES.items()}

    def fill(text: str) -> str:
        for name, word in chosen.items():
            text = text.replace(f"{{{name}}}", word).replace(f"{{{name.title()}}}", word.title())
        return re.sub("#", lambda _: str(rng.randint(1, 9)), text)

    fields = tuple(tuple(fill(cell) for cell in field) for field in content.fields)
    row, column = content.asked
    return replace(
        content,
        fields=fields,
        heading=fill(content.heading),
        text=tuple(fill(text) for text in content.text),
        answer=fill(content.answer) or fields[row][column],
    )
