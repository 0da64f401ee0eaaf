"""Our own fields, in rows of whatever syntax. Knows what a field may hold; knows no syntax.

``id, question, images, reference, reference_images, category, relevant`` and every other field of
`Question`. A row without an id is called after its line. A field that is null is one not given,
but for ``answerable``, where null says that the question needs neither library nor picture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from ....errors import UserError
from ...plain_text import shortened
from ..questions import Place, Question
from .base import BadRow, Cell, Faults, Found, Record, questions_of
from .jsonl import loads
from .paths import picture

__all__ = ["FIELDS", "NO_QUESTION", "Columns", "line_of_text", "place", "question_from", "read"]

FIELDS = tuple(field.name for field in fields_of(Question))
"""Ours, in order."""

NO_QUESTION = "no question"
"""Why a row is left out that holds none."""

_ALSO = {"reference": "references"}
_PAGED = re.compile(r"(.+)#([1-9][0-9]{0,5})", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_CHOICES = {
    **dict.fromkeys(("true", "yes", "1"), True),
    **dict.fromkeys(("false", "no", "0"), False),
    **dict.fromkeys(("null", "none"), None),
}


def read(records: Iterable[Record], path: Path, fields: Mapping[str, str], faults: Faults) -> Found:
    """Rows of our own fields.

    Args:
        records: rows, as JSON has them.
        path: of the file; pictures are relative to its folder.
        fields: the file's name for a field, by ours.
        faults: takes the rows left out, and the columns that are not read.

    Raises:
        UserError: ``fields`` names a field that does not exist.
    """
    columns, folder = Columns(fields, faults), path.parent
    found = questions_of(
        records, faults, lambda record: question_from(columns.named(record), folder)
    )
    columns.finish()
    return Found(found)


class Columns:
    """Which column of a file holds which field.

    Args:
        fields: the file's name for a field, by ours.
        faults: takes the columns that are not read, each once.

    Raises:
        UserError: ``fields`` names a field that does not exist.
    """

    def __init__(self, fields: Mapping[str, str], faults: Faults) -> None:
        for ours in fields:
            if _ALSO.get(ours, ours) not in FIELDS:
                raise UserError(f"no field {ours!r} to map", f"one of: {', '.join(FIELDS)}")
        known = {**{name: name for name in FIELDS}, **_ALSO}
        taken = {_ALSO.get(ours, ours) for ours in fields}
        self._ours = {name: ours for name, ours in known.items() if ours not in taken}
        mapped = {theirs: _ALSO.get(ours, ours) for ours, theirs in fields.items()}
        if len(mapped) < len(fields):
            raise UserError("two fields are mapped to one column", "map each to its own")
        self._ours.update(mapped)
        self._faults = faults
        self._unseen = dict(mapped)

    def named(self, record: Record) -> Record:
        """A row by our names.

        Raises:
            BadRow: two columns give the same field.
        """
        told: dict[str, Any] = {}
        for column, value in record.values.items():
            ours = self._ours.get(column)
            if ours is None:
                self._faults.unread(column, record.line, self._ours)
            elif ours in told:
                raise BadRow(f"two columns give its {ours}")
            else:
                told[ours] = value
                self._unseen.pop(column, None)
        return Record(record.line, told)

    def finish(self) -> None:
        """Note the columns that were named and never seen."""
        for theirs, ours in self._unseen.items():
            shown = shortened(theirs, 60)
            self._faults.add(1, f"no column {shown!r}, named for {ours}", dropped=False)


def question_from(record: Record, folder: Path) -> Question:
    """A question of a row by our names.

    Args:
        record: its values as JSON has them.
        folder: that pictures are relative to.

    Raises:
        BadRow: a field is missing or holds what it cannot.
    """
    told: dict[str, Any] = {}
    for name, value in record.values.items():
        if value is None and name != "answerable":
            continue
        try:
            told[name] = _READERS[name](value)
        except BadRow as reason:
            raise BadRow(f"{name}: {reason}") from None
    told["id"] = told.get("id") or f"row-{record.line}"
    if not told.get("question", "").strip():
        raise BadRow(NO_QUESTION)
    told["images"] = tuple(picture(folder, name) for name in told.get("images", ()))
    return Question(**told)


# ── What a field may hold ────────────────────────────────────────────────────────────────────


def line_of_text(value: Any) -> str:
    """A text, or a number as it is written; half a character becomes a mark of its loss.

    Raises:
        BadRow: something else.
    """
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", str(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRow(f"{_shown(value)} is no text")
    try:
        return str(value)
    except ValueError:  # Python's own limit on the digits of a number
        raise BadRow("a number too long to read") from None


def place(value: Any) -> Place:
    """A picture or a part of one: ``{"source", "page", "box"}``, or ``source#page``.

    Raises:
        BadRow: something else.
    """
    if isinstance(value, str):
        found = _PAGED.fullmatch(line_of_text(value))
        if found:
            return Place(found[1], int(found[2]))
        return Place(_filled(value))
    if not isinstance(value, dict):
        raise BadRow(f"{_shown(value)} is no place")
    if unknown := next((key for key in value if key not in ("source", "page", "box")), None):
        raise BadRow(f"a place has no {shortened(unknown, 60)!r}")
    page, box = value.get("page"), value.get("box")
    if page is not None and (isinstance(page, bool) or not isinstance(page, int) or page < 1):
        raise BadRow(f"{_shown(page)} is no page; the first is 1")
    return Place(_filled(value.get("source")), page, None if box is None else _box(box))


def _box(value: Any) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
        raise BadRow(f"{_shown(value)} is no box [x0, y0, x1, y1]")
    x0, y0, x1, y1 = value
    if not (x0 < x1 and y0 < y1):
        raise BadRow(f"{_shown(value)} is no box; its corners are top left and bottom right")
    return x0, y0, x1, y1


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 10**9


def _filled(value: Any) -> str:
    if value is None or not (text := line_of_text(value)).strip():
        raise BadRow("a place needs a source")
    return text


def _texts(value: Any) -> tuple[str, ...]:
    found = tuple(map(line_of_text, _listed(value)))
    if not all(text.strip() for text in found):
        raise BadRow("an empty text")
    return found


def _places(value: Any) -> tuple[Place, ...]:
    items = _listed(value)
    if any(isinstance(item, Cell) and item.startswith(("[", "{")) for item in items):
        raise BadRow(f"{_shown(value)} is no list of places")
    return tuple(map(place, items))


def _parts(value: Any) -> tuple[str | Place, ...]:
    value = _listed(value) if isinstance(value, Cell) else value
    if not isinstance(value, list):
        raise BadRow(f"{_shown(value)} is no list of texts and places")
    return tuple(place(part) if isinstance(part, dict) else line_of_text(part) for part in value)


def _listed(value: Any) -> list[Any]:
    """The items of a list; a single value is a list of one, a cell may hold one in its text."""
    if isinstance(value, list):
        return value
    if not isinstance(value, Cell):
        return [value]
    if value.lstrip().startswith("["):
        try:
            found = loads(value)
        except ValueError:  # a text may begin with a bracket too
            found = None
        if isinstance(found, list):
            return found
    return [Cell(item.strip()) for item in value.split(" | ")]


def _choice(value: Any) -> bool | None:
    if isinstance(value, Cell):
        value = _CHOICES.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return value
    raise BadRow(f"{_shown(value)} is neither true nor false")


def _shown(value: Any) -> str:
    try:
        return shortened(repr(value), 40)
    except (RecursionError, ValueError):
        return "this"


_READERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("id", "question", "category", "task", "document"), line_of_text),
    **dict.fromkeys(("images", "references", "relevant"), _texts),
    **dict.fromkeys(("reference_images", "boxes"), _places),
    "reference_parts": _parts,
    **dict.fromkeys(("answerable", "refused"), _choice),
}
