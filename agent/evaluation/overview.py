"""The figures of a report as tables and drawings, ready for the page. Knows nobody's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..drawn import amount
from ..plain_text import clean_line, shortened
from .averages import quality
from .comparing import Comparison
from .metrics.table import DESCRIPTIONS
from .pairing import Difference
from .plots import COLOURS, Point, Whisker, latency_svg, quality_svg, tradeoff_svg
from .runs import Run
from .statistics import quantile
from .summary import Group, Score, Summary
from .tables import interval

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Gap", "Reported", "ScoreLine", "facts", "gaps", "matrices", "plots", "score_lines",
           "speed_lines"]  # fmt: skip

_DOTS = 1_000  # rows in a drawing
_QUALITY = "mean of the headlines: text, pictures, marks, abstention, refusal, those that apply"


@dataclass(frozen=True, slots=True)
class Reported:
    """A run as a report names it.

    Attributes:
        name: unique within the report.
        run: its rows and what was asked of whom.
        summary: its figures.
    """

    name: str
    run: Run
    summary: Summary


@dataclass(frozen=True, slots=True)
class Cell:
    """A mean in words."""

    mean: str
    interval: str
    n: str


@dataclass(frozen=True, slots=True)
class ScoreLine:
    """A metric in every run; ``cells`` are None where it applies to nothing."""

    name: str
    about: str
    cells: tuple[Cell | None, ...]
    bar: Markup


@dataclass(frozen=True, slots=True)
class Gap:
    """A metric's difference in words."""

    name: str
    n: str
    difference: str
    interval: str
    p: str
    adjusted: str
    counts: str
    verdict: str
    kind: str


def facts(runs: Sequence[Reported]) -> list[tuple[str, tuple[str, ...]]]:
    """What was asked of whom and what came back: a label and a fact for each run."""
    columns = [list(_facts(one)) for one in runs]
    lines = [
        (line[0][0], tuple(clean_line(fact) for _, fact in line))
        for line in zip(*columns, strict=True)
    ]
    return [(label, line) for label, line in lines if any(line)]


def _facts(one: Reported) -> Iterator[tuple[str, str]]:
    manifest, summary = one.run.manifest, one.summary
    yield "model", shortened(manifest.model, 80)
    yield "profile", manifest.profile
    yield "image model", shortened(manifest.image_model, 80)
    yield "question sets", ", ".join(f"{known.name} ({known.count})" for known in manifest.sets)
    yield "asked on", manifest.created.replace("T", " ")[:16]
    yield "Limner", manifest.limner
    yield "rows", str(summary.rows)
    yield "epochs", str(manifest.epochs) if manifest.epochs > 1 else ""
    yield "still to come", str(one.run.missing or "")
    yield "failed", str(summary.failed)
    yield "not answered", str(summary.abstained or "")
    yield "declined", str(summary.refused or "")
    yield "cut short", str(summary.partial or "")
    yield "tokens in", f"{summary.input_tokens:,}"
    yield "tokens out", f"{summary.output_tokens:,}"
    yield "of pictures", f"{summary.image_tokens:,}" if summary.image_tokens else ""
    yield "peak memory", amount(summary.peak_memory) if summary.peak_memory else ""


def score_lines(runs: Sequence[Reported]) -> list[ScoreLine]:
    """Every metric, ``quality`` first."""
    found = [{score.name: score for score in _with_quality(one.summary)} for one in runs]
    names = dict.fromkeys(name for scores in found for name in scores)
    return [_score_line(name, [scores.get(name) for scores in found]) for name in names]


def _with_quality(summary: Summary | Group) -> list[Score]:
    return [*([summary.quality] if summary.quality else []), *summary.scores]


def _score_line(name: str, scores: Sequence[Score | None]) -> ScoreLine:
    about = _QUALITY if name == "quality" else DESCRIPTIONS.get(name, "")
    return ScoreLine(clean_line(name), about, tuple(map(_cell, scores)), _bar(scores))


def _cell(score: Score | None) -> Cell | None:
    if score is None:
        return None
    failed = f", {score.failed} failed" if score.failed else ""
    return Cell(f"{score.mean:.3f}", interval(score.low, score.high), f"n = {score.n}{failed}")


def _bar(scores: Sequence[Score | None]) -> Markup:
    """Means and intervals on a line from 0 to 1; what is below 0 stands at 0."""
    from markupsafe import Markup

    parts, height = [], 9 * len(scores) + 3
    for n, score in enumerate(scores):
        y, colour = 9 * n + 6, f"c{min(n, COLOURS - 1)}"
        parts.append(f'<line x1="4" x2="116" y1="{y}" y2="{y}" class="grid"/>')
        if score is None:
            continue
        if score.low is not None and score.high is not None:
            ends = f'x1="{_along(score.low):.1f}" x2="{_along(score.high):.1f}"'
            parts.append(f'<line {ends} y1="{y}" y2="{y}" class="line {colour}"/>')
        parts.append(f'<circle cx="{_along(score.mean):.1f}" cy="{y}" r="3" class="dot {colour}"/>')
    size = f'width="120" height="{height}" viewBox="0 0 120 {height}"'
    return Markup(f'<svg class="bar" {size} aria-hidden="true">{"".join(parts)}</svg>')


def _along(value: float) -> float:
    return 4 + 112 * min(1.0, max(0.0, value))


def gaps(one: Comparison) -> tuple[list[Gap], list[str]]:
    """The metrics in which anything differs, and the names of those in which nothing does."""
    differ = [row for row in one.metrics if row.wins or row.losses]
    differ.sort(key=lambda row: (row.adjusted or 0, row.p or 0))  # the clearest first
    alike = [clean_line(row.metric) for row in one.metrics if not (row.wins or row.losses)]
    return [_gap(row) for row in differ], alike


def _gap(row: Difference) -> Gap:
    unpaired = f", {row.unpaired} in one run only" if row.unpaired else ""
    return Gap(
        name=clean_line(row.metric),
        n=f"{row.n}{unpaired}",
        difference=f"{row.difference:+.3f}",
        interval=interval(row.low, row.high, sign=True),
        p="" if row.p is None else f"{row.p:.2g}",
        adjusted="" if row.adjusted is None else f"{row.adjusted:.2g}",
        counts=f"{row.wins} / {row.losses} / {row.ties}",
        verdict=row.verdict,
        kind=row.verdict if row.verdict in ("better", "worse") else "same",
    )


def matrices(
    runs: Sequence[Reported],
) -> Iterator[tuple[str, list[str], list[tuple[str, list[Cell | None]]]]]:
    """Of each run the metrics by category, then by task: a title, heads and lines."""
    for of in ("category", "task"):
        for one in runs:
            found = one.summary.categories if of == "category" else one.summary.tasks
            if len(found) < 2:
                continue
            title = f"Every metric by {of}" + (f": {one.name}" if len(runs) > 1 else "")
            heads = [f"{shortened(group.name, 30) or '(none)'} · {group.rows}" for group in found]
            scores = [{score.name: score for score in _with_quality(group)} for group in found]
            names = dict.fromkeys(name for group in scores for name in group)
            lines = [(clean_line(n), [_cell(group.get(n)) for group in scores]) for n in names]
            yield clean_line(title), heads, lines


def speed_lines(
    runs: Sequence[Reported], comparisons: Sequence[Comparison]
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Times: a name, the median and the 95th percentile of each run, ratios to the first."""
    found = [{one.name: one for one in run.summary.speed} for run in runs]
    paces = [{pace.name: pace for pace in one.paces} for one in comparisons]
    for name in dict.fromkeys(name for times in found for name in times):
        known = (times.get(name) for times in found)
        cells = ["–" if one is None else f"{_time(one.p50)} / {_time(one.p95)}" for one in known]
        ratios = []
        for pace in (times.get(name) for times in paces):
            ends = "" if pace is None else interval(pace.low, pace.high)
            ratios.append("–" if pace is None else f"× {pace.ratio:.3f} {ends}")
        yield name, cells, ratios


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def plots(runs: Sequence[Reported]) -> list[tuple[str, str, Markup]]:
    """Drawings with a title and a note each; those that have nothing to show are left out."""
    from markupsafe import Markup

    names = [clean_line(one.name) for one in runs]
    times = [
        (clean_line(one.name), [row.seconds for row in one.run.rows if not row.failed])
        for one in runs
    ]
    drawn = [
        ("Quality by category", "Mean and 95 % interval; all: every question.",
         quality_svg(list(_whiskers(runs)), names)),
        ("Quality against seconds", "Large: the mean of a category at its median time, with its "
         "95 % interval. Small: single rows.", tradeoff_svg(list(_points(runs)), names)),
        ("How long answers took", "The share of answers that were whole after so many seconds.",
         latency_svg(times)),
    ]  # fmt: skip
    return [(title, note, Markup(svg)) for title, note, svg in drawn if svg]


def _whiskers(runs: Sequence[Reported]) -> Iterator[tuple[str, list[Whisker | None]]]:
    if any(one.summary.quality for one in runs):
        yield "all", [_whisker(one.name, "all", one.summary.quality) for one in runs]
    by_run = [{group.name: group for group in one.summary.categories} for one in runs]
    for name in dict.fromkeys(name for groups in by_run for name in groups):
        scores = [groups[name].quality if name in groups else None for groups in by_run]
        if any(scores):
            told = zip(runs, scores, strict=True)
            yield name or "(none)", [_whisker(one.name, name, score) for one, score in told]


def _whisker(run: str, group: str, score: Score | None) -> Whisker | None:
    if score is None:
        return None
    ends = interval(score.low, score.high)
    return Whisker(score.mean, score.low, score.high, f"{run}, {group}: {score.mean:.3f} {ends}")


def _points(runs: Sequence[Reported]) -> Iterator[Point]:
    for n, one in enumerate(runs):
        rows = [row for row in one.run.rows if not row.failed]
        for row in rows[:: max(1, len(rows) // _DOTS)]:
            value = quality(row)
            if value is not None:
                yield Point(row.seconds, value, None, None, n, "", small=True)
        yield from _group_points(one, n)


def _group_points(one: Reported, series: int) -> Iterator[Point]:
    times: dict[str, list[float]] = {}
    for row in one.run.rows:
        if not row.failed:
            times.setdefault(row.question.category, []).append(row.seconds)
    groups: Mapping[str, Score | None] = {g.name: g.quality for g in one.summary.categories} or {
        "": one.summary.quality
    }
    for name, score in groups.items():
        middle = quantile(times.get(name, []), 0.5)
        if score is not None and middle is not None:
            told = f"{one.name}, {name or 'all'}: quality {score.mean:.3f}, {_time(middle)}"
            yield Point(middle, score.mean, score.low, score.high, series, told)
