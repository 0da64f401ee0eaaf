"""Blocks become chunks: what is embedded, found and cited. Knows structure and token counts only.

Chunks follow the document. Each stands under its headings; a list or table is kept whole, with the
words that lead to it; a paragraph stands alone unless it is short; a figure stands alone with the
words around it. What is too long is cut between sentences, and each cut repeats one: the last
sentence, or the one that led to the list. No chunk is longer than the model reads, and no word of
the document is in none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ..tools.sentences import sentence_spans
from .loaders.base import Block
from .passage import Box, Modality

__all__ = ["Chunk", "CountTokens", "chunk"]

CountTokens = Callable[[Sequence[str]], list[int]]

_SHORT = 40  # tokens: a paragraph up to this is joined to its neighbour
_TARGET = 160  # tokens: what is joined, and what is cut, ends up at most this long
_WHOLE = 320  # tokens: nothing is cut up to this, if the model reads as much
_HEADINGS = 48  # tokens of headings above a chunk
_AROUND = 60  # words on each side of a figure
_RUNS = ("item", "row", "code", "screenshot")  # kinds whose blocks belong together


@dataclass(frozen=True, slots=True)
class Chunk:
    """What becomes a passage: see `Passage` for the fields."""

    text: str
    heading: str = ""
    context: str = ""
    page: int | None = None
    box: Box | None = None
    image: str | None = None
    modality: Modality = "text"

    @property
    def searchable(self) -> str:
        """The words it is found by."""
        return "\n".join(filter(None, (self.heading, self.context, self.text)))


@dataclass(frozen=True, slots=True)
class _Span:
    """A stretch of a block's text: all of it, or a part where it was cut."""

    block: Block
    start: int
    end: int

    @classmethod
    def whole(cls, block: Block) -> _Span:
        return cls(block, 0, len(block.text))

    @property
    def text(self) -> str:
        return self.block.text[self.start : self.end]

    @property
    def place(self) -> tuple[int | None, str | None]:
        """A chunk has one page and one picture."""
        return self.block.page, self.block.image


@dataclass(slots=True)
class _Section:
    """The blocks under one trail of headings, outermost first."""

    trail: tuple[Block, ...]
    blocks: list[Block] = field(default_factory=list)


def chunk(blocks: Sequence[Block], max_tokens: int, count_tokens: CountTokens) -> list[Chunk]:
    """Cut a document into chunks.

    Args:
        blocks: as a loader gives them, in reading order.
        max_tokens: what the embedding model reads, special tokens included.
        count_tokens: counts tokens of many texts, without special ones.

    Returns:
        Chunks in reading order, the figures of a section after its text; none longer than
        ``max_tokens``. Only a picture on which nothing was read has an empty text.
    """
    cutter = _Cutter(max_tokens - 2, count_tokens)
    filled = [block for block in blocks if block.text.strip() or block.image]
    return [piece for section in _sections(filled) for piece in cutter.cut(section)]


def _sections(blocks: Sequence[Block]) -> Iterator[_Section]:
    section = _Section(())
    for block in blocks:
        if block.kind != "heading":
            section.blocks.append(block)
            continue
        last = section.trail[-1] if section.trail else None
        if section.blocks or (last and last.level >= block.level):
            yield section
        above = (heading for heading in section.trail if heading.level < block.level)
        section = _Section((*above, block))
    if section.trail or section.blocks:
        yield section


class _Cutter:
    """Cuts the sections of one document, and sees to it that each heading shows somewhere."""

    def __init__(self, budget: int, count_tokens: CountTokens) -> None:
        self._budget = budget
        self._count_tokens = count_tokens
        self._shown: set[int] = set()  # ids of the heading blocks that a chunk holds

    def cut(self, section: _Section) -> Iterator[Chunk]:
        trail = section.trail if section.blocks else section.trail[:-1]
        heading, unseen = self._heading(trail)
        self._shown.update(map(id, section.trail))
        blocks = section.blocks or section.trail[-1:]
        texts = [*unseen, *(block for block in blocks if block.kind != "figure")]
        room = max(min(self._budget - self._size(heading + "\n"), _WHOLE), 1)
        for spans in self._packed(self._units(texts), room):
            yield _joined(spans, heading)
        for at, block in enumerate(section.blocks):
            if block.kind == "figure":
                yield from self._figure(section, at, heading)

    def _heading(self, trail: tuple[Block, ...]) -> tuple[str, list[Block]]:
        """The innermost headings that fit, and those of the others that no chunk holds yet."""
        room = min(_HEADINGS, self._budget // 4)
        for first in range(len(trail) + 1):
            heading = " › ".join(block.text for block in trail[first:])
            if self._size(heading) <= room:
                return heading, [b for b in trail[:first] if id(b) not in self._shown]
        raise AssertionError("no heading at all always fits")

    def _units(self, blocks: Sequence[Block]) -> Iterator[list[_Span]]:
        """What belongs together: a list, table or screen with what leads to it; a paragraph."""
        lead: list[_Span] = []
        for (kind, place), group in groupby(map(_Span.whole, blocks), _kind_and_place):
            spans = list(group)
            if kind in _RUNS:
                if lead and not self._leads(lead[0], place):
                    yield lead
                    lead = []
                yield [*lead, *spans]
                lead = []
            else:
                *others, last = [*lead, *spans]
                yield from ([span] for span in others)
                lead = [last]
        if lead:
            yield lead

    def _leads(self, span: _Span, place: object) -> bool:
        announces = span.text.rstrip().endswith((":", "："))
        return span.place == place and (announces or self._size(span.text) <= _SHORT)

    def _packed(self, units: Iterator[list[_Span]], room: int) -> Iterator[list[_Span]]:
        group: list[_Span] = []
        for unit in units:
            if group and not self._belongs(group, unit, room):
                yield group
                group = []
            group = [*group, *unit]
            if self._size(_text(group)) > room:
                *full, group = self._pieces(unit, min(room, _TARGET))
                yield from full
        if group:
            yield group

    def _belongs(self, group: list[_Span], unit: list[_Span], room: int) -> bool:
        """Whether one of two neighbours is too short to stand alone, and both fit together."""
        if group[-1].place != unit[0].place:
            return False
        shorter = min(self._size(_text(group)), self._size(_text(unit)))
        return shorter <= _SHORT and self._size(_text([*group, *unit])) <= min(room, _TARGET)

    def _pieces(self, unit: list[_Span], limit: int) -> Iterator[list[_Span]]:
        """A unit that is too long, cut where a sentence, row or item ends."""
        piece: list[_Span] = []
        lead = self._lead(unit)
        for span in (part for whole in unit for part in self._parts(whole, limit)):
            if piece and self._size(_text([*piece, span])) > limit:
                yield piece
                again = piece[-1:] if piece[-1].block is span.block else lead
                piece = again if self._repeats(again, piece, span, limit) else []
            piece = [*piece, span]
        yield piece

    def _repeats(self, again: list[_Span], piece: list[_Span], span: _Span, limit: int) -> bool:
        """Whether a cut repeats a sentence: a short one, and not the whole piece before."""
        short = self._size(_text(again)) <= _SHORT and len(again) < len(piece)
        return short and self._size(_text([*again, span])) <= limit

    def _lead(self, unit: list[_Span]) -> list[_Span]:
        """The sentence that leads to a list or table."""
        first = unit[0]
        if first.block.kind in _RUNS or len(unit) == 1:
            return []
        return [_Span(first.block, *sentence_spans(first.text)[-1])]

    def _parts(self, span: _Span, limit: int) -> Iterator[_Span]:
        if self._size(span.text) <= limit:
            yield span
            return
        for start, end in sentence_spans(span.text):
            yield from self._halves(_Span(span.block, start, end), limit)

    def _halves(self, span: _Span, limit: int) -> Iterator[_Span]:
        """A sentence, cut at a line end or space near its middle until each part fits."""
        text = span.text
        if self._size(text) <= limit or len(text) < 2:
            yield span
            return
        half = len(text) // 2
        at = max(text.rfind("\n", 1, half + 1), text.rfind(" ", half // 2, half + 1))
        at = at if at > 0 else half
        for start, end in ((0, at), (at, len(text))):
            part = text[start:end]
            start += len(part) - len(part.lstrip())
            end = start + len(part.strip())
            if start < end:
                yield from self._halves(
                    _Span(span.block, span.start + start, span.start + end), limit
                )

    def _figure(self, section: _Section, at: int, heading: str) -> Iterator[Chunk]:
        """A figure by its caption; a long caption makes several chunks of it."""
        block = section.blocks[at]
        before = " ".join(b.text for b in section.blocks[:at] if b.kind != "figure")
        after = " ".join(b.text for b in section.blocks[at + 1 :] if b.kind != "figure")
        around = " ".join([*before.split()[-_AROUND:], *after.split()[:_AROUND]])
        limit = max(self._budget // 2, 1)
        caption = block.text.strip() or (section.trail[-1].text if section.trail else "Figure")
        whole = Block("paragraph", caption, 0, block.page, block.box, block.image)
        for piece in self._pieces([_Span.whole(whole)], limit):
            text = _text(piece)
            room = self._budget - self._size(f"{heading}\n{text}") - 1
            context = self._shortened(around, room)
            yield Chunk(text, heading, context, block.page, block.box, block.image, "figure")

    def _shortened(self, text: str, room: int) -> str:
        """The beginning of a text that fits."""
        while text and self._size(text) > room:
            text = text[: len(text) * 3 // 4].rpartition(" ")[0]
        return text

    def _size(self, text: str) -> int:
        """Tokens; of one endless word, which models read as one, a sixteenth of its letters."""
        letters = len(text) // 16
        return letters if letters > self._budget else max(letters, *self._count_tokens([text]))


def _kind_and_place(span: _Span) -> tuple[str, tuple[int | None, str | None]]:
    return span.block.kind, span.place


def _text(spans: Sequence[_Span]) -> str:
    """Stretches of one block as they stand there, of several blocks line by line."""
    lines = []
    for _, group in groupby(spans, lambda span: id(span.block)):
        stretch = list(group)
        lines.append(stretch[0].block.text[stretch[0].start : stretch[-1].end])
    return "\n".join(lines)


def _joined(spans: Sequence[_Span], heading: str) -> Chunk:
    first = spans[0].block
    modality: Modality = "screenshot" if first.kind == "screenshot" else "text"
    box = _union([span.block.box for span in spans])
    return Chunk(_text(spans), heading, "", first.page, box, first.image, modality)


def _union(boxes: Sequence[Box | None]) -> Box | None:
    known = [box for box in boxes if box is not None]
    if not known:
        return None
    x0, y0, x1, y1 = zip(*known, strict=True)
    return min(x0), min(y0), max(x1), max(y1)
