"""The one writer of a library: holds the lock, and makes files, passages and vectors one step.

The vectors are written as a new segment, and then one transaction makes both it and the texts
count. Knows nothing of formats, and does not read documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ..errors import LibraryLocked
from ..tools.media import MediaStore
from ..tools.ocr import Line
from .chunking import Chunk
from .durable import writable
from .embeddings import Embeddings
from .files import Places
from .manifest import Document, Manifest
from .vector_stores.base import VectorStore

__all__ = ["Change", "Writer", "open_store"]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written of one file.

    Attributes:
        document: its entry.
        new: chunks to embed, with their place in the file.
        kept: keys whose words, and so whose vectors, stay, with their place and chunk.
        stale: keys to forget.
        lines: what was read off its screenshots, by image.
        images: that its passages showed before.
    """

    document: Document
    new: Sequence[tuple[int, Chunk]] = ()
    kept: Sequence[tuple[int, int, Chunk]] = ()
    stale: Sequence[int] = ()
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
        stale = [key for rest in keys.values() for key in rest]
        return cls(document, new, kept, stale, lines, frozenset(filter(None, images)))


def open_store(folder: Path, dimensions: int, token: str) -> VectorStore:
    """The vectors of a library in the state that a token names."""
    from .vector_stores.faiss import FaissStore

    return FaissStore(folder / "vectors", dimensions, token)


class Writer:
    """Makes the library where it is missing and holds its lock until it is closed.

    Args:
        folder: the library's own.
        embeddings: the model that its vectors come from.

    Raises:
        LibraryLocked: another process, or another thread, is writing.
        LibraryReadOnly: the folder cannot be written.
    """

    def __init__(self, folder: Path, embeddings: Embeddings) -> None:
        self.folder = folder
        self.embeddings = embeddings
        self.media = MediaStore(folder / "media")
        self._store: VectorStore | None = None
        self._lock()
        try:
            path = folder / "library.db"
            if not path.exists():
                with writable(folder):
                    Manifest.create(path, embeddings.name)
            self.book = Manifest(path, embeddings.name)
        except BaseException:
            self._lock_file.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.book.close()
        self._lock_file.release()

    def apply(
        self,
        changes: Sequence[Change] = (),
        removed: Sequence[Document] = (),
        places: Places | None = None,
    ) -> None:
        """Write changed and removed files, all or nothing.

        Args:
            changes: files that are new, changed or renamed.
            removed: files to forget.
            places: the folders of the library, where they change too.
        """
        gone = [pair for document in removed for pair in self.book.chunks(document.id)]
        stale = [key for key, _ in gone] + [key for change in changes for key in change.stale]
        images = {c.image for _, c in gone if c.image}.union(*(c.images for c in changes))
        texts = [c.searchable for change in changes for _, c in change.new]
        vectors = self.embeddings.encode_document(texts) if texts else None
        try:
            with writable(self.folder), self.book.transaction():
                if places is not None:
                    self.book.set_places(places)
                self.book.delete_documents(document.id for document in removed)
                self.book.delete_chunks(stale)
                keys = [key for change in changes for key in self._put(change)]
                unused = images - self.book.images() if images else images
                self.book.delete_lines(unused)
                if keys or stale:
                    store = self._opened()
                    store.remove(stale)
                    if vectors is not None:
                        store.add(keys, vectors)
                    self.book.set_token(store.commit())
        except BaseException:
            self._store = None  # memory follows the disk
            raise
        self._tidy(unused)

    def collect(self) -> int:
        """Delete stored pictures that no passage shows, and say how many there were."""
        strays = set(self.media) - self.book.images()
        with self.book.transaction():
            self.book.delete_lines(strays)
        with writable(self.folder):
            for unfinished in self.media.folder.glob("*.part"):
                unfinished.unlink(missing_ok=True)
        self._tidy(strays)
        return len(strays)

    def _put(self, change: Change) -> list[int]:
        document = self.book.put_document(change.document)
        for key, ordinal, c in change.kept:
            self.book.update_chunk(key, document, ordinal, c)
        for image, lines in change.lines.items():
            self.book.put_lines(image, lines)
        return self.book.insert_chunks(document, change.new)

    def _opened(self) -> VectorStore:
        if self._store is None:
            self._store = open_store(self.folder, self.embeddings.dimensions, self.book.token)
        return self._store

    def _tidy(self, unused: Iterable[str]) -> None:
        """Delete the files that nothing refers to any more."""
        with writable(self.folder):
            if self._store is not None:
                self._store.sweep()
            for reference in unused:
                self.media.remove(reference)

    def _lock(self) -> None:
        from filelock import FileLock, Timeout

        with writable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = FileLock(self.folder / "write.lock", timeout=0)
            try:
                self._lock_file.acquire()
            except Timeout:
                raise LibraryLocked(
                    f"{self.folder}: another process is writing to this library",
                    "wait for it to end and run the same command again",
                ) from None
