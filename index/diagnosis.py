"""Finds damage in a library and names it: reads every row, every array and every picture.

Changes nothing, and needs no embedding model.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import LibraryDamaged, LibraryMismatch
from .keyword import KeywordIndex
from .manifest import FORMAT
from .newest import check_newest
from .report import Problem
from .salvage import Salvage, opened
from .segments import Keys, Segments
from .vector_stores import StoreChoice, open_store
from .vector_stores.base import VectorStore

__all__ = ["Diagnosis", "diagnose"]

_SLICE = 4096  # vectors that are looked at together


@dataclass(slots=True)
class Diagnosis:
    """What is wrong with a library, and what of it is sound.

    Attributes:
        book: its rows.
        choice: which vector store it has; the default one where that is damaged.
        vectors: the token of the vectors that are whole.
        words: the token of the words that are whole.
        broken: which of the two lack something, so that they do not tell which keys there were.
        known: the keys that either of them holds.
        pictures: those that are missing or damaged.
        problems: everything that was found.
    """

    book: Salvage
    choice: StoreChoice
    vectors: str = ""
    words: str = ""
    broken: set[str] = field(default_factory=set)
    known: set[int] = field(default_factory=set)
    pictures: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    older: bool = False

    def add(self, part: str, reasons: Iterable[str]) -> None:
        """Note problems of a part, each reason once."""
        for reason in dict.fromkeys(reasons):
            self.problems.append(Problem(part, reason))
            self.broken.add(part)


def diagnose(folder: Path) -> Diagnosis:
    """Read all of a library and list what is damaged.

    Args:
        folder: the library's.

    Raises:
        LibraryMismatch: made by another version.
        LibraryUnreachable: the server that holds its vectors does not answer.
    """
    path = folder / "library.db"
    if not path.is_file():
        lost = Salvage(problems=[Problem(path.name, "is missing")], torn=True)
        return Diagnosis(lost, StoreChoice(), problems=list(lost.problems))
    with opened(path):
        book = Salvage.read(path)
        _check_format(folder, book.meta.get("format"))
        found = Diagnosis(book, _choice(book.meta.get("store")), problems=list(book.problems))
        try:
            check_newest(folder)
        except LibraryDamaged as error:
            found.problems.append(Problem(path.name, str(error)))
            found.older = not book.problems
        _look_at_vectors(folder, found)
        _look_at_words(folder, found)
        _look_at_pictures(folder, found)
    return found


def _check_format(folder: Path, version: str | None) -> None:
    if version not in (None, str(FORMAT)):
        older = str(version).isdigit() and int(str(version)) < FORMAT
        raise LibraryMismatch(
            f"{folder}: made by {'an older' if older else 'a newer'} version of Limner "
            f"(format {version}, this one reads {FORMAT})",
            "limner sync" if older else "pip install --upgrade limner",
        )


def _choice(text: str | None) -> StoreChoice:
    return StoreChoice.from_text(text) if text else StoreChoice()


def _look_at_vectors(folder: Path, found: Diagnosis) -> None:
    meta = found.book.meta
    needed = ("model", "store", "dimensions", "vectors")
    if any(name not in meta for name in needed):  # nobody knows whose vectors these are
        found.broken.add("vectors")
        return
    token, dimensions = meta["vectors"], int(meta["dimensions"]) or 1
    if found.choice.engine == "faiss":
        token, wrong = _salvaged(folder / "vectors", ".vectors", token)
        found.add("vectors", wrong)
    try:
        store = open_store(found.choice, folder, dimensions, token)
        try:
            ids = _whole(store)
        finally:
            store.close()
    except LibraryDamaged as error:
        found.add("vectors", [str(error)])
        return
    found.vectors = token
    _compare("vectors", ids, found)


def _whole(store: VectorStore) -> Keys:
    """The ids of a store whose vectors can all be read."""
    ids = store.ids
    for at in range(0, len(ids), _SLICE):
        if not np.isfinite(store.get(ids[at : at + _SLICE])).all():
            raise LibraryDamaged("vectors that are no numbers")
    return ids


def _look_at_words(folder: Path, found: Diagnosis) -> None:
    if "words" not in found.book.meta:
        found.broken.add("words")
        return
    token, wrong = _salvaged(folder / "words", ".words", found.book.meta["words"])
    found.add("words", wrong)
    index = KeywordIndex(folder / "words", token)
    keys = index.keys
    index.close()
    found.words = token
    _compare("words", keys, found)


def _salvaged(folder: Path, suffix: str, token: str) -> tuple[str, list[str]]:
    """The sound part of a state; nothing of one that cannot be read."""
    try:
        if token:
            json.loads(token)["segments"]
        return Segments.salvaged(folder, suffix, token)
    except (ValueError, TypeError, LookupError, zlib.error):
        return "", [f"the state of {folder} cannot be read"]


def _compare(part: str, keys: Keys, found: Diagnosis) -> None:
    there, wanted = set(keys.tolist()), found.book.passages.keys()
    found.known |= there
    if missing := len(wanted - there):
        found.add(part, [f"those of {missing} passages are missing"])
    if extra := len(there - wanted - {key for key, _ in found.book.claims}):
        found.problems.append(Problem(part, f"{extra} are of no passage"))


def _look_at_pictures(folder: Path, found: Diagnosis) -> None:
    images = {row.image for row in found.book.passages.values() if row.image}
    for image, reason in _bad_pictures(folder / "media", images):
        found.pictures.add(image)
        found.problems.append(Problem(f"media/{image}", reason))


def _bad_pictures(folder: Path, images: Iterable[str]) -> Iterator[tuple[str, str]]:
    for image in sorted(images):
        try:
            with (folder / image).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            yield image, "is missing"
        except OSError as error:
            yield image, f"cannot be read: {error.strerror}"
        else:
            if found != image.partition(".")[0]:
                yield image, "was damaged"
