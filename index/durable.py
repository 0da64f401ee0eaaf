"""Files that are there whole or not at all, and the disk's errors as ours. Knows no formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import LibraryReadOnly

__all__ = ["sync_folder", "writable", "write_file"]


def write_file(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file, part after part, so that neither a crash nor a full disk leaves half of it.

    It is written beside as ``.part``, flushed to the disk, and renamed into place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    try:
        with temporary.open("wb") as stream:
            for part in parts:
                stream.write(part)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk: what was renamed or deleted in it stays so."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Any error of the system within is that the library's ``folder`` cannot be written.

    Raises:
        LibraryReadOnly: names the folder and the system's words.
    """
    try:
        yield
    except OSError as error:
        raise LibraryReadOnly(
            f"{folder}: cannot be written ({(error.strerror or str(error)).lower()})",
            "make room there, or choose another place with --library",
        ) from error
