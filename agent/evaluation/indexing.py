"""The library that a run's questions are asked of: the one that was named, or one made for it.

Knows question sets and libraries; asks nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...index.durable import write_file
from ...index.library import Library
from ...index.states import States
from .formats.base import QuestionSet
from .runs import Manifest

__all__ = ["content_of", "made_for", "named_library", "needs_library"]

_KEPT = re.compile(r"[^\w .,()+@-]")


def needs_library(sets: Sequence[QuestionSet]) -> bool:
    """Whether any of the sets brings what its questions are about."""
    return any(one.documents or one.folders for one in sets)


@contextmanager
def named_library(folder: Path, embedding_model: str, reranker: str | None) -> Iterator[Library]:
    """The library that was named.

    Raises:
        UserError: there is none.
    """
    with Library.open(folder, embedding_model, reranker) as library:
        if not library.exists:
            raise UserError(f"{folder}: no library here yet", f"limner add PATH --library {folder}")
        yield library


@contextmanager
def made_for(
    sets: Sequence[QuestionSet],
    out: Path,
    embedding_model: str,
    reranker: str | None,
    before: Manifest | None,
    tell: Callable[[Any], None] | None = None,
) -> Iterator[tuple[Library, tuple[str, ...]]]:
    """A library in a run's folder, of all that its sets bring; an empty one where that is nothing.

    Args:
        sets: of the run.
        out: the run's folder.
        embedding_model: as for `Library.open`.
        reranker: as for `Library.open`.
        before: of the run where it was begun; then its library is taken as it is.
        tell: told of every file that is read.

    Yields:
        The library, and what of the sets could not be read, for people.

    Raises:
        UserError: two sets bring different documents of one name, or a set that comes later
            brings any: the rows that are there were asked of a library without them.
        LibraryError: it cannot be written.
        OSError: the documents cannot be written.
    """
    if before is not None:
        _check_late(sets, before, out)
    with Library.open(out / "library", embedding_model, reranker) as library:
        faults: tuple[str, ...] = ()
        if before is None and needs_library(sets):
            report = library.add(_places(sets, out), tell)
            faults = tuple(f"{problem.path}: {problem.reason}" for problem in report.failed)
        yield library, faults


def _check_late(sets: Sequence[QuestionSet], before: Manifest, out: Path) -> None:
    known = {(one.name, one.digest) for one in before.sets}
    late = [
        one.name for one in sets if needs_library([one]) and (one.name, one.digest) not in known
    ]
    if late:
        raise UserError(
            f"{out}: {', '.join(late)} brings documents, and the run's library was made without",
            "--out another-folder",
        )


def _places(sets: Sequence[QuestionSet], out: Path) -> list[Path]:
    places: list[Path] = []
    _check_names(sets)
    for one in sets:
        places += one.folders
        if one.documents:
            folder = out / "documents" / one.digest[:16]
            for name, text in one.documents:
                _write(folder / _plain(name), text.encode("utf-8", "replace"))
            places.append(folder)
    return places


def _check_names(sets: Sequence[QuestionSet]) -> None:
    """See that no two sets mean different texts by one name: neither would be told apart."""
    known: dict[str, tuple[str, str]] = {}
    for one in sets:
        for name, text in one.documents:
            by, other = known.setdefault(name, (one.name, text))
            if other != text:
                raise UserError(
                    f"the sets {by} and {one.name} bring different documents named {name}",
                    "run them one by one",
                )


def _plain(name: str) -> str:
    """A file's name that leads nowhere else, whatever a set calls its documents."""
    plain = _KEPT.sub("_", name).strip(" .") or "document"
    return plain if "." in plain else f"{plain}.txt"


def _write(path: Path, data: bytes) -> None:
    if not path.is_file() or path.read_bytes() != data:
        write_file(path, data)


def content_of(library: Library) -> str:
    """A digest of what a library holds: its files and the model that its vectors come from."""
    told = hashlib.sha256(library.embeddings.name.encode())
    if library.exists:
        states = States(library.folder, library.embeddings)
        with states.reading() as book:
            files = sorted((document.source, document.sha256) for document in book.documents())
        states.close()
        for source, digest in files:
            told.update(f"\0{source}\0{digest}".encode("utf-8", "surrogatepass"))
    return told.hexdigest()
