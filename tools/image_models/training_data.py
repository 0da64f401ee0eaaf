"""Pictures and captions that an adapter is trained on: found in a folder, cut to a square.

Knows files and words; no model. Nothing in a folder is trusted: a picture that cannot be read is
passed over and named.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ...errors import SourceError, UserError
from ..media import decode_image

__all__ = ["Describe", "Example", "Found", "Square", "found", "square"]

Describe = Callable[[Image.Image], str]
"""Says in words what a picture shows."""

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif"}
_LONGEST = 10_000  # characters of a caption
_LARGEST = 64_000_000  # bytes of a list of captions
_CAMERA = {"img", "dsc", "dscn", "dscf", "image", "photo", "screenshot", "pxl"}


@dataclass(frozen=True, slots=True)
class Example:
    """A picture and what it shows.

    Attributes:
        path: its file.
        caption: with the trigger in front; may be empty.
        digest: SHA-256 of the file.
    """

    path: Path
    caption: str
    digest: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds.

    Attributes:
        examples: in the order of their names; one at least.
        skipped: files that cannot be read, each with the reason.
        notes: what else is to be told.
    """

    examples: tuple[Example, ...]
    skipped: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Square:
    """A picture cut for training.

    Attributes:
        image: RGB.
        time_ids: what SDXL is told of it: height and width before, top and left of the cut, height
            and width after, in pixels.
    """

    image: Image.Image
    time_ids: tuple[int, int, int, int, int, int]


def found(
    folder: Path,
    resolution: int,
    captions: Path | None = None,
    trigger: str = "",
    describe: Describe | None = None,
) -> Found:
    """The pictures of a folder with their captions.

    A caption is the ``.txt`` file of the picture's name, else its ``text`` in ``metadata.jsonl``,
    else what ``describe`` says, else the words of its file's name.

    Args:
        folder: of pictures; folders in it are not looked into.
        resolution: pixels of a side; what is smaller is noted.
        captions: a folder of ``.txt`` files and ``metadata.jsonl``; where left out, ``folder``.
        trigger: words that stand in front of every caption.
        describe: captions those pictures that nothing is written about.

    Raises:
        UserError: no such folder, no pictures in it, or a list of captions that cannot be read.
    """
    for place in (folder, captions):
        if place is not None and not place.is_dir():
            raise UserError(f"{place}: no such folder", "limner lora train FOLDER --base NAME")
    listed = _listed(captions or folder)
    examples, skipped, named, small = list[Example](), list[tuple[Path, str]](), 0, 0
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES):
        if path.name.startswith("."):
            continue
        try:
            image = decode_image(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except (SourceError, OSError) as error:
            skipped.append((path, str(error)))
            continue
        words = _written(path, captions or folder, listed)
        if words is None and describe is not None:
            words = describe(image)
        if words is None:
            words, named = _of_name(path), named + 1
        caption = ", ".join(filter(None, (trigger.strip(), words.strip()[:_LONGEST])))
        examples.append(Example(path, caption, digest))
        small += min(image.size) < resolution
    if not examples:
        what = f"{len(skipped)} pictures, none of which can be read" if skipped else "no pictures"
        raise UserError(f"{folder}: {what}", "give a folder of .png, .jpg, .webp or .gif files")
    notes = []
    if named:
        notes.append(f"{named} of {len(examples)} pictures have no caption; the file's name serves")
    if small:
        notes.append(f"{small} pictures are smaller than {resolution}×{resolution} and enlarged")
    return Found(tuple(examples), tuple(skipped), tuple(notes))


def _listed(folder: Path) -> dict[str, str]:
    """Captions by file name from ``metadata.jsonl``, where there is one."""
    path, captions = folder / "metadata.jsonl", dict[str, str]()
    if not path.is_file():
        return captions
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("too large")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
                    raise ValueError(f"line {number} has no file_name")
                if isinstance(row.get("text"), str):
                    captions[row["file_name"]] = row["text"]
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read ({error})",
            'write one {"file_name": "a.png", "text": "a boat"} a line',
        ) from error
    return captions


def _written(path: Path, folder: Path, listed: Mapping[str, str]) -> str | None:
    beside = folder / f"{path.stem}.txt"
    if beside.is_file():
        with beside.open(encoding="utf-8", errors="replace") as stream:
            return " ".join(stream.read(_LONGEST).split())
    return listed.get(path.name)


def _of_name(path: Path) -> str:
    """The words of a file's name; none where a camera has named it."""
    words = [word for word in re.split(r"[\W_\d]+", path.stem) if word]
    return "" if all(word.lower() in _CAMERA for word in words) else " ".join(words)


def square(image: Image.Image, side: int) -> Square:
    """The middle of a picture as a square.

    Args:
        image: RGB, of any size.
        side: in pixels.
    """
    scale = side / min(image.size)
    width, height = (max(side, round(pixels * scale)) for pixels in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    cut = image.resize((width, height), Image.Resampling.LANCZOS)
    cut = cut.crop((left, top, left + side, top + side))
    return Square(cut, (image.height, image.width, top, left, side, side))
