"""The one writer of a library: holds the lock, and makes files, passages and vectors one step.

Vectors and words are written as new segments, and then one transaction makes them and the texts
count. Knows nothing of formats and models, and does not read documents.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ..errors import LibraryUnreachable
from ..tools.media import MediaStore
from ..tools.ocr import Line
from .chunking import Chunk
from .document import Document
from .durable import writable
from .embeddings import Vectors
from .files import Places
from .keyword import KeywordIndex
from .lock import locked
from .manifest import Manifest
from .newest import check_newest, note_newest
from .vector_stores import StoreChoice, open_store
from .vector_stores.base import VectorStore

__all__ = ["Change", "Writer"]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written of one file.

    Attributes:
        document: its entry.
        new: chunks that need a vector, with their place in the file.
        kept: keys whose words, and so whose vectors, stay, with their place and chunk.
        stale: keys to forget.
        forgotten: the words of stale keys.
        lines: what was read off its screenshots, by image.
        images: that its passages showed before.
    """

    document: Document
    new: Sequence[tuple[int, Chunk]] = ()
    kept: Sequence[tuple[int, int, Chunk]] = ()
    stale: Sequence[int] = ()
    forgotten: Sequence[str] = ()
    lines: Mapping[str, Sequence[Line]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()

    @classmethod
    def between(
        cls,
        document: Document,
        old: Iterable[tuple[int, Chunk]],
        chunks: Iterable[Chunk],
        lines: Mapping[str, Sequence[Line]],
    ) -> Self:
        """The change from what a file was to what it is now."""
        keys: dict[str, list[int]] = {}
        images = set()
        for key, c in old:
            keys.setdefault(c.searchable, []).append(key)
            images.add(c.image)
        new, kept = [], []
        for ordinal, c in enumerate(chunks):
            if keys.get(c.searchable):
                kept.append((keys[c.searchable].pop(0), ordinal, c))
            else:
                new.append((ordinal, c))
        stale = [(key, words) for words, rest in keys.items() for key in rest]
        gone, forgotten = zip(*stale, strict=True) if stale else ((), ())
        return cls(document, new, kept, gone, forgotten, lines, frozenset(filter(None, images)))

    @property
    def texts(self) -> list[str]:
        """The words that need a vector, in order."""
        return [c.searchable for _, c in self.new]


class Writer:
    """Makes the library where it is missing and holds its lock until it is closed.

    Args:
        folder: the library's own.
        model: the embedding model's name; None takes the library whatever it was made with.

    Raises:
        LibraryLocked: another process, or another thread, is writing.
        LibraryReadOnly: the folder cannot be written.
    """

    def __init__(self, folder: Path, model: str | None) -> None:
        self.folder = folder
        self.media = MediaStore(folder / "media")
        self._store: VectorStore | None = None
        self._words: KeywordIndex | None = None
        self._made = not folder.exists()
        self._lock = locked(folder)
        try:
            path = folder / "library.db"
            if not path.exists():
                with writable(folder):
                    Manifest.create(path, model or "", str(StoreChoice()))
            check_newest(folder)
            self.book = Manifest(path, model)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.reopen()
        empty = self._made and not (self.book.documents() or self.book.places().added)
        self.book.close()
        if empty:
            self._unmake()
        else:
            note_newest(self.folder)
        self._lock.release()
        if empty:
            with suppress(OSError):  # something else was put there meanwhile
                self.folder.rmdir()

    def _unmake(self) -> None:
        """Delete a library that was made for nothing; another's files are left alone."""
        with suppress(OSError):
            for name in ("library.db", "library.newest", "write.lock"):
                (self.folder / name).unlink(missing_ok=True)
            for name in ("media", "vectors", "words"):
                if (self.folder / name).is_dir():
                    (self.folder / name).rmdir()

    @property
    def store(self) -> VectorStore:
        """The vectors, as far as they are committed."""
        if self._store is None:
            choice = StoreChoice.from_text(self.book.store)
            dimensions = self.book.dimensions or 1  # of an empty store: nothing depends on it
            self._store = open_store(choice, self.folder, dimensions, self.book.vectors)
        return self._store

    @property
    def words(self) -> KeywordIndex:
        """The words, as far as they are committed."""
        if self._words is None:
            self._words = KeywordIndex(self.folder / "words", self.book.words)
        return self._words

    def apply(
        self,
        changes: Sequence[Change] = (),
        vectors: Vectors | None = None,
        removed: Sequence[Document] = (),
        places: Places | None = None,
        compact: bool = False,
    ) -> list[str]:
        """Write changed and removed files, all or nothing.

        Args:
            changes: files that are new, changed or renamed.
            vectors: of their new chunks, in order, float32 ``(n, dimensions)``.
            removed: files to forget.
            places: the folders of the library, where they change too.
            compact: leave nothing of what was removed, now or earlier, on the disk.

        Returns:
            The words of the passages that are gone.
        """
        gone = [pair for document in removed for pair in self.book.chunks(document.id)]
        stale = [key for key, _ in gone] + [key for change in changes for key in change.stale]
        images = {c.image for _, c in gone if c.image}.union(*(c.images for c in changes))
        try:
            with writable(self.folder), self.book.transaction():
                if places is not None:
                    self.book.set_places(places)
                self.book.delete_documents(document.id for document in removed)
                self.book.delete_chunks(stale)
                keys = [key for change in changes for key in self._put(change)]
                unused = images - self.book.images(images)
                self.book.delete_lines(unused)
                if keys or stale or compact:
                    self._index(
                        keys, [t for c in changes for t in c.texts], vectors, stale, compact
                    )
        except BaseException:
            self.reopen()  # memory follows the disk
            raise
        note_newest(self.folder)
        self._tidy(unused)
        return [c.searchable for _, c in gone] + [t for c in changes for t in c.forgotten]

    def collect(self) -> int:
        """Delete stored pictures that no passage shows, and say how many there were.

        What a move to another vector store left behind goes too.
        """
        strays = set(self.media) - self.book.images()
        with self.book.transaction():
            self.book.delete_lines(strays)
        with writable(self.folder):
            for unfinished in self.media.folder.glob("*.part"):
                unfinished.unlink(missing_ok=True)
            used = StoreChoice.from_text(self.book.store).engine
            left = "vectors" if used == "chroma" else "chroma"
            shutil.rmtree(self.folder / left, ignore_errors=True)
        self._tidy(strays)
        return len(strays)

    def reopen(self) -> None:
        """Look at vectors and words anew: another hand has changed what the book says of them."""
        if self._store is not None:
            self._store.close()
        self._store = self._words = None

    def _put(self, change: Change) -> list[int]:
        document = self.book.put_document(change.document)
        self.book.update_chunks(document, change.kept)
        for image, lines in change.lines.items():
            self.book.put_lines(image, lines)
        return self.book.insert_chunks(document, change.new)

    def _index(
        self,
        keys: Sequence[int],
        texts: Sequence[str],
        vectors: Vectors | None,
        stale: Sequence[int],
        compact: bool,
    ) -> None:
        if vectors is not None and len(vectors) and not self.book.dimensions:
            self.book.note(dimensions=str(vectors.shape[1]))
            self.reopen()
        for part in (self.store, self.words):
            part.remove(stale)
            if compact:
                part.compact()
        if vectors is not None and keys:
            self.store.add(keys, vectors)
            self.words.add(keys, texts)
        self.book.note(vectors=self.store.commit(), words=self.words.commit())

    def _tidy(self, unused: Iterable[str]) -> None:
        """Delete the files that nothing refers to any more."""
        with writable(self.folder):
            for part in (self._store, self._words):
                if part is not None:
                    with suppress(LibraryUnreachable):  # all is saved; the next sweep clears up
                        part.sweep()
            for reference in unused:
                self.media.remove(reference)
