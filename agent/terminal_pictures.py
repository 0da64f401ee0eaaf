"""A picture in a terminal: real pixels where the terminal can, else half blocks, else nothing.

Knows rich and, where it is installed, textual-image (kitty's protocol and sixel). Knows nothing
of answers.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

__all__ = ["can_show", "half_blocks", "picture"]

_COLUMNS = 60
_ROWS = 24
_SMALL = 64  # pixels of a side that are shown one by one, where there is room
_CRISP = 8  # times as large a small picture is given to a terminal that knows pixels
_BESIDE = 4  # lines for the caption and the prompt


def can_show(console: Console) -> bool:
    """Whether the console is a terminal with enough colours, and may use them."""
    return (
        console.file.isatty()
        and console.is_terminal
        and not console.is_dumb_terminal
        and not console.no_color
        and console.color_system in ("256", "truecolor")
        and console.encoding.startswith("utf")
    )


def picture(image: Image.Image, console: Console) -> RenderableType | None:
    """What shows the picture on this console, or None where nothing does.

    Args:
        image: ``RGB``.
        console: where it will be printed.
    """
    if not can_show(console):
        return None
    columns, rows = _room(image, console)
    return _pixels(image, columns, rows, console) or half_blocks(image, columns, rows)


def _room(image: Image.Image, console: Console) -> tuple[int, int]:
    """Columns and lines: enough for every pixel of a small picture, where the console has them."""
    lines = -(-image.height // 2)
    whole = image.width <= console.width and lines + _BESIDE <= console.height
    if max(image.size) <= _SMALL and whole:
        return max(image.width, _COLUMNS), max(lines, _ROWS)
    return min(_COLUMNS, console.width), _ROWS


def half_blocks(image: Image.Image, columns: int = _COLUMNS, rows: int = _ROWS) -> Text:
    """The picture in characters, each the upper half block over two pixels.

    Args:
        image: ``RGB``; made smaller to fit, never larger.
        columns: the most characters in a line.
        rows: the most lines.
    """
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    width, height = _fit(image.size, columns, rows)
    pixels = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).load()
    assert pixels is not None  # a picture in memory always has them
    text = Text(no_wrap=True, end="")
    for y in range(0, height, 2):
        for x in range(width):
            upper, lower = (Color.from_rgb(*pixels[x, y + d]) for d in (0, 1))  # type: ignore[misc]
            text.append("▀", Style(color=upper, bgcolor=lower))
        text.append("\n")
    return text


def _fit(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    scale = min(columns / size[0], 2 * rows / size[1], 1)
    width, lines = round(size[0] * scale), round(size[1] * scale / 2)
    return max(width, 1), 2 * max(lines, 1)


def _pixels(image: Image.Image, columns: int, rows: int, console: Console) -> RenderableType | None:
    if console.file is not sys.__stdout__ or not (sys.stdin and sys.stdin.isatty()):
        return None  # textual-image talks to the process's own terminal, both ways
    try:
        from textual_image.renderable import Image as Best  # asks the terminal what it can
        from textual_image.renderable import SixelImage, TGPImage
    except ImportError:
        return None
    if Best not in (SixelImage, TGPImage):
        return None
    width, height = _fit(image.size, columns, rows)
    if max(image.size) <= _SMALL:  # the terminal would blur its pixels
        image = image.resize(
            (image.width * _CRISP, image.height * _CRISP), Image.Resampling.NEAREST
        )
    shown: RenderableType = Best(image, width=width, height=height // 2)
    return shown
