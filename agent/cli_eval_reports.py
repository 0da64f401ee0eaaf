"""The commands that look at runs: eval compare, eval report. Parse, call, print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_common import JsonOption, print_json, screen

if TYPE_CHECKING:
    from .evaluation.comparing import Comparison
    from .evaluation.pairing import Change, Difference
    from .evaluation.runs import Run

__all__ = ["register"]

_LISTED = 20  # questions that became worse
_REGRESSION = 4  # the exit code


def register(app: typer.Typer) -> None:
    """Give an application these commands."""
    app.command()(compare)
    app.command()(report)


def compare(
    a: Annotated[Path, typer.Argument(help="Folder of the run before.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="Folder of the run to judge.", show_default=False)],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Compare this one, or quality, alone; may be repeated. Every further metric asks "
            "for clearer evidence in all of them."
        ),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            min=1e-6, max=0.5, help="Of runs that are equal, so many may be found not to."
        ),
    ] = 0.05,
    category: Annotated[bool, typer.Option("--category", help="Show each category too.")] = False,
    json: JsonOption = False,
) -> None:
    """Compare two runs question by question; the exit code is 4 where B is worse in any metric.

    A metric is better or worse where its p-value, adjusted for the number of metrics (Holm), is at
    most alpha.
    """
    from .evaluation.comparing import compare as compare_runs

    found = compare_runs(_opened(a), _opened(b), metric or (), alpha)
    if json:
        print_json(found.to_dict())
    else:
        _print_table(found.metrics)
        if category:
            _print_categories(found.categories)
        _print_paces(found)
        _print_regressions(found.regressions)
        _say_what(found)
    if found.has_regression:
        raise typer.Exit(_REGRESSION)


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; the run's own if left out, of several runs ./report."),
    ] = None,
    open: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    json: JsonOption = False,
) -> None:
    """Write results.csv, summary.json, report.html and report.md of one or several runs.

    The first run is what the others are compared with.
    """
    import webbrowser

    from .evaluation.reporting import write_report

    opened = [_opened(folder) for folder in runs]
    written = write_report(opened, out or (runs[0] if len(runs) == 1 else Path("report")))
    page = next(path for path in written if path.suffix == ".html")
    if json:
        print_json([str(path) for path in written])
    else:
        for path in written:
            screen().write(f"{path}\n")
    if open and not webbrowser.open(page.resolve().as_uri()):
        screen().say(f"no browser was found; the page is {page}")


def _opened(folder: Path) -> Run:
    """A run; what of it cannot be read is said."""
    from .evaluation.runs import Run

    run = Run.open(folder)
    if run.damaged:
        screen().say(
            f"{folder}: {run.damaged} lines of rows.jsonl are not whole (cut off by a kill, or "
            "damaged since) and are passed over"
        )
    return run


def _print_table(differences: Sequence[Difference]) -> None:
    heads = ("metric", "n", "A", "B", "difference", "95 %", "p", "p (Holm)", "B is")
    _print(heads, [_line(one) for one in differences])


def _line(one: Difference) -> tuple[str, ...]:
    from .evaluation.tables import interval

    ps = ("" if p is None else f"{p:.2g}" for p in (one.p, one.adjusted))
    ends = interval(one.low, one.high, sign=True)
    means = (f"{one.mean_a:.3f}", f"{one.mean_b:.3f}", f"{one.difference:+.3f}")
    return one.metric, str(one.n), *means, ends, *ps, one.verdict


def _print_categories(differences: Sequence[Difference]) -> None:
    heads = ("category", "metric", "n", "A", "B", "difference", "95 %")
    lines = [(one.category or "(none)", *_line(one)[:6]) for one in differences]
    screen().print("")
    _print(heads, lines)


def _print_paces(found: Comparison) -> None:
    from .evaluation.tables import interval

    lines = [
        (pace.name, str(pace.n), f"{pace.a:.3g}", f"{pace.b:.3g}", f"{pace.ratio:.3f}",
         interval(pace.low, pace.high))
        for pace in found.paces
    ]  # fmt: skip
    if lines:
        screen().print("")
        _print(("seconds", "n", "A", "B", "B / A", "95 %"), lines)


def _print_regressions(changes: Sequence[Change]) -> None:
    """A line a question, those that lost most first, with every score that fell."""
    from .evaluation.tables import falls

    by_question: dict[str, list[Change]] = {}
    for change in changes:
        by_question.setdefault(change.question.digest, []).append(change)
    if by_question:
        screen().print("")
        lines = [(of[0].question.id, of[0].question.question, falls(of)) for of in
                 by_question.values()]  # fmt: skip
        _print(("became worse", "question", "A > B"), lines[:_LISTED])
        if len(lines) > _LISTED:
            screen().say(f"and {len(lines) - _LISTED} more questions, see --json")


def _say_what(found: Comparison) -> None:
    from .drawn import counted

    words = [f"{counted(found.shared, 'question')} of both"]
    for name, ids in ((found.a, found.only_a), (found.b, found.only_b)):
        if ids:
            words.append(f"{len(ids)} in {name} only")
    for name, failed in ((found.a, found.failed_a), (found.b, found.failed_b)):
        if failed:
            words.append(f"{counted(failed, 'row')} of {name} failed")
    for name, metrics in ((found.a, found.metrics_a), (found.b, found.metrics_b)):
        if metrics:
            words.append(f"scored in {name} only: {', '.join(metrics)}")
    unpaired = sum(one.unpaired for one in found.metrics)
    if unpaired:
        words.append(f"{counted(unpaired, 'score')} apply in one run only and are not compared")
    screen().say("; ".join(words))
    worse = [one.metric for one in found.metrics if one.verdict == "worse"]
    screen().say(f"regression: {', '.join(worse)}" if worse else "no regression found")
    if found.too_few and not worse:
        screen().say(
            f"so few questions cannot show one at alpha {found.alpha:g}, even if all became worse"
        )


def _print(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    if not screen().out.is_terminal:  # where a table is lines alone
        screen().print("\t".join(heads))
    screen().print_table(heads, lines)
