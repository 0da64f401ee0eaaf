"""Comparison: two runs, question by question. Knows rows and statistics; prints nothing.

Questions are matched by their digest, so one that was edited is another question; what is in one
run only is counted, never left out in silence. A difference is b - a: above 0, b is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from .averages import Asked, by_question, score_names
from .pairing import Change, Difference, Pace, Pair, Verdict, failed
from .rows import Row
from .statistics import holm

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

    from .evaluate import Report
    from .runs import Run

__all__ = ["ALPHA", "Comparison", "compare"]

ALPHA = 0.05
"""Of all comparisons of equal runs, the share that may end in a verdict."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, question by question.

    Attributes:
        a: name of the one run.
        b: name of the other, which is judged.
        alpha: below which an adjusted p-value makes a verdict.
        shared: questions of both.
        only_a: ids of the questions of the one alone, in order.
        only_b: ids of the questions of the other alone.
        failed_a: rows of shared questions that failed in the one.
        failed_b: those that failed in the other.
        metrics_a: metrics that were scored in the one alone.
        metrics_b: metrics that were scored in the other alone.
        metrics: the differences, in the rows' order of metrics.
        categories: the same by category, shown and not tested; empty where no question names any.
        changes: every question and metric whose score changed, worst first.
        paces: the times.
    """

    a: str
    b: str
    alpha: float
    shared: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    failed_a: int
    failed_b: int
    metrics_a: tuple[str, ...]
    metrics_b: tuple[str, ...]
    metrics: tuple[Difference, ...]
    categories: tuple[Difference, ...]
    changes: tuple[Change, ...]
    paces: tuple[Pace, ...]

    @property
    def too_few(self) -> bool:
        """Whether no fall could be told from chance, even one in every question.

        Of n signs all alike, two out of 2^n arrangements are as extreme.
        """
        return not any(one.n and 2.0 ** (1 - one.n) <= self.alpha for one in self.metrics)

    @property
    def has_regression(self) -> bool:
        """Whether b is worse in any metric."""
        return any(one.verdict == "worse" for one in self.metrics)

    @property
    def regressions(self) -> tuple[Change, ...]:
        """The changes for the worse, the worst first."""
        return tuple(change for change in self.changes if change.by < 0)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping; of a question its id, words and category."""
        plain = asdict(self)
        plain["has_regression"] = self.has_regression
        plain["changes"] = [_plain(change) for change in self.changes]
        return plain

    def to_frame(self) -> DataFrame:
        """A line per metric and, below these, per category and metric; columns as `Difference`.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UserError(
                "a table of a comparison needs pandas", "pip install 'limner[eval]'"
            ) from None
        lines = [asdict(one) for one in (*self.metrics, *self.categories)]
        return pandas.DataFrame(lines, columns=[field.name for field in fields(Difference)])


def _plain(change: Change) -> dict[str, Any]:
    asked = change.question
    return {"id": asked.id, "question": asked.question, "category": asked.category,
            "metric": change.metric, "a": change.a, "b": change.b,
            "error": change.error}  # fmt: skip


def compare(
    a: str | Path | Run | Report | Sequence[Row],
    b: str | Path | Run | Report | Sequence[Row],
    metrics: Sequence[str] = (),
    alpha: float = ALPHA,
) -> Comparison:
    """Compare two runs, b with a.

    Args:
        a: the one that was there before: a run, its folder, a report or rows.
        b: the one that is judged, likewise.
        metrics: names of those to compare, also ``quality``; all of them where none is named. Each
            one more asks for clearer evidence in all of them.
        alpha: the share of comparisons of equal runs that may end in a verdict, 0 to 1.

    Raises:
        UserError: the runs share no question or no score, or there is no such metric.
    """
    a, b = _opened(a), _opened(b)
    rows_a, rows_b = _rows(a), _rows(b)
    asked_a, asked_b = by_question(rows_a), by_question(rows_b)
    shared = [digest for digest in asked_a if digest in asked_b]
    if not shared:
        raise _disjoint(_name(a, "a"), _name(b, "b"), asked_a, asked_b)
    in_a, in_b = score_names(rows_a), score_names(rows_b)
    chosen = _chosen(metrics, in_a, in_b)
    pair = Pair({d: asked_a[d] for d in shared}, {d: asked_b[d] for d in shared})
    differences = [pair.difference(metric) for metric in chosen]
    return Comparison(
        a=_name(a, "a"),
        b=_name(b, "b"),
        alpha=alpha,
        shared=len(shared),
        only_a=_ids(asked_a, asked_b),
        only_b=_ids(asked_b, asked_a),
        failed_a=failed(pair.a),
        failed_b=failed(pair.b),
        metrics_a=tuple(name for name in in_a if name not in in_b),
        metrics_b=tuple(name for name in in_b if name not in in_a),
        metrics=_judged([one for one in differences if one is not None], alpha),
        categories=tuple(pair.by_category(chosen)),
        changes=tuple(sorted(pair.changes(chosen), key=lambda change: change.by)),
        paces=tuple(pair.paces()),
    )


def _opened(run: str | Path | Run | Report | Sequence[Row]) -> Run | Report | Sequence[Row]:
    if isinstance(run, str | Path):
        from .runs import Run

        return Run.open(run)
    return run


def _rows(run: Run | Report | Sequence[Row]) -> Sequence[Row]:
    return run if isinstance(run, Sequence) else run.rows


def _name(run: Run | Report | Sequence[Row], letter: str) -> str:
    return letter if isinstance(run, Sequence) else run.name


def _ids(asked: Asked, other: Asked) -> tuple[str, ...]:
    return tuple(rows[0].question.id for digest, rows in asked.items() if digest not in other)


def _chosen(metrics: Sequence[str], in_a: Sequence[str], in_b: Sequence[str]) -> list[str]:
    both = [name for name in in_a if name in in_b]
    if not both:
        raise UserError(
            "the runs share no score", "limner eval score RUN, for each run that has none"
        )
    for name in metrics:
        if name not in both and name != "quality":
            raise UserError(
                f"{name!r} was not scored in both runs", f"--metric with one of: {', '.join(both)}"
            )
    return list(dict.fromkeys(metrics)) or both


def _judged(differences: Sequence[Difference], alpha: float) -> tuple[Difference, ...]:
    """With adjusted p-values and verdicts; a metric in which nothing differs counts for none."""
    ps = [1.0 if one.p is None else one.p for one in differences]
    adjusted = holm(ps, [one.wins + one.losses > 0 for one in differences])
    return tuple(
        replace(one, adjusted=p, verdict=_verdict(one, p, alpha))
        for one, p in zip(differences, adjusted, strict=True)
    )


def _verdict(one: Difference, p: float, alpha: float) -> Verdict:
    if p > alpha:
        return "no difference seen"
    return "better" if one.difference > 0 else "worse"


def _disjoint(a: str, b: str, asked_a: Asked, asked_b: Asked) -> UserError:
    if not asked_a or not asked_b:
        empty = b if asked_a else a
        return UserError(f"{empty}: there are no rows in this run yet", "limner eval run …")
    ids = {rows[0].question.id for rows in asked_a.values()}
    alike = sum(rows[0].question.id in ids for rows in asked_b.values())
    same = f"; {alike} ids are the same, but not what stands in those questions" if alike else ""
    return UserError(
        f"{a} and {b} share no question{same}", "compare two runs of the same question set"
    )
