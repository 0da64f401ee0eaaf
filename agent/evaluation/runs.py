"""Run: what is kept on disk of question sets that were asked. Knows its form; asks nothing.

A run's folder holds ``run.json`` (what was asked of whom), ``rows.jsonl`` (a journal: a row when it
is finished, and scores that were measured anew), ``media/`` (the pictures of the answers),
``library/`` where one was made for the run, ``logs/`` and the report's files. The journal is the
truth; of several rows with one key the last one counts, and the scores that were given after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ...errors import UserError
from ...index.durable import write_file
from ..journal import Journal
from .rows import Row

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

__all__ = ["FORM", "Key", "Manifest", "Run", "SetRecord"]

FORM = 1
"""The version of a run's form on disk."""

Key = tuple[str, int]
"""Which row: the question's digest and the epoch. See `Row.key`."""


@dataclass(frozen=True, slots=True)
class SetRecord:
    """A question set of a run.

    Attributes:
        name: as `QuestionSet.name`.
        digest: SHA-256 of the file.
        count: questions of it that were asked.
    """

    name: str
    digest: str
    count: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was asked of whom.

    Attributes:
        name: of the run.
        sets: what was asked, in order.
        questions: digests of the questions, in the order of the sets, each once.
        model: the chat model's label.
        profile: ``embedded``, ``local`` or ``server``.
        library: folder of the passages; empty where there are none.
        content: digest of what the library held; see `indexing.content_of`.
        image_model: what draws; empty where nothing does.
        reranker: folder; empty where there is none.
        seed: of the run.
        epochs: how often each question is asked.
        limit: the most questions of a set; None for all.
        metrics: by name, that the rows were measured with.
        faults: what was wrong with the sets, for people.
        limner: version that wrote it.
        form: version of the form on disk.
        created: when the run began, ISO 8601 in UTC.
    """

    name: str
    sets: tuple[SetRecord, ...]
    questions: tuple[str, ...]
    model: str
    profile: str = ""
    library: str = ""
    content: str = ""
    image_model: str = ""
    reranker: str = ""
    seed: int = 0
    epochs: int = 1
    limit: int | None = None
    metrics: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    limner: str = ""
    form: int = FORM
    created: str = ""

    def __post_init__(self) -> None:
        sets = tuple(s if isinstance(s, SetRecord) else SetRecord(**s) for s in self.sets)
        object.__setattr__(self, "sets", sets)
        for name in ("questions", "metrics", "faults"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def keys(self) -> Iterator[Key]:
        """The key of every row that the run has when it is finished, in order."""
        yield from product(self.questions, range(1, self.epochs + 1))

    def write(self, folder: Path) -> None:
        """Write it into a run's folder; when this returns, it is on the disk.

        Raises:
            OSError: it cannot be written; an earlier one stays.
        """
        text = json.dumps(asdict(self), indent=1, ensure_ascii=True)
        write_file(folder / "run.json", text.encode() + b"\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The manifest of a run's folder.

        Raises:
            UserError: the folder is no run, or of another version of the form.
        """
        try:
            values = json.loads((folder / "run.json").read_bytes())
        except FileNotFoundError:
            raise _no_run(folder, "it has no run.json" if folder.is_dir() else _absent(folder)) \
                from None  # fmt: skip
        except (OSError, ValueError) as error:
            raise _no_run(folder, f"its run.json cannot be read ({error})") from None
        form = values.get("form") if isinstance(values, dict) else None
        if not isinstance(form, int):
            raise _no_run(folder, "its run.json is another program's")
        if form != FORM:
            raise UserError(
                f"{folder}: a run of form {form}, this version of Limner reads form {FORM}",
                "pip install --upgrade limner" if form > FORM else "limner eval run … --out NEW",
            )
        known = {f.name for f in fields(cls)}
        try:
            return cls(**{k: v for k, v in values.items() if k in known})
        except (TypeError, ValueError) as error:
            raise _no_run(folder, f"its run.json is damaged ({error})") from None


@dataclass(frozen=True, slots=True)
class Run:
    """What came of asking question sets.

    Attributes:
        folder: of the run.
        manifest: what was asked of whom.
        rows: those there are, in the order of the sets, epochs of a question together; scores
            are the last ones that were given.
    """

    folder: Path
    manifest: Manifest
    rows: tuple[Row, ...]

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Read a run.

        Raises:
            UserError: the folder is no run, or of another version of the form.
        """
        place = Path(folder).expanduser()
        manifest = Manifest.read(place)
        found = rows_of(place)
        return cls(place, manifest, tuple(found[key] for key in manifest.keys if key in found))

    @property
    def name(self) -> str:
        """What reports call it: the folder's name."""
        return self.folder.resolve().name or self.manifest.name

    @property
    def media(self) -> Path:
        """Where the pictures of the answers lie."""
        return self.folder / "media"

    @property
    def faults(self) -> tuple[str, ...]:
        """What was wrong with the question sets, for people."""
        return self.manifest.faults

    @property
    def damaged(self) -> int:
        """Lines of the journal that are not whole: cut off by a kill, or damaged since."""
        return Journal(self.folder / "rows.jsonl").damaged

    @property
    def missing(self) -> int:
        """Rows that are still to come: the run was stopped before it was finished."""
        return len(self.manifest.questions) * self.manifest.epochs - len(self.rows)

    def rescored(self, scores: Mapping[Key, Mapping[str, float | None]]) -> Self:
        """Give rows scores beside those they have; one of the same name takes its place.

        They are written in one piece: a kill leaves all of them or none. Earlier ones stay
        readable in the journal.

        Args:
            scores: by `Row.key`; rows that are not named stay as they are.

        Returns:
            The run as it is then.

        Raises:
            OSError: they cannot be written; the run is as it was.
        """
        had = {row.key: dict(row.scores or {}) for row in self.rows}
        merged = [[*key, {**had[key], **new}] for key, new in scores.items() if key in had]
        Journal(self.folder / "rows.jsonl").append({"scores": merged})
        return type(self).open(self.folder)

    def to_frame(self) -> DataFrame:
        """A line per row, a column per score; see `frames.frame_of`.

        Raises:
            UserError: pandas is not installed.
        """
        from .frames import frame_of

        return frame_of(self.rows)


def rows_of(folder: Path) -> dict[Key, Row]:
    """Every row that a run's journal holds, also of questions that were since taken out."""
    found: dict[Key, Row] = {}
    media = str(folder / "media")
    for line in Journal(folder / "rows.jsonl"):
        if "row" in line:
            row = Row.from_dict(line["row"], media)
            found[row.key] = row
        for digest, epoch, scores in line.get("scores", ()):
            if (digest, epoch) in found:
                found[digest, epoch] = found[digest, epoch].with_scores(scores)
    return found


def _absent(folder: Path) -> str:
    return "it is a file" if folder.exists() else "there is no such folder"


def _no_run(folder: Path, why: str) -> UserError:
    return UserError(f"{folder}: no run of a question set: {why}", "limner eval run SET --out DIR")
