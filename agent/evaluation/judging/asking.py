"""A judge asked many things, several at a time, each once. Knows cases, not what they are about.

What a journal holds is not asked again. A judge that does not answer is asked the next thing all
the same, until it has failed so often in a row that the rest is left for another time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from ....errors import LimnerError
from .forms import Form
from .judge import Judge, Reply
from .material import Block
from .records import Key, Record, Records

__all__ = ["Case", "Progress", "Session", "ask_all", "verdict_of"]

_IN_A_ROW = 5
"""Failures without an answer between them, beyond those that run at once, until it is given up."""

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[int, int, str], None]
"""Told how many of how many are done, and words about the last one."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to be judged.

    Attributes:
        key: under which the verdict is kept.
        template: the prompt.
        form: of the verdict.
        content: makes the material; called when the case is asked, since pictures are large.
    """

    key: Key
    template: str
    form: type[Form]
    content: Callable[[], list[Block]] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Session:
    """What came of asking.

    Attributes:
        asked: cases that the judge answered now, with a verdict or without one.
        kept: cases that were answered in earlier sessions.
        errors: what kept it from answering others, in their order.
        left: cases that it was not asked, since it was given up.
    """

    asked: int
    kept: int
    errors: tuple[LimnerError, ...] = ()
    left: int = 0


def verdict_of(records: Records, case: Case) -> Form | None:
    """The verdict on a case that was asked; None where there is none."""
    record = records.get(case.key)
    if record is None or record.verdict is None:
        return None
    try:
        return case.form.model_validate(dict(record.verdict))
    except ValidationError:  # written by another version
        return None


def ask_all(
    cases: Sequence[Case],
    judge: Judge,
    records: Records,
    at_once: int = 1,
    tell: Progress = lambda done, total, words: None,
) -> Session:
    """Ask everything that was not asked before.

    Args:
        cases: to be judged; of several with one key the first is asked.
        judge: is asked.
        records: are read, and added to as the verdicts come.
        at_once: the most that are asked at a time.
        tell: progress.

    Raises:
        UserError: the journal cannot be written.
    """
    known = {case.key: case for case in reversed(cases)}
    todo = [case for case in reversed(known.values()) if records.get(case.key) is None]
    errors: list[LimnerError] = []
    asked = in_a_row = 0

    def ask(case: Case) -> Reply[Form]:
        return judge.ask(case.template, case.content(), case.form)

    with closing(_each(ask, todo, at_once)) as replies:
        for case, reply in replies:
            if reply.error is not None:
                errors.append(reply.error)
                in_a_row += 1
            else:
                verdict = None if reply.verdict is None else reply.verdict.model_dump()
                records.add(Record(case.key, verdict, reply.raw, reply.fault))
                asked, in_a_row = asked + 1, 0
            tell(asked + len(errors), len(todo), reply.fault)
            if in_a_row >= _IN_A_ROW + at_once - 1:
                break
    left = len(todo) - asked - len(errors)
    return Session(asked, len(known) - len(todo), tuple(errors), left)


def _each(work: Callable[[T], R], tasks: Sequence[T], at_once: int) -> Generator[tuple[T, R]]:
    """Tasks with what came of them, as they are done, in threads that nobody need wait for.

    A further task is begun when a result has been dealt with, so that a kill loses no more results
    than run at once.
    """
    waiting: queue.SimpleQueue[T | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[T, R | None, BaseException | None]] = queue.SimpleQueue()

    def worker() -> None:
        while (task := waiting.get()) is not None:
            try:
                done.put((task, work(task), None))
            except BaseException as error:  # handed over, and raised where the results are read
                done.put((task, None, error))

    count = min(max(at_once, 1), len(tasks))
    for _ in range(count):
        threading.Thread(target=worker, daemon=True).start()
    try:
        for task in tasks[:count]:
            waiting.put(task)
        for following in (*tasks[count:], *[None] * count):
            finished, result, error = done.get()
            if error is not None:
                raise error
            yield finished, result  # type: ignore[misc]
            waiting.put(following)
    finally:
        for _ in range(count):
            waiting.put(None)
