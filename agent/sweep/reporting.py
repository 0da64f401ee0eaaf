"""What people get of a sweep: ``results.csv``, contact sheets and a page. Draws nothing anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...index.durable import write_file
from .grid import Grid
from .page import to_html
from .results import Result, write_csv
from .sheets import paint, sheets_of

__all__ = ["Report", "report"]


@dataclass(frozen=True, slots=True)
class Report:
    """Files that were written.

    Attributes:
        table: ``results.csv``.
        page: ``sweep.html``.
        sheets: PNG files.
    """

    table: Path
    page: Path
    sheets: tuple[Path, ...]


def report(grid: Grid, results: Sequence[Result], out: Path) -> Report:
    """Write all of it.

    Args:
        grid: what was asked for.
        results: what there is of it.
        out: the sweep's folder.

    Raises:
        OSError: it cannot be written.
    """
    by_settings = {result.settings: result for result in results}
    sheets = [sheet for one in grid.experiments for sheet in sheets_of(one, by_settings)]
    sheets = [sheet for sheet in sheets if any(cell for row in sheet.cells for cell in row)]
    written = Report(
        out / "results.csv",
        out / "sweep.html",
        tuple(out / "sheets" / f"{n:03}.png" for n in range(1, len(sheets) + 1)),
    )
    for old in (out / "sheets").glob("[0-9]*.png"):  # of a grid that was larger
        if old not in written.sheets:
            old.unlink()
    write_csv(results, written.table)
    for path, sheet in zip(written.sheets, sheets, strict=True):
        paint(sheet, out, path)
    write_file(written.page, to_html(grid.name, results, sheets, out).encode("utf-8", "replace"))
    return written
