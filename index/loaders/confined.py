"""The limits that a process takes upon itself before it opens untrusted documents.

Memory, core dumps, open files and the size of what is written are the system's to enforce. That
nothing is fetched, started or written elsewhere is refused within Python: a second line of defence
against a parser's features, not against machine code.
"""

from __future__ import annotations

import os
import re
import resource
import sys
import threading
import time
from pathlib import Path

__all__ = ["MEMORY", "Memory", "confine", "memory_for"]

MEMORY = 1_000_000_000
"""Bytes that reading one document may take at the most."""

_SMALLEST_SHARE = 240_000_000
_PER_BYTE = 40  # bytes of memory for each of the file; a tree of HTML takes most of that

_OCR = 1_000_000_000  # bytes more for the engine and what it computes on 4 megapixels
_OPEN_FILES = 256
_LARGEST_WRITE = 1 << 29
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_STATUS = Path("/proc/self/status")
_DATA = re.compile(rb"VmData:\s+(\d+) kB")
_REFUSED = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "pty.")
_CHANGES = frozenset(
    f"os.{name}"
    for name in ("chmod", "chown", "link", "mkdir", "remove", "rename", "rmdir", "symlink")
) | {"os.truncate", "os.utime", "os.setxattr", "os.removexattr", "shutil.rmtree"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def memory_for(path: Path) -> int:
    """Bytes of memory that reading a document may take, by its size; `MEMORY` at the most.

    Of pictures the pixels are limited before they are decoded, whatever their files' size.
    """
    if path.suffix.lower() in _PICTURES:
        return MEMORY
    try:
        return min(_SMALLEST_SHARE + _PER_BYTE * path.stat().st_size, MEMORY)
    except (OSError, ValueError):
        return _SMALLEST_SHARE  # the loader says what is wrong


class Memory:
    """What this process may still take.

    On Linux a limit on its private memory (not on addresses, of which threads and libraries
    reserve far more than they use), so that a parser's own allocation fails. Elsewhere the process
    watches its peak and ends itself with ``EXIT``.
    """

    EXIT = 77

    def __init__(self) -> None:
        self._idle = self._start = _taken()
        self._limit = self._idle + MEMORY
        if not _STATUS.exists():
            threading.Thread(target=self._watch, daemon=True).start()

    def allow(self, share: int) -> None:
        """Allow so many bytes for one more document."""
        self._start = _taken()
        self._set(self._start + share)

    def allow_ocr(self) -> None:
        """Allow for text to be read off a picture, too."""
        self._set(self._start + MEMORY + _OCR)

    def is_high(self) -> bool:
        """Whether more than a document's share is still taken after it."""
        return _taken() > self._idle + MEMORY

    def _set(self, limit: int) -> None:
        self._limit = limit
        if _STATUS.exists():
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    def _watch(self) -> None:
        while _taken() < self._limit:
            time.sleep(0.05)
        os._exit(self.EXIT)


def _taken() -> int:
    """Bytes of private memory on Linux, elsewhere the most that was ever resident."""
    if _STATUS.exists():
        match = _DATA.search(_STATUS.read_bytes())
        return int(match[1]) * 1024 if match else 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def confine(folder: Path) -> None:
    """Take on every other limit, for good; nothing may be written but into ``folder``."""
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, _LARGEST_WRITE),
    ):
        _, hard = resource.getrlimit(kind)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (least, least))
    sys.dont_write_bytecode = True  # parsers are imported when first needed
    places = {os.path.abspath(folder), os.path.realpath(folder)}  # noqa: PTH100
    inside = (*(place + os.sep for place in places), *places, os.devnull)

    def within(path: object) -> bool:
        if isinstance(path, int):  # a file that is open already
            return True
        name = os.path.abspath(os.fsdecode(path))  # type: ignore[arg-type]  # noqa: PTH100
        return name in inside or name.startswith(inside[: len(places)])

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & _WRITES
            if writes and not within(path):
                raise PermissionError(f"a reader of documents may not write {path!r}")
        elif event in _CHANGES:
            names = [a for a in arguments[:2] if isinstance(a, str | bytes | os.PathLike)]
            if not all(map(within, names)):
                raise PermissionError(f"a reader of documents may not change {names!r}")
        elif event.startswith(_REFUSED) or event == "os.system":
            raise PermissionError(f"a reader of documents may not use {event}")

    sys.addaudithook(hook)
