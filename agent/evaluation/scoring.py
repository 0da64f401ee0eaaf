"""A run measured anew: its answers stay, its scores are taken again. Asks nothing."""

from __future__ import annotations

from collections.abc import Sequence

from .metrics.base import scored
from .metrics.table import metrics_named
from .running import metrics_for, writing
from .runs import Run

__all__ = ["rescore"]


def rescore(run: Run, metrics: Sequence[str] = ()) -> tuple[Run, int]:
    """Measure the rows of a run.

    Args:
        run: stays readable as it was, in its journal.
        metrics: by name; those that fit the questions if left out. Scores of others stay.

    Returns:
        The run as it is then, and of how many rows the scores changed.

    Raises:
        UserError: there is no metric of a name, or the run cannot be written.
    """
    table = metrics_named(metrics or metrics_for(row.question for row in run.rows))
    scores = {row.key: scored(row, table) for row in run.rows}
    had = {row.key: dict(row.scores or {}) for row in run.rows}
    changed = {key: new for key, new in scores.items() if {**had[key], **new} != had[key]}
    if changed:
        with writing(run.folder):
            run = run.rescored(changed)
    return run, len(changed)
