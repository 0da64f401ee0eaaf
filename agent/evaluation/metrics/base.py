"""The contract of a metric, and how a row is scored by several.

A metric is a function of a question and its answer. It returns a score from 0 to 1 (higher is
better) by name, None where the question gives it nothing to measure. Knows no metric.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...answer import Answer
from ..questions import Question
from ..rows import Row

__all__ = ["Metric", "Scores", "scored"]

Scores = Mapping[str, float | None]
"""By metric; None: does not apply, stays out of the mean."""

Metric = Callable[[Question, Answer], Scores]
"""From a question and its answer to scores. The names are always the same ones."""


def scored(row: Row, metrics: Mapping[str, Metric]) -> dict[str, float | None]:
    """A row's scores.

    Args:
        row: answered or failed. A failed row scores 0 wherever an empty answer would be scored
            at all: it stays in the denominator.
        metrics: by name; see ``metrics.table.METRICS``.
    """
    answer = row.answer or Answer(parts=())
    scores = {name: score for metric in metrics.values()
              for name, score in metric(row.question, answer).items()}  # fmt: skip
    if row.failed:
        return {name: None if score is None else 0.0 for name, score in scores.items()}
    return scores
