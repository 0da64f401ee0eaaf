"""ISG-Bench: a query and a golden answer, each a list of texts and pictures in order.

The form is that of https://github.com/Dongping-Chen/ISG: rows with ``id``, ``Category``, ``Query``
and ``Golden``, whose items are ``{"type": "text" | "image", "content": …}``; the content of a
picture is its path beside the set. ``predict``, the graph that the benchmark's own judge asks
about, is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...plain_text import shortened
from ..questions import Place, Question
from .base import BadRow, Faults, Found, Record, questions_of
from .own import line_of_text
from .paths import in_text, picture

__all__ = ["matches", "read"]

_KNOWN = {"id", "Category", "Query", "Golden", "predict"}


def matches(values: Mapping[str, Any]) -> bool:
    """Whether a row is one of them."""
    return isinstance(values.get("Query"), list)


def read(records: Sequence[Record], path: Path, faults: Faults) -> Found:
    """The queries, each golden answer as ``reference_parts``.

    Args:
        records: rows.
        path: of the file.
        faults: takes what is malformed, or asks about a picture that is not there.
    """
    for record in records:
        for column in sorted(record.values.keys() - _KNOWN):
            faults.unread(column, record.line)
    return Found(questions_of(records, faults, lambda record: _question(record, path.parent)))


def _question(record: Record, folder: Path) -> Question:
    told = record.values
    query = _items("Query", told.get("Query"))
    pieces, images = [""], []
    for kind, content in query:
        if kind == "text":
            pieces[-1] = "\n".join(filter(None, (pieces[-1], content)))
        else:
            images.append(_image(folder, content))
            pieces.append("")
    if not any(piece.strip() for piece in pieces):
        raise BadRow("Query: no text")
    golden = _items("Golden", told.get("Golden") or [])
    category = line_of_text(told.get("Category") or "")
    return Question(
        id=line_of_text(told.get("id") or f"row-{record.line}"),
        question=in_text(pieces),
        images=tuple(images),
        reference_parts=tuple(text if kind == "text" else Place(text) for kind, text in golden),
        category=category,
        task=category.lower(),
        answerable=None,
    )


def _items(name: str, value: Any) -> list[tuple[str, str]]:
    """The kind and content of each item."""
    if not isinstance(value, list):
        raise BadRow(f"{name}: no list")
    found: list[tuple[str, str]] = []
    for number, item in enumerate(value, 1):
        told = item if isinstance(item, dict) else {}
        kind, content = told.get("type"), told.get("content")
        if kind not in ("text", "image"):
            raise BadRow(f"{name}: item {number} is neither text nor image")
        if not isinstance(content, str) or not content.strip():
            raise BadRow(f"{name}: item {number} has no content")
        found.append((kind, line_of_text(content)))
    return found


def _image(folder: Path, name: str) -> str:
    """The path of a picture; the benchmark writes some as ``.JPG`` whose file is ``.jpg``."""
    lower = PurePosixPath(name).suffix.lower()
    for given in (name, name.removesuffix(PurePosixPath(name).suffix) + lower):
        try:
            return picture(folder, given)
        except BadRow as error:
            reason = error
    raise BadRow(f"Query: {shortened(str(reason), 300)}")
