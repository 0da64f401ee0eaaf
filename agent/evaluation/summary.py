"""Summary: the figures of one run. Knows rows and statistics; asks, measures and prints nothing.

Failed rows stay in the denominator of every score that applies to them, as 0, and are counted
beside it. Times are those of rows that were answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .averages import Asked, average, by_question, over, score_names
from .questions import Question
from .rows import Row
from .statistics import quantile

__all__ = ["SPEEDS", "Group", "Quantiles", "Score", "Summary", "per_token", "summarize"]


@dataclass(frozen=True, slots=True)
class Score:
    """A metric over some rows.

    Attributes:
        name: of the metric.
        mean: over questions, from 0 to 1; a question's epochs are averaged first.
        low: lower end of the 95 % interval, clustered by document; None where it is unknown.
        high: upper end, likewise.
        n: rows that the metric applies to, failed ones with them.
        questions: how many questions these are.
        failed: rows among them that failed, each of which counts as 0.
    """

    name: str
    mean: float
    low: float | None
    high: float | None
    n: int
    questions: int
    failed: int


@dataclass(frozen=True, slots=True)
class Group:
    """The scores of a part of the rows.

    Attributes:
        name: of the category or the task; empty for rows that name none.
        rows: how many.
        failed: how many of them failed.
        quality: the mean of the headline scores, as `averages.quality`; None where none applies.
        scores: by metric, those that apply to any of them.
    """

    name: str
    rows: int
    failed: int
    quality: Score | None
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A time over some rows.

    Attributes:
        name: of the time.
        n: how many were measured.
        p50: the median, in seconds.
        p95: 19 of 20 are shorter.
    """

    name: str
    n: int
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a run.

    Attributes:
        rows: how many.
        questions: how many different ones were asked.
        failed: rows without an answer.
        abstained: answers that say that nothing was found.
        refused: answers that decline.
        partial: answers that were cut short.
        unscored: rows that were not scored.
        quality: the mean of the headline scores, as `averages.quality`; None where none applies.
        scores: by metric, those that apply to any row.
        categories: the same by category.
        tasks: the same by task.
        speed: seconds to the first text, per token, end to end and per picture.
        input_tokens: read by the chat model, in all rows together.
        output_tokens: written by it.
        image_tokens: read by it as pictures.
        peak_memory: bytes, the highest of all rows; None where it was not measured.
    """

    rows: int
    questions: int
    failed: int
    abstained: int
    refused: int
    partial: int
    unscored: int
    quality: Score | None
    scores: tuple[Score, ...]
    categories: tuple[Group, ...]
    tasks: tuple[Group, ...]
    speed: tuple[Quantiles, ...]
    input_tokens: int
    output_tokens: int
    image_tokens: int
    peak_memory: int | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping of every field."""
        return asdict(self)


def per_token(row: Row) -> float | None:
    """Seconds after the first text for each token that was written; None where neither is known."""
    tokens = row.answer.usage.output_tokens if row.answer else 0
    if row.first_text is None or not tokens:
        return None
    return max(0.0, row.seconds - row.first_text) / tokens


SPEEDS: dict[str, Callable[[Row], Sequence[float | None]]] = {
    "first text": lambda row: [row.first_text],
    "per token": lambda row: [per_token(row)],
    "end to end": lambda row: [row.seconds],
    "per picture": lambda row: row.picture_seconds,
}
"""Times of an answered row, in seconds, by name."""


def summarize(rows: Iterable[Row]) -> Summary:
    """The figures of some rows, which are of one run."""
    held = list(rows)
    asked = by_question(held)
    answers = [row.answer for row in held if row.answer is not None]
    peaks = [row.peak_memory for row in held if row.peak_memory is not None]
    return Summary(
        rows=len(held),
        questions=len(asked),
        failed=sum(row.failed for row in held),
        abstained=sum(answer.abstained for answer in answers),
        refused=sum(answer.refused for answer in answers),
        partial=sum(answer.partial for answer in answers),
        unscored=sum(row.scores is None for row in held),
        quality=_score(asked, "quality"),
        scores=_scores(asked),
        categories=_groups(asked, lambda question: question.category),
        tasks=_groups(asked, lambda question: question.task),
        speed=_speed(held),
        input_tokens=sum(answer.usage.input_tokens for answer in answers),
        output_tokens=sum(answer.usage.output_tokens for answer in answers),
        image_tokens=sum(answer.usage.image_tokens for answer in answers),
        peak_memory=max(peaks, default=None),
    )


def _score(asked: Asked, name: str) -> Score | None:
    found = list(average(asked, name).values())
    if not found:
        return None
    known = over(found)
    n, failed = sum(one.rows for one in found), sum(one.failed for one in found)
    return Score(name, known.mean, known.low, known.high, n, len(found), failed)


def _scores(asked: Asked) -> tuple[Score, ...]:
    names = score_names(row for rows in asked.values() for row in rows)
    scores = (_score(asked, name) for name in names)
    return tuple(score for score in scores if score is not None)


def _groups(asked: Asked, of: Callable[[Question], str]) -> tuple[Group, ...]:
    """By what a question names, in the rows' order; nothing where none names any."""
    found: dict[str, dict[str, Sequence[Row]]] = {}
    for digest, rows in asked.items():
        found.setdefault(of(rows[0].question), {})[digest] = rows
    if list(found) == [""]:
        return ()
    return tuple(_group(name, part) for name, part in found.items())


def _group(name: str, part: Asked) -> Group:
    rows = [row for rows in part.values() for row in rows]
    failed = sum(row.failed for row in rows)
    return Group(name, len(rows), failed, _score(part, "quality"), _scores(part))


def _speed(rows: Sequence[Row]) -> tuple[Quantiles, ...]:
    found = []
    for name, times in SPEEDS.items():
        known = [time for row in rows if not row.failed for time in times(row) if time is not None]
        p50, p95 = quantile(known, 0.5), quantile(known, 0.95)
        if p50 is not None and p95 is not None:
            found.append(Quantiles(name, len(known), p50, p95))
    return tuple(found)
