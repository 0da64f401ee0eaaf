"""Which files are meant: walks what was named, follows no link out of it. Knows no formats' insides.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .loaders import LOADERS

__all__ = ["Found", "Problem", "find", "is_gone", "source_name"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A path that could not be used, and why."""

    path: str
    reason: str


@dataclass
class Found:
    """What stands behind the paths that were named.

    Attributes:
        roots: what was named and exists: folders, and files by themselves.
        files: absolute paths, with the root that each was reached from.
        failed: what was asked for and cannot be had.
        skipped: what a folder holds beside: other formats, links.
    """

    roots: list[Path] = field(default_factory=list)
    files: dict[Path, Path] = field(default_factory=dict)
    failed: list[Problem] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)


def find(paths: Iterable[str | Path], avoid: Path) -> Found:
    """List the files behind paths.

    Folders are walked in order of name; hidden entries and the library's own folder (``avoid``)
    are left out, links inside a folder are not followed.
    """
    found = Found()
    for named in paths:
        root = _resolved(Path(named), found)
        if root is None:
            continue
        found.roots.append(root)
        if root.is_dir():
            _walk(root, avoid, found)
        else:
            found.files.setdefault(root, root)
    return found


def _resolved(path: Path, found: Found) -> Path | None:
    try:
        root = path.expanduser().resolve(strict=True)
    except FileNotFoundError:
        found.failed.append(Problem(str(path), "no such file or folder"))
    except (OSError, RuntimeError, ValueError) as error:
        looped = isinstance(error, RuntimeError) or getattr(error, "errno", 0) == 40
        reason = "a symbolic link that leads to itself" if looped else _words(error)
        found.failed.append(Problem(str(path), reason))
    else:
        if root.is_dir() or root.is_file():
            return root
        found.failed.append(Problem(str(path), "neither a file nor a folder"))
    return None


def _walk(root: Path, avoid: Path, found: Found) -> None:
    def unreadable(error: OSError) -> None:
        found.failed.append(Problem(str(error.filename), _words(error)))

    for folder, folders, names in os.walk(root, onerror=unreadable):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and here / f != avoid)
        for name in sorted(n for n in names if not n.startswith(".")):
            _sort_in(here / name, root, found)


def _sort_in(path: Path, root: Path, found: Found) -> None:
    if path.suffix.lower() not in LOADERS:
        reason = f"{path.suffix or 'files without an extension'}: not a format that is read"
        found.skipped.append(Problem(str(path), reason))
    elif path.is_symlink():
        found.skipped.append(Problem(str(path), "a symbolic link inside a folder"))
    elif path.is_file():
        found.files.setdefault(path, root)


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def is_gone(path: Path) -> bool:
    """Whether a file certainly no longer exists; an unreadable folder is no proof."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def source_name(path: Path, root: Path, taken: Sequence[str] | set[str]) -> str:
    """How a file is called in passages: its path below the root, unique within the library."""
    relative = path.name if path == root else path.relative_to(root).as_posix()
    name = _printable(relative)
    if name in taken:
        above = (root.parent if path == root else root).name
        name = f"{_printable(above)}/{name}"
    base, n = name, 2
    while name in taken:
        name, n = f"{base} ({n})", n + 1
    return name


def _printable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
