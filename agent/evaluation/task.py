"""A run as a task of inspect-ai: its samples, our agent as a solver, our metrics as a scorer.

Import it late: it needs the extra ``[eval]``. What inspect-ai writes is a log to look at with its
own tools; the truth is the run's journal. Whoever asks is handed in with `asking`, so that solver
and scorer can be made again by name from a log. Knows no agent and no folder.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

from anyio import Event, from_thread
from anyio.lowlevel import current_token
from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessageUser,
    Content,
    ContentImage,
    ContentText,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.scorer import (
    Metric,
    SampleScore,
    Score,
    Scorer,
    Target,
    Value,
    metric,
    scorer,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver

from .metrics.base import scored
from .metrics.table import metrics_named
from .questions import Question
from .rows import Row
from .runs import Key

__all__ = ["Asking", "ask_limner", "asking", "limner_scores", "task_of"]

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif"}


class Asking(Protocol):
    """Whoever asks for a run."""

    @property
    def rows(self) -> Mapping[Key, Row]:
        """Rows that are finished."""
        ...

    def finished(self, question: Question, epoch: int) -> Row:
        """The row of a question, asked where it is not finished yet. Blocks.

        Raises:
            Exception: it failed, and may be asked again.
        """
        ...


class Failure(Exception):
    """A question could not be answered; the row says why."""


_asking: ContextVar[Asking | None] = ContextVar("asking", default=None)


@contextmanager
def asking(who: Asking) -> Iterator[None]:
    """Have tasks of `task_of` answered by someone."""
    token = _asking.set(who)
    try:
        yield
    finally:
        _asking.reset(token)


def task_of(
    name: str, questions: Mapping[str, Question], metrics: Sequence[str], **told: Any
) -> Task:
    """The task of a run.

    Args:
        name: of the run.
        questions: by the id that they have in the log.
        metrics: by name.
        told: goes into the log.
    """
    samples = [_sample(identity, question) for identity, question in questions.items()]
    return Task(
        name=name,
        dataset=MemoryDataset(samples, name=name),
        solver=ask_limner(),
        scorer=limner_scores(list(metrics)),
        metadata=told,
    )


def _sample(identity: str, question: Question) -> Sample:
    content: list[Content] = [ContentText(text=question.question)]
    content += [ContentImage(image=path) for path in question.images if _shown(path)]
    told = {"digest": question.digest, "category": question.category, "task": question.task}
    return Sample(
        id=identity,
        input=[ChatMessageUser(content=content if len(content) > 1 else question.question)],
        target=list(question.references) or "",
        metadata={**told, "question": json.dumps(question.to_dict())},
    )


def _shown(path: str) -> bool:
    """Whether inspect-ai can read an attachment: it fails on what is not there."""
    return Path(path).suffix.lower() in _PICTURES and Path(path).is_file()


@solver
def ask_limner() -> Solver:
    """Limner as a solver, where a run is `asking`."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        who = _asking.get()
        if who is None:
            raise RuntimeError("the log of a run is made by: limner eval run")
        row = who.rows.get(_key(state))
        if row is None:
            question = Question.from_dict(json.loads(state.metadata["question"]))
            row = await _in_thread(lambda: who.finished(question, state.epoch))
        _tell(state, row)
        if row.failed:
            raise Failure(row.error)
        return state

    return solve


async def _in_thread(work: Callable[[], Row]) -> Row:
    """What comes of work in a thread that nobody waits for, at the latest when the process ends."""
    done, token = Event(), current_token()
    found: list[Row | BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # handed over, and raised where somebody waits
            found.append(error)
        with suppress(RuntimeError):  # the loop has ended
            from_thread.run_sync(done.set, token=token)

    threading.Thread(target=run, daemon=True).start()
    await done.wait()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _tell(state: TaskState, row: Row) -> None:
    """What inspect-ai is told of a row: pictures by their hash, never their bytes.

    It copies and compares every value that it is told, many times: the whole row goes as one text,
    and what a person looks for stands beside it.
    """
    told = row.to_dict()
    del told["question"]
    state.store.set("row", json.dumps(told | {"media": row.answer.folder if row.answer else ""}))
    if row.answer:
        state.store.set("passages", [passage.place for passage in row.answer.passages])
        state.store.set("pictures", [picture.media for picture in row.answer.pictures])
        state.store.set("timings", dict(row.answer.timings))
    text = row.answer.text if row.answer else ""
    state.output = ModelOutput.from_content(row.model, text, error=row.error or None)
    state.output.time = row.seconds
    if row.answer:
        usage = row.answer.usage
        read, wrote = usage.input_tokens, usage.output_tokens
        state.output.usage = ModelUsage(
            input_tokens=read, output_tokens=wrote, total_tokens=read + wrote
        )
        state.messages.append(state.output.message)
    state.completed = True


@metric
def limner_mean() -> Metric:
    """The mean of every score over the rows that it applies to."""

    def compute(scores: list[SampleScore]) -> Value:
        found: dict[str, list[float]] = {}
        for one in scores:
            values = one.score.value
            for name, value in values.items() if isinstance(values, dict) else ():
                if isinstance(value, int | float) and not math.isnan(value):
                    found.setdefault(name, []).append(value)
        return {name: sum(known) / len(known) for name, known in found.items()}

    return compute


@scorer(metrics=[limner_mean()])
def limner_scores(metrics: list[str]) -> Scorer:
    """Metrics of Limner as a scorer; a failed row scores 0 wherever it is scored at all.

    Args:
        metrics: by name.
    """
    table = metrics_named(metrics)

    async def score(state: TaskState, target: Target) -> Score:
        who = _asking.get()
        row = (who.rows.get(_key(state)) if who else None) or _row(state)
        scores = scored(row, table) if row.scores is None or who is None else row.scores
        values = {name: math.nan if s is None else s for name, s in scores.items()}
        said = row.answer.text if row.answer else None
        return Score(value=values, answer=said, explanation=row.error or None)

    return score


def _key(state: TaskState) -> Key:
    return state.metadata["digest"], state.epoch


def _row(state: TaskState) -> Row:
    """The row that a log tells of."""
    told = json.loads(state.store.get("row", "{}")) or {"epoch": state.epoch}
    known = {**told, "question": json.loads(state.metadata["question"])}
    return Row.from_dict(known, media=told.get("media", ""))
