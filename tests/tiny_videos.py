"""Videos made on the spot from pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from PIL import Image

CODECS = {
    "mp4": ("libx264", "yuv420p"),
    "mov": ("libx264", "yuv420p"),
    "mpegts": ("libx264", "yuv420p"),
    "webm": ("libvpx-vp9", "yuv420p"),
    "matroska": ("libx264", "yuv420p"),
    "avi": ("mpeg4", "yuv420p"),
    "flv": ("flv", "yuv420p"),
    "gif": ("gif", "rgb8"),
    "apng": ("apng", "rgb24"),
}


def film(
    pictures: Sequence[Image.Image],
    fps: Fraction | int = 30,
    kind: str = "mp4",
    times: Sequence[float] = (),
    turned: int = 0,
) -> bytes:
    """The bytes of a video file.

    Args:
        pictures: its frames, all of one size.
        fps: how many are shown a second.
        kind: of file; a key of ``CODECS``.
        times: seconds at which each is shown instead.
        turned: degrees, counter-clockwise, by which players are told to turn it.
    """
    import av

    codec, pixels = CODECS[kind]
    out = io.BytesIO()
    with av.open(out, "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps))
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = pixels
        if turned:
            stream.set_display_rotation(turned)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_image(picture)
            if times:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def counting(frames: int, size: tuple[int, int] = (96, 64)) -> list[Image.Image]:
    """Frames whose number is in their colour, see ``number_of``."""
    return [
        Image.new("RGB", size, (number // 16 * 16 + 8, number % 16 * 16 + 8, 128))
        for number in range(frames)
    ]


def number_of(frame: Image.Image) -> int:
    """Which of ``counting`` a decoded frame is; up to 255."""
    red, green, _ = frame.getpixel((frame.width // 2, frame.height // 2))  # type: ignore[misc]
    return red // 16 * 16 + green // 16
