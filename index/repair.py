"""Rebuilds what is damaged in a library from the sources it was made of.

What is sound is kept: a damaged segment costs the vectors in it, which are embedded anew from the
texts in the book; a damaged row costs its file, which is read again. A damaged book is written anew
beside the old one and takes its place in one step, with the vectors and words that belong to it.
Files whose entry says that they were never read are read last; so a repair that was stopped is
finished by the next one, or by a ``sync``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import LibraryError, LibraryMismatch, UserError
from .diagnosis import Diagnosis, diagnose
from .document import Document
from .durable import writable
from .embeddings import Embeddings
from .files import is_gone
from .ingest import Embed, bring_in, find_again
from .keyword import KeywordIndex
from .lock import locked
from .manifest import Manifest
from .newest import note_newest
from .reading import Reader
from .report import Problem, Progress, Report, Tally
from .rewriting import take_its_place, unread, write_anew
from .salvage import Salvage
from .segments import Keys
from .upgrade import is_old, upgrade
from .vector_stores import StoreChoice, open_store
from .vector_stores.base import VectorStore
from .writer import Writer

__all__ = ["Repair", "repair"]

OnProgress = Callable[[Progress], None] | None

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did.

    Attributes:
        found: what was damaged.
        report: the files that were read again, and those that could not be.
        embedded: passages whose vectors were computed again from their texts.
        lost: what could not be rebuilt, and why.
        set_aside: where a book is kept that could not be read whole.
        forgotten: the words of passages that are gone.
    """

    found: tuple[Problem, ...]
    report: Report
    embedded: int = 0
    lost: tuple[Problem, ...] = ()
    set_aside: Path | None = None
    forgotten: tuple[str, ...] = ()


def repair(
    folder: Path, embeddings: Embeddings, embed: Embed, on_progress: OnProgress = None
) -> Repair:
    """Rebuild what is damaged; what is sound stays, and so do conversations.

    Args:
        folder: the library's.
        embeddings: the model that the library was made with.
        embed: it, through the cache where there is one.
        on_progress: called before each file and each batch of vectors.

    Raises:
        UserError: there is no library.
        LibraryMismatch: made by another embedding model or a newer version.
        LibraryLocked, LibraryReadOnly, LibraryUnreachable: as for ``Library.add``.
    """
    kept = ("library.db", "library.db.damaged", "vectors", "words", "chroma")
    if not any((folder / name).exists() for name in kept):
        raise UserError(f"{folder}: no library here yet", "limner add PATH")
    _bring_up_to_date(folder)
    lock = locked(folder)
    try:
        found = _diagnosed(folder)
        _check_model(folder, found.book, embeddings.name)
        mending = _Mending(folder, found, embeddings.name, embed, on_progress)
        with writable(folder):
            mending.run()
        note_newest(folder)
    finally:
        lock.release()
    if found.older:
        reason = (
            "what was added or removed last, but for files in added folders; limner add it again"
        )
        mending.lost.append(Problem("library.db", reason))
    tally = _read_again(folder, embeddings, embed, on_progress)
    lost = [*mending.lost, *_still_unread(folder, embeddings.name), *diagnose(folder).problems]
    return Repair(
        tuple(found.problems),
        tally.report(),
        mending.embedded,
        tuple(problem for problem in lost if problem.path not in tally.removed),
        mending.set_aside,
        tuple(tally.forgotten),
    )


class _Mending:
    """Makes book, vectors and words sound, and notes in the book which files are to be read."""

    def __init__(
        self, folder: Path, found: Diagnosis, model: str, embed: Embed, on_progress: OnProgress
    ) -> None:
        self._folder = folder
        self._found = found
        self._model = model
        self._embed = embed
        self._on_progress = on_progress
        self._unread = files_to_read(found)
        self.embedded = 0
        self.lost: list[Problem] = []
        self.set_aside: Path | None = None

    def run(self) -> None:
        """Leave a sound book in place; what it names is written before."""
        path, part = self._folder / "library.db", self._folder / "library.db.part"
        book = self._found.book
        part.unlink(missing_ok=True)
        try:
            if not book.sound:
                lost = write_anew(self._folder, self._found, self._model, self._unread)
                self.lost += lost
            manifest = Manifest(path if book.sound else part, self._model)
            try:
                self._mend_index(manifest)
            finally:
                manifest.close()
            if not book.sound:
                self.set_aside = take_its_place(self._folder, keep=book.torn or bool(self.lost))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        self._delete_bad_pictures()

    # ── vectors and words ────────────────────────────────────────────────────────────────────

    def _mend_index(self, manifest: Manifest) -> None:
        keys, meta = manifest.keys(), self._found.book.meta
        choice, dimensions = self._found.choice, int(meta.get("dimensions", "0"))
        fresh = not self._found.vectors
        if fresh or not dimensions:
            choice, dimensions = self._emptied(choice), 0
            if len(keys):
                dimensions = self._embed(["how long is a vector?"]).shape[1]
        store = open_store(choice, self._folder, dimensions or 1, self._found.vectors)
        words = KeywordIndex(self._folder / "words", self._found.words)
        self._add_vectors(manifest, store, _missing(store, store.ids, keys))
        self._add_words(manifest, words, _missing(words, words.keys, keys))
        values = {"vectors": store.commit(), "words": words.commit(), "store": str(choice)}
        with manifest.transaction():
            manifest.note(dimensions=str(dimensions), **values)
            if self._found.book.sound:
                for document in self._found.book.documents.values():
                    if document.id in self._unread:
                        manifest.put_document(unread(document))
        store.close()
        words.close()

    def _emptied(self, choice: StoreChoice) -> StoreChoice:
        """The same kind of store, with nothing in it."""
        if choice.engine == "chroma":
            if not choice.address:
                shutil.rmtree(self._folder / "chroma", ignore_errors=True)
            return choice.again()
        return choice

    def _add_vectors(self, manifest: Manifest, store: VectorStore, keys: Keys) -> None:
        for some, texts in _texts(manifest, keys):
            store.add(some, self._embed(texts))
            self.embedded += len(texts)
            if self._on_progress:
                self._on_progress(Progress(self.embedded, len(keys), "vectors", self.embedded))

    def _add_words(self, manifest: Manifest, words: KeywordIndex, keys: Keys) -> None:
        for some, texts in _texts(manifest, keys):
            words.add(some, texts)

    # ── pictures ─────────────────────────────────────────────────────────────────────────────

    def _delete_bad_pictures(self) -> None:
        """Those that a file is there for; what is left of others is better than nothing."""
        paths = {document.id: document.path for document in self._found.book.documents.values()}
        for row in self._found.book.passages.values():
            path = paths.get(row.document)
            if row.image in self._found.pictures and path and path.is_file():
                (self._folder / "media" / row.image).unlink(missing_ok=True)


def _bring_up_to_date(folder: Path) -> None:
    """A library of an older version that is whole is brought to this one's format first."""
    try:
        if is_old(folder):
            upgrade(folder)
    except LibraryError:  # damaged, or not there: what is wrong is found again below
        pass


def _diagnosed(folder: Path) -> Diagnosis:
    """As `diagnose`; of a library of an older version only the files' names are of use."""
    try:
        return diagnose(folder)
    except LibraryMismatch:
        book = Salvage.read(folder / "library.db")
        if book.meta.get("format") != "1":
            raise
        broken = {"vectors", "words"}
        return Diagnosis(book, StoreChoice(), broken=broken, problems=list(book.problems))


def _check_model(folder: Path, book: Salvage, model: str) -> None:
    made_with = book.meta.get("model", model)
    if made_with != model:
        raise LibraryMismatch(
            f"{folder}: made with the embedding model {made_with}, not {model}",
            "repair it with that model",
        )


def files_to_read(found: Diagnosis) -> set[int]:
    """The files of which a row or a picture is damaged; all, where it cannot be told which."""
    book = found.book
    claimed = {key for key, _ in book.claims}
    traceless = found.known - book.passages.keys() - claimed
    unsure = not book.sound and found.broken >= {"vectors", "words"}
    whole = {
        number
        for number, ordinals in book.ordinals().items()
        if sorted(ordinals) == list(range(len(ordinals)))
    }
    if book.torn or traceless or unsure or any(r.document not in whole for _, r in book.claims):
        return set(book.documents)
    torn = {row.document for _, row in book.claims}
    torn |= book.ordinals().keys() - whole
    bad = found.pictures | book.doubtful_lines
    return torn | {row.document for row in book.passages.values() if row.image in bad}


def _missing(part: VectorStore | KeywordIndex, there: Keys, wanted: Keys) -> Keys:
    """Take out what is not wanted, and say what is wanted and not there."""
    part.remove(np.setdiff1d(there, wanted))
    missing = np.setdiff1d(wanted, there)
    if len(missing):
        part.compact()  # a key that was taken out can come again only after that
        part.commit()
    return missing


def _texts(manifest: Manifest, keys: Keys) -> Iterator[tuple[list[int], list[str]]]:
    for at in range(0, len(keys), _BATCH):
        passages = manifest.passages(keys[at : at + _BATCH].tolist())
        yield list(passages), [passage.searchable for passage in passages.values()]


def _read_again(
    folder: Path, embeddings: Embeddings, embed: Embed, on_progress: OnProgress
) -> Tally:
    """Read the files that are noted as unread, and those in added folders that are not known."""
    with Writer(folder, embeddings.name) as writer:
        documents, places = writer.book.documents(), writer.book.places()
        found = find_again(documents, places, folder.resolve())
        found.folders = []  # a file that is gone is not forgotten here
        with Reader(writer.media.folder) as reader:
            tally = bring_in(
                writer, reader, documents, found, places, embeddings, embed, on_progress
            )
        again = _found_after_all(writer, folder, tally.added)
        tally.removed += [document.source for document in again]
        tally.forgotten += writer.apply(removed=again, compact=True)
        writer.collect()
    return tally


def _found_after_all(writer: Writer, folder: Path, added: Collection[str]) -> list[Document]:
    """Files whose name was lost and whose passages have all been read again in other files."""
    documents = writer.book.documents()
    new = [document.id for document in documents if document.source in added]
    texts = {c.searchable for number in new for _, c in writer.book.chunks(number)}
    nameless = (document for document in documents if document.path.parent == folder / "lost")
    return [d for d in nameless if texts.issuperset(_searchable(writer, d))]


def _searchable(writer: Writer, document: Document) -> Iterator[str]:
    return (c.searchable for _, c in writer.book.chunks(document.id))


def _still_unread(folder: Path, model: str) -> Iterator[Problem]:
    book = Manifest(folder / "library.db", model)
    try:
        for document in book.documents():
            if not document.sha256 and is_gone(document.path):
                reason = "its file is gone: what is sound of it is kept, the rest is lost"
                yield Problem(document.source, reason)
    finally:
        book.close()
