"""Library: add, sync, remove, search. A folder of passages, and what it looks like from outside.

One writer at a time, any number of readers, each with a connection of its own: a reader keeps one
consistent state in memory and takes a new one when the book on the disk has changed.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from ..errors import LibraryDamaged, LibraryError
from ..tools.media import MediaStore
from ..tools.ocr import Line
from .embeddings import Embeddings, find_embeddings
from .files import Places, find
from .hybrid import HybridIndex
from .ingest import bring_in, find_again
from .manifest import Document, Manifest
from .passage import Passage
from .report import Problem, Progress, Report, Stats, Tally
from .writer import Writer, open_store

__all__ = ["Library", "Progress", "Report", "Stats"]


class Library:
    """A folder of passages that can be searched. Use `Library.open`; it is a context manager.

    Threads may share it.

    Args:
        folder: the library's own folder.
        embeddings: the model that its vectors come from.
    """

    def __init__(self, folder: Path, embeddings: Embeddings) -> None:
        self.folder = folder
        self.embeddings = embeddings
        self.media = MediaStore(folder / "media")
        self._mutex = threading.RLock()
        self._book: Manifest | None = None
        self._state: tuple[int, HybridIndex] | None = None

    @classmethod
    def open(cls, folder: str | Path, embedding_model: str | Embeddings = "embedded") -> Self:
        """Open a library, new or old. Nothing is written and no model loaded until needed.

        Args:
            folder: its place; created by the first ``add``.
            embedding_model: ``embedded``, a sentence-transformers folder, or an object with the
                methods of `Embeddings`.

        Raises:
            LibraryMismatch: made by another embedding model or a newer version.
            LibraryDamaged: there is something else, or it was damaged.
            LibraryError: the place cannot be looked at.
        """
        if isinstance(embedding_model, str):
            embedding_model = find_embeddings(embedding_model)
        try:
            place = Path(folder).expanduser()
            library = cls(place, embedding_model)
            if place.resolve().exists() and not place.is_dir():
                raise LibraryDamaged(f"{place}: a file, not a library", "choose a folder")
            if library.exists:
                with library._reading():
                    pass
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(getattr(error, "strerror", None) or error).lower()
            raise LibraryError(
                f"{str(folder)!r}: cannot be opened ({reason})", "choose another --library"
            ) from None
        return library

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; the library can be used again afterwards."""
        with self._mutex:
            if self._book is not None:
                self._book.close()
            self._book = self._state = None

    @property
    def exists(self) -> bool:
        """Whether anything was ever added."""
        return (self.folder / "library.db").is_file()

    def add(
        self,
        paths: str | Path | Sequence[str | Path],
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Report:
        """Add files and folders; what is known and unchanged is not read again.

        A folder is remembered, and ``sync`` looks into it again. A bad file does not keep the
        good ones out. What was removed from a folder comes back only when it is named itself.

        Args:
            paths: one or many.
            on_progress: called before each file is looked at.

        Raises:
            LibraryLocked: another process is writing.
            LibraryReadOnly: the library's folder cannot be written.
        """
        found = find(_listed(paths), self.folder.resolve())
        with Writer(self.folder, self.embeddings) as writer:
            named = [path for path, root in found.files.items() if path == root]
            places = writer.book.places().add(found.folders, named)
            return bring_in(writer, found, places, on_progress)

    def sync(self, on_progress: Callable[[Progress], None] | None = None) -> Report:
        """Bring the library in step with every file and folder that was ever added.

        A folder that is gone altogether is reported and its passages are kept: it may be on a
        disk that is not there now.

        Raises:
            LibraryLocked, LibraryReadOnly: as for ``add``.
        """
        if not self.exists:
            return Report()
        with Writer(self.folder, self.embeddings) as writer:
            found = find_again(writer.book, self.folder.resolve())
            return bring_in(writer, found, writer.book.places(), on_progress)

    def remove(self, paths: str | Path | Sequence[str | Path]) -> Report:
        """Remove files or folders, by path or by the name that passages give as their source.

        Their passages, vectors and pictures are deleted. What lies inside a folder that was added
        stays out until it is added by name again.

        Raises:
            LibraryLocked, LibraryReadOnly: as for ``add``.
        """
        tally = Tally()
        if not self.exists:
            tally.failed = [Problem(str(name), "not in the library") for name in _listed(paths)]
            return tally.report()
        with Writer(self.folder, self.embeddings) as writer:
            places, documents = writer.book.places(), writer.book.documents()
            gone: dict[int, Document] = {}
            for name in _listed(paths):
                targets = _meant(name, documents, places)
                if not targets:
                    tally.failed.append(Problem(str(name), "not in the library"))
                for path in targets:
                    places = places.remove(path)
                    gone |= {doc.id: doc for doc in documents if doc.path.is_relative_to(path)}
            writer.apply(removed=list(gone.values()), places=places)
            tally.removed = [doc.source for doc in gone.values()]
            return tally.report()

    def collect(self) -> int:
        """Delete stored pictures that no passage refers to, and say how many there were.

        Raises:
            LibraryLocked, LibraryReadOnly: as for ``add``.
        """
        if not self.exists:
            return 0
        with Writer(self.folder, self.embeddings) as writer:
            return writer.collect()

    def search(self, query: str | Sequence[str], k: int = 5) -> tuple[Passage, ...]:
        """The passages that fit a question best, by meaning and by words.

        Of several wordings of one question the one that fits a passage best counts; the score is
        that of `HybridIndex`.

        Args:
            query: the question, or several wordings of it.
            k: how many passages at most.

        Returns:
            Best first, each with its ``score``.
        """
        queries = [query] if isinstance(query, str) else list(query)
        queries = [q for q in queries if q.strip()]
        if not queries or not self.exists or k < 1:
            return ()
        return self._current().search(queries, self.embeddings.encode_query(queries), k)

    def knows(self, stem: str) -> bool:
        """Whether any passage holds a word of that stem (see `limner.tools.sentences.stems`)."""
        return self.exists and self._current().knows(stem)

    def images(self) -> set[str]:
        """The media references of every picture in the library."""
        if not self.exists:
            return set()
        with self._reading() as book:
            return book.images()

    def lines(self, image: str) -> tuple[Line, ...]:
        """What was read off a screenshot of the library, row by row, with boxes in its pixels."""
        if not self.exists:
            return ()
        with self._reading() as book:
            return book.lines(image)

    def sources(self) -> dict[str, int]:
        """Every file in the library and how many passages it gave."""
        if not self.exists:
            return {}
        with self._reading() as book:
            counts = Counter(passage.source for passage in book.passages().values())
            return {doc.source: counts[doc.source] for doc in book.documents()}

    def stats(self) -> Stats:
        """What the library holds."""
        if not self.exists:
            return Stats(0, 0, 0, 0, self.embeddings.name)
        with self._reading() as book:
            kinds = Counter(passage.modality for passage in book.passages().values())
            files = len(book.documents())
        counts = (kinds.total(), kinds["figure"], kinds["screenshot"])
        return Stats(files, *counts, self.embeddings.name)

    @contextmanager
    def _reading(self) -> Iterator[Manifest]:
        """The book, in one state for as long as it is read."""
        with self._mutex:
            if self._book is None:
                self._book = Manifest(self.folder / "library.db", self.embeddings.name)
            with self._book.snapshot():
                yield self._book

    def _current(self) -> HybridIndex:
        """The library in memory, read again where a writer has changed it."""
        with self._mutex:
            dimensions = self.embeddings.dimensions
            with self._reading() as book:
                version = book.version()
                if self._state is not None and self._state[0] == version:
                    return self._state[1]
                passages = book.passages()
                store = open_store(self.folder, dimensions, book.token)
            if store.ids != passages.keys():
                raise LibraryDamaged(
                    f"{self.folder}: passages and vectors do not belong together", "limner doctor"
                )
            self._state = (version, HybridIndex(passages, store))
            return self._state[1]


def _listed(paths: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [paths] if isinstance(paths, str | Path) else list(paths)


def _meant(name: str | Path, documents: Iterable[Document], places: Places) -> list[Path]:
    """The paths that a user's name stands for: itself where the library holds it, or a source's."""
    try:
        path = Path(name).expanduser().resolve()
        held = {*(doc.path for doc in documents), *places.added}
        if any(p.is_relative_to(path) for p in held) or (places.hold(path) and path.exists()):
            return [path]
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL: no path at all
        pass
    return [doc.path for doc in documents if doc.source == str(name)]
