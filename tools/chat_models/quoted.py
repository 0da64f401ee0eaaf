"""What the quoting chat model reads and writes: sources, and quotes made harmless in a draft."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..entries import Place, codes, kinds, places
from ..quoting import Quote, quotable
from ..screens import is_copy

__all__ = ["Chosen", "Source", "figure_number", "slot_words"]

_CELLS = re.compile(r"\s{2,}|\t|: ")
_FIGURE = re.compile(
    r"\b(?:fig(?:ure|\.)?|picture|image|chart|diagram|illustration)\s*(\d+(?:[.\-]\d+)*[a-z]?)\b",
    re.I,
)
_CITATION = re.compile(r"\[(\s*a?\d+(?:\s*[,;–-]\s*a?\d+)*\s*)\]", re.IGNORECASE)
_BRACKETS = str.maketrans("[]", "()")


@dataclass(frozen=True, slots=True)
class Source:
    """A passage or an attachment as the message gives it."""

    label: str
    text: str
    context: str
    modality: str
    pictured: bool
    score: float

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Source:
        """A source as ``additional_kwargs`` holds it."""
        return cls(
            str(given["label"]),
            str(given.get("text", "")),
            str(given.get("context", "")),
            str(given.get("modality", "text")),
            bool(given.get("pictured", False)),
            float(given.get("score") or 0.0),
        )

    @property
    def attached(self) -> bool:
        """Whether it came with the question."""
        return self.label.startswith("a")

    @property
    def rows(self) -> bool:
        """Whether it is quoted row by row."""
        return self.attached or self.modality == "screenshot"

    @property
    def pieces(self) -> list[str]:
        """Its sentences, or its rows."""
        return quotable(self.text, "screenshot" if self.rows else self.modality)

    @property
    def places(self) -> list[Place]:
        """The place of the text that each of its pieces belongs to; each row is one of its own."""
        if self.rows:
            return [Place(number, "") for number in range(len(self.pieces))]
        return places(self.text)

    @property
    def above(self) -> str:
        """What stands above each of its pieces: headings, or the title of a window."""
        title = self.pieces[:1] if self.rows else []
        return " ".join([self.context, *title])

    def is_one_of(self, screens: Sequence[Collection[str]]) -> bool:
        """Whether it is a screenshot that shows what one of these does."""
        return self.rows and is_copy(self.pieces, screens)

    def row_label(self, row: str) -> str:
        """A row's label; empty where it is not a label and its value."""
        for line in self.text.splitlines():
            label, value = (*_CELLS.split(line.strip(), maxsplit=1), "")[:2]
            if value and " ".join(line.split()) == row:
                return label
        return ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A quote and where it stands.

    Attributes:
        quote: of the source.
        source: it is from.
        place: in the source, together with what belongs to it.
    """

    quote: Quote
    source: Source
    place: Place

    @property
    def entry(self) -> str:
        """The code whose entry it belongs to; empty where to none."""
        return self.place.code

    def is_of(self, asked: set[str]) -> bool:
        """Whether it is not about another code than those asked about."""
        if self.entry:
            return self.entry in asked
        above = codes(self.source.context)  # of another kind, it names a machine or a document
        return not above or bool(above & asked) or kinds(above).isdisjoint(kinds(asked))

    def __str__(self) -> str:
        return f"{_defused(self.quote.text)} [{self.source.label}]"


def figure_number(text: str) -> str:
    """The number of the figure that words name first; empty where they name none.

    Example:
        >>> figure_number("Draw figure 2.1, please")
        '2.1'
    """
    found = _FIGURE.search(text)
    return found[1].lower() if found else ""


def slot_words(text: str) -> str:
    """Words for a slot, without what would end it."""
    return " ".join(text.translate(_BRACKETS).split())


def _defused(text: str) -> str:
    """A quote in which nothing reads as a citation or a slot."""
    text = re.sub(r"\[{2,}|\]{2,}", lambda found: found.group().translate(_BRACKETS), text)
    return _CITATION.sub(r"(\1)", text)
