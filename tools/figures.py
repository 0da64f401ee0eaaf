"""Pictures cut and marked. Knows pixels and boxes; nothing of passages or answers."""

from __future__ import annotations

from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageStat

__all__ = ["crop", "is_blank", "mark"]

Box = tuple[float, float, float, float]

_RED = (214, 40, 57)
_WHITE = (255, 255, 255)


def crop(image: Image.Image, box: Box, margin: int = 0) -> Image.Image:
    """Cut a box out of a picture.

    Args:
        image: any size.
        box: in pixels, origin top left; what lies outside the picture is cut off.
        margin: pixels kept around it.

    Raises:
        ValueError: nothing of the box lies within the picture.
    """
    left, top, right, bottom = _within(image, box, margin)
    if right <= left or bottom <= top:
        raise ValueError(f"the box {box} lies outside a picture of {image.size}")
    return image.crop((left, top, right, bottom))


def mark(image: Image.Image, boxes: Iterable[Box]) -> Image.Image:
    """A copy of a picture with boxes drawn around what they hold; the original is unchanged.

    The frame is red with a white edge, so that it shows on dark and on light.

    Args:
        image: ``RGB``.
        boxes: in pixels, origin top left.
    """
    copy = image.convert("RGB")
    pen = ImageDraw.Draw(copy)
    width = max(2, round(min(copy.size) / 250))
    for box in boxes:
        frame = _within(copy, box, width * 2)
        if frame[2] > frame[0] and frame[3] > frame[1]:
            edge = _within(copy, frame, 1)
            pen.rounded_rectangle(edge, width * 2, outline=_WHITE, width=width + 2)
            pen.rounded_rectangle(frame, width * 2, outline=_RED, width=width)
    return copy


def is_blank(image: Image.Image) -> bool:
    """Whether a picture shows nothing: one colour, give or take the noise of a JPEG."""
    small = image.convert("RGB").resize((64, 64), Image.Resampling.BOX)
    return max(ImageStat.Stat(small).stddev) < 1.5


def _within(image: Image.Image, box: Box, margin: int) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = box
    return (
        max(round(x0) - margin, 0),
        max(round(y0) - margin, 0),
        min(round(x1) + margin, image.width - 1 if margin else image.width),
        min(round(y1) + margin, image.height - 1 if margin else image.height),
    )
