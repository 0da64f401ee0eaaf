"""Video files: untrusted bytes to frames with the ticks of their clock, by FFmpeg (PyAV).

FFmpeg is given bytes and a list of formats that hold a whole video in one file: no URL, playlist
or other file is opened. Knows not which frames are wanted.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ..errors import LimnerError, ModelMissing, SourceError

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

__all__ = [
    "MAX_FRAME_PIXELS",
    "MAX_SECONDS",
    "Line",
    "clock",
    "decoded",
    "is_video",
    "opened",
    "timeline",
]

MAX_SECONDS = 3600
"""Longer videos are refused."""

MAX_FRAME_PIXELS = 16_000_000
"""Larger frames are refused: a decoder keeps many of them at once."""

_MAX_DECODED = 250_000_000_000  # pixels of all frames: an hour of 1920×1080 at 30 a second
_HEAD = 189  # bytes: a packet of MPEG-TS and the first of the next
_FORMATS = "mov,mp4,matroska,webm,avi,gif,apng,mpegts,mpeg,flv,ogg,asf"
_STILL = (b"avif", b"heic", b"heix", b"mif1")  # pictures in the container of MP4
_BEGINNINGS = (b"\x1aE\xdf\xa3", b"OggS", b"FLV\x01", b"\0\0\1\xba", b"0&\xb2u")
_ANGLES = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


@dataclass(frozen=True, slots=True)
class Line:
    """When each frame of a video is shown, in ticks of its clock, ascending, and when it ends."""

    ticks: list[int]
    end: int
    second: Fraction

    @property
    def seconds(self) -> float:
        """The video's length."""
        return float((self.end - self.ticks[0]) / self.second)

    def at(self, seconds: float) -> int:
        """The number of the frame that is shown at a time."""
        tick = self.ticks[0] + round(seconds * self.second)
        return max(bisect_right(self.ticks, tick) - 1, 0)


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


@contextmanager
def opened(source: bytes | Path, name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
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


def timeline(container: InputContainer, stream: VideoStream, name: str) -> Line:
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
    line = Line(ticks, end, 1 / Fraction(stream.time_base))
    if line.seconds > MAX_SECONDS:
        raise SourceError(
            f"{name}: {clock(line.seconds)} is longer than the {clock(MAX_SECONDS)} that is read",
            "cut out what matters",
        )
    return line


def decoded(
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
