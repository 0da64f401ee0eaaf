"""Library: add, sync, remove, search. Keeps files, passages and vectors in step.

One writer at a time, any number of readers. A change is prepared in memory, its vectors are
written as a new segment, and then one SQLite transaction makes both it and the texts count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from ..errors import (
    LibraryDamaged,
    LibraryLocked,
    LibraryReadOnly,
    LimnerError,
    SourceError,
)
from ..tools.media import MediaStore
from ..tools.ocr import Line
from .chunking import Chunk, chunk
from .embeddings import Embeddings, find_embeddings
from .files import Found, Problem, find, is_gone, source_name
from .keyword import KeywordIndex, rank_fusion
from .loaders import load
from .loaders.base import Block
from .manifest import Document, Manifest, Stamp
from .passage import Passage
from .vector_stores.base import VectorStore

__all__ = ["Library", "Progress", "Report", "Stats"]

_BATCH = 256  # passages embedded and committed together
_DEPTH = 50  # candidates of each ranking that are fused


@dataclass(frozen=True, slots=True)
class Progress:
    """Where an ``add`` or ``sync`` stands.

    Attributes:
        done: files dealt with.
        total: files in all.
        path: the file at hand.
    """

    done: int
    total: int
    path: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an ``add``, ``sync`` or ``remove`` did, file by file.

    Attributes:
        added: new; a renamed file is added under its new name and removed under its old one.
        changed: read again.
        unchanged: left alone.
        removed: no longer in the library.
        failed: could not be read, and why; what was known of them before is kept.
        skipped: passed over within a folder, and why.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[Problem, ...] = ()
    skipped: tuple[Problem, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {k: list(v) for k, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Stats:
    """What a library holds.

    Attributes:
        files, passages, figures, screenshots: counts; passages count the other two as well.
        embedding_model: its name and revision.
        search: how the vectors are searched.
    """

    files: int
    passages: int
    figures: int
    screenshots: int
    embedding_model: str
    search: str = "FAISS, exact inner product; BM25 beside it"


@dataclass
class _Prepared:
    """A file that was read and waits for its vectors."""

    document: Document
    chunks: list[Chunk]
    lines: dict[str, list[Line]]
    old: list[tuple[int, Chunk]]


@dataclass
class _Loaded:
    """One consistent state of the library in memory."""

    version: int
    passages: dict[int, Passage]
    store: VectorStore
    keywords: KeywordIndex


@dataclass
class _Tally:
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)

    def report(self, skipped: Iterable[Problem] = ()) -> Report:
        lists = (self.added, self.changed, self.unchanged, self.removed, self.failed)
        return Report(*(tuple(items) for items in lists), skipped=tuple(skipped))


class Library:
    """A folder of passages that can be searched. Use `Library.open`; it is a context manager.

    Args:
        folder: the library's own folder.
        embeddings: the model that its vectors come from.
    """

    def __init__(self, folder: Path, embeddings: Embeddings) -> None:
        self.folder = folder
        self.embeddings = embeddings
        self.media = MediaStore(folder / "media")
        self._book: Manifest | None = None
        self._loaded: _Loaded | None = None

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
        """
        named = isinstance(embedding_model, str)
        embeddings = find_embeddings(embedding_model) if named else embedding_model
        library = cls(Path(folder).expanduser(), embeddings)
        if library.exists:
            library._manifest()
        elif library.folder.exists() and not library.folder.is_dir():
            raise LibraryDamaged(f"{library.folder}: a file, not a library", "choose a folder")
        return library

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; the library can be used again afterwards."""
        if self._book is not None:
            self._book.close()
        self._book = self._loaded = None

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
        good ones out.

        Args:
            paths: one or many.
            on_progress: called before each file is read.

        Raises:
            LibraryLocked: another process is writing.
            LibraryReadOnly: the library's folder cannot be written.
        """
        named = [paths] if isinstance(paths, str | Path) else list(paths)
        with self._writing() as book:
            found = find(named, self.folder.resolve())
            excluded = {p for p in book.excluded() if not _named(p, found.roots)}
            with book.transaction():
                book.set_roots([*book.roots(), *found.roots])
                book.set_excluded(excluded)
            return self._bring_in(book, found, excluded, on_progress)

    def sync(self, on_progress: Callable[[Progress], None] | None = None) -> Report:
        """Bring the library in step with every file and folder that was ever added.

        A folder that is gone altogether is reported and its passages are kept: it may be on a
        disk that is not there now.

        Raises:
            LibraryLocked, LibraryReadOnly: as for ``add``.
        """
        if not self.exists:
            return Report()
        with self._writing() as book:
            excluded = book.excluded()
            roots = [root for root in book.roots() if root not in excluded]
            files = {doc.path for doc in book.documents()}
            present = [root for root in roots if not (is_gone(root) and root in files)]
            found = find(present, self.folder.resolve())
            found.roots = roots
            return self._bring_in(book, found, excluded, on_progress)

    def remove(self, paths: str | Path | Sequence[str | Path]) -> Report:
        """Remove files or folders, by path or by the name that passages give as their source.

        Their passages, vectors and pictures are deleted. A file inside a folder that was added
        stays out until it is added by name again.

        Raises:
            LibraryLocked, LibraryReadOnly: as for ``add``.
        """
        named = [paths] if isinstance(paths, str | Path) else list(paths)
        if not self.exists:
            return Report(failed=tuple(Problem(str(p), "not in the library") for p in named))
        with self._writing() as book:
            tally = _Tally()
            gone: dict[int, Document] = {}
            dropped: list[Path] = []
            documents = book.documents()
            for path in named:
                resolved = Path(path).expanduser().resolve()
                matches = [
                    doc for doc in documents if doc.source == str(path) or _named(doc.path, [resolved])
                ]
                if not matches and resolved not in book.roots():
                    tally.failed.append(Problem(str(path), "not in the library"))
                gone |= {doc.id: doc for doc in matches}
                dropped.append(resolved)
            roots = [root for root in book.roots() if not _named(root, dropped)]
            excluded = {doc.path for doc in gone.values() if _named(doc.path, roots)}
            self._delete(book, list(gone.values()), roots, book.excluded() | excluded)
            tally.removed = [doc.source for doc in gone.values()]
            return tally.report()

    def collect(self) -> int:
        """Delete stored pictures that no passage refers to, and say how many there were.

        Raises:
            LibraryLocked, LibraryReadOnly: as for ``add``.
        """
        if not self.exists:
            return 0
        with self._writing() as book:
            strays = set(self.media) - book.images()
            self._free(book, strays)
            return len(strays)

    def search(self, query: str | Sequence[str], k: int = 5) -> tuple[Passage, ...]:
        """The passages that fit a question best, by meaning and by words.

        Dense and keyword rankings are fused by reciprocal rank; several wordings of one question
        are fused likewise.

        Args:
            query: the question, or several wordings of it.
            k: how many passages at most.

        Returns:
            Best first, each with a ``score`` in 0..1 (1: first in every ranking).
        """
        queries = [query] if isinstance(query, str) else list(query)
        queries = [q for q in queries if q.strip()]
        if not queries or not self.exists or k < 1:
            return ()
        loaded = self._current()
        if not loaded.passages:
            return ()
        _, ids = loaded.store.search(self.embeddings.encode_query(queries), _DEPTH)
        rankings = [row.tolist() for row in ids]
        rankings += [[key for key, _ in loaded.keywords.search(q, _DEPTH)] for q in queries]
        fused = rank_fusion(rankings)
        best = len(rankings) / 61
        found = [(loaded.passages[key], s / best) for key, s in list(fused.items())[:k]]
        return tuple(passage.with_score(round(score, 4)) for passage, score in found)

    def idf(self, word: str) -> float:
        """How rare a word is in the library; see `KeywordIndex.idf`."""
        return self._current().keywords.idf(word) if self.exists else 0.0

    def images(self) -> set[str]:
        """The media references of every picture in the library."""
        return self._manifest().images() if self.exists else set()

    def lines(self, image: str) -> tuple[Line, ...]:
        """What was read off a screenshot of the library, row by row, with boxes in its pixels."""
        return (self._manifest().lines(image) or ()) if self.exists else ()

    def sources(self) -> dict[str, int]:
        """Every file in the library and how many passages it gave."""
        if not self.exists:
            return {}
        counts = {doc.source: 0 for doc in self._manifest().documents()}
        for passage in self._manifest().passages().values():
            counts[passage.source] += 1
        return counts

    def stats(self) -> Stats:
        """What the library holds."""
        passages = list(self._manifest().passages().values()) if self.exists else []
        return Stats(
            files=len(self._manifest().documents()) if self.exists else 0,
            passages=len(passages),
            figures=sum(p.modality == "figure" for p in passages),
            screenshots=sum(p.modality == "screenshot" for p in passages),
            embedding_model=self.embeddings.name,
        )

    # ── bringing files in ────────────────────────────────────────────────────────────────────

    def _bring_in(
        self,
        book: Manifest,
        found: Found,
        excluded: set[Path],
        on_progress: Callable[[Progress], None] | None,
    ) -> Report:
        tally = _Tally(failed=list(found.failed))
        documents = {doc.path: doc for doc in book.documents()}
        gone = [
            doc
            for doc in documents.values()
            if _named(doc.path, found.roots) and doc.path not in found.files and is_gone(doc.path)
        ]
        files = {path: root for path, root in found.files.items() if path not in excluded}
        prepared = self._read(book, files, documents, gone, tally, on_progress)
        for batch in _batches(prepared):
            self._commit(book, batch)
        self._delete(book, gone, book.roots(), excluded)
        tally.removed += [doc.source for doc in gone]
        return tally.report(found.skipped)

    def _read(
        self,
        book: Manifest,
        files: dict[Path, Path],
        documents: dict[Path, Document],
        gone: list[Document],
        tally: _Tally,
        on_progress: Callable[[Progress], None] | None,
    ) -> Iterator[_Prepared]:
        """Read what is new or changed; settle renames and touches on the way."""
        taken = {doc.source for doc in documents.values()}
        for done, (path, root) in enumerate(files.items()):
            if on_progress:
                on_progress(Progress(done, len(files), str(path)))
            known = documents.get(path)
            try:
                stamp = Stamp.of(path)
                if known and known.stamp == stamp:
                    tally.unchanged.append(known.source)
                    continue
                sha256 = _sha256(path)
                if known and known.sha256 == sha256:
                    self._restamp(book, replace(known, stamp=stamp))
                    tally.unchanged.append(known.source)
                    continue
                source = known.source if known else source_name(path, root, taken)
                taken.add(source)
                moved = next((d for d in gone if d.sha256 == sha256), None) if not known else None
                if moved:
                    gone.remove(moved)
                    self._restamp(book, Document(moved.id, path, source, stamp, sha256))
                    tally.added.append(source)
                    tally.removed.append(moved.source)
                    continue
                document = Document(known.id if known else 0, path, source, stamp, sha256)
                yield self._prepare(book, document)
                (tally.changed if known else tally.added).append(source)
            except SourceError as error:
                tally.failed.append(Problem(str(path), _reason(error, path)))
            except OSError as error:
                tally.failed.append(Problem(str(path), (error.strerror or str(error)).lower()))

    def _prepare(self, book: Manifest, document: Document) -> _Prepared:
        blocks = load(document.path, self.media)
        chunks = chunk(blocks, self.embeddings.max_tokens, self.embeddings.count_tokens)
        named = [
            c if c.searchable.strip() else replace(c, context=Path(document.source).stem)
            for c in chunks
        ]
        old = book.chunks(document.id) if document.id else []
        return _Prepared(document, named, _screenshot_lines(blocks), old)

    def _commit(self, book: Manifest, batch: list[_Prepared]) -> None:
        """Make a batch of files count: vectors first, then texts and vectors' token together."""
        loaded = self._current()
        matches = [_match(item.old, item.chunks) for item in batch]
        texts = [c.searchable for new, _, _ in matches for _, c in new]
        vectors = self.embeddings.encode_document(texts)
        freed: set[str] = set()
        with self._all_or_nothing(), book.transaction():
            at = 0
            for item, (new, kept, stale) in zip(batch, matches, strict=True):
                document = book.put_document(item.document)
                book.delete_chunks(stale)
                for key, ordinal, c in kept:
                    book.update_chunk(key, document, ordinal, c)
                keys = book.insert_chunks(document, new)
                loaded.store.remove(stale)
                loaded.store.add(keys, vectors[at : at + len(keys)])
                at += len(keys)
                freed |= {c.image for _, c in item.old if c.image}
                for image, lines in item.lines.items():
                    book.put_lines(image, lines)
            book.set_token(loaded.store.commit())
        loaded.store.sweep()
        self._loaded = None
        self._free(book, freed)

    def _delete(
        self, book: Manifest, gone: list[Document], roots: list[Path], excluded: set[Path]
    ) -> None:
        if not gone and set(roots) == set(book.roots()) and excluded == book.excluded():
            return
        loaded = self._current()
        chunks = [pair for doc in gone for pair in book.chunks(doc.id)]
        with self._all_or_nothing(), book.transaction():
            book.set_roots(roots)
            book.set_excluded(excluded)
            book.delete_documents(doc.id for doc in gone)
            loaded.store.remove([key for key, _ in chunks])
            book.set_token(loaded.store.commit())
        loaded.store.sweep()
        self._loaded = None
        self._free(book, {c.image for _, c in chunks if c.image})

    def _free(self, book: Manifest, candidates: set[str]) -> None:
        """Delete pictures that no passage refers to any more."""
        unused = candidates - book.images() if candidates else set()
        if unused:
            with book.transaction():
                book.delete_lines(unused)
            for reference in unused:
                self.media.remove(reference)

    def _restamp(self, book: Manifest, document: Document) -> None:
        with book.transaction():
            book.put_document(document)
        self._loaded = None

    # ── state ────────────────────────────────────────────────────────────────────────────────

    def _manifest(self) -> Manifest:
        if self._book is None:
            self._book = Manifest(self.folder / "library.db", self.embeddings.name)
        return self._book

    def _current(self) -> _Loaded:
        """The library in memory, read again where another process has changed it."""
        book = self._manifest()
        if self._loaded is not None and self._loaded.version == book.version():
            return self._loaded
        for attempt in range(5):
            with book.snapshot():
                version, token, passages = book.version(), book.token, book.passages()
            try:
                store = self._store(token)
            except FileNotFoundError:  # a writer has just replaced that state
                if attempt == 4:
                    raise LibraryDamaged(
                        f"{self.folder}: vectors are missing", "limner doctor"
                    ) from None
                continue
            texts = {key: p.searchable for key, p in passages.items()}
            self._loaded = _Loaded(version, passages, store, KeywordIndex(texts))
            break
        assert self._loaded is not None
        return self._loaded

    def _store(self, token: str) -> VectorStore:
        from .vector_stores.faiss import FaissStore

        return FaissStore(self.folder / "vectors", self.embeddings.dimensions, token)

    @contextmanager
    def _writing(self) -> Iterator[Manifest]:
        """The one writer; refuses at once where another holds the lock."""
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "write.lock", timeout=0)
            lock.acquire()
        except Timeout:
            raise LibraryLocked(
                f"{self.folder}: another process is writing to this library",
                "wait for it to end and run the same command again",
            ) from None
        except OSError as error:
            raise LibraryReadOnly(
                f"{self.folder}: cannot be written ({(error.strerror or str(error)).lower()})",
                "choose another place with --library",
            ) from None
        try:
            yield self._manifest()
        finally:
            lock.release()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Memory follows the disk: what failed to be written is forgotten."""
        try:
            yield
        except BaseException as error:
            self._loaded = None
            if isinstance(error, OSError) and not isinstance(error, LimnerError):
                raise LibraryReadOnly(
                    f"{self.folder}: cannot be written ({(error.strerror or str(error)).lower()})",
                    "make room or choose another place, then run the same command again",
                ) from None
            raise


def _named(path: Path, roots: Iterable[Path]) -> bool:
    return any(path == root or root in path.parents for root in roots)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _reason(error: SourceError, path: Path) -> str:
    """The message without the path that is printed beside it."""
    message = str(error).removeprefix(f"{path}: ")
    return f"{message}; {error.hint}" if error.hint else message


def _screenshot_lines(blocks: Iterable[Block]) -> dict[str, list[Line]]:
    lines: dict[str, list[Line]] = {}
    for block in blocks:
        if block.kind == "screenshot" and block.image and block.box:
            lines.setdefault(block.image, []).append(Line(block.text, block.box, 1.0))
    return lines


def _batches(prepared: Iterable[_Prepared]) -> Iterator[list[_Prepared]]:
    batch: list[_Prepared] = []
    for item in prepared:
        batch.append(item)
        if sum(len(p.chunks) for p in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


_Matches = tuple[list[tuple[int, Chunk]], list[tuple[int, int, Chunk]], list[int]]


def _match(old: list[tuple[int, Chunk]], chunks: list[Chunk]) -> _Matches:
    """Which chunks are new ``(ordinal, chunk)``, kept ``(key, ordinal, chunk)``, or stale keys.

    A chunk whose words were there before keeps its key and its vector.
    """
    keys: dict[str, list[int]] = {}
    for key, c in old:
        keys.setdefault(c.searchable, []).append(key)
    new, kept = [], []
    for ordinal, c in enumerate(chunks):
        if keys.get(c.searchable):
            kept.append((keys[c.searchable].pop(0), ordinal, c))
        else:
            new.append((ordinal, c))
    return new, kept, [key for rest in keys.values() for key in rest]
