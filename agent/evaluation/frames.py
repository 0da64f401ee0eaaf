"""Rows as a table of pandas. Knows rows and columns only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import UserError
from .rows import Row

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]

__all__ = ["frame_of"]


def frame_of(rows: Sequence[Row]) -> DataFrame:
    """A table with a line per row.

    Args:
        rows: of a run, in any order, which is kept.

    Returns:
        The columns ``id``, ``epoch``, ``category``, ``task``, ``document``, ``question``,
        ``answer`` (the text), ``pictures`` (how many), ``refused``, ``abstained``, ``error``,
        ``attempts``, ``seconds``, ``first_text``, ``input_tokens``, ``output_tokens``,
        ``image_tokens``, ``peak_memory``, ``model``, and one per score, NaN where a metric does
        not apply.

    Raises:
        UserError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise UserError("a table of rows needs pandas", "pip install 'limner[eval]'") from None
    names = dict.fromkeys(name for row in rows for name in row.scores or {})
    lines = [_line(row) | {name: (row.scores or {}).get(name) for name in names} for row in rows]
    frame = pandas.DataFrame(lines, columns=[*_line_names(), *names])
    return frame.astype(dict.fromkeys(names, "float64"))


def _line(row: Row) -> dict[str, object]:
    asked, answer = row.question, row.answer
    usage = answer.usage if answer else None
    return {
        "id": asked.id,
        "epoch": row.epoch,
        "category": asked.category,
        "task": asked.task,
        "document": asked.document,
        "question": asked.question,
        "answer": answer.text if answer else None,
        "pictures": len(answer.pictures) if answer else 0,
        "refused": answer.refused if answer else None,
        "abstained": answer.abstained if answer else None,
        "error": row.error,
        "attempts": row.attempts,
        "seconds": row.seconds,
        "first_text": row.first_text,
        "input_tokens": usage.input_tokens if usage else 0,
        "output_tokens": usage.output_tokens if usage else 0,
        "image_tokens": usage.image_tokens if usage else 0,
        "peak_memory": row.peak_memory,
        "model": row.model,
    }


def _line_names() -> tuple[str, ...]:
    from .questions import Question

    return tuple(_line(Row(Question("", ""))))
