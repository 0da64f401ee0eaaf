"""Which files are meant: walks what was named, follows no link out of it.

Knows no format's insides.
"""

from __future__ import annotations

import errno
import os
import stat
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .loaders import LOADERS
from .report import Problem

__all__ = ["Found", "Places", "find", "is_gone", "source_name"]


@dataclass(frozen=True, slots=True)
class Places:
    """Which folders belong to a library, and what was taken out of them again.

    Attributes:
        added: folders.
        removed: files and folders within them.
    """

    added: frozenset[Path] = frozenset()
    removed: frozenset[Path] = frozenset()

    def hold(self, path: Path) -> bool:
        """Whether a path belongs: the nearest of the two kinds of names above it decides."""
        for place in (path, *path.parents):
            if place in self.removed:
                return False
            if place in self.added:
                return True
        return False

    def add(self, folders: Iterable[Path], files: Iterable[Path]) -> Places:
        """These folders belong, and no file or folder that is named is left out any more.

        A folder that belongs through another one is not noted for itself.
        """
        added = self.added.union(folders)
        removed = self.removed.difference(folders, files)
        needed = (f for f in added if not Places(added - {f}, removed).hold(f))
        return Places(frozenset(needed), removed)

    def remove(self, path: Path) -> Places:
        """Nothing below a path belongs, nor does the path itself."""
        added = frozenset(p for p in self.added if not p.is_relative_to(path))
        removed = frozenset(p for p in self.removed if not p.is_relative_to(path))
        rest = Places(added, removed)
        return Places(added, removed | {path}) if rest.hold(path) else rest


@dataclass(slots=True)
class Found:
    """What stands behind the paths that were named.

    Attributes:
        folders: that were named and exist.
        files: absolute paths, with the folder that each was reached from, or itself.
        failed: what was asked for and cannot be had.
        skipped: what a folder holds beside: other formats, links.
    """

    folders: list[Path] = field(default_factory=list)
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
        path = _resolved(named, found)
        if path is None:
            continue
        if path.is_relative_to(avoid):
            found.failed.append(Problem(str(named), "part of the library itself"))
        elif path.is_dir():
            found.folders.append(path)
            _walk(path, avoid, found)
        else:
            found.files.setdefault(path, path)
    return found


def _resolved(named: str | Path, found: Found) -> Path | None:
    try:
        if not str(named):
            raise ValueError("an empty path")
        path = Path(named).expanduser().resolve(strict=True)
        if path.is_dir() or path.is_file():
            return path
        reason = "neither a file nor a folder"
    except FileNotFoundError:
        reason = "no such file or folder"
    except (OSError, RuntimeError, ValueError) as error:
        looped = getattr(error, "errno", None) == errno.ELOOP or "Symlink loop" in str(error)
        reason = "a symbolic link that leads to itself" if looped else _words(error)
    found.failed.append(Problem(str(named), reason))
    return None


def _walk(root: Path, avoid: Path, found: Found) -> None:
    def unreadable(error: OSError) -> None:
        found.failed.append(Problem(str(error.filename), _words(error)))

    for folder, folders, names in os.walk(root, onerror=unreadable):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and here / f != avoid)
        for name in sorted([*folders, *names]):
            if not name.startswith("."):
                _sort_in(here / name, root, found)


def _sort_in(path: Path, root: Path, found: Found) -> None:
    try:
        mode = path.lstat().st_mode
    except OSError as error:  # it vanished, or its folder may be listed but not entered
        found.failed.append(Problem(str(path), _words(error)))
        return
    if stat.S_ISDIR(mode):
        return
    if stat.S_ISLNK(mode):
        found.skipped.append(Problem(str(path), "a symbolic link inside a folder"))
    elif not stat.S_ISREG(mode):
        found.skipped.append(Problem(str(path), "neither a file nor a folder"))
    elif path.suffix.lower() in LOADERS:
        found.files.setdefault(path, root)
    else:
        reason = f"{path.suffix or 'files without an extension'}: not a format that is read"
        found.skipped.append(Problem(str(path), reason))


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def is_gone(path: Path) -> bool:
    """Whether there is certainly no file any more; an unreadable folder is no proof."""
    try:
        return not stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def source_name(path: Path, root: Path, taken: Collection[str]) -> str:
    """How a file is called in passages: its path below the root, unique within the library.

    Control characters and bytes that are no text are written as escapes.
    """
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
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(_escaped(c) if unicodedata.category(c) in _UNSEEN else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


_UNSEEN = ("Cc", "Zl", "Zp")  # control characters, line and paragraph separators
