"""Question: what is asked, and what a right answer would be. Pure values; knows no file format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import PurePath
from typing import Any, Self

from ...index.passage import Box

__all__ = ["Place", "Question"]


@dataclass(frozen=True, slots=True)
class Place:
    """A picture, or a part of one, that a right answer shows or points at.

    Attributes:
        source: the file, as `Passage.source` names it; of an attachment its file name.
        page: 1-based, or None where the format has no pages.
        box: of the part meant, as `Passage.box`; None for the whole picture.
    """

    source: str
    page: int | None = None
    box: Box | None = None

    def __post_init__(self) -> None:
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            object.__setattr__(self, "box", (x0, y0, x1, y1))


@dataclass(frozen=True, slots=True)
class Question:
    """One row of a question set.

    Attributes:
        id: unique within its set.
        question: as a person asks it.
        images: paths of the attached pictures, absolute.
        references: texts that a right answer holds or equals, each good by itself; none: the text
            is not scored.
        reference_images: pictures that a right answer shows, in order; empty where none is wanted,
            None where pictures are not scored.
        reference_parts: a whole reference answer, texts and pictures in order; empty where there
            is none. Says ``reference_images`` too where those are not given.
        relevant: passages that hold the answer, each ``source`` or ``source#page``.
        boxes: places on an attached picture that a right answer marks; empty: not scored.
        category: groups questions in reports.
        task: what kind of work it is (``explanation``, ``qa``, …).
        document: questions of one document vary together; intervals are clustered by it.
        answerable: whether the library or an attachment holds an answer; None where the question
            needs neither (advice, a story).
        refused: whether a right answer declines; None where that is not scored.
    """

    id: str
    question: str
    images: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    reference_images: tuple[Place, ...] | None = None
    reference_parts: tuple[str | Place, ...] = ()
    relevant: tuple[str, ...] = ()
    boxes: tuple[Place, ...] = ()
    category: str = ""
    task: str = ""
    document: str = ""
    answerable: bool | None = True
    refused: bool | None = None

    def __post_init__(self) -> None:
        for name in ("images", "references", "relevant"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        parts = tuple(part if isinstance(part, str) else _place(part) for part in
                      self.reference_parts)  # fmt: skip
        object.__setattr__(self, "reference_parts", parts)
        object.__setattr__(self, "boxes", tuple(map(_place, self.boxes)))
        pictures = self.reference_images
        if pictures is None and parts:
            pictures = tuple(part for part in parts if isinstance(part, Place))
        if pictures is not None:
            object.__setattr__(self, "reference_images", tuple(map(_place, pictures)))

    @property
    def digest(self) -> str:
        """SHA-256 over every field: two questions alike in it are the same question.

        Of pictures only the names count, so that a set may be moved.
        """
        told = self.to_dict() | {"images": [PurePath(path).name for path in self.images]}
        text = json.dumps(told, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping of every field."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``; unknown keys are ignored."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known})


def _place(value: Place | Mapping[str, Any]) -> Place:
    return value if isinstance(value, Place) else Place(**value)
