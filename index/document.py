"""Document: a file in the library. Pure values; know no library and no format."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Document", "Stamp"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells an unchanged file without reading it: size and times in nanoseconds."""

    size: int
    mtime: int
    ctime: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file now."""
        return cls.from_stat(path.stat())

    @classmethod
    def from_stat(cls, stat: os.stat_result) -> Stamp:
        """The stamp that the system's words about a file hold."""
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Document:
    """A file in the library.

    Attributes:
        id: 0 before it is written down.
        file: its absolute path, as text: ten thousand paths take a tenth of a second to make.
        source: as passages name it.
        stamp: of the file when it was read.
        sha256: of its bytes; empty where they changed while they were read.
    """

    id: int
    file: str
    source: str
    stamp: Stamp
    sha256: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.file)
