"""Library: add, sync, remove, search. A folder of passages, and what it looks like from outside.

One writer at a time, any number of readers, each with a connection of its own: a reader keeps one
consistent state open and takes a new one when the book on the disk has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..errors import LibraryDamaged, LibraryError, UserError
from ..tools.media import MediaStore
from ..tools.ocr import Line
from .diagnosis import diagnose
from .document import Document
from .embedder import Embedder
from .embedding_cache import EmbeddingCache
from .embeddings import Embeddings, find_embeddings
from .files import Found, Places, find
from .filters import Filter
from .hybrid import HybridIndex
from .ingest import Batch, bring_in, find_again
from .manifest import Manifest
from .migration import Migration, move
from .passage import Passage
from .reading import Reader
from .removing import take_out
from .repair import Repair, repair
from .report import Problem, Progress, Report, Stats, Tally
from .reranking import Reranker, find_reranker
from .searching import Explanation, explained, searched, windows
from .segments import Keys
from .states import States
from .upgrade import is_old, upgrade
from .vector_stores import StoreChoice
from .writer import Writer

if TYPE_CHECKING:
    from .retriever import LibraryRetriever

__all__ = ["Batch", "Explanation", "Filter", "Library", "Progress", "Report", "Stats"]

_MANY = 1_000  # files, among which one that must be read is likely


class Library:
    """A folder of passages that can be searched. Use `Library.open`; it is a context manager.

    Threads may share it.

    Args:
        folder: the library's own folder.
        embeddings: the model that its vectors come from.
        reranker: reads the best passages of a search once more; None leaves them as they are.
        cache: where vectors of texts that were embedded before are kept; None for nowhere.
    """

    def __init__(
        self,
        folder: Path,
        embeddings: Embeddings,
        reranker: Reranker | None = None,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.folder = folder
        self.embeddings = embeddings
        self.reranker = reranker
        self.media = MediaStore(folder / "media")
        self._embedder = Embedder(embeddings, cache, folder)
        self._states = States(folder, embeddings)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        embedding_model: str | Embeddings = "embedded",
        reranker: str | Reranker | None = None,
    ) -> Self:
        """Open a library, new or old. Nothing is loaded until needed.

        Nothing is written either, unless the library was made by an older version: then it is
        brought to this one's format.

        Args:
            folder: its place; created by the first ``add``.
            embedding_model: a name as for `limner.index.embeddings.find_embeddings`, whose vectors
                are cached for all libraries, or an object with the methods of `Embeddings`.
            reranker: a folder, or an object with the methods of `Reranker`.

        Raises:
            LibraryMismatch: made by another embedding model or a newer version.
            LibraryDamaged: there is something else, or it was damaged.
            LibraryError: the place cannot be looked at.
        """
        try:
            place = Path(folder).expanduser()
            library = cls._made(place, embedding_model, reranker)
            if place.resolve().exists() and not place.is_dir():
                raise LibraryDamaged(f"{place}: a file, not a library", "choose a folder")
            if library.exists:
                if is_old(place):
                    upgrade(place)
                with library._states.reading():
                    pass
            elif any((place / name).exists() for name in ("vectors", "words", "library.newest")):
                raise LibraryDamaged(f"{place}: library.db is missing", "limner doctor --repair")
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(getattr(error, "strerror", None) or error).lower()
            raise LibraryError(
                f"{str(folder)!r}: cannot be opened ({reason})", "choose another --library"
            ) from None
        return library

    @classmethod
    def _made(
        cls, place: Path, model: str | Embeddings, reranker: str | Reranker | None = None
    ) -> Self:
        cache = EmbeddingCache.default() if isinstance(model, str) else None
        embeddings = find_embeddings(model) if isinstance(model, str) else model
        if isinstance(reranker, str):
            reranker = find_reranker(reranker)
        return cls(place, embeddings, reranker, cache)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; the library can be used again afterwards."""
        self._states.close()

    @property
    def exists(self) -> bool:
        """Whether anything was ever added."""
        return (self.folder / "library.db").is_file()

    # ── changing it ──────────────────────────────────────────────────────────────────────────

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
            on_progress: called when a file is looked at, and when it has been read.

        Raises:
            LibraryLocked: another process is writing.
            LibraryReadOnly: the library's folder cannot be written.
            LibraryUnreachable: the server that holds its vectors does not answer.
        """
        found = find(_listed(paths), self.folder.resolve())
        with self._writer() as writer, Reader(self.media.folder) as reader:
            named = [root for file, root in found.files.items() if file == str(root)]
            places = writer.book.places().add(found.folders, named)
            return self._bring_in(
                writer, reader, writer.book.documents(), found, places, on_progress
            )

    def sync(self, on_progress: Callable[[Progress], None] | None = None) -> Report:
        """Bring the library in step with every file and folder that was ever added.

        A folder that is gone altogether is reported and its passages are kept: it may be on a
        disk that is not there now.

        Raises:
            LibraryLocked, LibraryReadOnly, LibraryUnreachable: as for ``add``.
        """
        if not self.exists:
            return Report()
        with self._writer() as writer, Reader(self.media.folder) as reader:
            documents, places = writer.book.documents(), writer.book.places()
            if len(documents) > _MANY:
                reader.prepare()
            found = find_again(documents, places, self.folder.resolve())
            return self._bring_in(writer, reader, documents, found, places, on_progress)

    def write(self, batches: Iterable[Batch]) -> int:
        """Write passages that were read and embedded elsewhere, batch by batch.

        Each batch is durable before the next is asked for. This is where an engine that spreads
        reading and embedding over many processes hands over its work.

        Args:
            batches: changed files with the vectors of their new chunks.

        Returns:
            How many passages were written.

        Raises:
            LibraryLocked, LibraryReadOnly, LibraryUnreachable: as for ``add``.
            DeveloperError: vectors of another shape, or not finite.
        """
        written = 0
        with self._writer() as writer:
            for batch in batches:
                writer.apply(batch.changes, batch.vectors)
                written += len(batch.vectors)
        return written

    def remove(self, paths: str | Path | Sequence[str | Path]) -> Report:
        """Remove files or folders, by path or by the name that passages give as their source.

        Their passages, vectors and pictures are deleted, on the disk too. What lies inside a
        folder that was added stays out until it is added by name again.

        Raises:
            LibraryLocked, LibraryReadOnly, LibraryUnreachable: as for ``add``.
        """
        if not self.exists:
            return Report(
                failed=tuple(Problem(str(n), "not in the library") for n in _listed(paths))
            )
        with self._writer() as writer:
            return self._forgetting(take_out(writer, _listed(paths)))

    def collect(self) -> int:
        """Delete stored pictures that no passage refers to, and say how many there were.

        Vectors and words of what a ``sync`` removed are taken off the disk too.

        Raises:
            LibraryLocked, LibraryReadOnly, LibraryUnreachable: as for ``add``.
        """
        if not self.exists:
            return 0
        with self._writer() as writer:
            writer.apply(compact=True)
            return writer.collect()

    @classmethod
    def diagnose(cls, folder: str | Path) -> tuple[Problem, ...]:
        """Read all of a library and name what is damaged; nothing is changed, no model is needed.

        Args:
            folder: the library's.

        Raises:
            LibraryMismatch: made by another version.
            LibraryUnreachable: the server that holds its vectors does not answer.
        """
        return tuple(diagnose(Path(folder).expanduser()).problems)

    @classmethod
    def repair(
        cls,
        folder: str | Path,
        embedding_model: str | Embeddings = "embedded",
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Repair:
        """Rebuild what is damaged from the sources; what is sound is kept.

        Args:
            folder: the library's, which may be too damaged to be opened.
            embedding_model: as for ``open``; the one that it was made with.
            on_progress: called before each file and each batch of vectors.

        Raises:
            UserError: no library here.
            LibraryMismatch: made with another embedding model or by a newer version.
            LibraryLocked, LibraryReadOnly, LibraryUnreachable: as for ``add``.
        """
        library = cls._made(Path(folder).expanduser(), embedding_model)
        done = repair(library.folder, library.embeddings, library._embedder.passages, on_progress)
        library._embedder.forget(done.forgotten)
        return done

    @classmethod
    def migrate(
        cls,
        folder: str | Path,
        store: str = "",
        embedding_model: str | Embeddings = "",
        on_progress: Callable[[Migration], None] | None = None,
    ) -> None:
        """Move a library to another vector store, to another embedding model, or both.

        Until it ends the library is as it was; a move that is stopped leaves it so.

        Args:
            folder: the library's.
            store: ``faiss``, ``chroma``, or the address of a Chroma server; empty to stay.
            embedding_model: as for ``open``; empty to stay, and vectors are copied. Else every
                text is embedded anew, but for those whose vectors are in the cache.
            on_progress: called after each batch.

        Raises:
            UserError: no store of that name, or no library here.
            LibraryLocked, LibraryReadOnly, LibraryUnreachable: as for ``add``.
        """
        place = Path(folder).expanduser()
        if not (place / "library.db").is_file():
            raise UserError(f"{place}: no library here yet", "limner add PATH")
        if is_old(place):
            upgrade(place)
        choice = StoreChoice.named(store) if store else None
        if not embedding_model:
            with Writer(place, None) as writer:
                move(writer, choice, on_progress)
            return
        target = cls._made(place, embedding_model)
        with Writer(place, None) as writer:
            move(writer, choice, on_progress, target.embeddings.name, target._embedder.passages)

    # ── searching it ─────────────────────────────────────────────────────────────────────────

    def search(
        self, query: str | Sequence[str], k: int = 5, where: Filter | None = None
    ) -> tuple[Passage, ...]:
        """The passages that fit a question best, by meaning and by words.

        Of several wordings of one question the one that fits a passage best counts. Of passages
        that say the same the best stands for all.

        Args:
            query: the question, or several wordings of it. One that is longer than the embedding
                model reads is searched by its parts.
            k: how many passages at most.
            where: only passages that meet these conditions.

        Returns:
            Best first, each with its ``score``: that of `limner.index.hybrid.Match`, or the
            reranker's.

        Raises:
            UserError: no passage meets the conditions.
            QuestionError: far longer than the model reads.
            LibraryDamaged: something read back does not match its checksum.
            LibraryUnreachable: the server that holds the vectors does not answer.
        """
        return tuple(e.passage for e in self._search(query, k, where)[0])

    def why(
        self, query: str | Sequence[str], k: int = 5, where: Filter | None = None
    ) -> tuple[Explanation, ...]:
        """The same search with the reasons: each score's parts, word by word.

        Args, raises: as for ``search``.
        """
        found, index = self._search(query, k, where)
        return tuple(explained(index, found)) if index else ()

    def neighbours(self, passage: Passage | str, reach: int = 1) -> tuple[Passage, ...]:
        """A passage with those before and after it in its file, in reading order.

        Args:
            passage: or its id.
            reach: how many on each side.

        Raises:
            UserError: the library holds no such passage.
        """
        identity = passage if isinstance(passage, str) else passage.id
        if self.exists and identity.isdecimal():
            with self._states.reading() as book:
                if found := book.around(int(identity), max(reach, 0)):
                    return tuple(found)
        raise UserError(f"no passage {identity!r} in {self.folder}", "search again")

    def as_retriever(self, k: int = 5, where: Filter | None = None) -> LibraryRetriever:
        """The library as a LangChain retriever.

        Args:
            k: how many passages a question brings.
            where: as for ``search``.
        """
        from .retriever import LibraryRetriever

        return LibraryRetriever(library=self, k=k, where=where)

    def knows(self, stem: str) -> bool:
        """Whether any passage holds a word of that stem (see `limner.tools.sentences.stems`)."""
        if not self.exists:
            return False
        with self._states.reading() as book:
            return stem in self._states.index(book).keywords

    # ── looking at it ────────────────────────────────────────────────────────────────────────

    def images(self) -> set[str]:
        """The media references of every picture in the library."""
        if not self.exists:
            return set()
        with self._states.reading() as book:
            return book.images()

    def lines(self, image: str) -> tuple[Line, ...]:
        """What was read off a screenshot of the library, row by row, with boxes in its pixels."""
        if not self.exists:
            return ()
        with self._states.reading() as book:
            return book.lines(image)

    def sources(self) -> dict[str, int]:
        """Every file in the library and how many passages it gave."""
        if not self.exists:
            return {}
        with self._states.reading() as book:
            counts = book.counts()
            return {doc.source: counts.get(doc.id, 0) for doc in book.documents()}

    def watched(self) -> tuple[Path, ...]:
        """The folders and the single files that ``sync`` looks at."""
        if not self.exists:
            return ()
        with self._states.reading() as book:
            folders = book.places().added
            paths = {doc.path for doc in book.documents()}
        alone = (path for path in paths if folders.isdisjoint(path.parents))
        return tuple(sorted(folders.union(alone)))

    def stats(self) -> Stats:
        """What the library holds."""
        if not self.exists:
            return Stats(0, 0, 0, 0, self.embeddings.name)
        with self._states.reading() as book:
            kinds, files = Counter(book.kinds()), len(book.documents())
            search = self._states.index(book).store.summary if kinds else ""
        counts = (kinds.total(), kinds["figure"], kinds["screenshot"])
        return Stats(files, *counts, self.embeddings.name, search)

    # ── what the methods share ───────────────────────────────────────────────────────────────

    def _search(
        self, query: str | Sequence[str], k: int, where: Filter | None
    ) -> tuple[list[Explanation], HybridIndex | None]:
        queries = [query] if isinstance(query, str) else list(query)
        queries = [q for q in queries if q.strip()]
        if not queries or not self.exists or k < 1:
            return [], None
        parts = windows(queries, self.embeddings)
        vectors = self._embedder.questions(parts)
        with self._states.reading() as book:
            index = self._states.index(book)
            among = _admitted(book, where)
            return searched(index, book, parts, vectors, k, among, self.reranker), index

    def _writer(self) -> Writer:
        return Writer(self.folder, self.embeddings.name)

    def _bring_in(
        self,
        writer: Writer,
        reader: Reader,
        documents: Sequence[Document],
        found: Found,
        places: Places,
        on_progress: Callable[[Progress], None] | None,
    ) -> Report:
        models = self.embeddings, self._embedder.passages
        return self._forgetting(
            bring_in(writer, reader, documents, found, places, *models, on_progress)
        )

    def _forgetting(self, tally: Tally) -> Report:
        self._embedder.forget(tally.forgotten)
        return tally.report()


def _admitted(book: Manifest, where: Filter | None) -> Keys | None:
    if not where:
        return None
    among = book.keys(where)
    if not len(among):
        raise UserError(f"no passage fits the filter ({where})", "limner ls")
    return among


def _listed(paths: str | Path | Sequence[str | Path]) -> list[str | Path]:
    return [paths] if isinstance(paths, str | Path) else list(paths)
