"""What a change of the library did, and what a library holds. Pure values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Problem", "Progress", "Report", "Stats", "Tally"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A path that could not be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an ``add`` or ``sync`` stands.

    Attributes:
        done: files dealt with.
        total: files in all.
        path: the file at hand.
        passages: read and new so far.
        failed: files that could not be read so far.
    """

    done: int
    total: int
    path: str
    passages: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What an ``add``, ``sync`` or ``remove`` did, file by file.

    Attributes:
        added: new; a renamed file is added under its new name and removed under its old one.
        changed: read again.
        unchanged: left alone.
        removed: no longer in the library.
        failed: could not be read, and why; what was known of them before is kept.
        skipped: passed over within a folder, and why: no format that is read, or a file that
            could not be read before either and has not changed since.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[Problem, ...] = ()
    skipped: tuple[Problem, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {k: list(v) for k, v in asdict(self).items()}


@dataclass(slots=True)
class Tally:
    """A report in the making; see `Report` for the fields.

    Attributes:
        forgotten: the words of passages that are gone, so that their vectors are forgotten too.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def report(self) -> Report:
        """What was counted so far."""
        return Report(
            tuple(self.added),
            tuple(self.changed),
            tuple(self.unchanged),
            tuple(self.removed),
            tuple(self.failed),
            tuple(self.skipped),
        )


@dataclass(frozen=True, slots=True)
class Stats:
    """What a library holds.

    Attributes:
        files, passages, figures, screenshots: counts; passages count the other two as well.
        embedding_model: its name and revision.
        search: how the vectors are searched; empty where there are none yet.
    """

    files: int
    passages: int
    figures: int
    screenshots: int
    embedding_model: str
    search: str = ""
