"""A question's score: over its epochs, by metric. Knows rows; knows no metric but the headlines.

A question that was asked several times counts once, with the mean of its epochs. A metric that
does not apply to an epoch (None) leaves that epoch out; a failed row is scored and stays in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .questions import Question
from .rows import Row
from .statistics import Estimate, estimate

__all__ = [
    "HEADLINES",
    "Asked",
    "Averaged",
    "average",
    "by_question",
    "cluster_of",
    "headlines",
    "over",
    "quality",
    "score_names",
]

HEADLINES: Mapping[str, Sequence[str]] = {
    "text": ("contains", "token_f1"),  # a reference stands in it, or it shares its words
    "pictures": ("picture_f1",),
    "marks": ("box_iou",),
    "abstention": ("right_abstention",),
    "refusal": ("right_refusal",),
}
"""What `quality` is made of: of each the best score."""

Asked = Mapping[str, Sequence[Row]]
"""The rows of each question, by its digest."""


@dataclass(frozen=True, slots=True)
class Averaged:
    """A question's score in one metric.

    Attributes:
        value: mean over the epochs that the metric applies to.
        rows: how many these are.
        failed: how many of these failed.
        cluster: what the question varies together with: its document, else itself.
    """

    value: float
    rows: int
    failed: int
    cluster: str


def by_question(rows: Iterable[Row]) -> Asked:
    """The rows of each question, in the order in which they come."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.question.digest, []).append(row)
    return found


def score_names(rows: Iterable[Row]) -> tuple[str, ...]:
    """The metrics that apply to any row, in the order in which the rows name them."""
    return tuple(
        dict.fromkeys(
            name for row in rows for name, value in (row.scores or {}).items() if value is not None
        )
    )


def average(asked: Asked, name: str) -> dict[str, Averaged]:
    """Each question's score in a metric, by the question's digest; those it applies to.

    Args:
        asked: the rows of one run.
        name: of the metric, or ``quality``.
    """
    found = {}
    for digest, rows in asked.items():
        scored = [(row, value) for row in rows if (value := _score(row, name)) is not None]
        if scored:
            value = math.fsum(value for _, value in scored) / len(scored)
            failed = sum(row.failed for row, _ in scored)
            cluster = cluster_of(rows[0].question, digest)
            found[digest] = Averaged(value, len(scored), failed, cluster)
    return found


def cluster_of(question: Question, digest: str) -> str:
    """What a question varies together with: its document, else itself."""
    return f"document {question.document}" if question.document else digest


def _score(row: Row, name: str) -> float | None:
    return quality(row) if name == "quality" else (row.scores or {}).get(name)


def over(averaged: Iterable[Averaged]) -> Estimate:
    """Mean and interval over questions, clustered by document where that is known.

    Raises:
        ValueError: there are none.
    """
    found = list(averaged)
    return estimate([one.value for one in found], [one.cluster for one in found])


def headlines(row: Row) -> dict[str, float]:
    """The scores that a row is judged by, each the best of its names in `HEADLINES`.

    That no picture was wanted and none is shown is left out where anything else is judged: nearly
    every wrong answer does that right.
    """
    scores = row.scores or {}
    found = {}
    for headline, names in HEADLINES.items():
        known = [score for name in names if (score := scores.get(name)) is not None]
        if known:
            found[headline] = max(known)
    if scores.get("right_no_picture") == 1 and len(found) > 1:
        found.pop("pictures", None)
    return found


def quality(row: Row) -> float | None:
    """One figure for a row, from 0 to 1: the mean of its headlines; None where it has none.

    It is a proxy that puts rows of different kinds on one scale, to sort and to plot them; what a
    run is good at, the scores themselves say.
    """
    found = headlines(row).values()
    return math.fsum(found) / len(found) if found else None
