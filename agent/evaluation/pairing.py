"""The questions of two runs side by side: what differs, in scores and in seconds.

Knows rows and statistics; judges nothing. A difference is b - a: above 0, b is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from .averages import Asked, Averaged, average, cluster_of
from .questions import Question
from .statistics import estimate, flip_test, quantile
from .summary import SPEEDS

__all__ = ["Change", "Difference", "Pace", "Pair", "Verdict", "failed"]

_EQUAL = 1e-9  # scores closer than this are the same score

Verdict = Literal["better", "worse", "no difference seen"]

_EQUAL = 1e-9  # scores closer than this are the same score


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric in two runs, over the questions that it applies to in both.

    Attributes:
        metric: its name.
        category: of the questions; empty for all of them.
        n: questions.
        mean_a: of the one run.
        mean_b: of the other.
        difference: mean of b - a.
        low: lower end of its 95 % interval, clustered by document; None where it is unknown.
        high: upper end, likewise.
        p: two-sided; see `statistics.flip_test`. None where it is shown, not tested.
        adjusted: the same after Holm over the metrics that were compared; None likewise.
        verdict: of b; empty where it was not tested.
        wins: questions in which b is better.
        losses: those in which a is.
        ties: those in which they are equal.
        unpaired: questions of both runs that the metric applies to in one of them only.
    """

    metric: str
    category: str
    n: int
    mean_a: float
    mean_b: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    adjusted: float | None
    verdict: Verdict | Literal[""]
    wins: int
    losses: int
    ties: int
    unpaired: int


@dataclass(frozen=True, slots=True)
class Change:
    """A question whose score is another one in the other run.

    Attributes:
        question: what was asked.
        metric: the score's name.
        a: its value in the one run.
        b: its value in the other.
        error: why b failed, where it did.
    """

    question: Question
    metric: str
    a: float
    b: float
    error: str = ""

    @property
    def by(self) -> float:
        """B - a."""
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Pace:
    """A time in two runs, over the questions that were answered in both.

    Attributes:
        name: of the time, as in `summary.SPEEDS`.
        n: questions.
        a: median of the one run, in seconds.
        b: median of the other.
        ratio: how many times as long b takes: the geometric mean of b/a over the questions.
        low: lower end of its 95 % interval; None where it is unknown.
        high: upper end, likewise.
    """

    name: str
    n: int
    a: float
    b: float
    ratio: float
    low: float | None
    high: float | None


class Pair:
    """The rows of the questions that both runs were asked.

    Args:
        a: of the one run, by digest.
        b: of the other; the same digests.
    """

    def __init__(self, a: Asked, b: Asked) -> None:
        self.a, self.b = a, b

    def difference(self, metric: str, category: str | None = None) -> Difference | None:
        """What differs in a metric; None where it applies to no question in both runs.

        Args:
            metric: its name, or ``quality``.
            category: whose questions; None for all of them, which are tested as well.
        """
        a, b = self._of(self.a, metric, category), self._of(self.b, metric, category)
        both = [digest for digest in a if digest in b]
        if not both:
            return None
        by = [_gap(a[digest].value, b[digest].value) for digest in both]
        clusters = [a[digest].cluster for digest in both]
        known = estimate(by, clusters, of="differences")
        return Difference(
            metric=metric,
            category=category or "",
            n=len(both),
            mean_a=math.fsum(a[digest].value for digest in both) / len(both),
            mean_b=math.fsum(b[digest].value for digest in both) / len(both),
            difference=known.mean,
            low=known.low,
            high=known.high,
            p=flip_test(by, clusters) if category is None else None,
            adjusted=None,
            verdict="",
            wins=sum(gap > 0 for gap in by),
            losses=sum(gap < 0 for gap in by),
            ties=sum(gap == 0 for gap in by),
            unpaired=len(a.keys() ^ b.keys()),
        )

    def by_category(self, metrics: Sequence[str]) -> Iterator[Difference]:
        """What differs in each category; nothing where no question names one."""
        categories = dict.fromkeys(rows[0].question.category for rows in self.a.values())
        if list(categories) != [""]:
            found = (self.difference(metric, name) for name in categories for metric in metrics)
            yield from (one for one in found if one is not None)

    def changes(self, metrics: Sequence[str]) -> Iterator[Change]:
        """Every question and metric whose score is another one."""
        for metric in metrics:
            a, b = average(self.a, metric), average(self.b, metric)
            for digest in a:
                if digest in b and _gap(a[digest].value, b[digest].value):
                    rows = self.b[digest]
                    error = next((row.error for row in rows if row.failed), "")
                    values = (a[digest].value, b[digest].value)
                    yield Change(rows[0].question, metric, *values, error)

    def paces(self) -> Iterator[Pace]:
        """The times of the questions that were answered in both."""
        for name in SPEEDS:
            a, b = _times(self.a, name), _times(self.b, name)
            both = [digest for digest in a if digest in b]
            logs = [math.log(b[digest] / a[digest]) for digest in both]
            middle_a = quantile([a[digest] for digest in both], 0.5)
            middle_b = quantile([b[digest] for digest in both], 0.5)
            if middle_a is None or middle_b is None:
                continue
            clusters = [cluster_of(self.a[digest][0].question, digest) for digest in both]
            known = estimate(logs, clusters, of="times")
            low, high = (None if end is None else math.exp(end) for end in (known.low, known.high))
            yield Pace(name, len(both), middle_a, middle_b, math.exp(known.mean), low, high)

    def _of(self, asked: Asked, metric: str, category: str | None) -> dict[str, Averaged]:
        if category is not None:
            # What a run was asked is the same in both, so either one's questions tell it.
            asked = {d: rows for d, rows in asked.items() if rows[0].question.category == category}
        return average(asked, metric)


def failed(asked: Asked) -> int:
    """Rows that failed."""
    return sum(row.failed for rows in asked.values() for row in rows)


def _gap(a: float, b: float) -> float:
    """B - a, without what rounding leaves of equal scores."""
    return b - a if abs(b - a) > _EQUAL else 0.0


def _times(asked: Asked, name: str) -> dict[str, float]:
    """Each question's mean time, where it was measured and is above 0."""
    found: dict[str, float] = {}
    for digest, rows in asked.items():
        times = [time for row in rows if not row.failed for time in SPEEDS[name](row) if time]
        if times:
            found[digest] = math.fsum(times) / len(times)
    return found
