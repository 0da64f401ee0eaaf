"""The contract of a reader of question sets. Knows no format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..questions import Question

__all__ = ["Fault", "QuestionSet"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that could not be read, or a word about one that could.

    Attributes:
        path: of the file.
        line: 1-based line, or the 1-based number of the row where a format has no lines.
        reason: what is wrong, for people.
        dropped: whether the row is left out.
    """

    path: str
    line: int
    reason: str
    dropped: bool = True

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """What a file holds.

    Attributes:
        name: for reports: the file's name without its suffix.
        path: of the file.
        digest: SHA-256 of its bytes.
        questions: in the file's order, ids unique.
        faults: what was wrong with it, in order.
        documents: texts by file name that come with the set and that its questions are about
            (SQuAD's paragraphs); a library is made of them where none is named.
        folders: files and folders that its questions are about, likewise.
    """

    name: str
    path: Path
    digest: str
    questions: tuple[Question, ...]
    faults: tuple[Fault, ...] = ()
    documents: tuple[tuple[str, str], ...] = ()
    folders: tuple[Path, ...] = ()
