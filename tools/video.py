"""Videos: untrusted bytes to still frames with their times. Knows no model and no question.

The file is read twice: once for the times of its frames, which costs no decoding, then to decode
it and keep the frames that are wanted, already scaled down. FFmpeg (PyAV) is given bytes and a
list of formats that hold a whole video in one file: no URL, playlist or other file is opened.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageChops

from ..errors import LimnerError, ModelMissing, SourceError

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

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

MAX_SECONDS = 3600
"""Longer videos are refused."""

MAX_FRAME_PIXELS = 16_000_000
"""Larger frames are refused: a decoder keeps many of them at once."""

_MAX_DECODED = 250_000_000_000  # pixels of all frames: an hour of 1920×1080 at 30 a second
_KEPT_PIXELS = 100_000_000  # of all frames together that are kept, 3 bytes each
_FRAME_PIXELS = 768 * 28 * 28  # the published bound of the Qwen family
_PER_SECOND, _FEWEST, _MOST = 2, 4, 768  # frames, as the Qwen family samples
_HEAD = 189  # bytes: a packet of MPEG-TS and the first of the next
_ROUNDED = Fraction(1, 500)  # of a frame; some formats round the times
_THUMBNAIL = 65_536  # pixels; enough to see that a dialog opened or a line was typed
_FORMATS = "mov,mp4,matroska,webm,avi,gif,apng,mpegts,mpeg,flv,ogg,asf"
_STILL = (b"avif", b"heic", b"heix", b"mif1")  # pictures in the container of MP4
_BEGINNINGS = (b"\x1aE\xdf\xa3", b"OggS", b"FLV\x01", b"\0\0\1\xba", b"0&\xb2u")
_ANGLES = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


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


def clock(seconds: float) -> str:
    """A time as people write it.

    >>> clock(2.5), clock(3725)
    ('0:02.5', '1:02:05.0')
    """
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02}.{rest % 10}"


def is_video(source: bytes | Path) -> bool:
    """Whether a file begins like a video; one that moves inside a picture format does not.

    Raises:
        SourceError: it cannot be opened.
    """
    if isinstance(source, Path):
        with _file(source) as stream:
            head = stream.read(_HEAD)
    else:
        head = source[:_HEAD]
    riff = head.startswith(b"RIFF") and head[8:12] == b"AVI "
    boxes = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") and head[8:12] not in _STILL
    packets = head[:1] == head[188:] == b"G"
    return riff or boxes or packets or head.startswith(_BEGINNINGS)


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
    with _opened(source, name) as (container, stream):
        line = _timeline(container, stream, name)
        chosen = (
            [line.at(seconds) for seconds in times]
            if times
            else sampled(line.ticks, line.end, line.second)
        )
    wanted = [line.ticks[index] for index in dict.fromkeys(chosen)]
    with _opened(source, name) as (container, stream):
        pixels = min(pixels, _KEPT_PIXELS // len(wanted))
        pictures = _decoded(container, stream, line.ticks, wanted, pixels)
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
    with _opened(source, name) as (container, stream):
        _timeline(container, stream, name)


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


@dataclass(frozen=True, slots=True)
class _Line:
    """When each frame of a video is shown, in ticks of its clock, ascending, and when it ends."""

    ticks: list[int]
    end: int
    second: Fraction

    @property
    def seconds(self) -> float:
        return float((self.end - self.ticks[0]) / self.second)

    def at(self, seconds: float) -> int:
        """The number of the frame that is shown at a time."""
        tick = self.ticks[0] + round(seconds * self.second)
        return max(bisect_right(self.ticks, tick) - 1, 0)


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


def _times(line: _Line, chosen: Sequence[int]) -> Iterator[float]:
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


# ── FFmpeg ───────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _opened(source: bytes | Path, name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video and its first picture stream; whatever goes wrong inside names the file."""
    try:
        import av
    except ImportError as error:
        raise ModelMissing(
            f"{name}: PyAV, which reads videos, is not installed", "pip install 'limner[video]'"
        ) from error
    allowed = {
        "format_whitelist": _FORMATS,
        "protocol_whitelist": "none",
        "max_pixels": str(MAX_FRAME_PIXELS),
    }
    try:
        with (
            io.BytesIO(source) if isinstance(source, bytes) else _file(source) as stream,
            av.open(stream, "r", options=allowed) as container,
        ):
            found = next((s for s in container.streams.video if not _cover(s)), None)
            if found is None:
                raise SourceError(f"{name}: holds no moving pictures", "attach a video")
            _check_size(found.width * found.height, name)
            found.codec_context.options = {"max_pixels": allowed["max_pixels"]}
            found.thread_type = "AUTO"
            yield container, found
    except LimnerError:
        raise
    except Exception as error:
        # Untrusted bytes: FFmpeg's errors, and what a damaged header leads PyAV to.
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(
            f"{name}: not a video that can be read, or damaged ({words})",
            "attach a whole MP4, WebM or MOV file",
        ) from error


def _file(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"{path}: {reason}", "attach a picture or video file") from None


def _cover(stream: VideoStream) -> bool:
    """Whether a stream is the cover picture of a song or a film."""
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _check_size(pixels: int, name: str) -> None:
    if pixels > MAX_FRAME_PIXELS:
        raise SourceError(
            f"{name}: its frames have more than the {MAX_FRAME_PIXELS // 10**6} megapixels that "
            "are accepted",
            "scale it down and try again",
        )


def _timeline(container: InputContainer, stream: VideoStream, name: str) -> _Line:
    """The times of a video's frames, without decoding them."""
    if not stream.time_base:
        raise SourceError(f"{name}: tells no time", "convert it to MP4")
    ticks, end, area = [], 0, max(stream.width * stream.height, 1)
    for packet in container.demux(stream):
        tick = packet.dts if packet.pts is None else packet.pts
        if tick is None or packet.is_discard or not packet.size:
            continue
        ticks.append(tick)
        end = max(end if len(ticks) > 1 else tick, tick + (packet.duration or 0))
        if len(ticks) * area > _MAX_DECODED or len(ticks) > _MAX_DECODED // 10**5:
            raise SourceError(f"{name}: too many frames", "cut out what matters")
    if not ticks:
        raise SourceError(f"{name}: holds no frames", "attach a whole video")
    ticks = sorted(set(ticks))
    if end <= ticks[-1]:  # the last frame says not how long it stands: as long as the others
        end = ticks[-1] + max((ticks[-1] - ticks[0]) // max(len(ticks) - 1, 1), 1)
    line = _Line(ticks, end, 1 / Fraction(stream.time_base))
    if line.seconds > MAX_SECONDS:
        raise SourceError(
            f"{name}: {clock(line.seconds)} is longer than the {clock(MAX_SECONDS)} that is read",
            "cut out what matters",
        )
    return line


def _decoded(
    container: InputContainer,
    stream: VideoStream,
    ticks: Sequence[int],
    wanted: Sequence[int],
    pixels: int,
) -> Iterator[Image.Image]:
    """The frames that are shown at the wanted ticks, in order; fewer where the file breaks off."""
    left = list(reversed(wanted))
    held: VideoFrame | None = None
    for tick, frame in _frames(container, stream, ticks):
        while left and held is not None and tick > left[-1]:
            left.pop()
            yield _picture(held, stream, pixels)
        if not left:
            return
        held = frame
    if held is not None and left:
        yield _picture(held, stream, pixels)


def _frames(
    container: InputContainer, stream: VideoStream, ticks: Sequence[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """Every frame that can be decoded, with its tick."""
    import av

    number = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:  # one that is damaged; the next may be whole
            continue
        for frame in frames:
            tick = frame.pts
            if tick is None:
                tick = ticks[min(number, len(ticks) - 1)]
            yield tick, frame
            number += 1


def _picture(frame: VideoFrame, stream: VideoStream, pixels: int) -> Image.Image:
    """A frame as it is shown: its pixels made square, upright, transparency laid on white."""
    _check_size(frame.width * frame.height, "the video")
    aspect = float(stream.sample_aspect_ratio or 1)
    width = frame.width * (aspect if 0.1 < aspect < 10 else 1.0)
    scale = min(1.0, (pixels / (width * frame.height)) ** 0.5)
    size = max(int(width * scale), 1), max(int(frame.height * scale), 1)
    clear = any(part.is_alpha for part in frame.format.components) or frame.format.has_palette
    values = frame.reformat(*size, format="rgba" if clear else "rgb24").to_ndarray()
    shown = Image.fromarray(values)
    if clear:
        white = Image.new("RGBA", size, "white")
        shown = Image.alpha_composite(white, shown).convert("RGB")
    angle = frame.rotation % 360
    return shown.transpose(_ANGLES[angle]) if angle in _ANGLES else shown
