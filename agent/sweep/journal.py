"""The rows of a sweep on disk: appended one by one, each flushed, each with its checksum.

A kill at any instant leaves at most a torn last line, which is passed over. Knows rows, draws
nothing.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["Journal", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one picture.

    Attributes:
        key: which picture: see `cache.key_of`.
        failed: why there is none; empty where there is one.
        file: of the picture, relative to the sweep's folder.
        digest: SHA-256 of the file.
        width: in pixels.
        height: in pixels.
        steps: as asked for.
        guidance: scale.
        scheduler: by name.
        model: its name.
        revision: which weights.
        device: that drew it.
        checked: a safety checker has looked at it.
        seconds: of drawing, without loading.
        before: it was drawn before this sweep; then ``seconds`` are of that time.
        peak_memory: bytes, of the GPU's memory or the process's; None where it was not measured.
        sharpness: variance of the Laplacian of the grey picture.
        agreement: with the prompt, cosine −1 to 1; None without a scorer.
    """

    key: str
    failed: str = ""
    file: str = ""
    digest: str = ""
    width: int = 0
    height: int = 0
    steps: int = 0
    guidance: float = 0.0
    scheduler: str = ""
    model: str = ""
    revision: str = ""
    device: str = ""
    checked: bool = False
    seconds: float = 0.0
    before: bool = False
    peak_memory: int | None = None
    sharpness: float = 0.0
    agreement: float | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``asdict``; what is not known is passed over."""
        return cls(**{k: v for k, v in values.items() if k in cls.__slots__})


class Journal:
    """The file of a sweep's rows.

    Args:
        path: made with the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> dict[str, Row]:
        """Every whole row by its key; of several the last."""
        found: dict[str, Row] = {}
        if self.path.is_file():
            for line in self.path.read_bytes().split(b"\n"):
                checksum, _, text = line.partition(b" ")
                if checksum == _checksum(text):
                    row = Row.from_dict(json.loads(text))
                    found[row.key] = row
        return found

    def append(self, row: Row) -> None:
        """Write a row; when this returns, it is on the disk.

        Raises:
            OSError: it cannot be written; rows that were written before stay.
        """
        text = json.dumps(asdict(row)).encode()
        line = _checksum(text) + b" " + text + b"\n"
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = b"\n" + line  # behind one that was torn
            while line:
                line = line[os.write(handle, line) :]
            os.fsync(handle)
        finally:
            os.close(handle)


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)
