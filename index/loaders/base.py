"""What every loader gives: the blocks of a document, in reading order.

A loader is a function of a path and a media store. It knows its format and nothing of chunks,
embeddings or the library. Documents are untrusted: a loader opens no other file than the one it
was given and the pictures that a document names inside its own folder, follows no link, runs
nothing, and raises `SourceError` for what it cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ...tools.media import MediaStore
from ..passage import Box

__all__ = ["Block", "Kind", "Loader"]

Kind = Literal["heading", "paragraph", "item", "row", "code", "figure", "screenshot"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document as its author made it.

    Attributes:
        kind: what it is. ``item`` is a list item, ``row`` a table row as ``name: value; …``,
            ``figure`` a picture within a document, ``screenshot`` a line of text on an image file.
        text: its words; for a figure the caption (may be empty).
        level: of a heading, 1 to 6; otherwise 0.
        page: 1-based, where the format has pages.
        box: in points of the page (pixels of ``image`` for a screenshot's line), origin top left.
        image: media reference of a figure or screenshot.
    """

    kind: Kind
    text: str
    level: int = 0
    page: int | None = None
    box: Box | None = None
    image: str | None = None


class Loader(Protocol):
    r"""Reads one format.

    Example:
        >>> def load_text(path, media):
        ...     for paragraph in path.read_text().split("\n\n"):
        ...         yield Block("paragraph", paragraph)
    """

    def __call__(self, path: Path, media: MediaStore) -> Iterator[Block]:
        """Yield the blocks of the document at ``path``, storing its pictures in ``media``.

        Raises:
            SourceError: the file cannot be read as this format.
        """
        ...
