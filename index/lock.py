"""One writer at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LibraryLocked
from .durable import sync_folder, writable

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["locked"]


def locked(folder: Path) -> BaseFileLock:
    """The lock of a library's folder, taken; the folder is made where it is missing.

    The system gives it up when the process ends, however that comes about.

    Raises:
        LibraryLocked: another process, or another thread, is writing.
        LibraryReadOnly: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    with writable(folder):
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:  # else a power cut may take the folder with all that is in it
            sync_folder(path.parent)
        lock = FileLock(folder / "write.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise LibraryLocked(
                f"{folder}: another process is writing to this library",
                "wait for it to end and run the same command again",
            ) from None
        return lock
