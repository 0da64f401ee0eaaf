"""Values on disk, one a line: appended one by one, each flushed, each with its checksum.

A kill at any instant leaves at most a torn last line, which is passed over. Knows JSON, not what it
stands for.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Journal"]


class Journal:
    """A file of JSON objects.

    Args:
        path: made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Every whole line, in the order written."""
        if self.path.is_file():
            for line in self.path.read_bytes().split(b"\n"):
                checksum, _, text = line.partition(b" ")
                if checksum == _checksum(text):
                    yield json.loads(text)

    @property
    def damaged(self) -> int:
        """How many lines are not as they were to be written: torn, or changed since."""
        if not self.path.is_file():
            return 0
        lines = self.path.read_bytes().split(b"\n")
        parts = (line.partition(b" ") for line in lines if line)
        return sum(checksum != _checksum(text) for checksum, _, text in parts)

    def append(self, values: Mapping[str, Any]) -> None:
        """Write a line; when this returns, it is on the disk.

        Args:
            values: JSON-ready.

        Raises:
            OSError: it cannot be written; lines that were written before stay.
        """
        text = json.dumps(values).encode()
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
