"""Videos: untrusted bytes to still frames with their times. Knows no model and no question.

The file is read twice: once for the times of its frames, which costs no decoding, then to decode
it and keep the frames that are wanted, already scaled down. `video_files` does the reading.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from ..errors import SourceError
from .video_files import (
    MAX_FRAME_PIXELS,
    MAX_SECONDS,
    Line,
    clock,
    decoded,
    is_video,
    opened,
    timeline,
)

__all__ = [
    "MAX_FRAME_PIXELS",
    "MAX_SECONDS",
    "Video",
    "check_video",
    "clock",
    "is_video",
    "read_video",
    "sampled",
    "stills",
    "thinned",
]

_KEPT_PIXELS = 100_000_000  # of all frames together that are kept, 3 bytes each
_FRAME_PIXELS = 768 * 28 * 28  # the published bound of the Qwen family
_PER_SECOND, _FEWEST, _MOST = 2, 4, 768  # frames, as the Qwen family samples
_ROUNDED = Fraction(1, 500)  # of a frame; some formats round the times
_THUMBNAIL = 65_536  # pixels; enough to see that a dialog opened or a line was typed


@dataclass(frozen=True, slots=True)
class Video:
    """The sampled frames of a video.

    Attributes:
        frames: ``RGB``, upright, all of one size. A frame that stood longer than a sample is there
            once for each.
        times: of each frame in seconds from the video's start, ascending.
        duration: of the whole video, in seconds.
    """

    frames: tuple[Image.Image, ...]
    times: tuple[float, ...]
    duration: float


def read_video(
    source: bytes | Path,
    name: str = "",
    *,
    pixels: int = _FRAME_PIXELS,
    times: Sequence[float] = (),
) -> Video:
    """Frames of a video: two a second, at least 4, at most 768, an even number.

    Sampled evenly in time; of a constant frame rate these are the frames that transformers'
    ``Qwen2VLVideoProcessor.sample_frames`` takes. Where a video has fewer frames than that, none
    of them is left out, and one stands for two samples.

    Args:
        source: the file's bytes or its path.
        name: what to call it in an error; a path names itself.
        pixels: of a frame, at the most; larger ones are scaled down. All frames together keep to
            a bound of their own.
        times: seconds at which to look instead, ascending.

    Raises:
        SourceError: not a video, damaged, without frames, too long or too large.
        ModelMissing: PyAV is not installed.
    """
    name = name or (str(source) if isinstance(source, Path) else "the video")
    with opened(source, name) as (container, stream):
        line = timeline(container, stream, name)
        chosen = (
            [line.at(seconds) for seconds in times]
            if times
            else sampled(line.ticks, line.end, line.second)
        )
    wanted = [line.ticks[index] for index in dict.fromkeys(chosen)]
    with opened(source, name) as (container, stream):
        pixels = min(pixels, _KEPT_PIXELS // len(wanted))
        pictures = decoded(container, stream, line.ticks, wanted, pixels)
        kept = dict(zip(wanted, _alike(pictures), strict=False))
    if not kept:
        raise SourceError(f"{name}: none of its frames can be decoded", "convert it to MP4")
    # Of a file that breaks off the last frame that came stands for those that did not.
    last = next(reversed(kept.values()))
    frames = tuple(kept.get(line.ticks[index], last) for index in chosen)
    return Video(frames, tuple(_times(line, chosen)), line.seconds)


def check_video(source: bytes | Path, name: str = "") -> None:
    """Whether a file is a video that can be read, without decoding it.

    Raises:
        SourceError, ModelMissing: as for ``read_video``.
    """
    name = name or (str(source) if isinstance(source, Path) else "the video")
    with opened(source, name) as (container, stream):
        timeline(container, stream, name)


def thinned(video: Video, most: int) -> Video:
    """At most so many of a video's frames, evenly spread."""
    count = len(video.frames)
    if count <= most:
        return video
    kept = [index * count // most for index in range(most)]
    return Video(
        tuple(video.frames[n] for n in kept), tuple(video.times[n] for n in kept), video.duration
    )


def stills(source: bytes | Path, name: str = "", most: int = 8) -> Video:
    """The different pictures that a video shows, in full size.

    Of two frames a second those that hardly differ from the one kept before are left out; where
    more than ``most`` are left, some are taken evenly, the first and the last among them.

    Args:
        source: the file's bytes or its path.
        name: what to call it in an error; a path names itself.
        most: frames, at least 2.

    Raises:
        SourceError, ModelMissing: as for ``read_video``.
    """
    small = read_video(source, name, pixels=_THUMBNAIL)
    distinct = [0]
    for index in range(1, len(small.frames)):
        if _differ(small.frames[distinct[-1]], small.frames[index]):
            distinct.append(index)
    if (last := len(distinct) - 1) >= most:
        distinct = [distinct[round(n * last / (most - 1))] for n in range(most)]
    times = [small.times[index] for index in distinct]
    return read_video(source, name, pixels=MAX_FRAME_PIXELS, times=times)


# ── which frames ─────────────────────────────────────────────────────────────────────────────


def sampled(ticks: Sequence[int], end: int, second: Fraction) -> list[int]:
    """The numbers of the frames to look at; see ``read_video``.

    Args:
        ticks: when each frame is shown, ascending.
        end: when the last one is gone.
        second: how many ticks it has.
    """
    span = end - ticks[0]
    gaps = [b - a for a, b in pairwise(ticks)]
    different = max(len(ticks), span // min(gaps or [span]))
    wanted = int(span / second * _PER_SECOND + _ROUNDED)
    count = min(max(wanted, _FEWEST), _MOST) // 2 * 2
    count = min(count, different + different % 2)
    return [bisect_right(ticks, ticks[0] + span * n // count) - 1 for n in range(count)]


def _times(line: Line, chosen: Sequence[int]) -> Iterator[float]:
    """When each chosen frame came; of one that stands for two samples, the sample's own time."""
    before = -1
    for number, index in enumerate(chosen):
        came = float((line.ticks[index] - line.ticks[0]) / line.second)
        yield came if index != before else line.seconds * number / len(chosen)
        before = index


def _alike(pictures: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """All in the size of the first, which a video may leave on its way."""
    size: tuple[int, int] | None = None
    for picture in pictures:
        size = size or picture.size
        yield picture if picture.size == size else picture.resize(size)


def _differ(a: Image.Image, b: Image.Image) -> bool:
    """Whether more than a cursor or the noise of compression is new in one of two frames."""
    import numpy as np

    grey = np.asarray(ImageChops.difference(a, b).convert("L"), dtype=np.float32)
    side = max(min(grey.shape) // 24, 1)
    rows, columns = (length // side for length in grey.shape)
    cells = grey[: rows * side, : columns * side].reshape(rows, side, columns, side)
    changed: Any = cells.mean(axis=(1, 3)) > 6
    return bool(changed.mean() > 0.004)
