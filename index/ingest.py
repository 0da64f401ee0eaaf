"""Compares files with what the library knows of them, and reads those that differ.

Knows which files are new, changed, renamed or gone; nothing of vectors, and of formats only that a
loader may refuse a file.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import SourceError
from ..tools.ocr import Line
from .chunking import Chunk, chunk
from .durable import writable
from .files import Found, Places, find, is_gone, source_name
from .loaders import load
from .loaders.base import Block
from .manifest import Document, Manifest, Stamp
from .report import Problem, Progress, Report, Tally
from .writer import Change, Writer

__all__ = ["bring_in", "find_again"]

_BATCH = 256  # passages embedded and written together
_FILES = 32  # files written together, so that little is lost where reading each is slow
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def find_again(book: Manifest, avoid: Path) -> Found:
    """Find everything that was ever added.

    A file is held to be deleted only where its folder is still there.
    """
    folders = book.places().added
    paths = [doc.path for doc in book.documents()]
    alone = [path for path in paths if folders.isdisjoint(path.parents)]
    gone = {path for path in alone if is_gone(path)}
    found = find([*sorted(folders), *(path for path in alone if path not in gone)], avoid)
    for path in sorted(gone):
        if path.parent.is_dir():
            found.folders.append(path.parent)
        else:
            found.failed.append(Problem(str(path), "its folder is gone; what was known is kept"))
    return found


def bring_in(
    writer: Writer, found: Found, places: Places, on_progress: Callable[[Progress], None] | None
) -> Report:
    """Bring the library in step with files.

    Args:
        writer: of the library.
        found: the files, and the folders in which a file that is not among them may be gone.
        places: what belongs to the library.
        on_progress: called before each file is looked at.
    """
    if places != writer.book.places():
        writer.apply(places=places)
    ingest = _Ingest(writer, found)
    files = ingest.wanted(places)
    for batch in _batches(ingest.changes(files, on_progress)):
        writer.apply(batch)
    gone = ingest.gone()
    if gone:
        writer.apply(removed=gone)
        ingest.tally.removed += [doc.source for doc in gone]
    return ingest.tally.report()


class _Ingest:
    """One pass over files."""

    def __init__(self, writer: Writer, found: Found) -> None:
        self._writer = writer
        self._found = found
        self._folders = set(found.folders)
        self._known = {doc.path: doc for doc in writer.book.documents()}
        self._taken = {doc.source for doc in self._known.values()}
        self._gone = {doc.id: doc for doc in self._known.values() if self._is_gone(doc)}
        self._by_content = {doc.sha256: doc for doc in self._gone.values()}
        self.tally = Tally(failed=[*found.failed], skipped=[*found.skipped])

    def wanted(self, places: Places) -> dict[Path, Path]:
        """The files that belong: known ones, named ones, and those in folders that belong."""
        return {
            path: root
            for path, root in self._found.files.items()
            if path in self._known or path == root or places.hold(path)
        }

    def gone(self) -> list[Document]:
        """The files that were deleted and have not turned up under another name."""
        return list(self._gone.values())

    def changes(
        self, files: dict[Path, Path], on_progress: Callable[[Progress], None] | None
    ) -> Iterator[Change]:
        """Read what is new or changed; a file that cannot be read is counted and left."""
        for done, (path, root) in enumerate(files.items()):
            if on_progress:
                on_progress(Progress(done, len(files), str(path)))
            try:
                change = self._change(path, root)
            except SourceError as error:
                self._refuse_if_full(error.__cause__)
                self.tally.failed.append(Problem(str(path), _reason(error, path)))
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                self.tally.failed.append(Problem(str(path), reason))
            else:
                if change:
                    yield change

    def _is_gone(self, document: Document) -> bool:
        path = document.path
        within = not self._folders.isdisjoint(path.parents)
        return within and path not in self._found.files and is_gone(path)

    def _change(self, path: Path, root: Path) -> Change | None:
        known, stamp = self._known.get(path), Stamp.of(path)
        if known and known.stamp == stamp:
            self.tally.unchanged.append(known.source)
            return None
        sha256 = _sha256(path)
        if known and known.sha256 == sha256:
            self.tally.unchanged.append(known.source)
            return Change(replace(known, stamp=stamp))
        if known:
            change = self._read(replace(known, stamp=stamp, sha256=sha256))
            self.tally.changed.append(known.source)
            return change
        source = source_name(path, root, self._taken)
        moved = self._by_content.pop(sha256, None)
        document = Document(moved.id if moved else 0, path, source, stamp, sha256)
        change = Change(document) if moved else self._read(document)
        self._taken.add(source)
        self.tally.added.append(source)
        if moved:
            del self._gone[moved.id]
            self.tally.removed.append(moved.source)
        return change

    def _read(self, document: Document) -> Change:
        path, embeddings = document.path, self._writer.embeddings
        blocks = load(path, self._writer.media)
        if Stamp.of(path) != document.stamp:  # changed while it was read: look again next time
            document = replace(document, sha256="")
        chunks = chunk(blocks, embeddings.max_tokens, embeddings.count_tokens)
        old = self._writer.book.chunks(document.id) if document.id else []
        named = [_findable(c, path) for c in chunks]
        return Change.between(document, old, named, _screenshot_lines(blocks))

    def _refuse_if_full(self, cause: BaseException | None) -> None:
        """A loader that has no room for a picture is not at fault, nor is its file."""
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            with writable(self._writer.folder):
                raise cause


def _batches(changes: Iterable[Change]) -> Iterator[Sequence[Change]]:
    batch: list[Change] = []
    for change in changes:
        batch.append(change)
        if len(batch) >= _FILES or sum(len(c.new) for c in batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


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
