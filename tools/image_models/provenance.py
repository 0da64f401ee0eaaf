"""A drawn picture as a PNG file that says how it was drawn, and reading that back.

The file holds the record three times: as JSON (``limner``), which is read back here; in the words
that other programs for drawing show (``parameters``); and as the mark by which the IPTC lets any
program tell a generated picture (XMP). What is read back is untrusted.

There is no invisible watermark. The one library for it has had no release since July 2023, calls
itself experimental, and brings an OpenCV that overwrites the one that OCR runs on; and it would
alter the pixels that a seed promises.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ...errors import LimnerError, SourceError
from ..media import decode_image
from . import lora
from .base import GeneratedImage
from .checking import LONGEST_PROMPT, digest_of

__all__ = ["Claims", "Signed", "adapter_digest", "claims", "read", "signed_png", "without_place"]

_KEYWORD = "limner"
_LARGEST = 1 << 20  # bytes of a record; the longest prompts take an eighth of it
_HEAD = 4 << 20  # bytes of a file within which its record is looked for
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF \
xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" \
xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" Iptc4xmpExt:DigitalSourceType=\
"{_MARK}"/></rdf:RDF></x:xmpmeta>"""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a picture's file says of it.

    Attributes:
        drawn: the picture with its record, as the file tells it.
        by: the program that wrote the record: ``limner 0.1.0``.
        untouched: whether the pixels are those that the record was written for.
        adapters: SHA-256 of each of the picture's adapters, in their order; empty where the file
            was gone when the record was written.
    """

    drawn: GeneratedImage
    by: str
    untouched: bool
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claims:
    """What any program may have written into a picture of how it came about.

    Attributes:
        marked: it bears the IPTC's mark of a generated picture.
        parameters: of drawing, in the form of AUTOMATIC1111's program; empty for none.
    """

    marked: bool
    parameters: str

    @property
    def generated(self) -> bool:
        """Whether it says of itself that it is generated; if not, nothing is known."""
        return self.marked or bool(self.parameters)


def signed_png(drawn: GeneratedImage) -> bytes:
    """A picture as a PNG file with its record.

    Of an adapter the record holds the file's name and digest, not where it lies: the file goes to
    other people, to whom a path says more of its writer than of the picture, and the digest tells
    which adapter it was.

    Args:
        drawn: by an image model.
    """
    record: dict[str, object] = {
        "by": f"limner {version('limner')}",
        "pixels": digest_of(drawn.image, "RGB"),
        "adapters": [adapter_digest(name) for name, _ in drawn.lora],
    }
    drawn = replace(drawn, lora=tuple((without_place(name), w) for name, w in drawn.lora))
    chunks = PngInfo()
    chunks.add_itxt(_KEYWORD, json.dumps(record | drawn.to_dict(), ensure_ascii=False))
    chunks.add_itxt("parameters", _parameters(drawn).replace("\0", ""))  # the format's end mark
    chunks.add_itxt("XML:com.adobe.xmp", _XMP)
    buffer = io.BytesIO()
    drawn.image.save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def adapter_digest(name: str) -> str:
    """SHA-256 of the file that a name or path of an adapter stands for; empty where none is."""
    try:
        return lora.digest_of(lora.find(name))
    except (LimnerError, OSError, ValueError, RuntimeError):  # no path, or the home of no one
        return ""


def without_place(name: str) -> str:
    """An adapter's name; of a path the last part, of a repository of the hub both.

    Args:
        name: or path, as it was asked for.
    """
    path = name.startswith((".", "/", "~")) or name.endswith(".safetensors")
    if "/" in name and (path or name.count("/") > 1 or os.path.exists(name)):  # noqa: PTH110
        return Path(name).name
    return name


def _parameters(drawn: GeneratedImage) -> str:
    """The form in which AUTOMATIC1111's program writes them and many others read them."""
    facts: dict[str, object] = {
        "Steps": drawn.steps,
        "Sampler": drawn.scheduler,
        "CFG scale": f"{drawn.guidance:g}",
        "Seed": drawn.seed,
        "Size": f"{drawn.size[0]}x{drawn.size[1]}",
        "Model hash": drawn.revision,
        "Model": drawn.model,
    }
    if drawn.strength is not None:
        facts["Denoising strength"] = f"{drawn.strength:g}"
    lines = [drawn.prompt]
    if drawn.negative_prompt:
        lines.append(f"Negative prompt: {drawn.negative_prompt}")
    facts["Version"] = f"Limner {version('limner')}"
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in facts.items())])


def read(source: Path | bytes, name: str = "") -> Signed | None:
    """What a picture's file says of how it was drawn; None where it says nothing.

    Args:
        source: a file or its bytes, of any kind of picture.
        name: what to call it in an error; a path names itself.

    Raises:
        SourceError: not a picture, or its record is damaged or none that Limner writes.
    """
    name = name or str(source if isinstance(source, Path) else "the picture")
    image = decode_image(source, name)
    chunk = _chunk(_head(source), name)
    if chunk is None:
        return None
    try:
        values = json.loads(chunk, parse_constant=_no_number)
        return _signed(values, image)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error) or "nested too deeply"
        raise SourceError(
            f"{name}: its record of how it was drawn cannot be read ({what[:200]})", _HINT
        ) from None


def claims(source: Path | bytes) -> Claims:
    """What a picture's file says beside the record that `read` knows; nothing of it is checked.

    Args:
        source: a file or its bytes, of any kind of picture.
    """
    head = _head(source)
    texts = (_parameters_of(kind, body) for kind, body in _chunks(head))
    return Claims(_MARK.encode() in head, next(filter(None, texts), ""))


def _parameters_of(kind: bytes, body: bytes) -> str:
    """The words of a chunk of parameters; empty for any other, and for one that is packed."""
    keyword, _, rest = body.partition(b"\0")
    if keyword != b"parameters" or len(body) > _LARGEST:
        return ""
    if kind == b"iTXt" and rest[:1] == b"\0":
        words = rest[2:].split(b"\0", 2)[-1].decode("utf-8", "replace")
    else:
        words = rest.decode("latin-1") if kind == b"tEXt" else ""
    return words if "Steps: " in words else ""


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:_HEAD]
    with source.open("rb") as stream:
        return stream.read(_HEAD)


_HINT = "the picture itself can be looked at; nothing in its record can be relied on"


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _chunk(data: bytes, name: str) -> str | None:
    """The text of the record's chunk; the first counts, and it stands before the pixels."""
    start = _KEYWORD.encode() + b"\0"
    for kind, body in _chunks(data):
        if kind != b"iTXt" or not body.startswith(start):
            continue
        if len(body) > _LARGEST:
            raise SourceError(f"{name}: its record cannot be read (it is over 1 MB)", _HINT)
        if body[len(start) : len(start) + 4] != bytes(4):  # packed, or in a language
            raise SourceError(f"{name}: its record of how it was drawn is damaged", _HINT)
        return _text(body[len(start) + 4 :], name)
    return None


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise SourceError(f"{name}: its record of how it was drawn is no text", _HINT) from None


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each chunk before the pixels; of what is too large for a record the start.

    Decoding has checked their sums.
    """
    at = len(_SIGNATURE)
    while data.startswith(_SIGNATURE) and at + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"IDAT":
            return
        yield kind, data[at + 8 : at + 8 + min(length, _LARGEST + 1)]
        at += 12 + length


def _signed(values: Any, image: Image.Image) -> Signed:
    """What a record says, every value held against its type and range.

    Raises:
        ValueError, TypeError, KeyError, OverflowError: another shape.
    """
    if not isinstance(values, dict):
        raise TypeError("it is no mapping")
    width, height = values["size"]
    drawn = GeneratedImage(
        image=image,
        model=_words(values["model"]),
        revision=_words(values["revision"]),
        prompt=_words(values["prompt"]),
        negative_prompt=_words(values["negative_prompt"]),
        size=(_whole(width), _whole(height)),
        steps=_whole(values["steps"]),
        guidance=_number(values["guidance"]),
        scheduler=_words(values["scheduler"]),
        seed=_whole(values["seed"]),
        strength=None if values["strength"] is None else _number(values["strength"]),
        reference=_digest(values["reference"]),
        mask=_digest(values["mask"]),
        lora=tuple((_words(of), _number(weight)) for of, weight in _list(values["lora"])),
        device=_words(values["device"]),
        dtype=_words(values["dtype"]),
        versions=tuple((_words(k), _words(v)) for k, v in dict(values["versions"]).items()),
        checked=values["checked"] is True,
        notes=tuple(_words(note) for note in _list(values["notes"])),
        seconds=_number(values["seconds"]),
        batch=_whole(values.get("batch", 1)),
    )
    adapters = tuple(map(_digest, _list(values.get("adapters", []))))
    untouched = values["pixels"] == digest_of(image, "RGB")
    return Signed(drawn, _words(values["by"]), untouched, adapters)


def _words(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_PROMPT:
        raise TypeError(f"text of at most {LONGEST_PROMPT} characters was expected")
    value.encode()  # half of a character is a ValueError
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise TypeError("a whole number was expected")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError("a number was expected")
    return float(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > 1000:
        raise TypeError("a list was expected")
    return value


def _digest(value: Any) -> str:
    if _words(value) and (len(value) != 2 * hashlib.sha256().digest_size or not value.isalnum()):
        raise TypeError("a SHA-256 was expected")
    return str(value)
