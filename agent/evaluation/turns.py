"""Questions of a set put to an agent, one a turn, and what is measured while it answers.

Turns may run side by side in threads; none hears of another. Knows no runs and no metrics.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import LimnerError, ModelError
from ..answer import Answer
from ..events import AnswerReady, Failed, TextDelta
from .questions import Question
from .rows import Row
from .twins import Twin

if TYPE_CHECKING:
    from ..agent import Agent

__all__ = ["Asked", "Stopped", "Turns"]


class Stopped(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question.

    Attributes:
        row: answered or failed; without scores.
        again: a model failed, which may pass: asking again may help.
    """

    row: Row
    again: bool = False


class Turns:
    """Asks an agent. Threads may share it.

    Args:
        agent: answers; its conversation, if it has one, is neither told nor written.
        media: folder that the pictures of the answers go to.
        seed: see `ask`.
    """

    def __init__(self, agent: Agent, media: Path, seed: int = 0) -> None:
        self.model = agent.model
        self._agent, self._media, self._seed = agent, media, seed
        self._running: set[Twin] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def ask(self, question: Question, epoch: int = 1) -> Asked:
        """Put a question to the agent.

        Args:
            question: of a set.
            epoch: 1-based. The seeds of the models are raised by ``seed + epoch - 1``, so that
                the first time, with seed 0, is as anybody else asks.

        Raises:
            Stopped: nobody waits any more.
        """
        with self._twin(epoch) as twin:
            started = time.perf_counter()
            answer, error, again, first = self._heard(twin, question, started)
            seconds = time.perf_counter() - started
            if self._stopped:
                raise Stopped
            row = Row(
                question=question,
                epoch=epoch,
                answer=answer,
                error=error,
                seconds=round(seconds, 6),
                first_text=first,
                picture_seconds=twin.picture_seconds,
                peak_memory=_peak(),
                model=self.model,
            )
        return Asked(row, again and row.failed)

    def stop(self) -> None:
        """Give up every turn that runs, and let no other begin."""
        with self._lock:
            self._stopped = True
            for twin in self._running:
                twin.stop()

    @contextmanager
    def _twin(self, epoch: int) -> Iterator[Twin]:
        twin = Twin(self._agent, self._media, self._seed + epoch - 1)
        with self._lock:
            if self._stopped:
                raise Stopped
            self._running.add(twin)
        try:
            yield twin
        finally:
            with self._lock:
                self._running.discard(twin)

    def _heard(
        self, twin: Twin, question: Question, started: float
    ) -> tuple[Answer | None, str, bool, float | None]:
        """The answer, what went wrong, whether that may pass, and seconds to the first word."""
        first: float | None = None
        try:
            events: Any = twin.agent.stream(question.question, question.images)
            with closing(events):
                for event in events:
                    if self._stopped:
                        raise Stopped
                    if first is None and isinstance(event, TextDelta) and event.text.strip():
                        first = round(time.perf_counter() - started, 6)
                    elif isinstance(event, AnswerReady):
                        return _kept(event.answer, twin), "", False, first
                    elif isinstance(event, Failed):
                        answer = _kept(event.partial, twin) if _whole(event.partial) else None
                        return answer, _said(event.error), _may_pass(event.error), first
        except LimnerError as error:
            return None, _said(error), _may_pass(error), first
        except Stopped:
            raise
        except Exception as error:  # a night of questions does not end with one of them
            return None, f"{type(error).__name__}: {error}"[:500], False, first
        return None, "the turn ended without an answer", True, first


def _whole(answer: Answer) -> bool:
    """Whether a turn that failed had come to its end: the model reached its limit of tokens."""
    return "compose" in dict(answer.timings)


def _may_pass(error: LimnerError) -> bool:
    return isinstance(error, ModelError)


def _said(error: LimnerError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def _kept(answer: Answer, twin: Twin) -> Answer:
    """The answer, once each of its pictures lies in the folder of the run."""
    for picture in answer.pictures:
        twin.media.path(picture.media)
    return answer


def _peak() -> int:
    """Bytes, the most that this process has held so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
