"""The pictures that a marked-up document names, and their captions.

Documents are untrusted. A picture is taken only from the document's own folder, without following
links, or from the document itself (``data:``); no address is ever fetched, and one that leads
anywhere else is treated like a picture that is missing.
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup
from bs4.element import Tag

from ...errors import SourceError
from ...tools.media import MediaStore
from .base import Block, step
from .image import keep_picture

__all__ = ["MAX_PICTURE_BYTES", "Pictures"]

MAX_PICTURE_BYTES = 50_000_000
"""Picture files above this are left out."""

_SMALLEST = 32  # pixels; anything less is an icon
_DATA = re.compile(r"data:image/(?:png|jpe?g|gif|webp|bmp);base64,(.+)", re.IGNORECASE | re.DOTALL)


class Pictures:
    """Every ``img`` of a document that can be shown, with its caption.

    The ``figcaption`` of a figure whose picture is found is taken out of the document; that of a
    missing one stays there as text.

    Args:
        soup: the document.
        path: its file.
        media: where the pictures are kept.
    """

    def __init__(self, soup: BeautifulSoup, path: Path, media: MediaStore) -> None:
        self._folder = path.parent.resolve()
        self._media = media
        self._kept: dict[str, str | None] = {}
        self._figures: dict[int, Block] = {}
        for tag in soup("img"):
            step()
            reference = self._keep(str(tag.get("src", "")))
            if reference is not None:
                self._figures[id(tag)] = Block("figure", _caption(tag), image=reference)
        for caption in soup("figcaption"):
            figure = caption.find_parent("figure")
            if figure and any(id(tag) in self._figures for tag in figure("img")):
                caption.decompose()

    def of(self, tag: Tag) -> tuple[Block | None, str]:
        """The figure of an ``img``, or the words that stand in its place."""
        figure = self._figures.get(id(tag))
        return (figure, "") if figure else (None, f" {_alternative(tag)} ")

    def _keep(self, source: str) -> str | None:
        if source not in self._kept:
            self._kept[source] = self._read(source)
        return self._kept[source]

    def _read(self, source: str) -> str | None:
        data = _inline(source) if source[:5].lower() == "data:" else self._local(source)
        if data is None:
            return None
        try:
            image, reference = keep_picture(data, "a picture in the document", self._media)
        except SourceError:
            return None  # the caption stays as text; a broken picture is no reason to lose it
        return reference if min(image.size) >= _SMALLEST else None

    def _local(self, source: str) -> bytes | None:
        """The bytes of a file inside the document's folder; None for whatever leads elsewhere."""
        name = unquote(re.split(r"[?#]", source, maxsplit=1)[0])
        if not name or "\0" in name or re.match(r"[a-zA-Z][\w+.-]*:|[/\\]", name):
            return None
        target = Path(os.path.normpath(self._folder / name))
        if self._folder not in target.parents:
            return None
        try:
            if target.resolve() != target or not target.is_file():  # a link on the way, or no file
                return None
            return target.read_bytes() if target.stat().st_size <= MAX_PICTURE_BYTES else None
        except (OSError, RuntimeError):
            return None


def _inline(source: str) -> bytes | None:
    match = _DATA.match(source)
    if match is None or len(source) > MAX_PICTURE_BYTES:
        return None
    try:
        return base64.b64decode(unquote(match[1]))
    except ValueError:
        return None


def _alternative(tag: Tag) -> str:
    words = str(tag.get("title") or tag.get("alt") or "")
    return " ".join(words.split())


def _caption(tag: Tag) -> str:
    figure = tag.find_parent("figure")
    written = figure.find("figcaption") if figure else None
    words = " ".join(written.get_text(" ").split()) if written else ""
    return words or _alternative(tag)
