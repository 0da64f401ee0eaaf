"""What pdfium knows of one page: its lines of text and what is drawn on it.

Boxes are in points, origin top left, /Rotate and CropBox applied.
Calls pdfium's C functions directly, a handful per line, because a page has thousands of letters
and each call from Python costs a third of a microsecond. Knows no paragraphs and no figures.
pdfium is not safe for threads: whoever calls this holds ``LOCK``.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from ctypes import c_double, c_int, c_ushort, create_string_buffer
from dataclasses import dataclass, replace
from itertools import pairwise
from math import pi
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium

from ..passage import Box
from .pdf_graphics import Frame, Graphic, read_graphics

__all__ = ["LOCK", "PageContent", "TextLine", "around", "read_page"]

LOCK = threading.RLock()
"""To be held around every use of pdfium."""

_BOLD = re.compile(rb"bold|black|heavy|demi|CMBX", re.IGNORECASE)
_LONGEST_BOLD = 100  # letters: nothing longer is a heading
_WIDE_GAP = 0.8  # times the line's height: the space between cells or columns, not words
_LINE = re.compile("[^\r\n\ufffe\x02]+[\ufffe\x02]?")
_HYPHENS = "\ufffe\x02"  # what pdfium gives for a hyphen that ends a line
_LEADERS = re.compile(r"\s*(?:\.\s?){4,}\s*")
_CLEAN = str.maketrans(
    {
        "\xa0": " ",
        "\xad": None,
        "\0": None,
        **dict(zip("ﬀﬁﬂﬃﬄﬅﬆ", ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True)),
    }
)


Cells = tuple[tuple[str, float, float], ...]
"""The pieces of a line that stand apart, each with its left and right edge."""


class TextLine(NamedTuple):
    """A line of text.

    Attributes:
        text: its words, cells apart by two spaces.
        box: where it stands.
        size: the height of its type from descender to ascender, about 1.2 times the font size; of
            its first and last letter the smaller.
        height: of the two the larger: a line may begin or end in small type (code, footnotes).
        base: where the larger one's descender ends: the same in all lines of a paragraph.
        bold: whether it begins and ends bold; False for long lines.
        hyphenated: whether a hyphen at its end (not part of ``text``) splits a word.
        upright: False for text that runs up or down the page.
        cells: the pieces between wide gaps or the dots of a table of contents, if more than one.
    """

    text: str
    box: Box
    size: float
    height: float
    base: float
    bold: bool = False
    hyphenated: bool = False
    upright: bool = True
    cells: Cells = ()


@dataclass(frozen=True, slots=True)
class PageContent:
    """A page's text and drawings.

    Attributes:
        number: 1-based.
        width: in points, as read.
        height: in points, as read.
        lines: in the order of the page's content.
        graphics: in the order they are painted.
        turns: quarter turns clockwise from the page as shown to the page as read; not 0 where most
            of its text runs up or down, such as a wide table set sideways.
    """

    number: int
    width: float
    height: float
    lines: tuple[TextLine, ...]
    graphics: tuple[Graphic, ...]
    turns: int = 0

    @property
    def whole(self) -> Box:
        """The box of the page itself."""
        return 0.0, 0.0, self.width, self.height

    def shown(self, box: Box) -> Box:
        """Where a box of the page as read stands on the page as shown."""
        x0, y0, x1, y1 = box
        if self.turns == 1:
            return y0, self.width - x1, y1, self.width - x0
        if self.turns == 2:
            return self.width - x1, self.height - y1, self.width - x0, self.height - y0
        if self.turns == 3:
            return self.height - y1, x0, self.height - y0, x1
        return box


def read_page(page: Any, number: int) -> PageContent:
    """Read one page, turned so that most of its text is upright.

    Args:
        page: a ``pypdfium2.PdfPage``.
        number: 1-based.
    """
    left, bottom, right, top = page.get_bbox()
    frame = Frame(left, bottom, right, top, pdfium.FPDFPage_GetRotation(page.raw))
    width, height = page.get_size()
    turns = 0
    textpage = pdfium.FPDFText_LoadPage(page.raw)
    try:
        lines = tuple(_Text(textpage, frame).lines()) if textpage else ()
        if _letters(lines, upright=False) > _letters(lines, upright=True):
            turns = _Text(textpage, frame).turns_to_upright()
            frame = replace(frame, turns=(frame.turns + turns) % 4)
            found = _Text(textpage, frame).lines()  # pdfium gives some such pages last line first
            lines = tuple(sorted(found, key=lambda line: (line.box[1], line.box[0])))
    finally:
        if textpage:
            pdfium.FPDFText_ClosePage(textpage)
    if turns % 2:
        width, height = height, width
    graphics = tuple(read_graphics(page.raw, frame))
    return PageContent(number, width, height, lines, graphics, turns)


def _letters(lines: Sequence[TextLine], upright: bool) -> int:
    return sum(len(line.text) for line in lines if line.upright == upright)


class _Text:
    """The letters of one page, and the memory that pdfium writes its answers to."""

    def __init__(self, textpage: Any, frame: Frame) -> None:
        self._page = textpage
        self._frame = frame
        self._edges = c_double(), c_double(), c_double(), c_double()  # left, top, right, bottom
        self._loose = pdfium.FS_RECTF()
        self._name = create_string_buffer(128)
        self._flags = c_int()

    def lines(self) -> Iterator[TextLine]:
        for match in _LINE.finditer(self._letters()):
            words = match[0]
            hyphenated = words[-1] in _HYPHENS
            words = words[:-1] if hyphenated else words
            start = match.start() + len(words) - len(words.lstrip())
            words = words.strip()
            if words and (line := self._line(words, start, hyphenated)):
                yield line

    def turns_to_upright(self) -> int:
        """The quarter turns clockwise after which most letters of the page stand upright."""
        found: Counter[int] = Counter()
        for index in range(0, pdfium.FPDFText_CountChars(self._page), 7):
            angle = pdfium.FPDFText_GetCharAngle(self._page, index)
            found[round(angle / (pi / 2))] += 1  # clockwise, in the page's own coordinates
        return (-found.most_common(1)[0][0] - self._frame.turns) % 4

    def _letters(self) -> str:
        """One character per index of the page's character list."""
        count = max(pdfium.FPDFText_CountChars(self._page), 0)
        buffer = (c_ushort * (count + 1))()
        written = pdfium.FPDFText_GetText(self._page, 0, count, buffer)
        text = bytes(buffer)[: 2 * max(written - 1, 0)].decode("utf-16-le", errors="replace")
        if len(text) == count:
            return text
        codes = (pdfium.FPDFText_GetUnicode(self._page, index) for index in range(count))
        return "".join(
            chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else " "
            for code in codes
        )

    def _line(self, words: str, start: int, hyphenated: bool) -> TextLine | None:
        pieces = self._pieces(start, len(words))
        first = self._letter(start + _telling(words))
        last = self._letter(start + len(words) - 1)
        if not pieces or first is None or last is None:
            return None
        x0, y0, x1, y1 = around(pieces)
        upright = len(words) < 3 or y1 - y0 < 1.5 * (x1 - x0)
        low, high = (1, 3) if upright else (0, 2)
        size, other = first[high] - first[low], last[high] - last[low]
        larger = first if size >= other else last
        if upright:
            y0, y1 = min(y0, larger[1]), max(y1, larger[3])
        else:
            x0, x1 = min(x0, larger[0]), max(x1, larger[2])
        cells: Cells = ()
        if ". . . ." in words or "....." in words:
            cells = tuple((text, x1, x1) for text in _LEADERS.split(words) if text)
        elif upright and len(pieces) > 1:
            cells = self._cells(words, start, pieces, max(size, other))
        return TextLine(
            words if words.isascii() else words.translate(_CLEAN),
            (x0, y0, x1, y1),
            min(size, other),
            max(size, other),
            larger[high],
            self._is_bold(start, len(words)),
            hyphenated,
            upright,
            cells if len(cells) > 1 else (),
        )

    def _pieces(self, start: int, count: int) -> list[Box]:
        """The tight boxes of the text objects that a line is made of."""
        left, top, right, bottom = self._edges
        page, rect, box = self._page, pdfium.FPDFText_GetRect, self._frame.box
        return [
            box(left.value, bottom.value, right.value, top.value)
            for index in range(pdfium.FPDFText_CountRects(page, start, count))
            if rect(page, index, left, top, right, bottom)
        ]

    def _letter(self, index: int) -> Box | None:
        loose = self._loose
        if not pdfium.FPDFText_GetLooseCharBox(self._page, index, loose):
            return None
        return self._frame.box(loose.left, loose.bottom, loose.right, loose.top)

    def _is_bold(self, start: int, count: int) -> bool:
        """Whether a line begins and ends in a bold font; long ones are not asked."""
        if count > _LONGEST_BOLD:
            return False
        for index in (start, start + count - 1):
            length = pdfium.FPDFText_GetFontInfo(
                self._page, index, self._name, len(self._name), self._flags
            )
            if not length or not _BOLD.search(self._name.value):
                return False
        return True

    def _cells(self, words: str, start: int, pieces: list[Box], size: float) -> Cells:
        """Cut a line where it jumps over a wide gap, as between the cells of a table."""
        pieces = sorted(pieces)
        edges = [pieces[0][0]]
        for piece, after in pairwise(pieces):
            if after[0] - piece[2] > _WIDE_GAP * size:
                edges.append(after[0])
        if len(edges) == 1:
            return ()
        cuts = [0, *(self._first_at(words, start, edge) for edge in edges[1:]), len(words)]
        texts = [words[a:b].strip().translate(_CLEAN) for a, b in pairwise(cuts)]
        ends = [max(p[2] for p in pieces if p[0] < edge) for edge in (*edges[1:], float("inf"))]
        return tuple(cell for cell in zip(texts, edges, ends, strict=True) if cell[0])

    def _first_at(self, words: str, start: int, edge: float) -> int:
        for gap in re.finditer(r"\s+(?=\S)", words):
            letter = self._letter(start + gap.end())
            if letter is not None and letter[0] > edge - 2:
                return gap.end()
        return len(words)


def _telling(words: str) -> int:
    """The place of a letter that has the line's size: not a bullet's or a footnote's mark."""
    gap = words.find(" ", 0, 5)
    return gap + 1 if gap > 0 else 0


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds every box."""
    if len(boxes) == 1:
        return boxes[0]
    x0s, y0s, x1s, y1s = zip(*boxes, strict=True)
    return min(x0s), min(y0s), max(x1s), max(y1s)
