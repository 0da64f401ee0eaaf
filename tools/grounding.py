"""Words to boxes: which lines of a picture say what was asked for. Knows lines, not models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from .ocr import Line

__all__ = ["MATCH", "best_line", "overlap", "similarity"]

MATCH = 0.72
"""Least similarity of a line to the words it is taken for; OCR may misread a letter in ten."""

Box = tuple[float, float, float, float]


def similarity(words: str, text: str) -> float:
    """How alike two lines are, 0 to 1; case, spacing and punctuation do not count.

    Words that are a whole part of the line count as the line.
    """
    a, b = _plain(words), _plain(text)
    if not a or not b:
        return 0.0
    if re.search(rf"(?:^| ){re.escape(a)}(?: |$)", b):
        return 1.0
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return matcher.ratio() if matcher.real_quick_ratio() >= MATCH / 2 else 0.0


def best_line(words: str, lines: Sequence[Line]) -> Line | None:
    """The line that says the words best; the shortest of equals; None below `MATCH`."""
    scored = [(similarity(words, line.text), -len(line.text), i) for i, line in enumerate(lines)]
    score, _, at = max(scored, default=(0.0, 0, 0))
    return lines[at] if score >= MATCH else None


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(a) + _area(b) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))
