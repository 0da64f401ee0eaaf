"""Which files could not be read, and in which state: so that only news of them is an error.

A note beside the book, not a part of it: one that is missing or damaged makes old failures new
ones, no more. Knows nothing of why a file could not be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from .document import Stamp
from .durable import writable, write_file

__all__ = ["Failures"]


class Failures:
    """The note of a library.

    Args:
        folder: the library's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "failures.json"
        self.stamps = _read(self._path)

    def knows(self, file: str, stamp: Stamp) -> bool:
        """Whether a file failed before, as it is now."""
        return self.stamps.get(file) == stamp

    def write(self, stamps: Mapping[str, Stamp]) -> None:
        """Put these in place of what is noted; with none there is no note.

        Raises:
            LibraryReadOnly: the folder cannot be written.
        """
        if stamps == self.stamps:
            return
        rows = {file: (s.size, s.mtime, s.ctime) for file, s in stamps.items()}
        with writable(self._folder):
            if rows:
                write_file(self._path, json.dumps(rows).encode("ascii"))
            else:
                self._path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Stamp]:
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        rows = json.loads(path.read_bytes())
        return {str(file): Stamp(*map(int, row)) for file, row in rows.items()}
    return {}
