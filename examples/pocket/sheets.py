"""Many pictures on one, each over its caption. Knows nothing of where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

__all__ = ["image", "sheet"]


def image(pixels: Tensor) -> Image.Image:
    """A picture of ``(3, height, width)`` from -1 to 1."""
    whole = ((pixels.detach().float().cpu().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(whole.permute(1, 2, 0).numpy())


def sheet(
    pictures: Tensor | Sequence[Image.Image],
    captions: Sequence[str],
    path: Path,
    columns: int = 8,
    scale: int = 2,
) -> None:
    """Write a contact sheet.

    Args:
        pictures: all of one size.
        captions: one for each.
        path: of the PNG.
        columns: beside each other.
        scale: how often a pixel is repeated.
    """
    tiles = [image(p) if isinstance(p, Tensor) else p for p in pictures]
    width, height = tiles[0].width * scale, tiles[0].height * scale
    font, line = ImageFont.load_default(10), 36
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * (width + 6), rows * (height + line + 6)), "#dddddd")
    pen = ImageDraw.Draw(page)
    for i, (tile, words) in enumerate(zip(tiles, captions, strict=True)):
        x, y = i % columns * (width + 6) + 3, i // columns * (height + line + 6) + 3
        page.paste(tile.resize((width, height), Image.Resampling.NEAREST), (x, y))
        room = max(1, width // 5)
        for row in range(3):
            part = words[row * room : (row + 1) * room]
            pen.text((x, y + height + 11 * row), part, "black", font)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path)
