"""The rows of a run as they come: asked, scored, and written down before anybody hears of them.

Knows turns, metrics and the journal; neither what asks for a row nor in which order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..journal import Journal
from .metrics.base import Metric, scored
from .questions import Question
from .rows import Row
from .runs import Key
from .turns import Stopped, Turns

__all__ = ["Again", "Recorder", "Tell"]

Tell = Callable[[Row], None]
"""Told of every row that is written down."""


class Again(Exception):
    """A model failed, and the question is to be asked once more."""


class Recorder:
    """Asks for rows and writes them down. Threads may share it.

    Args:
        turns: asks.
        path: of the journal.
        metrics: by name.
        rows: those that are there and answered.
        retries: how often a question is asked again after a model failed.
        tell: told of every row; in the thread that made it.

    Attributes:
        rows: those of earlier commands and of this one.
        fault: why nothing can be written any more; None while it can.
    """

    def __init__(
        self,
        turns: Turns,
        path: Path,
        metrics: Mapping[str, Metric],
        rows: Mapping[Key, Row],
        retries: int = 0,
        tell: Tell = lambda row: None,
    ) -> None:
        self.rows: dict[Key, Row] = dict(rows)
        self.fault: OSError | None = None
        self._turns, self._journal, self._metrics = turns, Journal(path), metrics
        self._retries, self._tell = retries, tell
        self._attempts: dict[Key, int] = {}
        self._lock = threading.Lock()

    def finished(self, question: Question, epoch: int) -> Row:
        """The row of a question, asked where it has none yet.

        Raises:
            Again: it failed, and has attempts left.
            Stopped: the run was stopped; nothing was written.
        """
        key = question.digest, epoch
        if key in self.rows:
            return self.rows[key]
        attempts = self._attempts.get(key, 0) + 1
        self._attempts[key] = attempts
        asked = self._turns.ask(question, epoch)
        if asked.again and attempts <= self._retries:
            raise Again(asked.row.error)
        return self._written(key, self._scored(replace(asked.row, attempts=attempts)))

    def _scored(self, row: Row) -> Row:
        try:
            return row.with_scores(scored(row, self._metrics))
        except Exception as error:  # an answer is not lost to a metric that stumbles over it
            reason = f"not scored: {type(error).__name__}: {error}"[:500]
            return replace(row, error=row.error or reason)

    def _written(self, key: Key, row: Row) -> Row:
        with self._lock:
            if self.fault is not None:
                raise Stopped
            try:
                self._journal.append({"row": row.to_dict()})
            except OSError as error:
                self.fault = error
                self._turns.stop()
                raise Stopped from error
            self.rows[key] = row
            self._tell(row)
        return row
