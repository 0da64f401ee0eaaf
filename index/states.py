"""The states of a library as a reader sees them: one at a time, whole, and kept open.

A reader has a connection of its own; it takes a new state when the book on the disk has changed.
Knows the book, the vectors and the words; nothing of the files that were added.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import LibraryDamaged
from .embeddings import Embeddings
from .hybrid import HybridIndex
from .keyword import KeywordIndex
from .manifest import Manifest
from .newest import check_newest
from .vector_stores import StoreChoice, open_store

__all__ = ["States"]


class States:
    """What is open of a library that is read. Threads may share it; one reads at a time.

    Args:
        folder: the library's.
        model: that its vectors must come from.
    """

    def __init__(self, folder: Path, model: Embeddings) -> None:
        self._folder = folder
        self._model = model
        self._mutex = threading.RLock()
        self._book: Manifest | None = None
        self._open: tuple[int, HybridIndex] | None = None

    @contextmanager
    def reading(self) -> Iterator[Manifest]:
        """The book, in one state for as long as it is read.

        Raises:
            LibraryMismatch: made by another embedding model or a newer version.
            LibraryDamaged: it cannot be read, or an older state has taken its place.
        """
        with self._mutex:
            if self._book is None:
                check_newest(self._folder)
                self._book = Manifest(self._folder / "library.db", self._model.name)
            with self._book.snapshot():
                yield self._book

    def index(self, book: Manifest) -> HybridIndex:
        """What to search, opened again where a writer has changed it; within ``reading``.

        Raises:
            LibraryDamaged: passages, words and vectors do not belong together.
        """
        version = book.version()
        if self._open is None or self._open[0] != version:
            choice = StoreChoice.from_text(book.store)
            dimensions = book.dimensions or self._model.dimensions
            store = open_store(choice, self._folder, dimensions, book.vectors)
            words = KeywordIndex(self._folder / "words", book.words)
            if not book.count() == len(store) == len(words):
                raise LibraryDamaged(
                    f"{self._folder}: passages, words and vectors do not belong together",
                    "limner doctor --repair",
                )
            if self._open is not None:
                self._open[1].store.close()
            self._open = (version, HybridIndex(store, words))
        return self._open[1]

    def close(self) -> None:
        """Let go of the files; reading opens them again."""
        with self._mutex:
            if self._open is not None:
                self._open[1].store.close()
            if self._book is not None:
                self._book.close()
            self._book = self._open = None
