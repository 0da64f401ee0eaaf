"""Lines on a screen become entries as a person reads them. Knows boxes and words; no picture.

A label and its value are one entry, side by side or one above the other; the cells of a table's
row are one, and so are the lines of a sentence that was wrapped; a column of navigation is kept
apart from what stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .ocr import Line

__all__ = ["entries"]

_GAP = "  "  # between the cells of an entry
_NOISE = re.compile(r"[\W_xXoO]{1,3}")
_ALIGNED = 8.0  # pixels by which left edges of a column may differ
_SAME_ROW = 0.4  # of the lower line's height, between the middles of a row
_EXACT = 0.2  # likewise, where a label and its value share a baseline
_NEAR = 1.8  # of its height, below a label, its value may begin
_CLOSER = 0.8  # of the space above and below a label and its value
_CLOSER_IN_A_GRID = 0.6  # likewise, where several stand side by side: it may be a table
_NEAR_IN_A_GRID = 0.8  # of a label's height
_WRAPPED = 1.0  # of its height, below a line, the rest of its sentence may begin
_SAME_LEFT = 0.5  # of its height, by which both may begin apart
_SAME_SIZE = 0.4  # of its height, by which both may differ in height
_LABEL_WORDS = 5
_VALUE_WORDS = 8

_Row = list[Line]


def entries(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Group the lines of a screen.

    Args:
        lines: as the reader gives them, in any order.

    Returns:
        One line per entry, top to bottom, navigation first: cells joined by two spaces, what was
        wrapped by one, boxes united. Icons and window buttons that were read as characters are
        left out.
    """
    kept = [line for line in lines if not _NOISE.fullmatch(line.text.strip())]
    column = _navigation(kept)
    beside = [line for line in kept if line not in column]
    rows = _stacked(_unwrapped(_rows(beside)))
    return tuple(_entry(row) for row in [*([line] for line in column), *rows])


def _rows(lines: Sequence[Line]) -> list[_Row]:
    rows: list[_Row] = []
    for line in sorted(lines, key=_middle):
        if rows and any(_level(line, other, _SAME_ROW) for other in rows[-1]):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in rows]


def _navigation(lines: Sequence[Line]) -> list[Line]:
    """The leftmost column, where its lines do not stand level with what is beside them."""
    for first in sorted(lines, key=lambda line: line.box[0]):
        column = [line for line in lines if abs(line.box[0] - first.box[0]) <= _ALIGNED]
        width = sorted(line.box[2] - line.box[0] for line in column)[len(column) // 2]
        column = [line for line in column if line.box[2] - line.box[0] <= 2 * width]
        right = max(line.box[2] for line in column)
        beside = [line for line in lines if line.box[0] >= right]
        if len(column) < 3 or not beside:
            continue
        top = min(line.box[1] for line in beside)
        within = [line for line in column if line.box[3] > top]
        level = sum(any(_level(line, other, _EXACT) for other in beside) for line in within)
        apart = len(within) >= 3 and level <= len(within) / 2 and _is_clear(within, right, lines)
        return sorted(within, key=_middle) if apart else []
    return []


def _is_clear(column: Sequence[Line], right: float, lines: Sequence[Line]) -> bool:
    """Whether nothing else stands in a column, between its first line and its last."""
    top = min(line.box[1] for line in column)
    bottom = max(line.box[3] for line in column)
    others = [line for line in lines if line not in column and line.box[0] < right]
    return not any(top < _middle(line) < bottom for line in others)


def _unwrapped(rows: Sequence[_Row]) -> list[_Row]:
    """Rows in which a sentence that goes on in the next row is one line."""
    joined: list[_Row] = []
    before: _Row = []
    for row in rows:
        if len(before) == len(row) == 1 and _goes_on(before[0], row[0]):
            joined[-1] = [_entry([*joined[-1], *row], " ")]
        else:
            joined.append(row)
        before = row
    return joined


def _goes_on(upper: Line, lower: Line) -> bool:
    """Whether a line is the rest of a sentence that the line above it does not end."""
    height = upper.box[3] - upper.box[1]
    return (
        lower.text.lstrip()[:1].islower()
        and not upper.text.rstrip().endswith((".", "!", "?", ":"))
        and len(upper.text.split()) > _LABEL_WORDS
        and abs(upper.box[0] - lower.box[0]) <= _SAME_LEFT * height
        and abs(lower.box[3] - lower.box[1] - height) <= _SAME_SIZE * height
        and lower.box[1] - upper.box[3] <= _WRAPPED * height
    )


def _stacked(rows: Sequence[_Row]) -> list[_Row]:
    """Join rows of labels with the rows of their values right below."""
    joined: list[_Row] = []
    at = 0
    while at < len(rows):
        if _labels_below(rows, at):
            joined += [[label, value] for label, value in _pairs(rows[at], rows[at + 1])]
            at += 2
        else:
            joined.append(list(rows[at]))
            at += 1
    return joined


def _labels_below(rows: Sequence[_Row], at: int) -> bool:
    """Whether row ``at`` holds labels whose values are the next row's cells."""
    if at + 1 >= len(rows) or len(rows[at]) != len(rows[at + 1]):
        return False
    labels, values = rows[at], rows[at + 1]
    if not all(_is_label_of(a, b) for a, b in _pairs(labels, values)):
        return False
    gap = _between(labels, values)
    free = at == 0 or (len(labels) == 1 and _is_prose(rows[at - 1]))
    above = float("inf") if free else _between(rows[at - 1], labels)
    below = _between(values, rows[at + 2]) if at + 2 < len(rows) else float("inf")
    if len(labels) == 1:
        return gap < _CLOSER * min(above, below)
    height = labels[0].box[3] - labels[0].box[1]
    return gap < min(_CLOSER_IN_A_GRID * min(above, below), _NEAR_IN_A_GRID * height)


def _is_prose(row: _Row) -> bool:
    return len(row) == 1 and (row[0].text[-1] in ".!?" or len(row[0].text.split()) > _VALUE_WORDS)


def _is_label_of(label: Line, value: Line) -> bool:
    height = label.box[3] - label.box[1]
    return (
        abs(label.box[0] - value.box[0]) <= 1.5 * height
        and value.box[1] - label.box[3] <= _NEAR * height
        and height <= 1.2 * (value.box[3] - value.box[1])
        and len(label.text.split()) <= _LABEL_WORDS
        and len(value.text.split()) <= _VALUE_WORDS
        and label.text[-1] not in ".!?"
        and value.text[-1] not in ".!?:"
    )


def _pairs(labels: _Row, values: _Row) -> Iterator[tuple[Line, Line]]:
    return zip(labels, values, strict=True)


def _between(upper: _Row, lower: _Row) -> float:
    return min(line.box[1] for line in lower) - max(line.box[3] for line in upper)


def _level(a: Line, b: Line, share: float) -> bool:
    height = min(a.box[3] - a.box[1], b.box[3] - b.box[1])
    return abs(_middle(a) - _middle(b)) <= share * height


def _middle(line: Line) -> float:
    return (line.box[1] + line.box[3]) / 2


def _entry(row: _Row, between: str = _GAP) -> Line:
    x0s, y0s, x1s, y1s = zip(*(line.box for line in row), strict=True)
    text = between.join(" ".join(line.text.split()) for line in row)
    return Line(text, (min(x0s), min(y0s), max(x1s), max(y1s)), min(line.score for line in row))
