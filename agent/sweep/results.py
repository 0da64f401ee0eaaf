"""The rows of a sweep as tables: ``results.csv``, the fastest, the largest, the Pareto front.

Knows settings and rows; opens no picture.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...index.durable import write_file
from .grid import Settings
from .journal import Row
from .running import Task

__all__ = ["COLUMNS", "Result", "fastest", "largest", "pareto", "results_of", "write_csv"]

COLUMNS = (
    *("prompt", "height", "width", "steps", "guidance", "scheduler", "latency_s", "image_path"),
    *("seed", "model", "revision", "negative", "lora", "lora_weight", "strength", "reference"),
    *("mask", "device", "steps_per_s", "peak_memory_mb", "sharpness", "prompt_agreement"),
    *("checked", "drawn_before", "status", "reason", "batch"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """A picture of the grid and what came of it.

    Attributes:
        settings: as asked for.
        row: as it came out.
    """

    settings: Settings
    row: Row

    @property
    def done(self) -> bool:
        """Whether there is a picture."""
        return not self.row.failed

    @property
    def quality(self) -> float:
        """Agreement with the prompt where it was scored, else sharpness."""
        return self.row.sharpness if self.row.agreement is None else self.row.agreement

    @property
    def pixels(self) -> int:
        """Of the picture."""
        return self.row.width * self.row.height


def results_of(tasks: Iterable[Task], rows: Mapping[str, Row]) -> list[Result]:
    """Every picture of the grid that has a row, in the grid's order."""
    return [Result(task.settings, rows[task.key]) for task in tasks if task.key in rows]


def write_csv(results: Sequence[Result], path: Path) -> None:
    """Write every result, one a line; words that look like a formula are put behind a ``'``.

    Args:
        results: in order.
        path: replaced as a whole.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows({k: _harmless(v) for k, v in _line(result).items()} for result in results)
    write_file(path, text.getvalue().encode("utf-8", "backslashreplace"))


def _harmless(value: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay what they are."""
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def _line(result: Result) -> dict[str, object]:
    settings, row = result.settings, result.row
    width, height = settings.size or ("", "")
    told: dict[str, object] = {
        "prompt": settings.prompt,
        "height": height,
        "width": width,
        "steps": settings.steps,
        "guidance": settings.guidance,
        "scheduler": settings.scheduler,
        "seed": settings.seed,
        "model": settings.model,
        "negative": settings.negative,
        "lora": settings.lora,
        "lora_weight": settings.lora_weight if settings.lora else "",
        "strength": settings.strength,
        "reference": settings.reference,
        "mask": settings.mask,
        "status": "done" if result.done else "failed",
        "reason": row.failed,
    }
    return told | (_measured(row) if result.done else {})


def _measured(row: Row) -> dict[str, object]:
    return {
        "height": row.height,
        "width": row.width,
        "steps": row.steps,
        "guidance": f"{row.guidance:g}",
        "scheduler": row.scheduler,
        "latency_s": f"{row.seconds:.3f}",
        "image_path": row.file,
        "model": row.model,
        "revision": row.revision,
        "device": row.device,
        "steps_per_s": f"{row.steps / row.seconds:.3f}" if row.seconds else "",
        "peak_memory_mb": "" if row.peak_memory is None else f"{row.peak_memory / 1e6:.0f}",
        "sharpness": f"{row.sharpness:.1f}",
        "prompt_agreement": "" if row.agreement is None else f"{row.agreement:.4f}",
        "checked": "yes" if row.checked else "no",
        "drawn_before": "yes" if row.before else "no",
        "batch": row.batch,
    }


def fastest(results: Iterable[Result]) -> list[Result]:
    """Of each prompt the picture that took least time."""
    ordered = sorted((r for r in results if r.done), key=lambda r: r.row.seconds)
    return _one_per_prompt(ordered)


def largest(results: Iterable[Result]) -> list[Result]:
    """Of each prompt the picture of most steps, of these the largest, of these the fastest."""
    ordered = sorted(
        (r for r in results if r.done), key=lambda r: (-r.row.steps, -r.pixels, r.row.seconds)
    )
    return _one_per_prompt(ordered)


def _one_per_prompt(ordered: Iterable[Result]) -> list[Result]:
    first: dict[str, Result] = {}
    for result in ordered:
        first.setdefault(result.settings.prompt, result)
    return [first[prompt] for prompt in sorted(first)]


def pareto(results: Iterable[Result]) -> list[Result]:
    """Pictures that no other one beats in time without being beaten in quality, fastest first."""
    front: list[Result] = []
    for result in sorted(results, key=lambda r: (r.row.seconds, -r.quality)):
        if not front or result.quality > front[-1].quality:
            front.append(result)
    return front
