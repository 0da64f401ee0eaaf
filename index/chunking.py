"""Blocks become chunks: what is embedded, found and cited. Knows structure and token counts only.

Chunks follow the document: a heading starts a new one, a list stays with the sentence before it,
a figure stands alone with the words around it. A chunk never reads more tokens than the model
does; what is longer is cut at sentence ends and overlaps by a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..tools.sentences import split_sentences
from .loaders.base import Block
from .passage import Box, Modality

__all__ = ["Chunk", "chunk"]

CountTokens = Callable[[Sequence[str]], list[int]]

_TARGET = 160  # tokens: paragraphs are joined up to this
_CONTEXT = 48  # tokens: headings above a chunk
_AROUND = 60  # words on each side of a figure


@dataclass(frozen=True, slots=True)
class Chunk:
    """What becomes a passage: see `Passage` for the fields."""

    text: str
    context: str = ""
    page: int | None = None
    box: Box | None = None
    image: str | None = None
    modality: Modality = "text"

    @property
    def searchable(self) -> str:
        """The words it is found by."""
        return f"{self.context}\n{self.text}" if self.context else self.text


@dataclass
class _Section:
    """The blocks under one trail of headings."""

    trail: str
    blocks: list[Block] = field(default_factory=list)


def chunk(blocks: Sequence[Block], max_tokens: int, count_tokens: CountTokens) -> list[Chunk]:
    """Cut a document into chunks.

    Args:
        blocks: as a loader gives them, in reading order.
        max_tokens: what the embedding model reads, special tokens included.
        count_tokens: counts tokens of many texts, without special ones.

    Returns:
        Chunks in reading order, none longer than ``max_tokens``; only a picture on which nothing
        was read has an empty text.
    """
    cutter = _Cutter(max_tokens - 2, count_tokens)
    return [piece for section in _sections(blocks) for piece in cutter.cut(section)]


def _sections(blocks: Sequence[Block]) -> Iterator[_Section]:
    trail: list[tuple[int, str]] = []
    section = _Section("")
    for block in blocks:
        if block.kind == "heading":
            if section.blocks:
                yield section
            elif trail and trail[-1][0] >= block.level:
                yield _heading_alone(trail)
            trail = [(level, text) for level, text in trail if level < block.level]
            trail.append((block.level, block.text))
            section = _Section(" › ".join(text for _, text in trail))
        else:
            section.blocks.append(block)
    if section.blocks:
        yield section
    elif trail:
        yield _heading_alone(trail)


def _heading_alone(trail: list[tuple[int, str]]) -> _Section:
    """A heading without a text below is a statement of its own."""
    above = " › ".join(text for _, text in trail[:-1])
    return _Section(above, [Block("paragraph", trail[-1][1])])


class _Cutter:
    def __init__(self, budget: int, count_tokens: CountTokens) -> None:
        self._budget = budget
        self._count_tokens = count_tokens

    def cut(self, section: _Section) -> Iterator[Chunk]:
        trail = self._shortened(section.trail, min(_CONTEXT, self._budget // 4))
        room = max(self._budget - self._tokens(trail), 1)
        group: list[Block] = []
        for piece in self._pieces(section.blocks, room):
            if piece.kind == "figure":
                continue
            if group and not self._joins(group, piece, room):
                yield _joined(group, trail)
                group = self._overlap(group, piece)
            group.append(piece)
        if group:
            yield _joined(group, trail)
        for at, block in enumerate(section.blocks):
            if block.kind == "figure":
                yield self._figure(section, at)

    def _joins(self, group: list[Block], piece: Block, room: int) -> bool:
        last = group[-1]
        if piece.page != last.page or piece.image != last.image:
            return False
        size = self._tokens("\n".join([*(b.text for b in group), piece.text]))
        if size > room:
            return False
        if piece.kind in ("item", "row", "code", "screenshot"):
            return size <= max(_TARGET, room // 2) or piece.kind == "screenshot"
        return size <= _TARGET and self._tokens(last.text) < _TARGET // 4

    def _overlap(self, group: list[Block], piece: Block) -> list[Block]:
        """The last sentence again, where one block was cut in two."""
        last = group[-1]
        return [last] if last.level == _CUT and piece.level == _CUT and len(group) > 1 else []

    def _pieces(self, blocks: Sequence[Block], room: int) -> Iterator[Block]:
        """Blocks that fit; longer ones as their sentences, marked as cut."""
        texts = [b for b in blocks if b.kind != "figure" and (b.text.strip() or b.image)]
        for block, size in zip(texts, self._count_tokens([b.text for b in texts]), strict=True):
            if size <= room:
                yield block
                continue
            for sentence in split_sentences(block.text):
                for part in self._fitting(sentence, room):
                    yield replace(block, text=part, level=_CUT)

    def _fitting(self, text: str, room: int) -> Iterator[str]:
        """A sentence, halved at a space until each part fits."""
        if self._tokens(text) <= room or len(text) < 2:
            yield text
            return
        middle = text.rfind(" ", 1, len(text) // 2 + 1)
        middle = middle if middle > 0 else len(text) // 2
        yield from self._fitting(text[:middle].rstrip(), room)
        yield from self._fitting(text[middle:].lstrip(), room)

    def _figure(self, section: _Section, at: int) -> Chunk:
        block = section.blocks[at]
        before = [b.text for b in section.blocks[:at] if b.kind != "figure"]
        after = [b.text for b in section.blocks[at + 1 :] if b.kind != "figure"]
        caption = block.text.strip() or section.trail.rpartition(" › ")[2] or "Figure"
        caption = self._shortened(caption, self._budget // 2)
        around = " ".join(before).split()[-_AROUND:] + " ".join(after).split()[:_AROUND]
        context = "\n".join(filter(None, [section.trail, " ".join(around)]))
        room = self._budget - self._tokens(caption)
        context = self._shortened(context, room - 1)
        return Chunk(caption, context, block.page, block.box, block.image, "figure")

    def _shortened(self, text: str, room: int) -> str:
        """The beginning of a text that fits."""
        while text and self._tokens(text) > room:
            text = text[: max(len(text) * 3 // 4, 0)].rpartition(" ")[0]
        return text

    def _tokens(self, text: str) -> int:
        return self._count_tokens([text])[0]


_CUT = -1  # the level of a piece that was cut out of a longer block


def _joined(group: Sequence[Block], trail: str) -> Chunk:
    first = group[0]
    separator = " " if all(b.level == _CUT for b in group) else "\n"
    modality: Modality = "screenshot" if first.kind == "screenshot" else "text"
    return Chunk(
        text=separator.join(b.text for b in group),
        context=trail,
        page=first.page,
        box=_union([b.box for b in group]),
        image=first.image,
        modality=modality,
    )


def _union(boxes: Sequence[Box | None]) -> Box | None:
    known = [box for box in boxes if box is not None]
    if not known:
        return None
    return (
        min(b[0] for b in known),
        min(b[1] for b in known),
        max(b[2] for b in known),
        max(b[3] for b in known),
    )
