"""The rows of runs as ``results.csv``, their figures as ``report.md``. Knows no page.

Words from models, documents and question sets are cleaned; a cell that a spreadsheet would take
for a formula is put behind a ``'``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..drawn import amount
from ..markdown import escape
from ..plain_text import clean, shortened
from .averages import quality, score_names
from .comparing import Comparison
from .pairing import Change
from .rows import Row
from .summary import Group, Score, Summary

__all__ = ["COLUMNS", "csv_text", "falls", "harmless", "interval", "markdown_text"]

_NAMED = 4  # scores of a question in a line

COLUMNS = (
    *("task", "model", "text", "latency_s", "input_tok", "output_tok", "throughput"),
    *("quality_proxy", "id", "category", "epoch", "run", "error", "abstained", "refused"),
    *("first_text_s", "pictures", "image_tok", "peak_memory_mb", "attempts", "document"),
    *("question", "sources"),
)
"""The columns before the scores. ``text`` is the answer's; ``task`` the question's, or where it
names none its category; ``throughput`` output tokens per second end to end; ``quality_proxy`` as
`averages.quality`; ``pictures`` how many the answer shows; ``sources`` the files it was given.
Empty where there is nothing to say: no answer, not measured, does not apply."""


def csv_text(runs: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """A line for each question, epoch and run.

    Args:
        runs: names and rows.
    """
    names = score_names(row for _, rows in runs for row in rows)
    taken = {name: f"score {name}" if name in COLUMNS else name for name in names}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([harmless(name) for name in (*COLUMNS, *taken.values())])
    for run, rows in runs:
        for row in rows:
            line = _line(run, row)
            scores = ((row.scores or {}).get(name) for name in names)
            cells = [*(line[name] for name in COLUMNS), *map(_number, scores)]
            writer.writerow([harmless(cell) for cell in cells])
    return text.getvalue()


def _line(run: str, row: Row) -> Mapping[str, object]:
    asked, answer = row.question, row.answer
    told: dict[str, object] = dict.fromkeys(COLUMNS, "")
    told |= {
        "task": asked.task or asked.category,
        "model": row.model,
        "latency_s": _number(row.seconds),
        "quality_proxy": _number(quality(row)),
        "id": asked.id,
        "category": asked.category,
        "epoch": row.epoch,
        "run": run,
        "error": row.error,
        "first_text_s": _number(row.first_text),
        "peak_memory_mb": "" if row.peak_memory is None else round(row.peak_memory / 1e6),
        "attempts": row.attempts,
        "document": asked.document,
        "question": asked.question,
    }
    if answer is not None:
        usage = answer.usage
        told |= {
            "text": answer.text,
            "input_tok": usage.input_tokens,
            "output_tok": usage.output_tokens,
            "image_tok": usage.image_tokens,
            "throughput": _number(usage.output_tokens / row.seconds if row.seconds else None),
            "abstained": "yes" if answer.abstained else "no",
            "refused": "yes" if answer.refused else "no",
            "pictures": len(answer.pictures),
            "sources": "; ".join(dict.fromkeys(passage.source for passage in answer.passages)),
        }
    return told


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def harmless(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay what they are."""
    if not isinstance(cell, str):
        return cell
    text = clean(cell)
    if not text.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def interval(low: float | None, high: float | None, sign: bool = False) -> str:
    """An interval in brackets; empty where it is unknown."""
    if low is None or high is None:
        return ""
    form = "+.3f" if sign else ".3f"
    return f"[{low:{form}}, {high:{form}}]"


def falls(changes: Sequence[Change]) -> str:
    """The scores of one question that fell, the first few by name, and why it failed."""
    told = [f"{change.metric} {change.a:.2f} > {change.b:.2f}" for change in changes[:_NAMED]]
    if len(changes) > _NAMED:
        told.append(f"{len(changes) - _NAMED} more")
    error = next((change.error for change in changes if change.error), "")
    return shortened(", ".join(told) + (f" (failed: {error})" if error else ""), 300)


def markdown_text(
    runs: Sequence[tuple[str, Summary]], comparisons: Sequence[Comparison] = ()
) -> str:
    """The figures as tables of Markdown, for a README.

    Args:
        runs: names and figures.
        comparisons: each of a later run with the first one.
    """
    blocks = [f"# {' and '.join(escape(name) for name, _ in runs)}", _METHOD]
    blocks += ["## Scores", _table(["metric", *(name for name, _ in runs)], _scores(runs))]
    for of, groups in (("category", _categories), ("task", _tasks)):
        rows = list(_by_group(runs, groups))
        if rows:
            heads = [of, *(f"{name}: quality" for name, _ in runs)]
            blocks += [f"## By {of}", _table(heads, rows)]
    blocks += ["## Speed and cost", _table(["", *(name for name, _ in runs)], _costs(runs))]
    for one in comparisons:
        heads = ["metric", one.a, one.b, "difference", "p (Holm)", f"{one.b} is"]
        blocks += [f"## {escape(one.b)} against {escape(one.a)}", _table(heads, _compared(one))]
    return "\n\n".join(blocks) + "\n"


_METHOD = (
    "Means with 95 % intervals (bootstrap, clustered by document where it is known); failed rows "
    "count as 0."
)


def _categories(summary: Summary) -> Sequence[Group]:
    return summary.categories


def _tasks(summary: Summary) -> Sequence[Group]:
    return summary.tasks


def _scores(runs: Sequence[tuple[str, Summary]]) -> Iterator[list[str]]:
    found = [{score.name: score for score in _with_quality(summary)} for _, summary in runs]
    for name in dict.fromkeys(name for scores in found for name in scores):
        yield [name, *(_told(scores.get(name)) for scores in found)]


def _with_quality(summary: Summary) -> list[Score]:
    return [*([summary.quality] if summary.quality else []), *summary.scores]


def _told(score: Score | None) -> str:
    if score is None:
        return "–"
    failed = f", {score.failed} failed" if score.failed else ""
    return f"{score.mean:.3f} {interval(score.low, score.high)} (n = {score.n}{failed})"


def _by_group(
    runs: Sequence[tuple[str, Summary]], of: Callable[[Summary], Sequence[Group]]
) -> Iterator[list[str]]:
    found = [{group.name: group for group in of(summary)} for _, summary in runs]
    for name in dict.fromkeys(name for groups in found for name in groups):
        cells = (groups[name].quality if name in groups else None for groups in found)
        yield [name or "(none)", *map(_told, cells)]


def _costs(runs: Sequence[tuple[str, Summary]]) -> Iterator[list[str]]:
    speeds = [{one.name: one for one in summary.speed} for _, summary in runs]
    for name in dict.fromkeys(name for found in speeds for name in found):
        known = (found.get(name) for found in speeds)
        cells = ("–" if one is None else f"{one.p50:.3g} / {one.p95:.3g}" for one in known)
        yield [f"seconds, {name}: p50 / p95", *cells]
    figures: dict[str, Callable[[Summary], str]] = {
        "rows": lambda summary: str(summary.rows),
        "failed": lambda summary: str(summary.failed),
        "not answered": lambda summary: str(summary.abstained),
        "declined": lambda summary: str(summary.refused),
        "tokens in / out / image": lambda summary: (
            f"{summary.input_tokens} / {summary.output_tokens} / {summary.image_tokens}"
        ),
        "peak memory": lambda summary: amount(summary.peak_memory) if summary.peak_memory else "–",
    }
    for name, figure in figures.items():
        yield [name, *(figure(summary) for _, summary in runs)]


def _compared(one: Comparison) -> Iterator[list[str]]:
    for row in one.metrics:
        gap = f"{row.difference:+.3f} {interval(row.low, row.high, sign=True)}"
        p = "–" if row.adjusted is None else f"{row.adjusted:.2g}"
        yield [row.metric, f"{row.mean_a:.3f}", f"{row.mean_b:.3f}", gap, p, row.verdict]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[escape(head) for head in heads], ["---", *["---:"] * (len(heads) - 1)]]
    lines += [[escape(name), *cells] for name, *cells in rows]  # cells are figures of our own
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
