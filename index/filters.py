"""Which passages a search may return. A pure value; knows no library."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from ..errors import UserError
from .document import Document
from .passage import Modality

__all__ = ["Filter"]

_KINDS = ("text", "figure", "screenshot")


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that a passage meets all of; what is left empty does not matter.

    Attributes:
        sources: one of these files, as passages name them or by their paths.
        folder: its file lies in this folder: a path, or the beginning of its source.
        pages: first and last page, both included; passages without pages are left out.
        modality: ``text``, ``figure`` or ``screenshot``.
        since: its file was last changed on this day or later, by the local clock.
        until: its file was last changed on this day or earlier.

    Raises:
        UserError: pages that count backwards or from 0, days in the wrong order, an unknown kind.

    Example:
        >>> library.search("paper jam", where=Filter(folder="manuals", pages=(3, 9)))
    """

    sources: tuple[str, ...] = ()
    folder: str = ""
    pages: tuple[int, int] | None = None
    modality: Modality | None = None
    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.pages is not None and not 1 <= self.pages[0] <= self.pages[1]:
            first, last = self.pages
            raise UserError(f"there are no pages {first} to {last}", "pages count from 1: 3-9")
        if self.since and self.until and self.since > self.until:
            raise UserError(f"no day is after {self.since} and before {self.until}", "swap them")
        if self.modality is not None and self.modality not in _KINDS:
            raise UserError(f"no passage is a {self.modality}", f"one of: {', '.join(_KINDS)}")

    def __bool__(self) -> bool:
        """Whether it leaves anything out."""
        return self != Filter()

    def __str__(self) -> str:
        """For people: ``folder manuals, pages 3 to 9``."""
        named = (
            ("source", " or ".join(self.sources)),
            ("folder", self.folder),
            ("pages", "{} to {}".format(*self.pages) if self.pages else ""),
            ("kind", self.modality),
            ("since", self.since),
            ("until", self.until),
        )
        return ", ".join(f"{name} {value}" for name, value in named if value)

    @property
    def chooses_files(self) -> bool:
        """Whether it depends on the file."""
        return bool(self.sources or self.folder or self.since or self.until)

    def admits(self, document: Document) -> bool:
        """Whether passages of a file may be found."""
        return (
            (not self.sources or any(_names(name, document) for name in self.sources))
            and (not self.folder or self._holds(document))
            and self._first_moment() <= document.stamp.mtime < self._last_moment()
        )

    def _holds(self, document: Document) -> bool:
        folder = self.folder.rstrip("/")
        below = document.source.startswith(f"{folder}/")
        return below or document.file.startswith(f"{_absolute(folder)}{os.sep}")

    def _first_moment(self) -> float:
        return _nanoseconds(self.since) if self.since else float("-inf")

    def _last_moment(self) -> float:
        return _nanoseconds(self.until + timedelta(days=1)) if self.until else float("inf")


def _names(name: str, document: Document) -> bool:
    return name == document.source or _absolute(name) == document.file


def _absolute(name: str) -> str:
    """A path as it is typed, from the folder where the program runs."""
    return os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111


def _nanoseconds(day: date) -> float:
    return datetime.combine(day, time()).timestamp() * 1e9
