"""Passage: a retrievable unit and where it came from. A pure value; knows no library, no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self

__all__ = ["Box", "Modality", "Passage"]

Box = tuple[float, float, float, float]
"""``(x0, y0, x1, y1)``, origin top left, x to the right, y down."""

Modality = Literal["text", "figure", "screenshot"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that can be found, quoted, cited and shown.

    Attributes:
        id: stable within its library for as long as the passage exists; also kept on a rename.
        text: what the passage says: prose, a figure's caption, or the text read off a screenshot.
        source: the file, as a path relative to the folder that was added.
        page: 1-based page number, or None for formats without pages.
        box: where it stands, in pixels of ``image`` for a screenshot, else in points (1/72 inch)
            of the page; None where the format has no geometry.
        image: the media reference of the passage's picture, or None.
        modality: ``text``, ``figure`` or ``screenshot``.
        heading: the headings above it, ``A › B``. Searched together with ``text``.
        context: the text around a figure; searched likewise, never quoted as the figure's own.
        score: how well it fits the query that found it (higher is better), or None.
    """

    id: str
    text: str
    source: str
    page: int | None = None
    box: Box | None = None
    image: str | None = None
    modality: Modality = "text"
    heading: str = ""
    context: str = ""
    score: float | None = None

    def __post_init__(self) -> None:
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            object.__setattr__(self, "box", (x0, y0, x1, y1))

    @property
    def above(self) -> str:
        """What tells where it stands: its headings and the text around it."""
        return "\n".join(filter(None, (self.heading, self.context)))

    @property
    def searchable(self) -> str:
        """The words this passage is found by: what stands above it, then its text."""
        return "\n".join(filter(None, (self.above, self.text)))

    @property
    def place(self) -> str:
        """Where it stands, for people: ``guide.pdf, page 3`` or ``notes.md, Printing``."""
        within = f"page {self.page}" if self.page else self.heading.rpartition(" › ")[2]
        return ", ".join(filter(None, (self.source, within)))

    def with_score(self, score: float) -> Self:
        """The same passage with another score."""
        return replace(self, score=score)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping of every field."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``; unknown keys are ignored."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known})
