"""Image files: each row of text that can be read off one is a block. Knows no document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ...errors import SourceError
from ...tools.layout import entries
from ...tools.media import MediaStore, decode_image
from ...tools.ocr import read_lines
from .base import LONGEST_STEP, Block, step

__all__ = ["MAX_BYTES", "before_ocr", "keep_picture", "load_image"]

MAX_BYTES = 200_000_000
"""Picture files above this are refused."""

_OCR_START = 20.0  # seconds, to load the engine
_OCR_MEGAPIXEL = 20.0  # seconds; an idle core or two take 4
_BAND = 4_000_000  # pixels read at once: a tall picture is read in such bands, others scaled down


def load_image(path: Path, media: MediaStore) -> Iterator[Block]:
    """One screenshot block per row of text; a single one without words where there is none.

    Of an animation or a TIFF of several pages only the first picture is read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"{path}: larger than {MAX_BYTES // 10**6} MB", "scale it down")
    image, reference = keep_picture(path.read_bytes(), str(path), media)
    before_ocr(image)
    found = entries(read_lines(image))
    for line in found:
        yield Block("screenshot", line.text, box=line.box, image=reference)
    if not found:
        size = (0.0, 0.0, float(image.width), float(image.height))
        yield Block("screenshot", "", box=size, image=reference)


def before_ocr(image: Image.Image) -> None:
    """Announce that the text of a picture is about to be read, which is one long step."""
    pixels = image.width * image.height
    if image.height <= 2 * image.width:
        pixels = min(pixels, _BAND)
    step(LONGEST_STEP + _OCR_START + _OCR_MEGAPIXEL * pixels / 1e6, ocr=True)


def keep_picture(data: bytes, name: str, media: MediaStore) -> tuple[Image.Image, str]:
    """Decode an untrusted picture and store it, a JPEG as a JPEG and all else as PNG.

    Returns:
        The decoded picture and its media reference.

    Raises:
        SourceError: not a picture, damaged or too large.
    """
    image = decode_image(data, name)
    return image, media.put(image, "jpg" if data[:3] == b"\xff\xd8\xff" else "png")
