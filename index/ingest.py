"""Compares files with what the library knows of them, reads those that differ, embeds what is new.

Knows which files are new, changed, renamed or gone; nothing of vectors' insides, and of formats
only that a loader may refuse a file. What passes from reading and embedding to writing is a plain
iterator of batches, each a few changed files with the vectors of their new chunks: whoever spreads
reading and embedding over machines gives the same.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import LimnerError, SourceError
from ..tools.ocr import Line
from .chunking import Chunk, chunk
from .document import Document, Stamp
from .embeddings import Embeddings, Vectors
from .failures import Failures
from .files import Found, Places, find, is_gone, source_name
from .loaders.base import Block
from .reading import Reader
from .report import Problem, Progress, Tally
from .writer import Change, Writer

__all__ = ["Batch", "Embed", "bring_in", "embedded", "find_again"]

Embed = Callable[[Sequence[str]], Vectors]
"""Texts become vectors: float32 ``(len(texts), d)``."""

_SLICE = 256  # chunks that are embedded together
_SECONDS = 2.0  # of work that a kill may cost
_MOST = 8192  # chunks that are written together


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written together.

    Attributes:
        changes: of a few files.
        vectors: of their new chunks, in order.
    """

    changes: Sequence[Change]
    vectors: Vectors


def find_again(documents: Iterable[Document], places: Places, avoid: Path) -> Found:
    """Find everything that was ever added.

    A file is held to be deleted only where its folder is still there.

    Args:
        documents: what the library knows.
        places: the folders that belong to it.
        avoid: the library's own folder.
    """
    found = find(sorted(places.added), avoid)
    missed = (doc.path for doc in documents if doc.file not in found.files)
    for path in sorted(path for path in missed if places.added.isdisjoint(path.parents)):
        if not is_gone(path):
            alone = find([path], avoid)
            found.files |= dict.fromkeys(alone.files, path.parent)  # nobody names it now
            found.failed += alone.failed
        elif path.parent.is_dir():
            found.folders.append(path.parent)
        else:
            found.failed.append(Problem(str(path), "its folder is gone; what was known is kept"))
    return found


def embedded(changes: Iterable[Change], embed: Embed) -> Iterator[Batch]:
    """Give changes their vectors, a batch at a time.

    A batch ends after two seconds of work, so that a kill costs no more than that.

    Args:
        changes: as they are read.
        embed: the model.
    """
    waiting: list[Change] = []
    texts: list[str] = []
    vectors: list[Vectors] = []
    count, started = 0, time.monotonic()
    for change in changes:
        waiting.append(change)
        texts += change.texts
        while len(texts) >= _SLICE:
            vectors.append(embed(texts[:_SLICE]))
            texts, count = texts[_SLICE:], count + _SLICE
        if count >= _MOST or time.monotonic() - started > _SECONDS:
            yield _batch(waiting, vectors, texts, embed)
            waiting, texts, vectors = [], [], []
            count, started = 0, time.monotonic()
    if waiting:
        yield _batch(waiting, vectors, texts, embed)


def _batch(
    changes: Sequence[Change], vectors: Sequence[Vectors], texts: Sequence[str], embed: Embed
) -> Batch:
    parts = [*vectors, embed(texts)] if texts or not vectors else vectors
    return Batch(changes, np.concatenate(parts))


def bring_in(
    writer: Writer,
    reader: Reader,
    documents: Sequence[Document],
    found: Found,
    places: Places,
    embeddings: Embeddings,
    embed: Embed,
    on_progress: Callable[[Progress], None] | None,
) -> Tally:
    """Bring the library in step with files, and tell what was done.

    Args:
        writer: of the library.
        reader: of documents, with the library's media folder.
        documents: what the library knows.
        found: the files, and the folders in which a file that is not among them may be gone.
        places: what belongs to the library.
        embeddings: says how long a chunk may be.
        embed: the model.
        on_progress: called when a file is looked at, and when it has been read.
    """
    if places != writer.book.places():
        writer.apply(places=places)
    ingest = _Ingest(writer, documents, found, embeddings, on_progress)
    for batch in embedded(ingest.changes(places, reader), embed):
        ingest.tally.forgotten += writer.apply(batch.changes, batch.vectors)
    gone = ingest.gone()
    if gone:
        ingest.tally.forgotten += writer.apply(removed=gone)
        ingest.tally.removed += [doc.source for doc in gone]
    ingest.note_failures(places)
    return ingest.tally


class _Ingest:
    """One pass over files."""

    def __init__(
        self,
        writer: Writer,
        documents: Sequence[Document],
        found: Found,
        embeddings: Embeddings,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._writer = writer
        self._found = found
        self._embeddings = embeddings
        self._on_progress = on_progress
        self._folders = set(found.folders)
        self._known = {doc.file: doc for doc in documents}
        self._taken = {doc.source for doc in self._known.values()}
        self._gone = {doc.id: doc for doc in self._known.values() if self._is_gone(doc)}
        self._by_content = {doc.sha256: doc for doc in self._gone.values()}
        self._unread: dict[Path, Document] = {}
        self._ready: deque[Change] = deque()
        self._seen = self._passages = 0
        self._failures = Failures(writer.folder)
        self._failed: dict[str, Stamp] = {}
        self.tally = Tally(skipped=[*found.skipped])
        for problem in found.failed:
            self._fail(problem.path, problem.reason)

    def gone(self) -> list[Document]:
        """The files that were deleted and have not turned up under another name."""
        return list(self._gone.values())

    def changes(self, places: Places, reader: Reader) -> Iterator[Change]:
        """Read what is new or changed; a file that cannot be read is counted and left."""
        files = self._wanted(places)
        for path, blocks in reader.read(self._to_read(files)):
            yield from self._drained()
            document = self._unread.pop(path)
            try:
                change = self._read(document, blocks)
            except SourceError as error:
                self._fail(path, _reason(error, path))
            except OSError as error:
                self._fail(path, (error.strerror or str(error)).lower())
            else:
                self._passages += len(change.new)
                yield change
            self._tell(len(files), path)
        yield from self._drained()

    def _wanted(self, places: Places) -> dict[str, Path]:
        """The files that belong: known ones, named ones, and those in folders that belong."""
        return {
            file: root
            for file, root in self._found.files.items()
            if file in self._known or (path := Path(file)) == root or places.hold(path)
        }

    def _to_read(self, files: dict[str, Path]) -> Iterator[Path]:
        """The files whose insides must be looked at; what needs no reading is done on the way."""
        for file, root in files.items():
            self._tell(len(files), file)
            self._seen += 1
            try:
                document = self._looked_at(file, root)
            except OSError as error:
                self._fail(file, (error.strerror or str(error)).lower())
            else:
                if document:
                    path = Path(file)
                    self._unread[path] = document
                    yield path

    def _tell(self, total: int, path: Path | str) -> None:
        if self._on_progress:
            done = self._seen - len(self._unread)
            failed = len(self.tally.failed)
            self._on_progress(Progress(done, total, str(path), self._passages, failed))

    def _drained(self) -> Iterator[Change]:
        while self._ready:
            yield self._ready.popleft()

    def _fail(self, path: Path | str, reason: str) -> None:
        """Count a failure; one in a folder that was there before is passed over."""
        file, before = str(path), False
        with suppress(OSError, ValueError):  # what holds a NUL is no path at all
            stamp = self._failed[file] = Stamp.of(Path(file))
            before = self._failures.knows(file, stamp)
        if before and not self._is_named(file):
            self.tally.skipped.append(Problem(file, f"{reason}, as before"))
        else:
            self.tally.failed.append(Problem(file, reason))

    def _is_named(self, file: str) -> bool:
        """Whether a path was named itself, and not only a folder that it lies in."""
        path = Path(file)
        if file in self._found.files:
            return self._found.files[file] == path
        return self._folders.isdisjoint(path.parents)

    def note_failures(self, places: Places) -> None:
        """Remember what failed, and what failed before and was not looked at now."""
        before = self._failures.stamps.items()
        known = {file: stamp for file, stamp in before if file not in self._found.files}
        self._failures.write(
            {
                file: stamp
                for file, stamp in (known | self._failed).items()
                if (file in self._known or places.hold(Path(file))) and not is_gone(Path(file))
            }
        )

    def _is_gone(self, document: Document) -> bool:
        if document.file in self._found.files:
            return False
        path = document.path
        return not self._folders.isdisjoint(path.parents) and is_gone(path)

    def _looked_at(self, file: str, root: Path) -> Document | None:
        """The entry of a file that must be read, or None where what is known will do."""
        known, stat = self._known.get(file), self._found.stats.get(file)
        stamp = Stamp.from_stat(stat) if stat else Stamp.of(Path(file))
        if known and known.stamp == stamp:
            self.tally.unchanged.append(known.source)
            return None
        path = Path(file)
        sha256 = _sha256(path)
        if known and known.sha256 == sha256:
            self.tally.unchanged.append(known.source)
            self._ready.append(Change(replace(known, stamp=stamp)))
            return None
        if known:
            return replace(known, stamp=stamp, sha256=sha256)
        source = source_name(path, root, self._taken)
        self._taken.add(source)
        moved = self._by_content.pop(sha256, None)
        document = Document(moved.id if moved else 0, file, source, stamp, sha256)
        if moved is None:
            return document
        self.tally.added.append(source)
        self.tally.removed.append(moved.source)
        del self._gone[moved.id]
        self._ready.append(Change(document))
        return None

    def _read(self, document: Document, blocks: list[Block] | LimnerError) -> Change:
        if isinstance(blocks, LimnerError):
            if not document.id:
                self._taken.discard(document.source)
            raise blocks
        path = document.path
        if Stamp.of(path) != document.stamp:  # changed meanwhile: look again next time
            document = replace(document, sha256="")
        embeddings = self._embeddings
        chunks = chunk(blocks, embeddings.max_tokens, embeddings.count_tokens)
        old = self._writer.book.chunks(document.id) if document.id else []
        named = [_findable(c, path) for c in chunks]
        tally = self.tally.changed if document.id else self.tally.added
        tally.append(document.source)
        return Change.between(document, old, named, _screenshot_lines(blocks))


def _findable(c: Chunk, path: Path) -> Chunk:
    """A picture on which nothing was read is found by its file's name."""
    return c if c.searchable.strip() else replace(c, context=path.stem)


def _screenshot_lines(blocks: Iterable[Block]) -> dict[str, list[Line]]:
    lines: dict[str, list[Line]] = {}
    for block in blocks:
        if block.kind == "screenshot" and block.image and block.box:
            lines.setdefault(block.image, []).append(Line(block.text, block.box, 1.0))
    return lines


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _reason(error: SourceError, path: Path) -> str:
    """The message without the path that is printed beside it."""
    message = str(error).removeprefix(str(path)).lstrip(": ").removesuffix(f" in {path}")
    return f"{message}; {error.hint}" if error.hint else message
