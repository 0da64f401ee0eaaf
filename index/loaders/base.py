"""What every loader gives: the blocks of a document, in reading order.

A loader is a function of a path and a media store. It knows its format and nothing of chunks,
embeddings or the library. Documents are untrusted: a loader opens no other file than the one it
was given and the pictures that a document names inside its own folder, follows no link, runs
nothing, and raises `SourceError` for what it cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ...tools.media import MediaStore
from ..passage import Box

__all__ = ["LONGEST_STEP", "Block", "Kind", "Loader", "Watch", "step", "watched"]

LONGEST_STEP = 10.0
"""Seconds within which a loader gives its next sign of progress, unless it asks for more."""

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


class Watch(Protocol):
    """Hears that a loader goes on, so that slow work can be told from work without end.

    Example:
        >>> with watched(lambda seconds, ocr: print("." if seconds <= 10 else "…")):
        ...     load(path, media)
    """

    def __call__(self, seconds: float, ocr: bool) -> None:
        """Work goes on; the next sign of it comes within so many seconds.

        Args:
            seconds: how long the coming step may take.
            ocr: whether text is read off a picture in it, which takes memory of its own.
        """
        ...


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


def step(seconds: float = LONGEST_STEP, ocr: bool = False) -> None:
    """Say that a loader goes on; called once a page, element or picture, and cheap."""
    watch = _watch.get()
    if watch is not None:
        watch(seconds, ocr)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Have every `step` of the loaders called within heard by ``watch``."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)
