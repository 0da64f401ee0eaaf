"""A run: every question of its sets asked, as often as it is to be, and written down.

The same call goes on where an earlier one was stopped: rows that were answered are kept, those
that failed are asked again. inspect-ai drives it and writes its log; the run's journal is what
counts. Knows agents and runs; opens no library and prints nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UserError
from .driving import drive
from .formats.base import QuestionSet
from .indexing import content_of
from .metrics.base import scored
from .metrics.table import METRICS, metrics_named
from .questions import Place, Question
from .recording import Recorder, Tell
from .rows import Row
from .runs import Key, Manifest, Run, SetRecord, rows_of
from .settings import Settings
from .turns import Turns

if TYPE_CHECKING:
    from ..agent import Agent

__all__ = ["Outcome", "Plan", "alone", "metrics_for", "plan", "run", "writing"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is there and what is to do.

    Attributes:
        folder: of the run.
        manifest: of the run from now on.
        questions: by the id that they have in the log, each question once.
        reused: rows of earlier commands that were answered.
        failed: how many rows of earlier commands had failed and are asked again.
        unmeasured: metrics that the reused rows lack.
        left_out: rows of earlier commands whose question is not asked now; they stay on disk.
    """

    folder: Path
    manifest: Manifest
    questions: Mapping[str, Question]
    reused: Mapping[Key, Row]
    failed: int
    unmeasured: tuple[str, ...] = ()
    left_out: int = 0

    @property
    def todo(self) -> int:
        """Rows that are to be asked for."""
        return len(self.questions) * self.manifest.epochs - len(self.reused)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command made of a run.

    Attributes:
        run: as it is now.
        reused: rows that were there.
        asked: rows that were asked for.
    """

    run: Run
    reused: int
    asked: int

    @property
    def failed(self) -> tuple[Row, ...]:
        """Rows without an answer."""
        return tuple(row for row in self.run.rows if row.failed)


def metrics_for(questions: Iterable[Question]) -> tuple[str, ...]:
    """Those that need no model; where a whole answer with pictures is known, placement too."""
    parts = (part for question in questions for part in question.reference_parts)
    return (*METRICS, "placement") if any(isinstance(p, Place) for p in parts) else (*METRICS,)


# ── what is to do ────────────────────────────────────────────────────────────────────────────


def plan(
    agent: Agent,
    sets: Sequence[QuestionSet],
    folder: Path,
    settings: Settings,
    *,
    image_model: str = "",
    reranker: str = "",
    faults: Sequence[str] = (),
) -> Plan:
    """Look at what is to be asked and what earlier commands have done of it. Asks nothing.

    Args:
        agent: would answer.
        sets: would be asked.
        folder: the run's.
        settings: how.
        image_model: what draws, for the record.
        reranker: what reads passages once more, for the record.
        faults: what was found wrong beside the faults of the sets.

    Raises:
        UserError: the folder holds a run of another model, library or seed, or of sets that are
            not asked now.
    """
    questions = _questions(sets, settings.limit)
    painter = agent._work.image_model
    fresh = Manifest(
        name=folder.resolve().name,
        sets=tuple(SetRecord(s.name, s.digest, len(s.questions[: settings.limit])) for s in sets),
        questions=tuple(question.digest for question in questions.values()),
        model=agent.model,
        profile=agent.profile.name,
        library=str(agent.library.folder) if agent.library.exists else "",
        content=content_of(agent.library),
        image_model=image_model or (painter.name if painter else ""),
        reranker=reranker,
        seed=settings.seed,
        epochs=settings.epochs,
        limit=settings.limit,
        metrics=settings.metrics or metrics_for(questions.values()),
        faults=(*(str(fault) for one in sets for fault in one.faults), *faults),
        limner=_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    unmeasured: tuple[str, ...] = ()
    if (folder / "run.json").exists():
        before = Manifest.read(folder)
        _check(before, fresh, folder)
        unmeasured = tuple(name for name in fresh.metrics if name not in before.metrics)
        fresh = replace(
            fresh,
            name=before.name,
            created=before.created,
            metrics=(*before.metrics, *unmeasured),
            faults=tuple(dict.fromkeys((*before.faults, *fresh.faults))),
        )
    known, keys = rows_of(folder), set(fresh.keys)
    there = {key: row for key, row in known.items() if key in keys}
    reused = {key: row for key, row in there.items() if not row.failed}
    return Plan(
        folder, fresh, questions, reused, len(there) - len(reused), unmeasured,
        left_out=len(known) - len(there),
    )  # fmt: skip


def _questions(sets: Sequence[QuestionSet], limit: int | None) -> dict[str, Question]:
    """Every question once, under an id that no other has."""
    found: dict[str, Question] = {}
    seen: set[str] = set()
    for one in sets:
        for question in one.questions[:limit]:
            if question.digest not in seen:
                seen.add(question.digest)
                identity = question.id if question.id not in found else f"{one.name}/{question.id}"
                while identity in found:
                    identity += "'"
                found[identity] = question
    return found


_FIXED = {
    "model": "the chat model",
    "profile": "the profile",
    "content": "what the library holds",
    "image_model": "the image model",
    "reranker": "the reranker",
    "seed": "the seed",
}
"""What every row of a run has in common."""


def _check(before: Manifest, now: Manifest, folder: Path) -> None:
    """See that rows of now may stand beside rows of before.

    Raises:
        UserError: they may not.
    """
    for name, words in _FIXED.items():
        was, comes = getattr(before, name), getattr(now, name)
        if was != comes:
            told = "" if name == "content" else f": {_shown(was)} there, {_shown(comes)} now"
            raise UserError(
                f"{folder}: this run was begun otherwise, {words} differs{told}",
                "--out another-folder",
            )
    missing = {one.name for one in before.sets} - {one.name for one in now.sets}
    if missing:
        raise UserError(
            f"{folder}: this run also asks {', '.join(sorted(missing))}",
            "name every set of it, or --out another-folder",
        )


def _shown(value: object) -> str:
    return "none" if value == "" else str(value)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("limner")
    except PackageNotFoundError:
        return ""


# ── doing it ─────────────────────────────────────────────────────────────────────────────────


def run(agent: Agent, todo: Plan, settings: Settings, tell: Tell = lambda row: None) -> Outcome:
    """Ask what is to be asked.

    Args:
        agent: answers.
        todo: what `plan` found.
        settings: as for `plan`.
        tell: told of every row as it is written down, in the thread that made it.

    Returns:
        The run as it is then. A question that could not be answered is a failed row in it.

    Raises:
        ModelMissing: inspect-ai is not installed.
        UserError: the run cannot be written; what was finished is safe.
        KeyboardInterrupt: it was stopped; what was finished is safe.
    """
    table = metrics_named(todo.manifest.metrics)
    with writing(todo.folder):
        todo.manifest.write(todo.folder)
        kept = _measured(todo)
        turns = Turns(agent, todo.folder / "media", settings.seed)
        recorder = Recorder(turns, todo.folder / "rows.jsonl", table, kept, settings.retries, tell)
        try:
            drive(recorder, todo.folder, todo.manifest, todo.questions, settings)
        finally:
            turns.stop()
        if recorder.fault is not None:
            raise recorder.fault
    return Outcome(Run.open(todo.folder), len(todo.reused), todo.todo)


def _measured(todo: Plan) -> dict[Key, Row]:
    """The rows that are kept, with the scores that no earlier command asked for, written down."""
    if not todo.unmeasured or not todo.reused:
        return dict(todo.reused)
    table = metrics_named(todo.unmeasured)
    scores = {key: scored(row, table) for key, row in todo.reused.items()}
    kept = Run.open(todo.folder).rescored(scores).rows
    return {row.key: row for row in kept if row.key in todo.reused}


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only process that writes into a run's folder, which is made where it is missing.

    Raises:
        UserError: another one writes there, or it holds other things than a run.
    """
    from filelock import FileLock, Timeout

    _check_folder(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"{folder}: another process writes there now", "wait for it, or --out another"
            ) from None
    try:
        yield
    finally:
        lock.release()


def _check_folder(folder: Path) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not any((folder / name).is_file() for name in ("run.json", ".lock")):
        what = "it holds other things than a run" if folder.is_dir() else "it is no folder"
        raise UserError(f"{folder}: {what}", "--out another-folder")


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """The disk's errors as the user's.

    Raises:
        UserError: something cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"{folder}: cannot be written ({reason}); what was finished is safe",
            "make room, then the same command goes on",
        ) from error
