"""Reading the text off a picture, line by line, with boxes. Knows nothing of passages.

RapidOCR on onnxruntime; its models come inside its wheel. It loads on first use (seconds).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Self

from PIL import Image

__all__ = ["Line", "read_lines", "row_lines", "rows"]

_SURE = 0.6
"""Lines below this score do not count as read."""

_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text on a picture.

    Attributes:
        text: what it says.
        box: ``(x0, y0, x1, y1)`` in pixels, origin top left.
        score: the reader's own confidence, 0 to 1.
    """

    text: str
    box: tuple[float, float, float, float]
    score: float

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        object.__setattr__(self, "box", (x0, y0, x1, y1))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(values["text"], values["box"], values["score"])


def read_lines(image: Image.Image) -> tuple[Line, ...]:
    """Read every line of text on a picture, top to bottom, left to right.

    The line-orientation model is off at first: on screenshots it turns upright lines upside down.
    Only where most lines score low is the picture read again with it.

    Args:
        image: ``RGB``, any size.

    Returns:
        The lines that were read with confidence; empty for a picture without text.
    """
    lines = _read(image, turned=False)
    if lines and sum(line.score < _SURE for line in lines) * 2 > len(lines):
        lines = max(lines, _read(image, turned=True), key=_certainty)
    return _reading_order([line for line in lines if line.score >= _SURE])


def _certainty(lines: Sequence[Line]) -> float:
    return sum(line.score for line in lines) / len(lines) if lines else 0.0


def _read(image: Image.Image, turned: bool) -> list[Line]:
    import numpy as np

    pixels = np.asarray(image.convert("RGB"))[:, :, ::-1]  # the engine reads BGR
    with _lock:  # one onnxruntime session, used from several branches of a turn
        found = _engine()(np.ascontiguousarray(pixels), use_cls=turned, text_score=0.0)
    if found.boxes is None or found.txts is None:
        return []
    return [
        Line(text, _bounds(quad), float(score))
        for quad, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
        if text.strip()
    ]


def _bounds(quad: Any) -> tuple[float, float, float, float]:
    xs, ys = [float(x) for x, _ in quad], [float(y) for _, y in quad]
    return min(xs), min(ys), max(xs), max(ys)


@cache
def _engine() -> Any:
    import logging

    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return RapidOCR(params={"Global.use_cls": False, "Global.log_level": "error"})


def rows(lines: Sequence[Line]) -> list[list[Line]]:
    """Group lines that stand side by side: a form's label and its value, a table's cells.

    Returns:
        Rows top to bottom, each left to right.
    """
    grouped: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.box[1] + line.box[3]) / 2):
        middle = (line.box[1] + line.box[3]) / 2
        if grouped and any(other.box[1] <= middle <= other.box[3] for other in grouped[-1]):
            grouped[-1].append(line)
        else:
            grouped.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in grouped]


def row_lines(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Each row as one line, two spaces between what stands side by side."""
    return tuple(_as_one(row) for row in rows(lines))


def _as_one(row: Sequence[Line]) -> Line:
    x0s, y0s, x1s, y1s = zip(*(line.box for line in row), strict=True)
    text = "  ".join(line.text for line in row)
    return Line(text, (min(x0s), min(y0s), max(x1s), max(y1s)), min(line.score for line in row))


def _reading_order(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(line for row in rows(lines) for line in row)
