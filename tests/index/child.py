"""Run in a process of its own: ``python child.py ACTION LIBRARY [ARGUMENT…]``; prints JSON.

With ``AS_NOBODY`` in the environment it first becomes a user who may write nothing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from limner.errors import LimnerError
from limner.index import library as shelves
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.index.loaders import load
from limner.tools.media import MediaStore


def add(library: Library, *paths: str) -> object:
    return library.add(paths).to_dict()


def add_slowly(library: Library, path: str) -> object:
    """Takes the lock, says so, and is in no hurry."""

    def wait(_: object) -> None:
        print("writing", flush=True)
        time.sleep(60)

    return library.add(path, wait).to_dict()


def add_in_batches(library: Library, folder: str, size: str) -> object:
    """Adds a folder's files a few at a time, so that there are many commits."""
    files = sorted(Path(folder).iterdir())
    for at in range(0, len(files), int(size)):
        library.add(files[at : at + int(size)])
    return len(files)


def add_and_die(library: Library, folder: str, step: str) -> object:
    """Is killed at a step: the n-th time that something is to be flushed, renamed or deleted."""
    left = int(step)

    def mortal(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    os.fsync = mortal(os.fsync)
    Path.replace = mortal(Path.replace)  # type: ignore[method-assign]
    Path.unlink = mortal(Path.unlink)  # type: ignore[method-assign]
    return library.add(folder).to_dict()


def add_when_told(library: Library, folder: str) -> object:
    """Says when it begins, so that it can be killed a while later."""
    import_everything()
    print("ready", flush=True)
    return library.add(folder).to_dict()


def search(library: Library, query: str) -> object:
    return [passage.text for passage in library.search(query)]


def sync(library: Library) -> object:
    return library.sync().to_dict()


class InProcess:
    """Reads documents here."""

    def __init__(self, media_folder: Path) -> None:
        self.media = MediaStore(media_folder)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def prepare(self) -> None:
        pass

    def read(self, paths: Iterable[Path]) -> Iterator[tuple[Path, object]]:
        for path in paths:
            try:
                yield path, load(path, self.media)
            except LimnerError as error:
                yield path, error


def import_everything() -> None:
    """Python's own folder may be closed to the user that this process becomes."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "a.txt").write_text("Something.")
        library = Library.open(Path(name) / "library", HashEmbeddings())
        library.add(Path(name) / "a.txt")
        library.search("something")
        library.close()
        load(Path(name) / "a.txt", library.media)


def main(action: str, folder: str, *arguments: str) -> None:
    if "AS_NOBODY" in os.environ:
        import_everything()
        shelves.Reader = InProcess  # nobody may not be allowed to start Python
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        with Library.open(folder, HashEmbeddings()) as library:
            result = globals()[action](library, *arguments)
    except LimnerError as error:
        result = {"error": type(error).__name__, "message": str(error), "hint": error.hint}
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
