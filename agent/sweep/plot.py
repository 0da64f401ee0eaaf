"""Seconds against quality as an SVG drawing, with the front that nothing beats.

Knows results and shapes. Every word in the drawing is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from ..plain_text import clean_line
from .results import Result, pareto

__all__ = ["pareto_svg"]

_WIDTH, _HEIGHT = 860, 430
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 20, 16, 58
_COLOURS = ("#2a4f8c", "#b3541e", "#24603f", "#6a3c85", "#8a6d0b", "#8c2a4f", "#3b7f8c", "#69645a")


def pareto_svg(results: Sequence[Result]) -> str:
    """A plot of every picture, coloured by model where there are several, else by scheduler.

    Args:
        results: those without a picture are left out.
    """
    done = [result for result in results if result.done]
    if not done:
        return ""
    by = _model if len({_model(r) for r in done}) > 1 else _scheduler
    groups = list(dict.fromkeys(by(result) for result in done))
    across = _Scale([r.row.seconds for r in done], _LEFT, _WIDTH - _RIGHT)
    up = _Scale([r.quality for r in done], _HEIGHT - _BOTTOM, _TOP)
    scored = any(r.row.agreement is not None for r in done)
    quality = "agreement with the prompt" if scored else "sharpness (variance of the Laplacian)"
    parts = [*_axes(across, up, quality), _front(pareto(done), across, up)]
    for result in done:
        colour = _COLOURS[min(groups.index(by(result)), len(_COLOURS) - 1)]
        place = f'cx="{across(result.row.seconds):.1f}" cy="{up(result.quality):.1f}"'
        title = f"<title>{escape(_title(result))}</title>"
        parts.append(f'<circle {place} r="4.5" fill="{colour}" class="dot">{title}</circle>')
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT + 24 * _legend_rows(groups)}"'
    label = f"Seconds per picture against {quality}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">'
        + "".join([*parts, *_legend(groups)])
        + "</svg>"
    )


class _Scale:
    """From values to pixels, with round numbers to mark."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        low, high = min(0.0, *values), max(values)
        if high - low < 1e-6 * max(1.0, abs(low)):  # as good as equal
            high = low + 1
        self.step = _round((high - low) / 5)
        self.low = math.floor(low / self.step) * self.step
        self.high = math.ceil(high / self.step) * self.step
        self.start, self.end = start, end

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [round(self.low + n * self.step, 10) for n in range(count + 1)]


def _round(step: float) -> float:
    """The next number of the kind 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return float(next(n * power for n in (1, 2, 5, 10) if n * power >= step * 0.999))


def _axes(across: _Scale, up: _Scale, quality: str) -> list[str]:
    bottom, parts = _HEIGHT - _BOTTOM, []
    for tick in up.ticks():
        y = up(tick)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for tick in across.ticks():
        x = across(tick)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}" class="mark"/>'
            f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{tick:g}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{bottom + 42}" text-anchor="middle">seconds per picture</text>'
    )
    y = (_TOP + bottom) / 2
    turned = f'transform="rotate(-90 16 {y})"'
    parts.append(f'<text x="16" y="{y}" text-anchor="middle" {turned}>{quality}</text>')
    return parts


def _front(front: Sequence[Result], across: _Scale, up: _Scale) -> str:
    """Steps, since between two pictures nothing was drawn."""
    path = ""
    for n, result in enumerate(front):
        x, y = across(result.row.seconds), up(result.quality)
        path += f"M{x:.1f} {y:.1f}" if n == 0 else f"H{x:.1f}V{y:.1f}"
    rings = "".join(
        f'<circle cx="{across(r.row.seconds):.1f}" cy="{up(r.quality):.1f}" r="8" class="best"/>'
        for r in front
    )
    return f'<path d="{path}" class="front"/>{rings}'


def _legend_rows(groups: Sequence[str]) -> int:
    return (len(groups) + 3) // 4


def _legend(groups: Sequence[str]) -> list[str]:
    parts = []
    for n, group in enumerate(groups):
        x, y = _LEFT + (n % 4) * 195, _HEIGHT + 8 + 24 * (n // 4)
        colour = _COLOURS[min(n, len(_COLOURS) - 1)]
        words = escape(group if len(group) <= 24 else f"{group[:23]}…")
        parts.append(
            f'<circle cx="{x}" cy="{y - 4}" r="4.5" fill="{colour}" class="key"/>'
            f'<text x="{x + 12}" y="{y}">{words}</text>'
        )
    return parts


def _model(result: Result) -> str:
    return clean_line(result.row.model)


def _scheduler(result: Result) -> str:
    return clean_line(result.row.scheduler)


def _title(result: Result) -> str:
    row = result.row
    facts = f"{row.width}×{row.height}, {row.steps} steps, guidance {row.guidance:g}"
    words = clean_line(result.settings.prompt)[:80]
    made = f"{_scheduler(result)}, seed {result.settings.seed}"
    return f"{words}: {facts}, {made}: {row.seconds:.2f} s"
