"""Word documents (.docx): headings, paragraphs, lists, tables and embedded pictures.

Knows WordprocessingML; python-docx opens the package and resolves styles. Fields, comments,
deleted text, headers and footers are left out; a picture that is only linked is never fetched.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import SourceError
from ...tools.media import MediaStore
from .base import Block, step
from .image import keep_picture
from .text import row_text

__all__ = ["MAX_UNPACKED", "load_docx"]

MAX_UNPACKED = 200_000_000
"""Documents that unpack to more bytes than this are refused."""

_MAX_RATIO = 100  # unpacked to packed; ordinary documents stay below 20
_SMALL = 2_000_000  # below this no ratio matters
_SMALLEST = 32  # pixels; anything less is an icon
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_BLIP = "{http://schemas.openxmlformats.org/drawingml/2006/main}blip"
_EMBED = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}embed"
_PROPERTIES = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}docPr"
_ELSEWHERE = (f"{_W}del", f"{_W}moveFrom", f"{_MC}Fallback")
_WRAPPERS = (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml", f"{_W}smartTag")
_MAX_SPAN = 50
_CAPTION = re.compile(r"(?:figure|fig\.|picture|abbildung|abb\.)\s*\d", re.IGNORECASE)


def load_docx(path: Path, media: MediaStore) -> Iterator[Block]:
    """The document's blocks in order; a picture takes the caption that stands next to it."""
    _check_package(path)
    import docx
    from docx.opc.exceptions import PackageNotFoundError

    try:
        document = docx.Document(str(path))
    except (PackageNotFoundError, zipfile.BadZipFile, KeyError, OSError, ValueError) as error:
        raise SourceError(
            f"{path}: not a Word document that can be read ({error})", "save a copy as .docx"
        ) from None
    yield from _with_captions(list(_Reader(document, media).blocks(document.element.body)))


def _check_package(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as package:
            entries = package.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise SourceError(f"{path}: damaged ({error})", "save a copy as .docx") from None
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(sum(entry.compress_size for entry in entries), 1)
    if unpacked > MAX_UNPACKED or (unpacked > _SMALL and unpacked / packed > _MAX_RATIO):
        raise SourceError(
            f"{path}: unpacks to {unpacked / 1e6:.0f} MB from {packed / 1e6:.1f} MB, which is "
            "more than is accepted",
            "split it and add again",
        )
    if any(entry.flag_bits & 1 for entry in entries):
        raise SourceError(f"{path}: encrypted", "save a copy without a password")


@dataclass(frozen=True, slots=True)
class _Found:
    """A block, and whether it says of itself that it is a caption."""

    block: Block
    caption: bool = False


class _Reader:
    """Walks the elements of one document."""

    def __init__(self, document: Any, media: MediaStore) -> None:
        self._document = document
        self._media = media
        self._styles: dict[str | None, tuple[str, int]] = {}

    def blocks(self, container: Any) -> Iterator[_Found]:
        for element in container.iterchildren():
            step()
            if element.tag == f"{_W}p":
                yield from self._paragraph(element)
            elif element.tag == f"{_W}tbl":
                yield from self._table(element)
            elif element.tag in _WRAPPERS:
                yield from self.blocks(element)

    def _paragraph(self, element: Any) -> Iterator[_Found]:
        text = " ".join(_text(element).split())
        role, level = self._role(element.style)
        if text and role == "heading":
            yield _Found(Block("heading", text, level=level))
        elif text:
            item = role == "item" or _is_numbered(element)
            caption = role == "caption" or _CAPTION.match(text) is not None
            yield _Found(Block("item" if item else "paragraph", text), caption)
        yield from self._pictures(element)
        for box in _inside(element, f"{_W}txbxContent"):
            yield from self.blocks(box)

    def _role(self, style_id: str | None) -> tuple[str, int]:
        if style_id not in self._styles:
            from docx.enum.style import WD_STYLE_TYPE

            style = self._document.styles.get_by_id(style_id, WD_STYLE_TYPE.PARAGRAPH)
            self._styles[style_id] = _role_of(style)
        return self._styles[style_id]

    def _table(self, table: Any) -> Iterator[_Found]:
        rows = list(_rows(table))
        if max((len(cells) for cells in rows), default=0) < 2:  # a frame around ordinary text
            for cell in table.iterchildren(f"{_W}tr"):
                for inner in cell.iterchildren(f"{_W}tc"):
                    yield from self.blocks(inner)
            return
        names = rows[0] if len(rows) > 1 else []
        for cells in rows[1:] or rows:
            line = cells[0] if len(set(cells)) == 1 else row_text(names, cells)
            if line:
                yield _Found(Block("row", line))
        yield from self._pictures(table)

    def _pictures(self, element: Any) -> Iterator[_Found]:
        for drawing in _inside(element, f"{_W}drawing"):
            words = " ".join(
                " ".join(str(node.get("descr", "")).split()) for node in drawing.iter(_PROPERTIES)
            )
            for blip in drawing.iter(_BLIP):
                reference = self._keep(blip.get(_EMBED))
                if reference:
                    yield _Found(Block("figure", words.strip(), image=reference))

    def _keep(self, relation: str | None) -> str | None:
        part = self._document.part.related_parts.get(relation) if relation else None
        if part is None:
            return None
        try:
            image, reference = keep_picture(part.blob, str(part.partname), self._media)
        except SourceError:  # a drawing format, or damaged; the caption stays as text
            return None
        return reference if min(image.size) >= _SMALLEST else None


def _role_of(style: Any) -> tuple[str, int]:
    """What a paragraph's style, or one that it is based on, makes of it."""
    for _ in range(10):  # styles can be based on each other in a circle
        if style is None:
            break
        name = (style.name or "").lower()
        if match := re.fullmatch(r"heading (\d)", name):
            return "heading", min(int(match[1]), 6)
        if name in ("title", "caption") or name.startswith("list "):
            return {"title": ("heading", 1), "caption": ("caption", 0)}.get(name, ("item", 0))
        style = style.base_style
    return "paragraph", 0


def _is_numbered(element: Any) -> bool:
    return element.pPr is not None and element.pPr.numPr is not None


def _inside(element: Any, tag: str) -> Iterator[Any]:
    """The outermost elements of a tag, without deleted text and compatibility doubles."""
    for child in element.iterchildren():
        if child.tag == tag:
            yield child
        elif child.tag not in _ELSEWHERE:
            yield from _inside(child, tag)


def _text(element: Any) -> str:
    parts = []
    for child in element.iterchildren():
        if child.tag == f"{_W}t":
            parts.append(child.text or "")
        elif child.tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
            parts.append(" ")
        elif child.tag == f"{_W}noBreakHyphen":
            parts.append("-")
        elif child.tag not in _ELSEWHERE and child.tag != f"{_W}txbxContent":
            parts.append(_text(child))
    return "".join(parts)


def _rows(table: Any) -> Iterator[list[str]]:
    """The text of each row's columns; a cell that spans several stands in each."""
    above: list[str] = []
    for row in table.iterchildren(f"{_W}tr"):
        cells: list[str] = []
        for cell in row.iterchildren(f"{_W}tc"):
            paragraphs = (" ".join(_text(p).split()) for p in cell.iter(f"{_W}p"))
            text = " ".join(filter(None, paragraphs))
            if cell.vMerge == "continue" and len(cells) < len(above):
                text = above[len(cells)]
            cells += [text] * min(cell.grid_span, _MAX_SPAN)
        if cells:
            yield cells
            above = cells


def _with_captions(found: list[_Found]) -> Iterator[Block]:
    """Give each picture the caption after it, else the one before it; what is used goes."""
    used: set[int] = set()
    captions: dict[int, str] = {}
    for place, entry in enumerate(found):
        for near in (place + 1, place - 1):
            free = 0 <= near < len(found) and near not in used and found[near].caption
            if entry.block.kind == "figure" and free:
                used.add(near)
                captions[place] = found[near].block.text
                break
    for place, entry in enumerate(found):
        if place not in used:
            yield replace(entry.block, text=captions.get(place, entry.block.text))
