"""The contract of a reader of question sets. Knows no format."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import SourceError
from ...plain_text import shortened
from ..questions import Question

__all__ = ["BadRow", "Cell", "Fault", "Faults", "Found", "QuestionSet", "Record", "questions_of"]


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


@dataclass(frozen=True, slots=True)
class Record:
    """One row as its file writes it, before anybody asks what it means.

    Attributes:
        line: as `Fault.line`.
        values: by the file's own names.
    """

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader makes of a file; ids may still repeat.

    Attributes:
        questions: each with its line, as `Fault.line`.
        documents: as `QuestionSet.documents`.
    """

    questions: tuple[tuple[int, Question], ...]
    documents: tuple[tuple[str, str], ...] = ()


class Cell(str):
    """A text of a table, where a list or a truth value has to be written as text too."""

    __slots__ = ()


class BadRow(ValueError):
    """A row that cannot be a question; the message says why, for people."""


class Faults:
    """Gathers the faults of one file: the first of them whole, the others counted.

    A file of garbage has as many faults as lines; nobody reads more than the first, and after
    very many there is no reason to go on.

    Args:
        path: of the file.
    """

    MOST = 1000
    HOPELESS = 100_000
    MOST_COLUMNS = 20

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._kept: list[Fault] = []
        self._more = 0
        self._unread: set[str] = set()

    def add(self, line: int, reason: str, dropped: bool = True) -> None:
        """Note a fault.

        Args:
            line: as `Fault.line`.
            reason: what is wrong, for people.
            dropped: whether the row is left out.

        Raises:
            SourceError: the file is nothing but faults, to all appearances.
        """
        if len(self._kept) < self.MOST:
            self._kept.append(Fault(self.path, line, reason, dropped))
        else:
            self._more += 1
        if len(self._kept) + self._more > self.HOPELESS:
            said = f"{self.path}: more than {self.HOPELESS:,} rows cannot be read"
            raise SourceError(f"{said}; line {line}: {reason}", "name a file of questions")

    def unread(self, column: str, line: int, known: Iterable[str] = ()) -> None:
        """Note a column that nobody reads; once, however many rows have it.

        Args:
            column: by the file's name.
            line: where it is first seen.
            known: names that might have been meant.
        """
        if column in self._unread:
            return
        self._unread.add(column)
        if len(self._unread) > self.MOST_COLUMNS:
            return
        near = difflib.get_close_matches(column[:50].strip().lower(), known, 1, 0.75)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        shown = shortened(column, 60)
        self.add(line, f"column {shown!r} is not read{hint}", dropped=False)

    def __iter__(self) -> Iterator[Fault]:
        yield from sorted(self._kept, key=lambda fault: fault.line)
        if (columns := len(self._unread) - self.MOST_COLUMNS) > 0:
            yield Fault(self.path, 1, f"{columns:,} more columns are not read", dropped=False)
        if self._more:
            last = max(fault.line for fault in self._kept)
            yield Fault(self.path, last, f"… and {self._more:,} faults more", dropped=False)


def questions_of(
    records: Iterable[Record], faults: Faults, read: Callable[[Record], Question]
) -> tuple[tuple[int, Question], ...]:
    """Every record as a question with its line; one that `read` refuses is a fault.

    Args:
        records: rows of a file.
        faults: takes what is refused.
        read: makes a question of a row, or raises `BadRow`.
    """
    found: list[tuple[int, Question]] = []
    for record in records:
        try:
            found.append((record.line, read(record)))
        except BadRow as reason:
            faults.add(record.line, str(reason))
    return tuple(found)
