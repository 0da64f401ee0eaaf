"""JSON: a list of objects, or one that holds everything. Knows the syntax; knows no field."""

from __future__ import annotations

from ....errors import SourceError
from .base import Faults, Record
from .jsonl import jsonl_records, kind_of, loads

__all__ = ["json_records"]


def json_records(text: str, faults: Faults) -> list[Record]:
    """The objects of a file, numbered from 1; a single object is one record.

    A file of JSON Lines that is only called ``.json`` is read as what it is.

    Args:
        text: of the file.
        faults: takes the items that are no object.

    Raises:
        SourceError: it is not JSON.
    """
    try:
        value = loads(text)
    except ValueError as error:
        if _is_lines(text):
            return jsonl_records(text, faults)
        hint = "mend it; where each line is an object, call it .jsonl"
        raise SourceError(f"{faults.path}: {error}", hint) from None
    found: list[Record] = []
    for number, item in enumerate(value if isinstance(value, list) else [value], 1):
        if isinstance(item, dict):
            found.append(Record(number, item))
        else:
            faults.add(number, f"{kind_of(item)}, not an object of fields")
    return found


def _is_lines(text: str) -> bool:
    first = text.lstrip().split("\n", 1)[0]
    try:
        return isinstance(loads(first), dict)
    except ValueError:
        return False
