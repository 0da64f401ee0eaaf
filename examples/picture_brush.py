"""Brush: what the pictures of the question set are painted with.

Knows shapes, text and signs; nothing of what is painted. Coordinates and sizes are pixels of the
finished picture; it is painted twice as large and scaled down, so that edges are smooth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "AMBER",
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "LINE",
    "PALE",
    "RED",
    "WHITE",
    "Brush",
    "polar",
]

INK, GREY, LINE, PALE, WHITE = "#1f2933", "#66737f", "#c3ccd4", "#f2f5f7", "#ffffff"
RED, GREEN, BLUE, AMBER = "#c62f2b", "#2f8f4e", "#1c63b0", "#e09a1b"

_SIGNS = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
_SIGN_SIZE = 109  # the one size that the font's bitmaps come in
_SCALE = 2
_COLOURS = 64

Point = tuple[float, float]


@cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(fonts / f"DejaVu{face}.ttf"), size)


@cache
def _sign(sign: str, size: int) -> Image.Image:
    """A colour sign as a square picture with transparent ground."""
    if not _SIGNS.exists():
        raise SystemExit("Noto Color Emoji is missing: apt install fonts-noto-color-emoji")
    font = ImageFont.truetype(str(_SIGNS), _SIGN_SIZE)
    picture = Image.new("RGBA", (136, 136))
    ImageDraw.Draw(picture).text((0, 4), sign, font=font, embedded_color=True)
    return picture.resize((size, size), Image.Resampling.LANCZOS)


class Brush:
    """A picture being painted.

    Args:
        width: in pixels.
        height: in pixels.
        back: colour of the ground.
    """

    def __init__(self, width: int, height: int, back: str = WHITE) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * _SCALE, height * _SCALE), back)
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = 20,
        ink: str = INK,
        anchor: str = "mm",
        face: str = "Sans",
    ) -> None:
        """Write words; ``anchor`` as Pillow's, ``face`` such as Sans-Bold, Serif, SansMono."""
        font = _font(face, round(size * _SCALE))
        where = (x * _SCALE, y * _SCALE)
        self._draw.text(where, words, ink, font, anchor, spacing=size * 0.9, align="left")

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        fill: str | None = WHITE,
        edge: str | None = None,
        radius: float = 0,
        width: float = 2,
    ) -> None:
        """A rectangle, with round corners where a radius is given."""
        corners = tuple(v * _SCALE for v in (x0, y0, x1, y1))
        self._draw.rounded_rectangle(
            corners, radius * _SCALE, fill, edge, round(width * _SCALE) if edge else 0
        )

    def line(self, points: Iterable[Point], ink: str = INK, width: float = 2) -> None:
        """A line through points, with round joints and ends."""
        through = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._draw.line(through, ink, round(width * _SCALE), joint="curve")
        if width > 3:
            for x, y in (through[0], through[-1]):
                r = width * _SCALE / 2
                self._draw.ellipse((x - r, y - r, x + r, y + r), ink)

    def shape(
        self, points: Iterable[Point], fill: str | None, edge: str | None = None, width: float = 2
    ) -> None:
        """A filled polygon."""
        corners = [(x * _SCALE, y * _SCALE) for x, y in points]
        if fill:
            self._draw.polygon(corners, fill)
        if edge:
            self._draw.line([*corners, *corners[:2]], edge, round(width * _SCALE), joint="curve")

    def disc(
        self,
        x: float,
        y: float,
        r: float,
        fill: str | None = WHITE,
        edge: str | None = None,
        width: float = 2,
        tall: float = 1.0,
    ) -> None:
        """A disc around a point, or an ellipse ``tall`` times as high as wide."""
        box = (x - r, y - r * tall, x + r, y + r * tall)
        corners = tuple(v * _SCALE for v in box)
        self._draw.ellipse(corners, fill, edge, round(width * _SCALE) if edge else 0)

    def arc(
        self,
        x: float,
        y: float,
        r: float,
        start: float,
        end: float,
        ink: str = INK,
        width: float = 2,
    ) -> None:
        """A part of a circle; degrees clockwise from three o'clock."""
        box = tuple(v * _SCALE for v in (x - r, y - r, x + r, y + r))
        self._draw.arc(box, start, end, ink, round(width * _SCALE))

    def slice(self, x: float, y: float, r: float, start: float, end: float, fill: str) -> None:
        """A slice of a disc, degrees as for ``arc``."""
        box = tuple(v * _SCALE for v in (x - r, y - r, x + r, y + r))
        self._draw.pieslice(box, start, end, fill, WHITE, 2 * _SCALE)

    def arrow(self, points: Sequence[Point], ink: str = INK, width: float = 3) -> None:
        """A line through points with a head at the last."""
        (x0, y0), (x1, y1) = points[-2:]
        turn = math.atan2(y1 - y0, x1 - x0)
        head = 5 + 3 * width
        neck = (x1 - head * 0.8 * math.cos(turn), y1 - head * 0.8 * math.sin(turn))
        self.line([*points[:-1], neck], ink, width)
        sides = [polar(x1, y1, head, math.degrees(turn) + 180 + side) for side in (-28, 28)]
        self.shape([(x1, y1), *sides], ink)

    def sign(self, x: float, y: float, sign: str, size: float = 48) -> None:
        """A colour sign (an emoji) around a point."""
        picture = _sign(sign, round(size * _SCALE))
        at = (round((x - size / 2) * _SCALE), round((y - size / 2) * _SCALE))
        self._image.paste(picture, at, picture)

    def save(self, path: Path) -> None:
        """Write a small PNG: few colours, no dithering, no metadata."""
        small = self._image.resize((self.width, self.height), Image.Resampling.LANCZOS)
        few = small.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(path, optimize=True)


def polar(x: float, y: float, r: float, degrees: float) -> Point:
    """The point at a distance from another, degrees clockwise from three o'clock."""
    return (
        x + r * math.cos(math.radians(degrees)),
        y + r * math.sin(math.radians(degrees)),
    )
