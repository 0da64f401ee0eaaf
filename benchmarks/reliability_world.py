"""What the rows of reliability.py do to a library, and the states it may be found in afterwards.

A world is a folder of documents in two versions, a library made of the first, and some operations.
Each operation runs in a forked child, so that hundreds of them cost no start-up. Knows no faults.
"""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import mmap
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from limner.errors import LimnerError
from limner.index import ingest, library, repair, writer
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.index.loaders import load
from limner.tools.media import MediaStore

__all__ = [
    "OPERATIONS",
    "Counting",
    "InProcess",
    "World",
    "forked",
    "read_here",
    "shared_long",
    "state_of",
]

FILES = 10
State = str
"""What a library holds, as a digest of its passages and pictures."""


class Counting(HashEmbeddings):
    """Counts what it embeds in memory that a parent shares."""

    def __init__(self, counter: ctypes.c_long | None = None) -> None:
        super().__init__()
        self._counter = counter

    def encode_document(self, texts: list[str]) -> Any:
        """As the one it is made from."""
        if self._counter is not None:
            self._counter.value += len(texts)
        return super().encode_document(texts)


class InProcess:
    """Reads documents here, so that pictures are written by the process under test."""

    def __init__(self, media_folder: Path) -> None:
        self.media = MediaStore(media_folder)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, paths: Iterable[Path]) -> Iterator[tuple[Path, object]]:
        """The blocks of each, or its error."""
        for path in paths:
            try:
                yield path, list(load(path, self.media))
            except LimnerError as error:
                yield path, error


def read_here() -> None:
    """Documents are read by this process from now on."""
    library.Reader = repair.Reader = InProcess  # type: ignore[misc,assignment]


class World:
    """Documents, a library of their first version, and copies of it to be harmed.

    Args:
        folder: an empty one, made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        _import_everything()
        self.docs = self.folder / "docs"
        self.docs.mkdir(parents=True)
        for n in range(FILES):
            _write_document(self.docs, n, "first")
        self.base = self.folder / "base"
        self.chroma = self.folder / "chroma-base"
        done = forked(lambda: self._build())
        if "state" not in done:
            sys.exit(f"the world could not be made: {done}")
        self._change()
        self._states: dict[str, list[State]] = {}

    def _build(self) -> dict[str, Any]:
        read_here()
        with Library.open(self.base, HashEmbeddings()) as library:
            library.add(self.docs)
        shutil.copytree(self.base, self.chroma)
        Library.migrate(self.chroma, "chroma")
        return {"state": "made"}

    def _change(self) -> None:
        (self.docs / "00.md").unlink()
        (self.docs / "01.md").rename(self.docs / "renamed.md")
        for n in (2, 3, FILES):
            _write_document(self.docs, n, "second")

    def prepare(self, operation: str, name: str = "library") -> Path:
        """A fresh place for an operation: no library yet, or a copy of the first one."""
        place = self.folder / "trial" / name
        shutil.rmtree(place.parent, ignore_errors=True)
        place.parent.mkdir()
        if operation == "migrate back":
            shutil.copytree(self.chroma, place)
        elif operation != "add":
            shutil.copytree(self.base, place)
        return place

    def states(self, operation: str) -> list[State]:
        """Every state that an undisturbed operation commits, with the one before it."""
        if operation not in self._states:
            place = self.prepare(operation)
            before = state_in_child(place)
            done = forked(lambda: self._watched(operation, place))
            if "states" not in done:
                sys.exit(f"{operation} failed undisturbed: {done}")
            self._states[operation] = [before["state"], *done["states"]]
        return self._states[operation]

    def _watched(self, operation: str, place: Path) -> dict[str, Any]:
        states: list[State] = []
        apply = writer.Writer.apply

        def followed(self: Any, *arguments: Any, **named: Any) -> Any:
            result = apply(self, *arguments, **named)
            states.append(state_of(place))
            return result

        writer.Writer.apply = followed  # type: ignore[method-assign]
        self.run(operation, place)
        return {"states": [*states, state_of(place)]}

    def run(
        self,
        operation: str,
        place: Path,
        model: HashEmbeddings | None = None,
        commits: ctypes.c_long | None = None,
    ) -> None:
        """Do it, here; count in ``commits``, where given, what was acknowledged."""
        if commits is not None:
            _count_commits(commits)
        read_here()
        ingest._SECONDS = 0.0  # type: ignore[misc]  # each file a batch of its own
        OPERATIONS[operation](self, place, model or HashEmbeddings())


def _add(world: World, place: Path, model: HashEmbeddings) -> None:
    with Library.open(place, model) as library:
        library.add(world.docs)


def _sync(world: World, place: Path, model: HashEmbeddings) -> None:
    with Library.open(place, model) as library:
        library.sync()


def _remove(world: World, place: Path, model: HashEmbeddings) -> None:
    with Library.open(place, model) as library:
        library.remove([world.docs / "04.md", world.docs / "05.md"])


def _migrate(world: World, place: Path, model: HashEmbeddings) -> None:
    Library.migrate(place, "chroma")


def _migrate_back(world: World, place: Path, model: HashEmbeddings) -> None:
    Library.migrate(place, "faiss")


OPERATIONS: dict[str, Callable[[World, Path, HashEmbeddings], None]] = {
    "add": _add,
    "sync": _sync,
    "remove": _remove,
    "migrate": _migrate,
    "migrate back": _migrate_back,
}


def _count_commits(commits: ctypes.c_long) -> None:
    apply = writer.Writer.apply

    def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        result = apply(self, *arguments, **named)
        commits.value += 1
        return result

    writer.Writer.apply = counted  # type: ignore[method-assign]


def _import_everything() -> None:
    """In the parent, so that no child has to."""
    import bs4  # noqa: F401
    import chromadb  # noqa: F401
    import faiss  # noqa: F401
    import markdown_it  # noqa: F401
    import xxhash  # noqa: F401


def _write_document(folder: Path, n: int, version: str) -> None:
    """Two sections, of which one differs between versions; every third file shows a picture."""
    parts = [f"# Note {n}", f"Note number {n} speaks of word{n} always."]
    parts += [f"# Part {version} of {n}", f"In its {version} version note {n} tells of thing{n}."]
    if n % 3 == 0:
        image = Image.new("RGB", (64, 64), "white")
        pen = ImageDraw.Draw(image)
        pen.rectangle((5, 5, 20 + 3 * n, 40), fill=(20 * n % 256, 90, len(version) * 20))
        (folder / ".pictures").mkdir(exist_ok=True)  # hidden: else each were a screenshot to read
        image.save(folder / ".pictures" / f"{n:02}.png")
        parts.append(f"![Figure {n} {version}](.pictures/{n:02}.png)")
    (folder / f"{n:02}.md").write_text("\n\n".join(parts) + "\n")


def state_of(place: Path) -> State:
    """Read all of a library, compare three ways of reading it, and give a digest of what it holds.

    Raises:
        LibraryError: it cannot be read.
        AssertionError: what it says in one way is not what it says in another.
    """
    if not (place / "library.db").exists():
        return "empty"
    with Library.open(place, HashEmbeddings()) as library:
        with library._states.reading() as book:
            chunks = [
                (document.source, chunk.searchable, chunk.image or "")
                for document in book.documents()
                for _, chunk in book.chunks(document.id)
            ]
        found = {(p.source, p.image or "") for p in library.search("note figure", k=1000)}
        assert found == {(source, image) for source, _, image in chunks}, "search and book differ"
        assert library.stats().passages == len(chunks), "stats and book differ"
        for _, _, image in chunks:
            if image:
                library.media.open(image)
    problems = Library.diagnose(place)
    assert not problems, f"diagnosis: {problems[0].path}: {problems[0].reason}"
    if not chunks:
        return "empty"
    chunks = [(s, t, i) for s, t, i in chunks if not s.endswith(".png")]
    return hashlib.sha256(repr(sorted(chunks)).encode()).hexdigest()[:12]


def state_in_child(place: Path) -> dict[str, Any]:
    """``{"state": …}``, or ``{"error": …}`` where it cannot be read as a whole."""
    return forked(lambda: {"state": state_of(place)})


def shared_long() -> ctypes.c_long:
    """A number that a forked child shares with its parent."""
    return ctypes.c_long.from_buffer(mmap.mmap(-1, ctypes.sizeof(ctypes.c_long)))


def forked(work: Callable[[], dict[str, Any]], seconds: float = 120) -> dict[str, Any]:
    """Run in a forked child and give what it returns; ``status`` is how it ended.

    Raised errors come back as ``error``, ``message`` and, for what is none of ours, ``traceback``.
    """
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        os.close(receive)
        _answer(work, send)
    os.close(send)
    data = b""
    with os.fdopen(receive, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(child, 0)
    answer: dict[str, Any] = json.loads(data) if data else {}
    return answer | {"status": os.waitstatus_to_exitcode(status)}


def _answer(work: Callable[[], dict[str, Any]], send: int) -> None:
    quiet = io.StringIO()
    sys.stdout = sys.stderr = quiet
    try:
        answer = work()
    except LimnerError as error:
        answer = {"error": type(error).__name__, "message": str(error), "hint": error.hint}
    except BaseException as error:
        answer = {"error": type(error).__name__, "message": str(error)}
        answer["traceback"] = traceback.format_exc()
    with suppress(BrokenPipeError):
        os.write(send, json.dumps(answer).encode())
    os._exit(0)
