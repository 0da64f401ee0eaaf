"""What judges said, kept on disk: a line each, flushed, so that nothing is asked twice.

A reply that is no verdict is kept too: the judge was asked and said so. Knows no judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ....errors import UserError
from ...journal import Journal

__all__ = ["Key", "Record", "Records"]


@dataclass(frozen=True, slots=True)
class Key:
    """What was judged, and by whom.

    Attributes:
        question: the question's digest.
        epoch: 1-based.
        metric: its name.
        item: which part of the answer, from 1; 0 for all of it.
        answers: digests of the answers, in the order in which they were shown.
        prompt: see `judge.prompt_version`.
        judge: its label.
    """

    question: str
    epoch: int
    metric: str
    item: int
    answers: tuple[str, ...]
    prompt: str
    judge: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", tuple(self.answers))


@dataclass(frozen=True, slots=True)
class Record:
    """What a judge said.

    Attributes:
        key: what was judged, and by whom.
        verdict: the fields of the form; None where the judge gave none.
        raw: the judge's words as they came.
        fault: why there is no verdict.
    """

    key: Key
    verdict: Mapping[str, Any] | None
    raw: tuple[str, ...] = ()
    fault: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "raw", tuple(self.raw))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``asdict``."""
        return cls(Key(**values["key"]), values["verdict"], values["raw"], values["fault"])


class Records:
    """A journal of what judges said.

    Args:
        path: what is added goes there; made with the first record.
        others: journals that are read beside it.
    """

    def __init__(self, path: Path, others: Iterable[Path] = ()) -> None:
        self._journal = Journal(path)
        self._found: dict[Key, Record] = {}
        for place in dict.fromkeys([*others, path]):
            for line in Journal(place):
                record = _record(line, place)
                self._found[record.key] = record

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: Key) -> Record | None:
        """What was said; None where nobody was asked."""
        return self._found.get(key)

    def add(self, record: Record) -> None:
        """Keep a record; when this returns, it is on the disk.

        Raises:
            UserError: it cannot be written; earlier ones are safe.
        """
        try:
            self._journal.path.parent.mkdir(parents=True, exist_ok=True)
            self._journal.append(asdict(record))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UserError(
                f"{self._journal.path}: cannot be written ({reason}); what was judged is safe",
                "make room, or name another place with --out, then the same command",
            ) from error
        self._found[record.key] = record


def _record(line: Mapping[str, Any], place: Path) -> Record:
    try:
        return Record.from_dict(line)
    except (KeyError, TypeError):
        raise UserError(
            f"{place}: this is no journal of judgements", "move it away, then the same command"
        ) from None
