"""What people get of runs: ``results.csv``, ``summary.json``, ``report.html`` and ``report.md``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...index.durable import write_file
from .comparing import Comparison, compare
from .overview import Reported
from .page import to_html
from .runs import Run
from .summary import summarize
from .tables import csv_text, markdown_text

__all__ = ["write_report"]


def write_report(runs: Sequence[Run], out: Path) -> tuple[Path, ...]:
    """Write the tables and the page of one or several runs; nothing is asked or scored anew.

    Args:
        runs: at least one; each later one is compared with the first.
        out: folder; created where missing. Files of an earlier report are replaced.

    Returns:
        ``results.csv``, ``summary.json``, ``report.html`` and ``report.md`` in it.

    Raises:
        UserError: there is no run or no row, or the folder cannot be written.
    """
    if not any(run.rows for run in runs):
        named = ", ".join(str(run.folder) for run in runs) or "no run"
        raise UserError(
            f"{named}: there are no rows to report yet", "limner eval run SET --out DIR"
        )
    told = [Reported(name, run, summarize(run.rows)) for name, run in _named(runs)]
    comparisons, notes = _comparisons(told)
    notes = [*_faults(told), *notes]
    contents = {
        "results.csv": csv_text([(one.name, one.run.rows) for one in told]),
        "summary.json": json.dumps(_figures(told, comparisons, notes), indent=1) + "\n",
        "report.html": to_html(told, comparisons, notes),
        "report.md": markdown_text([(one.name, one.summary) for one in told], comparisons),
    }
    try:
        for name, text in contents.items():
            write_file(out / name, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"{out}: the report cannot be written ({reason})", "--out FOLDER"
        ) from error
    return tuple(out / name for name in contents)


def _named(runs: Sequence[Run]) -> Iterator[tuple[str, Run]]:
    """Runs of one name are told apart by their numbers."""
    counts, seen = Counter(run.name for run in runs), Counter[str]()
    for run in runs:
        seen[run.name] += 1
        yield (f"{run.name} ({seen[run.name]})" if counts[run.name] > 1 else run.name), run


def _comparisons(told: Sequence[Reported]) -> tuple[list[Comparison], list[str]]:
    """Each later run with the first; why not, where that cannot be."""
    first, found, notes = told[0], [], []
    for other in told[1:]:
        try:
            one = compare(first.run.rows, other.run.rows)
        except UserError as error:
            notes.append(f"{other.name} is not compared with {first.name}: {error}")
        else:
            found.append(replace(one, a=first.name, b=other.name))
    return found, notes


def _faults(told: Sequence[Reported]) -> Iterator[str]:
    for one in told:
        of = f"{one.name}: " if len(told) > 1 else ""
        if one.run.missing > 0:
            yield f"{of}unfinished: {one.run.missing} rows are still to come"
        if one.summary.unscored:
            yield f"{of}{one.summary.unscored} rows were not scored: limner eval score"
        yield from (f"{of}{fault}" for fault in one.run.faults[:20])
        if len(one.run.faults) > 20:
            yield f"{of}{len(one.run.faults) - 20} more faults of the question sets"


def _figures(
    told: Sequence[Reported], comparisons: Sequence[Comparison], notes: Sequence[str]
) -> dict[str, Any]:
    return {
        "method": "means with 95 % intervals: percentile bootstrap, 2,000 samples of documents, or "
        "of questions where these are not known; epochs are averaged first; failed rows count as 0",
        "notes": list(notes),
        "runs": [
            {
                "name": one.name,
                "model": one.run.manifest.model,
                "profile": one.run.manifest.profile,
                "image_model": one.run.manifest.image_model,
                "sets": [
                    {"name": known.name, "digest": known.digest, "count": known.count}
                    for known in one.run.manifest.sets
                ],
                "epochs": one.run.manifest.epochs,
                "seed": one.run.manifest.seed,
                "created": one.run.manifest.created,
                "missing": one.run.missing,
                **one.summary.to_dict(),
            }
            for one in told
        ],
        "comparisons": [comparison.to_dict() for comparison in comparisons],
    }
