"""The page of a sweep: one HTML file with everything inside, no script, nothing from elsewhere.

Words of a grid, of models and of errors pass through autoescaping. Knows results and sheets.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import SourceError
from ...tools.media import decode_image
from ..drawn import amount, duration
from ..plain_text import clean_line
from .plot import pareto_svg
from .results import Result, fastest, largest
from .sheets import Sheet, told

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["to_html"]

_THUMBNAIL, _SMALL = 320, 160  # pixels of a side; small where there are many
_MANY = 300  # pictures


@dataclass(frozen=True, slots=True)
class _Cell:
    """A picture of a sheet, ready for the template; without ``url`` where there is none."""

    url: str
    file: str
    caption: str
    alt: str


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A sheet, ready for the template."""

    title: str
    rows: tuple[tuple[str, tuple[_Cell, ...]], ...]
    columns: tuple[str, ...]


def to_html(title: str, results: Sequence[Result], sheets: Sequence[Sheet], folder: Path) -> str:
    """The page.

    Args:
        title: of the grid.
        results: in order.
        sheets: in order.
        folder: of the sweep, where the pictures are.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    side = _THUMBNAIL if len(results) <= _MANY else _SMALL
    done = [result for result in results if result.done]
    plot: Markup = Markup(pareto_svg(results))  # every word in it is escaped there
    return templates.get_template("sweep.html.jinja").render(
        title=clean_line(title),
        summary=_summary(results),
        sheets=[_sheet(sheet, folder, side) for sheet in sheets],
        plot=plot,
        unchecked=sum(not result.row.checked for result in done),
        scored=any(result.row.agreement is not None for result in done),
        fastest=[_facts(result) for result in fastest(results)],
        largest=[_facts(result) for result in largest(results)],
        rows=[_facts(result) for result in results],
    )


def _summary(results: Sequence[Result]) -> list[tuple[str, str]]:
    done = [result for result in results if result.done]
    seconds = sum(result.row.seconds for result in done)
    peaks = [result.row.peak_memory for result in done if result.row.peak_memory]
    facts = [
        ("pictures", str(len(done))),
        ("failed", str(len(results) - len(done)) if len(done) < len(results) else ""),
        ("models", ", ".join(sorted({f"{r.row.model} ({r.row.revision[:12]})" for r in done}))),
        ("device", ", ".join(sorted({r.row.device for r in done if r.row.device}))),
        ("drawing took", duration(seconds) if seconds else ""),
        ("per picture", duration(seconds / len(done)) if seconds else ""),
        ("peak memory", amount(max(peaks)) if peaks else ""),
        ("drawn before", str(sum(r.row.before for r in done) or "")),
    ]
    return [(name, clean_line(fact)) for name, fact in facts if fact]


def _sheet(sheet: Sheet, folder: Path, side: int) -> _Sheet:
    return _Sheet(
        clean_line(sheet.title),
        tuple(
            (told(sheet.row_axis, row), tuple(_cell(result, folder, side) for result in results))
            for row, results in zip(sheet.rows, sheet.cells, strict=True)
        ),
        tuple(told(sheet.column_axis, column) for column in sheet.columns),
    )


def _cell(result: Result | None, folder: Path, side: int) -> _Cell:
    if result is None or not result.done:
        reason = "not drawn yet" if result is None else result.row.failed
        return _Cell("", "", clean_line(reason), "")
    row = result.row
    caption = f"{row.width}×{row.height}, {row.seconds:.2f} s"
    try:
        image = decode_image(folder / row.file)
    except SourceError:
        return _Cell("", "", "its file is missing", "")
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    alt = f"Generated: {clean_line(result.settings.prompt)[:200]}"
    return _Cell(f"data:image/jpeg;base64,{data}", row.file, caption, alt)


def _facts(result: Result) -> dict[str, str]:
    settings, row = result.settings, result.row
    width, height = (row.width, row.height) if result.done else settings.size or (0, 0)
    return {
        "prompt": clean_line(settings.prompt),
        "size": f"{width}×{height}" if width else "",
        "steps": str(row.steps if result.done else settings.of("steps")),
        "guidance": f"{row.guidance:g}" if result.done else settings.of("guidance"),
        "scheduler": clean_line(row.scheduler if result.done else settings.of("scheduler")),
        "seed": str(settings.seed),
        "model": clean_line(row.model or settings.model),
        "seconds": f"{row.seconds:.2f}" if result.done else "",
        "sharpness": f"{row.sharpness:.0f}" if result.done else "",
        "agreement": "" if row.agreement is None else f"{row.agreement:.3f}",
        "file": row.file,
        "reason": clean_line(row.failed),
    }
