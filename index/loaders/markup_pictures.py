"""The pictures that a marked-up document names, and their captions.

Documents are untrusted. A picture is taken only from the document's own folder, without following
links, or from the document itself (``data:``); no address is ever fetched, and one that leads
anywhere else is treated like a picture that is missing.
"""

from __future__ import annotations

import base64
import os
import re
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from bs4 import BeautifulSoup
from bs4.element import PageElement, Tag

from ...errors import SourceError
from ...tools.media import MediaStore
from .base import Block, step
from .image import keep_picture

__all__ = ["MAX_PICTURE_BYTES", "Pictures"]

MAX_PICTURE_BYTES = 50_000_000
"""Picture files above this are left out."""

_SMALLEST = 32  # pixels; anything less is an icon
_NUMBERED = re.compile(
    r"(?:fig(?:ure|\.)?|picture|image|chart|diagram|plate|map|photo|illustration|abb(?:ildung|\.)|bild)"
    r"\s*(?:\d+(?:[.\-]\d+)*[a-z]?|[A-Z]\.?\d+)\s*(?:[.:|–—)-]\s*(?P<words>\S.*))?",
    re.IGNORECASE | re.DOTALL,
)
"""A caption's line. "Figure 2 compares ..." is a sentence."""
_AROUND = ("p", "a", "span", "div", "center", "em", "strong", "picture")
_LONGEST = 300  # characters of such a line
_MOST = 20  # nodes in it
_DEEPEST = 6  # elements around a picture
_DATA = re.compile(r"data:image/(?:png|jpe?g|gif|webp|bmp);base64,(.+)", re.IGNORECASE | re.DOTALL)


class Pictures:
    """Every ``img`` of a document that can be shown, with its caption.

    The ``figcaption`` of a figure whose picture is found is taken out of the document, and so is a
    line such as "Figure 1: …" that stands right after a picture; that of a missing one stays there
    as text.

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
            if reference is None:
                continue
            line = [] if tag.find_parent("figure") else _line_after(tag)
            words = _words_of(line) or _caption(tag)
            self._figures[id(tag)] = Block("figure", words, image=reference)
            for node in line:
                node.extract()
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


def _line_after(tag: Tag) -> list[PageElement]:
    """The nodes of a caption's line right after a picture; none where another thing is there."""
    node: PageElement = tag
    for _ in range(_DEEPEST):
        if (first := _next(node)) is not None:
            break
        if node.parent is None or node.parent.name not in _AROUND:
            return []
        node = node.parent
    else:
        return []
    if isinstance(first, Tag) and (line := _numbered(_words_of([first]))) and line["words"]:
        return [first]
    inline = node.parent is not None and node.parent.name in _AROUND
    rest = [first, *islice(first.next_siblings, _MOST)] if inline else [first]
    return rest if _numbered(_words_of(rest)) else []


def _numbered(words: str) -> re.Match[str] | None:
    return _NUMBERED.fullmatch(words) if len(words) <= _LONGEST else None


def _next(node: PageElement) -> PageElement | None:
    """The next sibling that is no white space and no line break."""
    for sibling in node.next_siblings:
        said = _said(sibling)
        if said is None or said.strip():
            return sibling
    return None


def _said(node: PageElement) -> str | None:
    """The words of a node; None where it is no line of words: too much, or a picture."""
    if not isinstance(node, Tag):
        return str(node)
    if node.name == "br":
        return " "
    within = list(islice(node.descendants, _MOST))
    pictured = node.name == "img" or any(isinstance(n, Tag) and n.name == "img" for n in within)
    return None if pictured or len(within) == _MOST else node.get_text()


def _words_of(nodes: list[PageElement]) -> str:
    """The words of some nodes in one line; empty where one of them is no line of words."""
    said = [_said(node) for node in nodes]
    return "" if None in said else " ".join("".join(filter(None, said)).split())
