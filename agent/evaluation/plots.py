"""Plots of a report as SVG drawings: how long answers took, quality against time, by category.

Knows numbers and names; every word in a drawing is escaped. Colours are classes that the page
defines, so that a drawing is readable on light and on dark paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..plain_text import clean_line, shortened

__all__ = ["COLOURS", "Point", "Whisker", "latency_svg", "quality_svg", "tradeoff_svg"]

COLOURS = 8
"""Classes ``c0`` to ``c7`` that the page defines; more series share the last one."""

_WIDTH, _HEIGHT = 860, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 14, 56
_LINE = 26  # pixels of a category in a drawing
_LABEL = 190  # pixels of a category's name


@dataclass(frozen=True, slots=True)
class Point:
    """A mark in a plane.

    Attributes:
        x: seconds.
        y: quality, 0 to 1.
        low: lower end of the interval of ``y``; None where it is unknown.
        high: upper end, likewise.
        series: which colour.
        name: what a pointer resting on it is told.
        small: one row of many, not a group.
    """

    x: float
    y: float
    low: float | None
    high: float | None
    series: int
    name: str
    small: bool = False


@dataclass(frozen=True, slots=True)
class Whisker:
    """A mean with its interval.

    Attributes:
        mean: from 0 to 1.
        low: lower end of its interval; None where it is unknown.
        high: upper end, likewise.
        name: what a pointer resting on it is told.
    """

    mean: float
    low: float | None
    high: float | None
    name: str


class _Scale:
    """From values to pixels, with round numbers to mark; logarithmic where they differ widely."""

    def __init__(self, values: Sequence[float], start: float, end: float, unit: bool = False):
        above = [value for value in values if value > 0]
        low, high = (0.0, 1.0) if unit else (0.0, max(above, default=1.0))
        self.log = not unit and len(above) == len(values) and high > 12 * min(above, default=1)
        if self.log:
            self.ticks = _decades(min(above), high)
        else:
            step = _round((high - low) / 5)
            count = math.ceil(high / step - 1e-9)
            self.ticks = [round(n * step, 12) for n in range(count + 1)]
        self.low, self.high = self._of(self.ticks[0]), self._of(self.ticks[-1])
        self.start, self.end = start, end

    def _of(self, value: float) -> float:
        return math.log10(max(value, 1e-9)) if self.log else value

    def __call__(self, value: float) -> float:
        share = (self._of(value) - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def _round(step: float) -> float:
    """The next number of the kind 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return float(next(n * power for n in (1, 2, 5, 10) if n * power >= step * 0.999))


def _decades(low: float, high: float) -> list[float]:
    """Marks of a logarithmic scale: 1, 2, 5, 10 …, or tens alone where there are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    kinds = (1, 2, 5) if last - first <= 3 else (1,)
    marks = [kind * 10.0**power for power in range(first, last) for kind in kinds]
    marks = [mark for mark in [*marks, 10.0**last] if math.isfinite(mark)]
    start = max((n for n, mark in enumerate(marks) if mark <= low), default=0)
    end = next((n for n, mark in enumerate(marks) if mark >= high), len(marks) - 1)
    return marks[start : max(end, start + 1) + 1]


def latency_svg(series: Sequence[tuple[str, Sequence[float]]]) -> str:
    """How many of the answers were there after so many seconds, a line a run.

    Args:
        series: names and seconds; those without any are left out.
    """
    series = [(name, sorted(times)) for name, times in series]
    if not any(times for _, times in series):
        return ""
    across = _Scale([time for _, times in series for time in times], _LEFT, _WIDTH - _RIGHT)
    up = _Scale([0, 1], _HEIGHT - _BOTTOM, _TOP, unit=True)
    parts = _axes(across, up, "seconds until the answer was whole", "share of answers")
    for n, (name, times) in enumerate(series):
        if times:
            parts.append(_steps(times, across, up, f"c{_colour(n)}", name))
    return _drawing(parts, _HEIGHT, "Seconds until an answer was whole", [n for n, _ in series])


def _steps(times: Sequence[float], across: _Scale, up: _Scale, colour: str, name: str) -> str:
    """A cumulative share; of very many values no more steps than there are pixels."""
    stride = max(1, len(times) // _WIDTH)
    path = f"M{across(times[0]):.1f} {up(0):.1f}"
    for n in [*range(0, len(times) - 1, stride), len(times) - 1]:
        path += f"H{across(times[n]):.1f}V{up((n + 1) / len(times)):.1f}"
    path += f"H{across.end:.1f}"
    half, most = times[(len(times) - 1) // 2], times[math.ceil(0.95 * len(times)) - 1]
    told = _words(f"{name}: half within {half:.3g} s, 95 % within {most:.3g} s")
    return f'<path d="{path}" class="line {colour}"><title>{told}</title></path>'


def tradeoff_svg(points: Sequence[Point], names: Sequence[str]) -> str:
    """Quality against seconds.

    Args:
        points: groups with intervals, and rows.
        names: of the series, in order.
    """
    if not points:
        return ""
    across = _Scale([point.x for point in points], _LEFT, _WIDTH - _RIGHT)
    up = _Scale([0, 1], _HEIGHT - _BOTTOM, _TOP, unit=True)
    parts = _axes(across, up, "seconds until the answer was whole", "quality")
    for point in sorted(points, key=lambda point: not point.small):
        x, y, colour = across(point.x), up(point.y), f"c{_colour(point.series)}"
        if point.low is not None and point.high is not None:
            ends = f'y1="{up(point.low):.1f}" y2="{up(point.high):.1f}"'
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" {ends} class="line {colour}"/>')
        kind, radius = ("row", 3) if point.small else ("dot", 5.5)
        title = "" if point.small else f"<title>{_words(point.name)}</title>"
        place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius}"'
        parts.append(f'<circle {place} class="{kind} {colour}">{title}</circle>')
    return _drawing(parts, _HEIGHT, "Quality against seconds", names)


def quality_svg(
    groups: Sequence[tuple[str, Sequence[Whisker | None]]], names: Sequence[str]
) -> str:
    """Quality with its interval: a line for each category, a colour for each run.

    Args:
        groups: names of categories, each with what every run came to; None where it has none.
        names: of the runs, in order.
    """
    if not groups:
        return ""
    tall = max(_LINE, 15 * len(names) + 18)
    bottom = _TOP + tall * len(groups)
    across = _Scale([0, 1], _LABEL, _WIDTH - _RIGHT, unit=True)
    parts = []
    for tick in across.ticks:
        x = across(tick)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" class="grid"/>'
            f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:g}</text>'
        )
    for row, (name, whiskers) in enumerate(groups):
        middle = _TOP + tall * (row + 0.5)
        label = _words(shortened(name, 26))
        parts.append(f'<text x="{_LABEL - 14}" y="{middle + 4:.1f}" class="name">{label}</text>')
        for n, whisker in enumerate(whiskers):
            if whisker is not None:
                y = middle + 15 * (n - (len(whiskers) - 1) / 2)
                parts.append(_whisker(whisker, across, y, f"c{_colour(n)}"))
    return _drawing(parts, bottom + 26, "Quality by category", names)


def _whisker(whisker: Whisker, across: _Scale, y: float, colour: str) -> str:
    line = ""
    if whisker.low is not None and whisker.high is not None:
        ends = f'x1="{across(whisker.low):.1f}" x2="{across(whisker.high):.1f}"'
        line = f'<line {ends} y1="{y:.1f}" y2="{y:.1f}" class="line {colour}"/>'
    place = f'cx="{across(whisker.mean):.1f}" cy="{y:.1f}" r="5"'
    title = f"<title>{_words(whisker.name)}</title>"
    return f'{line}<circle {place} class="dot {colour}">{title}</circle>'


def _axes(across: _Scale, up: _Scale, below: str, beside: str) -> list[str]:
    bottom, parts = _HEIGHT - _BOTTOM, []
    for tick in up.ticks:
        y = up(tick)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for tick in across.ticks:
        x = across(tick)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}" class="mark"/>'
            f'<text x="{x:.1f}" y="{bottom + 21}" text-anchor="middle">{tick:g}</text>'
        )
    middle, y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + bottom) / 2
    turned = f'transform="rotate(-90 14 {y})"'
    parts.append(f'<text x="{middle}" y="{bottom + 44}" text-anchor="middle">{below}</text>')
    parts.append(f'<text x="14" y="{y}" text-anchor="middle" {turned}>{beside}</text>')
    return parts


def _drawing(parts: Sequence[str], height: float, label: str, names: Sequence[str]) -> str:
    legend = _legend(names, height) if len(names) > 1 else []
    height += 24 * ((len(names) + 2) // 3) if legend else 0
    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{label}">'
        + "".join([*parts, *legend])
        + "</svg>"
    )


def _legend(names: Sequence[str], top: float) -> list[str]:
    parts = []
    for n, name in enumerate(names):
        x, y = _LEFT + (n % 3) * 260, top + 16 + 24 * (n // 3)
        parts.append(
            f'<circle cx="{x}" cy="{y - 4:g}" r="5" class="dot c{_colour(n)}"/>'
            f'<text x="{x + 12}" y="{y:g}">{_words(shortened(name, 32))}</text>'
        )
    return parts


def _colour(series: int) -> int:
    return min(series, COLOURS - 1)


def _words(text: str) -> str:
    return escape(clean_line(text))
