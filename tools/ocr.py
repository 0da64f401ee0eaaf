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

__all__ = ["Line", "read_lines", "rows"]

_SURE = 0.6
"""Lines below this score do not count as read."""

_DOUBTFUL = 0.85  # mean score: upright print reads at 0.95, upside-down print at 0.7
_MAX_PIXELS = 4_000_000  # the engine's time grows with them, as does what it can read
_TALL = 2.0  # height to width: what is taller, such as a whole web page, is read in bands
_NARROW = 3.0  # height to width: what is narrower gets a margin
_WIDE = 6.0  # width to height: so does what is wider
_OVERLAP = 120  # pixels of a band that the next one holds too
_SMALLEST = 10  # pixels: nothing can be read on anything narrower, and the engine fails

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

    The engine's line-orientation model is off: on screenshots it turns upright lines upside down.
    Where the lines score low, as in a scan that lies on its head, the whole picture is turned and
    read again.

    Args:
        image: ``RGB``, any size.

    Returns:
        The lines that were read with confidence; empty for a picture without text.
    """
    if min(image.size) < _SMALLEST:
        return ()
    lines = _read_bands(image)
    if lines and _certainty(lines) < _DOUBTFUL:
        lines = max(lines, _read_turned(image), key=_certainty)
    return _reading_order([line for line in lines if line.score >= _SURE])


def _certainty(lines: Sequence[Line]) -> float:
    return sum(line.score for line in lines) / len(lines) if lines else 0.0


def _read_turned(image: Image.Image) -> list[Line]:
    width, height = image.size
    return [
        Line(line.text, (width - x1, height - y1, width - x0, height - y0), line.score)
        for line in _read_bands(image.transpose(Image.Transpose.ROTATE_180))
        for x0, y0, x1, y1 in [line.box]
    ]


def _read_bands(image: Image.Image) -> list[Line]:
    """Read a tall picture piece by piece: as one it would be scaled down beyond reading.

    Bands overlap, so that each line is whole in one of them; what two bands read counts once.
    """
    width, height = image.size
    count = 1
    if height > _TALL * width:
        count = min(-(-width * height // _MAX_PIXELS), max(height // (2 * _OVERLAP), 1))
    lines: list[Line] = []
    for band in range(count):
        top, bottom = height * band // count, height * (band + 1) // count
        shift = max(top - _OVERLAP, 0)
        piece = image.crop((0, shift, width, min(bottom + _OVERLAP, height)))
        for line in _read(piece):
            x0, y0, x1, y1 = line.box
            whole = Line(line.text, (x0, y0 + shift, x1, y1 + shift), line.score)
            middle = (y0 + y1) / 2 + shift
            near = _OVERLAP / 4  # a middle on the very border may fall on either side
            inside = top - near <= middle < bottom + near
            if inside and not any(_is_same(whole, other) for other in lines):
                lines.append(whole)
    return lines


def _is_same(line: Line, other: Line) -> bool:
    (x0, y0, x1, y1), (u0, v0, u1, v1) = line.box, other.box
    return v0 < (y0 + y1) / 2 < v1 and u0 < (x0 + x1) / 2 < u1


def _read(image: Image.Image) -> list[Line]:
    import numpy as np

    image = _with_margin(image)
    scale = min((_MAX_PIXELS / (image.width * image.height)) ** 0.5, 1.0)
    if scale < 1:
        size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
        image = image.resize(size)

    pixels = np.asarray(image.convert("RGB"))[:, :, ::-1]  # the engine reads BGR
    with _lock:  # one onnxruntime session, used from several branches of a turn
        found = _engine()(np.ascontiguousarray(pixels), use_cls=False, text_score=0.0)
    if found.boxes is None or found.txts is None:
        return []
    return [
        Line(text, _bounds(quad, scale), float(score))
        for quad, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
        if text.strip()
    ]


def _with_margin(image: Image.Image) -> Image.Image:
    """Add a margin to a narrow strip: the engine takes ages over tall ones and overlooks wide ones.

    It enlarges by the shorter side. The margin is on the right or below, so that boxes stay.
    """
    width, height = image.size
    size = max(width, round(height / _NARROW)), max(height, round(width / _WIDE))
    if size == image.size:
        return image
    padded = Image.new("RGB", size, image.convert("RGB").getpixel((0, 0)))
    padded.paste(image)
    return padded


def _bounds(quad: Any, scale: float) -> tuple[float, float, float, float]:
    xs, ys = [float(x) / scale for x, _ in quad], [float(y) / scale for _, y in quad]
    return min(xs), min(ys), max(xs), max(ys)


@cache
def _engine() -> Any:
    import logging

    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return RapidOCR(
        params={
            "Global.use_cls": False,
            "Global.log_level": "error",
            "Global.max_side_len": 100_000,  # scaled here, by area
        }
    )


def rows(lines: Sequence[Line]) -> list[list[Line]]:
    """Group lines that stand side by side: a form's label and its value, a table's cells.

    Returns:
        Rows top to bottom, each left to right.
    """
    grouped: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.box[1] + line.box[3]) / 2):
        if grouped and _stands_beside(line, grouped[-1]):
            grouped[-1].append(line)
        else:
            grouped.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in grouped]


def _stands_beside(line: Line, row: Sequence[Line]) -> bool:
    x0, y0, x1, y1 = line.box
    level = any(other.box[1] <= (y0 + y1) / 2 <= other.box[3] for other in row)
    under = any(min(x1, other.box[2]) - max(x0, other.box[0]) > (x1 - x0) / 3 for other in row)
    return level and not under


def _reading_order(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(line for row in rows(lines) for line in row)
