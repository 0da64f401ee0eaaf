"""From lines of text to paragraphs in reading order. Pure geometry: knows no pdfium, no figures.

Boxes are in points of the page as shown, origin top left.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Protocol, TypeVar

from ..passage import Box
from .pdf_page import TextLine, around
from .text import BULLET

__all__ = ["Paragraph", "body_size", "in_reading_order", "joined", "paragraphs"]

_SAME_SIZE = 1.08
_USUAL_LEADING = 1.05  # line to line, in heights of a line
_LOOSE = 1.22  # a gap this many times the usual leading ends a paragraph
_MOST = 300  # things on a page, beyond which no columns are looked for
_MARK = re.compile(r"\W|\(?\w{1,3}[.)]")
_ENDS = re.compile(r"[.!?:;…]['\"”’)\]]?$")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines that belong together.

    Attributes:
        lines: top to bottom.
        box: around all of them.
    """

    lines: tuple[TextLine, ...]
    box: Box

    @property
    def text(self) -> str:
        """Its words on one line, words that were split at line ends put together."""
        return joined(self.lines)

    @property
    def size(self) -> float:
        """The height of its smallest line."""
        return min(line.size for line in self.lines)

    @property
    def is_item(self) -> bool:
        """Whether it begins like a list item."""
        return BULLET.match(self.lines[0].text) is not None


def joined(lines: Sequence[TextLine]) -> str:
    """The text of lines as one."""
    parts = []
    for line, after in pairwise((*lines, None)):
        assert line is not None
        parts.append(line.text)
        if line.hyphenated:
            # Before a small letter the hyphen only broke the word; else it is part of it.
            small = after is not None and after.text[:1].islower()
            parts.append("" if small else "-")
        else:
            parts.append(" ")
    return "".join(parts).strip()


def body_size(pages: Iterable[Sequence[TextLine]]) -> float:
    """The height of most of the text in points; 0 without any."""
    sizes = [(line.size, len(line.text)) for lines in pages for line in lines]
    if not sizes:
        return 0.0
    letters: Counter[int] = Counter()
    for size, count in sizes:
        letters[round(size * 2)] += count
    usual = letters.most_common(1)[0][0]  # in half points
    return median(size for size, _ in sizes if round(size * 2) == usual)


def paragraphs(lines: Sequence[TextLine]) -> list[Paragraph]:
    """Group lines that follow one another in the page's content.

    A line with cells, as in a table, stays by itself.
    """
    if any(line.cells for line in lines):
        lines = list(_columns_apart(lines))
    if not lines:
        return []
    leading = _leading(lines)
    groups: list[list[TextLine]] = [[lines[0]]]
    for line, after in pairwise(lines):
        if _continues(groups[-1], line, after, leading):
            groups[-1].append(after)
        else:
            groups.append([after])
    return [Paragraph(tuple(group), around([line.box for line in group])) for group in groups]


def _columns_apart(lines: Sequence[TextLine]) -> Iterator[TextLine]:
    """Undo lines that pdfium took across two columns, and bullets that it took for cells."""
    width = max(line.box[2] for line in lines) - min(line.box[0] for line in lines)
    waiting: list[TextLine] = []  # right halves, until the left column ends
    for before, line, after in zip((None, *lines), lines, (*lines[1:], None), strict=False):
        if not line.cells or not any(near and near.cells for near in (before, after)):
            yield from waiting
            waiting = []
            yield line._replace(cells=())  # one line with a gap makes no table
            continue
        cells = line.cells[1:] if line.cells and _MARK.fullmatch(line.cells[0][0]) else line.cells
        halves = [_part(line, cell) for cell in cells]
        if len(halves) == 2 and all(h.box[2] - h.box[0] > 0.3 * width for h in halves):
            yield halves[0]
            waiting.append(halves[1])
            continue
        yield from waiting
        waiting = []
        spaced = "  ".join(cell[0] for cell in line.cells)
        one = len(cells) < 2
        yield line._replace(cells=()) if one else line._replace(cells=cells, text=spaced)
    yield from waiting


def _part(line: TextLine, cell: tuple[str, float, float]) -> TextLine:
    text, x0, x1 = cell
    hyphenated = line.hyphenated and cell is line.cells[-1]
    return line._replace(
        text=text, box=(x0, line.box[1], x1, line.box[3]), cells=(), hyphenated=hyphenated
    )


def _leading(lines: Sequence[TextLine]) -> float:
    """The usual distance from one line to the next, in heights of a line."""
    steps = sorted(
        (after.base - line.base) / line.height
        for line, after in pairwise(lines)
        if line.height and 0.5 < (after.base - line.base) / line.height < 3
    )
    # The lower quarter: where most lines are items apart, the median would be their distance.
    return steps[len(steps) // 4] if steps else _USUAL_LEADING


def _continues(group: list[TextLine], line: TextLine, after: TextLine, leading: float) -> bool:
    """Whether the paragraph ``group``, which ends with ``line``, goes on with ``after``."""
    if not line.upright or not after.upright or line.cells or after.cells:
        return False
    if line.size > after.height * _SAME_SIZE or after.size > line.height * _SAME_SIZE:
        return False
    if line.bold != after.bold or not line.height:
        return False
    step = (after.base - line.base) / line.height
    if not 0.5 < step < max(leading, 1.0) * _LOOSE:
        return False
    if after.box[0] > line.box[2] or after.box[2] < line.box[0]:
        return False
    if line.hyphenated:
        return True
    if BULLET.match(after.text):
        return False
    return not _begins(group, after, line.height)


def _begins(group: list[TextLine], after: TextLine, size: float) -> bool:
    """Whether ``after`` looks like a first line: indented, or following a line that fell short."""
    last = group[-1]
    indent = after.box[0] - last.box[0]
    hanging = len(group) == 1 and BULLET.match(last.text)
    centred = abs(after.box[0] + after.box[2] - last.box[0] - last.box[2]) < size
    if indent > 0.6 * size and not hanging and not centred:
        return True
    right = max(line.box[2] for line in group)
    short = len(group) > 1 and right - last.box[2] > 0.25 * (right - last.box[0])
    return short and _ENDS.search(last.text) is not None and not after.text[:1].islower()


class Placed(Protocol):
    """Anything with a box."""

    @property
    def box(self) -> Box:
        """Where it stands."""
        ...


P = TypeVar("P", bound=Placed)


def in_reading_order(things: Sequence[P]) -> list[P]:
    """Columns from left to right, each from top to bottom; what crosses columns parts them.

    What already runs down the page is left as it is.
    """
    if all(_follows(before.box, after.box) for before, after in pairwise(things)):
        return list(things)
    gutter = _gutter(things) if len(things) <= _MOST else None
    if gutter is None:
        return sorted(things, key=lambda thing: (thing.box[1], thing.box[0]))
    ordered: list[P] = []
    left: list[P] = []
    right: list[P] = []
    for thing in sorted(things, key=lambda thing: (thing.box[1], thing.box[0])):
        if thing.box[2] <= gutter:
            left.append(thing)
        elif thing.box[0] >= gutter:
            right.append(thing)
        else:
            ordered += (*in_reading_order(left), *in_reading_order(right), thing)
            left, right = [], []
    return [*ordered, *in_reading_order(left), *in_reading_order(right)]


def _follows(before: Box, after: Box) -> bool:
    """Whether ``after`` is not higher, and not beside ``before`` on its left."""
    beside = after[1] < before[3] - 2
    return after[1] >= before[1] - 1 and not (beside and after[0] < before[0] - 1)


def _gutter(things: Sequence[Placed]) -> float | None:
    """An x that few things cross and that has things beside one another on its two sides."""
    best, least = None, 0.0
    for edge in sorted({round(thing.box[0]) - 1.0 for thing in things}):
        left = [t.box for t in things if t.box[2] <= edge]
        right = [t.box for t in things if t.box[0] >= edge]
        beside = min(_height(left), _height(right))
        crossing = _height([t.box for t in things if t.box[0] < edge < t.box[2]])
        if beside - crossing > least and _overlap(left, right):
            best, least = edge, beside - crossing
    return best


def _height(boxes: Sequence[Box]) -> float:
    return sum(box[3] - box[1] for box in boxes)


def _overlap(left: Sequence[Box], right: Sequence[Box]) -> bool:
    return any(a[1] < b[3] and b[1] < a[3] for a in left for b in right)
