"""Question sets from files. Knows which reader a file wants; knows no format itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...errors import SourceError, UserError
from ...index.loaders.text import read_text
from ..plain_text import shortened
from .formats import chameleon, isg, own, squad
from .formats.base import Fault, Faults, Found, QuestionSet, Record
from .formats.csv_file import csv_records
from .formats.json_file import json_records
from .formats.jsonl import jsonl_records
from .formats.sidecar import read_sidecar
from .questions import Question

__all__ = ["packaged_sets", "read_questions"]

_SYNTAXES: Mapping[str, Callable[[str, Faults], list[Record]]] = {
    ".csv": csv_records,
    ".tsv": csv_records,
    ".json": json_records,
    ".jsonl": jsonl_records,
    ".ndjson": jsonl_records,
}
"""How rows are written, by suffix."""

_Reader = Callable[[list[Record], Path, Faults], Found]

_FORMS: tuple[tuple[Callable[[Mapping[str, Any]], bool], _Reader], ...] = (
    (squad.matches, squad.read),
    (chameleon.matches, chameleon.read),
    (isg.matches, isg.read),
)
"""Whose fields they have, by the first row; where none matches, and where columns are named, they
are our own."""


def packaged_sets() -> Mapping[str, Path]:
    """The sets that come with Limner, by name."""
    folder = Path(str(files("limner.examples"))) / "questions"
    found = sorted(path for path in folder.glob("*") if path.suffix in _SYNTAXES)
    return MappingProxyType({path.stem: path for path in found})


def read_questions(path: str | Path, fields: Mapping[str, str] | None = None) -> QuestionSet:
    """A question set from its file.

    Args:
        path: of the file, or the name of a packaged set where there is no such file.
        fields: the file's name for a field, by ours: ``{"question": "prompt_text"}``. A sidecar
            can say the same, see `read_sidecar`; what is said here goes first.

    Raises:
        UserError: no such file, a form that is not known, or no question in it.
    """
    path = _located(path)
    around, faults = Faults(path.with_suffix(".toml")), Faults(path)
    beside = read_sidecar(path.with_suffix(".toml"), around)
    digest, text = _content(path)
    found = _found(text, path, {**beside.fields, **(fields or {})}, faults)
    questions = _unique(found, faults)
    if not questions:
        raise _empty(path, tuple(faults))
    return QuestionSet(
        name=beside.title or path.stem,
        path=path,
        digest=digest,
        questions=questions,
        faults=(*around, *faults),
        documents=found.documents,
        folders=beside.folders,
    )


def _located(path: str | Path) -> Path:
    """The file that is meant; every way of not finding one says what there is."""
    given = Path(path)
    shown = shortened(str(path), 200)
    try:
        if given.is_dir() and str(path) not in packaged_sets():
            raise UserError(f"{shown} is a folder", "name the file in it that holds the questions")
        if given.is_file():
            found = given
        elif str(path) in packaged_sets():
            found = packaged_sets()[str(path)]
        else:
            known = ", ".join(packaged_sets()) or "none"
            raise UserError(
                f"no question set {shown!r}",
                f"a file ({', '.join(_SYNTAXES)}), or a set that comes with limner: {known}",
            )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{shown}: {reason.lower()}", "name the file of a question set") from None
    if found.suffix.lower() not in _SYNTAXES:
        raise UserError(
            f"{shown}: {found.suffix or 'a file without a suffix'!r} is no form of a question set",
            f"one of: {', '.join(_SYNTAXES)}",
        )
    return found


def _content(path: Path) -> tuple[str, str]:
    """The digest of a file and its text."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest(), read_text(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SourceError(f"{path}: {reason}", "name a file that can be read") from None


def _found(text: str, path: Path, fields: Mapping[str, str], faults: Faults) -> Found:
    records = _SYNTAXES[path.suffix.lower()](text, faults)
    for matches, read in () if fields or not records else _FORMS:
        if matches(records[0].values):
            return read(records, path, faults)
    return own.read(records, path, fields, faults)


def _unique(found: Found, faults: Faults) -> tuple[Question, ...]:
    """The questions without those whose id an earlier one has."""
    first: dict[str, int] = {}
    kept: list[Question] = []
    for line, question in found.questions:
        if (earlier := first.setdefault(question.id, line)) != line:
            shown = shortened(question.id, 60)
            faults.add(line, f"id {shown!r} is that of line {earlier} already; left out")
        else:
            kept.append(question)
    return tuple(kept)


def _empty(path: Path, faults: tuple[Fault, ...]) -> UserError:
    """What to say of a file without a question: the first thing that is wrong with it."""
    dropped = [fault for fault in faults if fault.dropped]
    if not dropped:
        return UserError(f"{path}: holds no questions", f"fields: {', '.join(own.FIELDS)}")
    first = dropped[0]
    hint = next((fault.reason for fault in faults if "did you mean" in fault.reason), "")
    if not hint and first.reason == own.NO_QUESTION:
        hint = f'name its column in {path.with_suffix(".toml").name}: [fields] question = "…"'
    return UserError(
        f"{path}: holds no questions; line {first.line}: {first.reason}",
        hint or "mend that line first",
    )
