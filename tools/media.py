"""Pictures: decoded safely, kept under their own hash. Knows nothing of passages or answers.

A media reference is ``<sha256 of the file>.<png|jpg>``. Whatever comes in is decoded under a
pixel limit, turned upright, stripped of metadata and written again, so what is stored and
exported is a plain picture and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, cast
from uuid import uuid4

from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import LibraryDamaged, LibraryReadOnly, SourceError

__all__ = ["MAX_PIXELS", "MediaStore", "decode_image", "is_reference", "png_bytes"]

MAX_PIXELS = 100_000_000
"""Pictures above this are refused before they are decoded (a decoded one takes 4 bytes a pixel)."""

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_REFERENCE = re.compile(r"[0-9a-f]{64}\.(png|jpg)")


def is_reference(text: str) -> bool:
    """Whether ``text`` has the form of a media reference."""
    return _REFERENCE.fullmatch(text) is not None


def decode_image(data: bytes | Path, name: str = "") -> Image.Image:
    """Decode an untrusted picture: first frame, upright, RGB, transparency laid on white.

    Args:
        data: the file's bytes or its path.
        name: what to call it in an error; a path names itself.

    Returns:
        An ``RGB`` picture of at most ``MAX_PIXELS`` pixels.

    Raises:
        SourceError: not a picture, damaged, too large, or unreadable.
    """
    name = name or (str(data) if isinstance(data, Path) else "the picture")
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged file is an error or it is none
            with Image.open(stream, formats=_FORMATS) as image:
                _check_size(image, name)
                image.seek(0)
                return _flatten(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        raise SourceError(
            f"{name}: not a picture that can be read", "use PNG, JPEG, WebP or GIF"
        ) from None
    except SourceError:
        raise
    except Image.DecompressionBombError:  # raised on opening, where far more than we accept
        raise _too_large(name, "") from None
    except Exception as error:
        # Untrusted bytes: the decoders raise whatever a damaged header leads them to, from
        # OSError and SyntaxError to TypeError and OverflowError.
        raise SourceError(f"{name}: damaged or unreadable picture ({error})") from None


def _check_size(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name, f"{image.width}×{image.height} is ")


def _too_large(name: str, size: str) -> SourceError:
    return SourceError(
        f"{name}: {size}more than the {MAX_PIXELS // 10**6} megapixels that are accepted",
        "scale it down and try again",
    )


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale grey levels of 16 or 32 bits: from black to the white of 1, 8, 12 or 16 bits."""
    levels = image.convert("F")
    low, high = (float(cast(float, level)) for level in levels.getextrema())
    white = next((white for white in (1, 255, 4095, 65535) if high <= white), high)
    black = min(low, 0.0)
    scale = 255.0 / max(white - black, 1.0)
    return levels.point(lambda level: level * scale - black * scale).convert("L")


def png_bytes(image: Image.Image) -> bytes:
    """A picture as a PNG file, every pixel kept."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _jpeg_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


class MediaStore:
    """A folder of pictures, each named by the hash of its bytes.

    Args:
        folder: created on the first ``put``.
        parent: another store to read from; what is read through it is copied here, so that one
            folder holds every picture of an answer.
    """

    def __init__(self, folder: Path, parent: MediaStore | None = None) -> None:
        self.folder = folder
        self.parent = parent

    def put(self, image: Image.Image, kind: Literal["png", "jpg"] = "png") -> str:
        """Store a picture and return its reference; storing it twice stores it once.

        Args:
            image: ``RGB``.
            kind: ``png`` keeps every pixel; ``jpg`` for what came as a JPEG.

        Raises:
            LibraryReadOnly: the folder cannot be written.
        """
        return self.put_file(png_bytes(image) if kind == "png" else _jpeg_bytes(image), kind)

    def put_file(self, data: bytes, kind: Literal["png", "jpg"] = "png") -> str:
        """Store the bytes of a picture's file as they are, and return its reference.

        Args:
            data: of our own making; what comes from elsewhere is decoded and given to ``put``.
            kind: of file.

        Raises:
            LibraryReadOnly: the folder cannot be written.
        """
        reference = f"{hashlib.sha256(data).hexdigest()}.{kind}"
        target = self.folder / reference
        if not target.exists():
            self._write(target, data)
        return reference

    def path(self, reference: str) -> Path:
        """The file of a reference.

        Raises:
            LibraryDamaged: the reference has another form, or the file is not there.
        """
        if not is_reference(reference):
            raise LibraryDamaged(f"{reference[:80]!r} is not a media reference")
        target = self.folder / reference
        if not target.exists() and self.parent is not None:
            self._write(target, self.parent.path(reference).read_bytes())
        if not target.exists():
            raise LibraryDamaged(
                f"the picture {reference} is missing from {self.folder}", "limner doctor"
            )
        return target

    def open(self, reference: str) -> Image.Image:
        """The picture of a reference, decoded, after its hash was checked.

        Raises:
            LibraryDamaged: missing, or its bytes do not match the reference.
        """
        data = self.path(reference).read_bytes()
        if hashlib.sha256(data).hexdigest() != reference.partition(".")[0]:
            raise LibraryDamaged(
                f"the picture {reference} in {self.folder} was changed", "limner doctor"
            )
        return decode_image(data, reference)

    def remove(self, reference: str) -> None:
        """Forget a picture; one that is not there is no error."""
        if is_reference(reference):
            (self.folder / reference).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[str]:
        """Every reference in the folder."""
        if self.folder.is_dir():
            yield from (p.name for p in sorted(self.folder.iterdir()) if is_reference(p.name))

    def __contains__(self, reference: object) -> bool:
        return isinstance(reference, str) and (
            (is_reference(reference) and (self.folder / reference).exists())
            or (self.parent is not None and reference in self.parent)
        )

    def _write(self, target: Path, data: bytes) -> None:
        try:
            self._write_durably(target, data)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise LibraryReadOnly(
                f"{self.folder}: cannot be written ({reason})",
                "make room there, or choose another place with --library",
            ) from error

    def _write_durably(self, target: Path, data: bytes) -> None:
        new = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{uuid4().hex}.part"  # with the permissions of any new file
        try:
            with temporary.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)
            for folder in (self.folder, self.folder.parent) if new else (self.folder,):
                _flush(folder)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def _flush(folder: Path) -> None:
    """What was renamed in a folder stays so after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
