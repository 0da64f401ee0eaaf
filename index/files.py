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

from .ignoring import NAME, Ignored
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
        files: absolute paths as text (ten thousand paths take a twentieth of a second to make),
            with the folder that each was reached from, or itself.
        failed: what was asked for and cannot be had.
        skipped: what a folder holds beside: other formats, links.
        stats: what the system said of a file in a folder when it was listed.
    """

    folders: list[Path] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    failed: list[Problem] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    stats: dict[str, os.stat_result] = field(default_factory=dict)


def find(paths: Iterable[str | Path], avoid: Path) -> Found:
    """List the files behind paths.

    Folders are walked in order of name; hidden entries and the library's own folder (``avoid``)
    are left out, links inside a folder are not followed. A ``.limnerignore`` says in git's way
    what is left out below its folder; what is named itself is taken nevertheless.
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
            found.files.setdefault(str(path), path)
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
    waiting: list[tuple[str, Ignored]] = [(str(root), Ignored())]
    avoided = str(avoid)
    while waiting:
        folder, ignored = waiting.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            found.failed.append(Problem(folder, _words(error)))
            continue
        if any(entry.name == NAME for entry in entries):
            ignored, problem = ignored.below(Path(folder))
            found.failed += [problem] if problem else []
        inner: list[str] = []
        for entry in entries:
            if entry.name[0] == ".":
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if ignored and ignored.holds(entry.path, is_folder):
                continue
            if not is_folder:
                _sort_in(entry, root, found)
            elif entry.path != avoided:
                inner.append(entry.path)
        found.failed += ignored.given_up()
        waiting += [(path, ignored) for path in reversed(inner)]


def _sort_in(entry: os.DirEntry[str], root: Path, found: Found) -> None:
    _, dot, suffix = entry.name.rpartition(".")
    if entry.is_symlink():
        found.skipped.append(Problem(entry.path, "a symbolic link inside a folder"))
    elif not entry.is_file(follow_symlinks=False):
        found.skipped.append(Problem(entry.path, "neither a file nor a folder"))
    elif dot and f".{suffix.lower()}" in LOADERS:
        try:
            found.stats[entry.path] = entry.stat(follow_symlinks=False)
        except OSError as error:  # it vanished, or its folder may be listed but not entered
            found.failed.append(Problem(entry.path, _words(error)))
        else:
            found.files.setdefault(entry.path, root)
    else:
        kind = f".{suffix}" if dot else "files without an extension"
        found.skipped.append(Problem(entry.path, f"{kind}: not a format that is read"))


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
