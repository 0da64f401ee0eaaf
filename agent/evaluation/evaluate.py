"""The Python API of question sets: `evaluate`. Knows runs; parses and prints nothing."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UserError
from .formats.base import QuestionSet
from .frames import frame_of
from .questions import Question
from .reading import read_questions
from .rows import Row
from .running import alone, plan
from .running import run as run_plan
from .runs import Run
from .settings import Settings
from .summary import Summary, summarize

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

    from ..agent import Agent

__all__ = ["Report", "evaluate"]


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a question set.

    Attributes:
        run: the run on disk.
    """

    run: Run

    @property
    def name(self) -> str:
        """Of the run."""
        return self.run.name

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every question with its answer and scores, failed ones too."""
        return self.run.rows

    @property
    def summary(self) -> Summary:
        """Means with intervals, times, counts."""
        return summarize(self.run.rows)

    def to_frame(self) -> DataFrame:
        """A table of pandas, a line per row; see `frames.frame_of`.

        Raises:
            UserError: pandas is not installed.
        """
        return frame_of(self.run.rows)

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Write ``results.csv``, ``summary.json`` and ``report.html``.

        Args:
            folder: made where it is missing.

        Returns:
            The files.
        """
        from .reporting import write_report

        place = Path(folder).expanduser()
        place.mkdir(parents=True, exist_ok=True)
        return write_report([self.run], place)


def evaluate(
    agent: Agent,
    questions: str | Path | QuestionSet | Sequence[Question],
    metrics: Sequence[str] | None = None,
    *,
    out: str | Path | None = None,
    max_connections: int = 1,
    epochs: int = 1,
    limit: int | None = None,
    seed: int = 0,
    retries: int = 0,
) -> Report:
    """Ask an agent every question of a set and measure the answers.

    Blocks until it is done; called in a running event loop, a notebook's say, it works too, and
    the loop waits. One call at a time in a process.

    Args:
        agent: answers; of its conversation nothing is told, and nothing is added to it.
        questions: a file, the name of a packaged set, a set, or questions.
        metrics: by name; those that fit the questions if left out.
        out: the run's folder, where a later call with the same agent and questions goes on; a
            temporary one that nobody deletes if left out.
        max_connections: the most questions at a time.
        epochs: how often each is asked.
        limit: the first so many questions only.
        seed: raises the seeds of drawings and of a chat model that draws lots; every epoch raises
            them by one more.
        retries: how often a question is asked again after a model failed.

    Raises:
        UserError: no such set or metric, or the folder is another run's or cannot be written.
        ModelMissing: inspect-ai is not installed: ``pip install 'limner[eval]'``.

    Example:
        >>> report = evaluate(agent, "questions.jsonl", max_connections=8)
        >>> report.summary.scores
    """
    asked = _set_of(questions)
    folder = Path(out or tempfile.mkdtemp(prefix="limner-run-")).expanduser()
    settings = Settings(limit, epochs, max_connections, seed, retries, tuple(metrics or ()))
    with alone(folder):
        return Report(run_plan(agent, plan(agent, [asked], folder, settings), settings).run)


def _set_of(questions: str | Path | QuestionSet | Sequence[Question]) -> QuestionSet:
    if isinstance(questions, QuestionSet):
        return questions
    if isinstance(questions, str | Path):
        return read_questions(questions)
    listed = tuple(questions)
    if not listed:
        raise UserError("there are no questions to ask", "name a set: read_questions(PATH)")
    told = json.dumps([question.digest for question in listed]).encode()
    return QuestionSet("questions", Path(), hashlib.sha256(told).hexdigest(), listed)
