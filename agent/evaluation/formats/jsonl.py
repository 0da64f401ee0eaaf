"""JSON Lines: one object a line. Knows the syntax; knows no field."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..questions import Question
from .base import Faults, Record

__all__ = ["LONGEST", "jsonl_records", "kind_of", "loads", "write_jsonl"]

LONGEST = 1_000_000
"""Letters of a line; a longer one is no question."""


def loads(text: str) -> Any:
    """A value of JSON as its standard has it, so without ``NaN`` and ``Infinity``.

    Raises:
        ValueError: it is none; the message says why.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column" if error.lineno > 1 else "column"
        raise ValueError(f"not JSON ({error.msg}, {where} {error.colno})") from None
    except RecursionError:
        raise ValueError("not JSON that can be read (nested too deeply)") from None


def _no_number(word: str) -> float:
    raise ValueError(f"not JSON ({word} is no number)")


_DECODER = json.JSONDecoder(parse_constant=_no_number)


def jsonl_records(text: str, faults: Faults) -> list[Record]:
    """The objects of a file, one a line; blank lines do not count.

    Args:
        text: of the file.
        faults: takes the lines that are no object.
    """
    found: list[Record] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.isspace():
            continue
        if len(line) > LONGEST:
            faults.add(number, f"a line of {len(line):,} letters; at most {LONGEST:,} are read")
            continue
        try:
            value = loads(line)
        except ValueError as error:
            faults.add(number, str(error))
            continue
        if isinstance(value, dict):
            found.append(Record(number, value))
        else:
            faults.add(number, f"{kind_of(value)}, not an object of fields")
    return found


def kind_of(value: Any) -> str:
    """What a value of JSON is, for people."""
    if value is None:
        return "null"
    return {list: "a list", dict: "an object", str: "a text", bool: "a truth value"}.get(
        type(value), "a number"
    )


def write_jsonl(questions: Iterable[Question], path: Path) -> None:
    """Write questions so that `read_questions` reads the same ones.

    Fields that hold their default are left out; pictures are written relative to the file where
    they lie below its folder.

    Args:
        questions: to write.
        path: of the file.

    Raises:
        OSError: it cannot be written.
    """
    lines = (json.dumps(_plain(question, path.resolve().parent)) for question in questions)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _plain(question: Question, folder: Path) -> dict[str, Any]:
    usual = Question(question.id, question.question).to_dict()
    told = {
        name: value
        for name, value in question.to_dict().items()
        if name in ("id", "question") or value != usual[name]
    }
    if question.images:
        told["images"] = [_near(image, folder) for image in question.images]
    return told


def _near(image: str, folder: Path) -> str:
    path = Path(image)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else image
