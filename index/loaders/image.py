"""Image files: each row of text that can be read off one is a block. Knows no document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ...tools.layout import entries
from ...tools.media import MediaStore, decode_image
from ...tools.ocr import read_lines
from .base import Block

__all__ = ["keep_picture", "load_image"]


def load_image(path: Path, media: MediaStore) -> Iterator[Block]:
    """One screenshot block per row of text; a single one without words where there is none.

    Of an animation or a TIFF of several pages only the first picture is read.
    """
    image, reference = keep_picture(path.read_bytes(), str(path), media)
    found = entries(read_lines(image))
    for line in found:
        yield Block("screenshot", line.text, box=line.box, image=reference)
    if not found:
        size = (0.0, 0.0, float(image.width), float(image.height))
        yield Block("screenshot", "", box=size, image=reference)


def keep_picture(data: bytes, name: str, media: MediaStore) -> tuple[Image.Image, str]:
    """Decode an untrusted picture and store it, a JPEG as a JPEG and all else as PNG.

    Returns:
        The decoded picture and its media reference.

    Raises:
        SourceError: not a picture, damaged or too large.
    """
    image = decode_image(data, name)
    return image, media.put(image, "jpg" if data[:3] == b"\xff\xd8\xff" else "png")
