"""PDF: paragraphs, headings and list items with boxes, figures as pictures, scans by OCR.

Opens the document and puts together what ``pdf_page`` (pdfium's view of a page), ``pdf_layout``
(paragraphs, reading order) and ``pdf_figures`` find. A page that cannot be read is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import pypdfium2
from PIL import Image, ImageChops

from ...errors import SourceError
from ...tools.media import MAX_PIXELS, MediaStore
from ...tools.ocr import read_lines
from ..passage import Box
from .base import Block, step
from .image import before_ocr
from .pdf_figures import Figure, find_figures
from .pdf_layout import Paragraph, body_size, in_reading_order, paragraphs
from .pdf_page import LOCK, PageContent, TextLine, read_page
from .text import BULLET, item_text, row_text

__all__ = ["MAX_PAGES", "load_pdf"]

MAX_PAGES = 5_000
"""Longer documents are refused."""

_SCALE = 180 / 72  # pixels a point for figures
_BORDER = 10  # pixels of white left around a figure
_SCAN_SCALE = 200 / 72
_MAX_RENDER = 6_000_000  # pixels; what is larger is rendered smaller
_EDGE = 0.1  # of the page's height: where running headers and footers stand
_COVERED = 0.5  # of the page: with so much image and no text it is a scan
_FOLIO = re.compile(r"(?:page|seite|p\.)?\W*#(?:\s*(?:/|of|von)\s*#)?\W*", re.IGNORECASE)
_LONGEST = 150  # letters in a line of a heading
_LARGER = 1.12  # times the body's size: a heading


@dataclass(frozen=True, slots=True)
class _Picture:
    """A figure that has been rendered."""

    box: Box
    caption: str
    image: str


@dataclass(frozen=True, slots=True)
class _Page:
    """A page as it is kept until the whole document is known; ``sheet`` is its bare geometry."""

    sheet: PageContent
    parts: tuple[Paragraph | _Picture, ...]

    @property
    def paragraphs(self) -> list[Paragraph]:
        return [part for part in self.parts if isinstance(part, Paragraph)]


def load_pdf(path: Path, media: MediaStore) -> Iterator[Block]:
    """The document's blocks, page by page; what repeats at the edges of its pages is left out.

    Figures are cut from the page at 180 dpi, with their labels and without their captions. Pages
    that are only a scanned picture are read by OCR.
    """
    pages = list(_pages(path, media))
    if not pages:
        raise SourceError(f"{path}: no page of it can be read", "open it and save a copy")
    running = _running(pages)
    if all(id(part) in running for page in pages for part in page.parts):
        running = set()  # pages that hold nothing else
    sizes = _Sizes(pages, running)
    shown: set[str] = set()
    for page in pages:
        parts = [part for part in page.parts if id(part) not in running]
        yield from _blocks(page.sheet, parts, sizes, shown)


def _pages(path: Path, media: MediaStore) -> Iterator[_Page]:
    with LOCK:
        document = _opened(path)
    try:
        for index in range(len(document)):
            step()
            page = _page(document, index, media)
            if page is not None:
                yield page
    finally:
        with LOCK:
            document.close()


def _opened(path: Path) -> Any:
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise SourceError(f"{path}: encrypted", "save a copy without a password") from None
        raise SourceError(
            f"{path}: damaged or no PDF ({error})", "open it and save a copy"
        ) from None
    count = len(document)
    if 0 < count <= MAX_PAGES:
        return document
    document.close()
    if count:
        raise SourceError(f"{path}: {count} pages, more than {MAX_PAGES}", "split it and add again")
    raise SourceError(f"{path}: no pages", "open it and save a copy")


def _page(document: Any, index: int, media: MediaStore) -> _Page | None:
    with LOCK:
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            return None
        try:
            content = read_page(page, index + 1)
            if not _is_scan(content):
                return _with_figures(page, content, media)
            scan = _render(page, content, content.whole, _SCAN_SCALE)
        finally:
            page.close()
    return _read_scan(scan, content, media)


def _is_scan(content: PageContent) -> bool:
    images = [graphic for graphic in content.graphics if graphic.kind == "image"]
    covered = sum((g.box[2] - g.box[0]) * (g.box[3] - g.box[1]) for g in images)
    return (
        not content.lines
        and covered > _COVERED * content.width * content.height
        and max(g.pixels for g in images) <= MAX_PIXELS
    )


def _with_figures(page: Any, content: PageContent, media: MediaStore) -> _Page:
    texts = paragraphs(content.lines)
    figures, texts = find_figures(content, texts)
    pictures = []
    if all(graphic.pixels <= MAX_PIXELS for graphic in content.graphics):
        pictures = [_kept(page, content, figure, media) for figure in figures]
    parts: list[Paragraph | _Picture] = [*texts, *pictures]
    sheet = replace(content, lines=(), graphics=())
    return _Page(sheet, tuple(in_reading_order(parts)))


def _kept(page: Any, content: PageContent, figure: Figure, media: MediaStore) -> _Picture:
    image, box = _trimmed(_render(page, content, figure.box, _SCALE), figure.box)
    return _Picture(box, figure.caption, media.put(image, "jpg" if figure.photo else "png"))


def _trimmed(image: Image.Image, box: Box) -> tuple[Image.Image, Box]:
    """Without the white around a figure, but for a narrow margin."""
    inked = ImageChops.invert(image.convert("L")).point(lambda level: 255 * (level > 8)).getbbox()
    if inked is None:
        return image, box
    left, top = max(inked[0] - _BORDER, 0), max(inked[1] - _BORDER, 0)
    right, bottom = min(inked[2] + _BORDER, image.width), min(inked[3] + _BORDER, image.height)
    scale = (box[2] - box[0]) / image.width
    tight = (box[0] + left * scale, box[1] + top * scale)
    return image.crop((left, top, right, bottom)), (
        *tight,
        tight[0] + (right - left) * scale,
        tight[1] + (bottom - top) * scale,
    )


def _render(page: Any, content: PageContent, box: Box, scale: float) -> Image.Image:
    x0, y0, x1, y1 = box
    scale = min(scale, (_MAX_RENDER / max((x1 - x0) * (y1 - y0), 1.0)) ** 0.5)
    crop = (x0, content.height - y1, content.width - x1, y0)
    bitmap = page.render(scale, 90 * content.turns, crop, may_draw_forms=False)
    try:
        image: Image.Image = bitmap.to_pil()
        return image.convert("RGB")
    finally:
        bitmap.close()


def _read_scan(scan: Image.Image, content: PageContent, media: MediaStore) -> _Page:
    scale = scan.width / content.width
    before_ocr(scan)
    lines = read_lines(scan)
    if not lines:  # a photograph that fills the page
        return _Page(content, (_Picture(content.whole, "", media.put(scan)),))
    usual = median(line.box[3] - line.box[1] for line in lines)
    read = []
    for line in lines:
        x0, y0, x1, y1 = line.box
        # OCR boxes are a little higher or lower with the letters in them; that is no other size.
        height = y1 - y0 if y1 - y0 > 1.4 * usual else usual
        box = (x0 / scale, y0 / scale, x1 / scale, y1 / scale)
        read.append(TextLine(line.text, box, height / scale, height / scale, box[3]))
    return _Page(content, tuple(in_reading_order(paragraphs(read))))


def _running(pages: Sequence[_Page]) -> set[int]:
    """The ids of paragraphs at the edges of pages that repeat, or that count the pages."""
    alike: dict[tuple[str, int], set[int]] = {}
    for page in pages:
        for paragraph in page.paragraphs:
            middle = (paragraph.box[1] + paragraph.box[3]) / 2 / page.sheet.height
            if len(paragraph.lines) > 1 or _EDGE < middle < 1 - _EDGE:
                continue
            place, text = round(middle * 50), paragraph.text
            alike.setdefault((re.sub(r"\d+", "#", text), place), set()).add(id(paragraph))
            for number in {text.split()[0], text.split()[-1]}:
                if number.isdecimal() and len(number) < 6:  # the same distance on every page
                    distance = f"{int(number) - page.sheet.number}"
                    alike.setdefault((distance, -place), set()).add(id(paragraph))
    often = max(3.0, len(pages) * 0.3)
    return {
        paragraph
        for (words, _), found in alike.items()
        for paragraph in found
        if len(found) >= often or (len(pages) > 1 and _FOLIO.fullmatch(words))
    }


class _Sizes:
    """Which sizes of type make headings of which level in one document."""

    def __init__(self, pages: Sequence[_Page], running: set[int]) -> None:
        texts = [p for page in pages for p in page.paragraphs if id(p) not in running]
        self._body = body_size(p.lines for p in texts)
        sizes = sorted({round(p.size, 1) for p in texts if self._is_large(p)}, reverse=True)
        self._sizes: list[float] = []
        for size in sizes:
            if not self._sizes or size < self._sizes[-1] * 0.96:
                self._sizes.append(size)

    def level(self, paragraph: Paragraph) -> int:
        """1 to 6, or 0 for what is no heading."""
        if self._is_large(paragraph):
            return min(1 + sum(size * 0.96 > paragraph.size for size in self._sizes), 6)
        text = paragraph.text
        line = paragraph.lines[0]
        alone = line.bold and len(paragraph.lines) == 1 and not line.cells
        if alone and len(text.split()) <= 12 and text[-1] not in ".,;:" and text[0].isalnum():
            return min(len(self._sizes) + 1, 6) if paragraph.size > 0.97 * self._body else 0
        return 0

    def _is_large(self, paragraph: Paragraph) -> bool:
        if paragraph.size <= _LARGER * self._body:  # most are not, and the rest takes longer
            return False
        first = paragraph.lines[0]
        short = len(paragraph.lines) <= 3 and len(first.text) <= _LONGEST and not first.cells
        letters = sum(map(str.isalpha, first.text)) > 1
        bullet = BULLET.match(first.text)
        return short and letters and not (bullet and bullet["glyph"])


def _blocks(
    sheet: PageContent, parts: Sequence[Paragraph | _Picture], sizes: _Sizes, shown: set[str]
) -> Iterator[Block]:
    for cells, group in groupby(parts, key=_cells):
        if cells:
            yield from _table(sheet, list(group))
            continue
        for part in group:
            if isinstance(part, Paragraph):
                yield _text(sheet, part, sizes.level(part))
            elif part.caption or part.image not in shown:  # a logo repeats without a caption
                shown.add(part.image)
                box = sheet.shown(part.box)
                yield Block("figure", part.caption, 0, sheet.number, box, part.image)


def _cells(part: Paragraph | _Picture) -> int:
    return len(part.lines[0].cells) if isinstance(part, Paragraph) else 0


def _text(sheet: PageContent, paragraph: Paragraph, level: int) -> Block:
    text, box = paragraph.text, sheet.shown(paragraph.box)
    if level:
        return Block("heading", text, level, sheet.number, box)
    if paragraph.is_item:
        return Block("item", item_text(text), 0, sheet.number, box)
    return Block("paragraph", text, 0, sheet.number, box)


def _table(sheet: PageContent, rows: Sequence[Paragraph | _Picture]) -> Iterator[Block]:
    """Lines with the same number of cells: the first names the columns, if they are over two."""
    lines = [row.lines[0] for row in rows if isinstance(row, Paragraph)]
    cells = [[text for text, _, _ in line.cells] for line in lines]
    if len(lines) == 1:
        yield Block("paragraph", lines[0].text, 0, sheet.number, sheet.shown(lines[0].box))
        return
    if len(cells[0]) == 2:
        texts = [row_text([name], [value]) for name, value in cells]
    elif any(map(str.isdigit, "".join(cells[0]))):  # no names of columns
        texts = ["  ".join(values) for values in cells]
    else:
        texts = [row_text(cells[0], values) for values in cells[1:]]
    for line, text in zip(lines[-len(texts) :], texts, strict=True):
        yield Block("row", text, 0, sheet.number, sheet.shown(line.box))
