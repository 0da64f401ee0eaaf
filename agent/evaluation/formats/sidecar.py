"""What lies beside a set: ``NAME.toml`` with its title, documents and names of fields.

    title = "Charts and papers"
    documents = ["charts"]          # files and folders, relative to this file
    [fields]
    question = "prompt_text"        # ours = the file's

Knows nothing of questions.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....errors import SourceError, UserError
from ...plain_text import clean_line, shortened
from .base import BadRow, Faults
from .paths import confined

__all__ = ["Sidecar", "read_sidecar"]

_MOST_BYTES = 1_000_000
_KNOWN = ("title", "documents", "fields")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a set is told by the file beside it.

    Attributes:
        title: for reports; empty for the file's name.
        folders: as `QuestionSet.folders`, absolute.
        fields: the file's name for a field, by ours.
    """

    title: str = ""
    folders: tuple[Path, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)


def read_sidecar(path: Path, faults: Faults) -> Sidecar:
    """The sidecar of a set; an empty one where none lies there.

    Args:
        path: of the sidecar.
        faults: takes the documents that are not there, or lie where a set may not reach.

    Raises:
        SourceError: it cannot be read, or is not TOML.
        UserError: it says something else than a sidecar can.
    """
    if not path.is_file():
        return Sidecar()
    told = _parsed(path)
    if unknown := sorted(set(told) - set(_KNOWN)):
        raise UserError(
            f"{path}: no setting {shortened(unknown[0], 60)!r}", f"one of: {', '.join(_KNOWN)}"
        )
    title, documents, fields = told.get("title", ""), told.get("documents", []), told.get("fields")
    fields = {} if fields is None else fields
    if not isinstance(title, str):
        raise UserError(f"{path}: title is no text", 'title = "Charts and papers"')
    if not _are_texts(documents, list):
        raise UserError(f"{path}: documents is no list of paths", 'documents = ["../handbook"]')
    if not _are_texts(fields, dict):
        raise UserError(f"{path}: fields is no table of names", '[fields]\nquestion = "prompt"')
    folders = (_folder(path, name, faults) for name in documents)
    return Sidecar(clean_line(title), tuple(filter(None, folders)), fields)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError("too large")
        return tomllib.loads(data.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(
            f"{path}: cannot be read ({shortened(reason, 200)})", "mend it or move it away"
        ) from None


def _are_texts(value: Any, kind: type[list[Any]] | type[dict[str, Any]]) -> bool:
    if not isinstance(value, kind):
        return False
    items: Iterable[Any] = value.values() if isinstance(value, dict) else value
    return all(isinstance(item, str) for item in items)


def _folder(path: Path, name: str, faults: Faults) -> Path | None:
    try:
        found = confined(path.parent, name)
    except BadRow as reason:
        faults.add(1, f"documents: {reason}", dropped=False)
        return None
    if not found.exists():
        faults.add(1, f"documents: {shortened(name, 120)!r} is not there", dropped=False)
        return None
    return found
