"""Writes a damaged book anew out of its sound rows, and lets it take the damaged one's place.

Knows rows and files' names; nothing of vectors and words, and reads no document.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .database import Database, checksum
from .diagnosis import Diagnosis
from .document import Document, Stamp
from .durable import sync_folder
from .files import find, source_name
from .manifest import Manifest
from .report import Problem
from .salvage import Row, Salvage, lines_of, opened, passages_of

__all__ = ["take_its_place", "unread", "write_anew"]

_SANE = 2**53  # no key gets there
_PASSAGE = (
    "INSERT INTO passages (checksum, key, document, ordinal, page, modality, image, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def unread(document: Document) -> Document:
    """The entry of a file that is to be read again."""
    return replace(document, stamp=Stamp(0, 0, 0), sha256="")


def write_anew(
    folder: Path, found: Diagnosis, model: str, to_read: Collection[int]
) -> list[Problem]:
    """Write ``library.db.part``: every sound row of ``library.db``.

    Args:
        folder: the library's.
        found: what is wrong with it.
        model: the embedding model's name.
        to_read: ids of files that are to be read again.

    Returns:
        What is lost.
    """
    new, path, book = folder / "library.db.part", folder / "library.db", found.book
    lost: list[Problem] = []
    Manifest.create(new, model, str(found.choice))
    manifest = Manifest(new, model)
    try:
        documents = [unread(d) if d.id in to_read else d for d in book.documents.values()]
        documents += _doubtful(folder, book, lost)
        with manifest.transaction():
            if "places" in book.meta:
                manifest.note(places=book.meta["places"])
            for document in documents:
                manifest.put_document(document)
    finally:
        manifest.close()
    database = Database(new)
    try:
        with database.transaction():
            held = _places(book.passages, {document.id for document in documents})
            if path.is_file():
                _copy_rows(database, path, book.grafted, held)
            _copy_sequences(database, found)
    finally:
        database.close()
    return lost + _lost(book, len(documents), len(book.passages) - len(held))


def take_its_place(folder: Path, keep: bool) -> Path | None:
    """Let ``library.db.part`` be the book.

    Args:
        folder: the library's.
        keep: whether to keep the damaged one.

    Returns:
        Where it is kept.
    """
    path, kept = folder / "library.db", None
    if path.is_file() and keep:
        kept = folder / "library.db.damaged"
        shutil.copyfile(path, kept)
    for journal in ("-journal", "-wal", "-shm"):  # SQLite would play it into the new file
        path.with_name(path.name + journal).unlink(missing_ok=True)
    path.with_name(f"{path.name}.part").replace(path)
    sync_folder(folder)
    return kept


def _lost(book: Salvage, documents: int, orphans: int) -> list[Problem]:
    lost = []
    if "places" not in book.meta and (documents or book.guessed_folders):
        guess = f" (perhaps {', '.join(book.guessed_folders)})" if book.guessed_folders else ""
        lost.append(f"which folders were added{guess}; limner add them again")
    if orphans:
        lost.append(
            f"the files of {orphans} passages; where these are not found in an added folder, "
            "limner add them again"
        )
    if not documents and not (book.places and book.places.added):
        lost.append("the names of all files; limner add PATH for each of them")
    elif book.names_torn:
        lost.append(
            "perhaps the names of files that were added by themselves; where limner ls does not "
            "show one, limner add it again"
        )
    return [Problem("library.db", reason) for reason in lost]


def _doubtful(folder: Path, book: Salvage, lost: list[Problem]) -> Iterator[Document]:
    """Files whose entries are damaged, under the path that they certainly have."""
    places = book.places
    walked = find(sorted(places.added), folder.resolve()).files if places else {}
    paths = {Path(file): root for file, root in walked.items()}
    files = {path: root for path, root in paths.items() if places and places.hold(path)}
    known = {document.path for document in book.documents.values()}
    taken = {document.source for document in book.documents.values()}
    held = {row.document for row in book.passages.values()}
    for document in book.doubtful:
        name = ascii(document.source)[1:-1]
        path = _identified(document, {p: root for p, root in files.items() if p not in known})
        if path is not None and path not in known:
            source = source_name(path, files.get(path, path), taken)
        elif path is None and document.id in held:
            path = folder / "lost" / f"{document.id}"
            source = source_name(folder / (name or "lost").replace("/", "_"), folder, taken)
            reason = "its entry was damaged and its file is not found; its passages are kept"
            lost.append(Problem(source, reason))
        else:
            lost.append(Problem(name, "its entry was damaged; limner add it again"))
            continue
        known.add(path)
        taken.add(source)
        yield unread(Document(document.id, str(path), source, document.stamp, ""))


def _identified(document: Document, files: Mapping[Path, Path]) -> Path | None:
    """The file that a damaged entry means: no single damage makes it mean another one."""
    path = document.path
    named = document.source.rpartition("/")[2] == path.name
    if _is_file(path) and (named or _sha256(path) == document.sha256):
        return path
    for other, root in files.items():
        if other.relative_to(root).as_posix() == document.source:
            return other
    alike = (p for p in files if p.stat().st_size == document.stamp.size)
    return next((p for p in alike if _sha256(p) == document.sha256), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_absolute() and path.is_file()
    except OSError:  # no name that the system knows
        return False


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return "unreadable"


def _places(passages: Mapping[int, Row], documents: Collection[int]) -> dict[int, int]:
    """The places of the passages of some files, numbered from 0 on again."""
    held: dict[int, list[tuple[int, int]]] = {}
    for key, row in passages.items():
        if row.document in documents:
            held.setdefault(row.document, []).append((row.ordinal, key))
    return {key: n for group in held.values() for n, (_, key) in enumerate(sorted(group))}


def _copy_rows(database: Database, path: Path, grafted: bool, places: Mapping[int, int]) -> None:
    images = set()
    with opened(path, grafted) as old:
        rows: list[tuple[Any, ...]] = []
        for key, document, _, *rest in passages_of(old):
            if key in places:
                values = (key, document, places[key], *rest)
                images.add(rest[2])
                rows.append((checksum(*values), *values))
        database.run_each(_PASSAGE, rows)
        lines = [line for line in lines_of(old) if line[0] in images]
        database.run_each("INSERT INTO ocr_lines VALUES (?, ?, ?)", lines)


def _copy_sequences(database: Database, found: Diagnosis) -> None:
    """No key is ever given twice."""
    book = found.book
    used: dict[str, list[int]] = {
        "documents": [*book.documents, *(row.document for row in book.passages.values())],
        "passages": [*book.passages, *found.known],
    }
    for table, keys in used.items():
        noted = book.sequences.get(table, 0)
        last = max([noted if noted < _SANE else 0, *(key for key in keys if key < _SANE)])
        database.run("DELETE FROM sqlite_sequence WHERE name=?", table)
        database.run("INSERT INTO sqlite_sequence VALUES (?, ?)", table, last)
