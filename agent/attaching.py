"""What comes with a question: pictures and videos, decoded and kept. Knows no models."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..errors import SourceError
from ..tools.media import MediaStore
from ..tools.paths import typed_path
from ..tools.video import clock, is_video, stills
from .state import Attachment

__all__ = ["Attachable", "attached"]

Attachable = str | Path | bytes | Image.Image
"""A picture or video to attach: a path, the bytes of a file, or a decoded picture."""


def attached(image: Attachable, number: int, media: MediaStore) -> list[Attachment]:
    """What is attached, kept in a media store: a picture, or the stills of a video.

    Args:
        image: to attach.
        number: among what is attached to the question, from 1; names what has no name.
        media: where it is kept.

    Raises:
        SourceError: it cannot be read.
    """
    from ..index.loaders.image import keep_picture

    if isinstance(image, Image.Image):
        return [Attachment(media.put(image.convert("RGB")), f"picture {number}")]
    source = image if isinstance(image, bytes) else typed_path(image)
    name = source.name if isinstance(source, Path) else ""
    if is_video(source):
        name = name or f"video {number}"
        shown = stills(source, name)
        return [
            Attachment(media.put(frame), f"{name} at {clock(seconds)}")
            for frame, seconds in zip(shown.frames, shown.times, strict=True)
        ]
    name = name or f"picture {number}"
    data = source if isinstance(source, bytes) else _bytes(source)
    _, reference = keep_picture(data, name, media)
    return [Attachment(reference, name)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"{path}: {reason}", "attach a picture or video file") from None
