"""What a folder's ``.limnerignore`` leaves out of it: the syntax and the rules of ``.gitignore``.

Such a file may come with a folder from anywhere, so what is too large, too intricate or too slow
to match is reported and has no effect. Knows no formats and walks nothing.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from pathlib import Path
from typing import Any

from .report import Problem

__all__ = ["NAME", "Ignored"]

NAME = ".limnerignore"

_MAX_BYTES = 64_000
_MAX_PATTERNS = 1_000
_MAX_WILDCARDS = 4  # in one pattern; each multiplies the time of a match that fails
_MAX_STARS = 2  # of these ``**``
_MAX_SECONDS = 5.0  # spent on one file's patterns
_WILDCARD = re.compile(r"\*+")


class _Rules:
    """One file's patterns, and the time that they have taken."""

    def __init__(self, folder: str, spec: Any) -> None:
        self.folder = folder
        self.start = len(folder.rstrip(os.sep)) + 1
        self.spec = spec
        self.seconds = 0.0
        self.told = False

    def decide(self, path: str, is_folder: bool) -> bool | None:
        """Whether a path is left out or taken; None where no pattern says."""
        if self.seconds > _MAX_SECONDS:
            return None
        started = time.perf_counter()
        name = path[self.start :] + ("/" if is_folder else "")
        decided: bool | None = self.spec.check_file(name).include
        self.seconds += time.perf_counter() - started
        return decided


class Ignored:
    """What the ignore files of a folder and of those above it leave out; the nearest decides."""

    def __init__(self, rules: tuple[_Rules, ...] = ()) -> None:
        self._rules = rules

    def __bool__(self) -> bool:
        return bool(self._rules)

    def below(self, folder: Path) -> tuple[Ignored, Problem | None]:
        """With the ignore file of one more folder, or what is wrong with that file."""
        path = folder / NAME
        try:
            return Ignored((_read(path), *self._rules)), None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
        except ValueError as error:
            reason = str(error)
        return self, Problem(str(path), f"{reason}; it has no effect")

    def holds(self, path: str, is_folder: bool) -> bool:
        """Whether an entry of a folder that is not left out itself is left out."""
        for rules in self._rules:
            decided = rules.decide(path, is_folder)
            if decided is not None:
                return decided
        return False

    def given_up(self) -> list[Problem]:
        """The files whose patterns took too long, each named once."""
        slow = [r for r in self._rules if r.seconds > _MAX_SECONDS and not r.told]
        for rules in slow:
            rules.told = True
        reason = f"its patterns took more than {_MAX_SECONDS:.0f} s; it has no further effect"
        return [Problem(os.path.join(rules.folder, NAME), reason) for rules in slow]  # noqa: PTH118


def _read(path: Path) -> _Rules:
    """The patterns of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file; the message says why.
    """
    import pathspec

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("a symbolic link") from None
        raise
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a file")
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES // 1000} kB")
    if b"\0" in data:
        raise ValueError("binary data, not text")
    lines = os.fsdecode(data.removeprefix(b"\xef\xbb\xbf")).replace("\r\n", "\n").split("\n")
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if len(lines) > _MAX_PATTERNS:
        raise ValueError(f"more than {_MAX_PATTERNS} patterns")
    for line in lines:
        wildcards = _WILDCARD.findall(line)
        stars = sum(len(wildcard) > 1 for wildcard in wildcards)
        if len(wildcards) > _MAX_WILDCARDS or stars > _MAX_STARS:
            raise ValueError(f"a pattern with too many wildcards: {line[:60]!r}")
    try:
        return _Rules(str(path.parent), pathspec.GitIgnoreSpec.from_lines(lines))
    except Exception as error:  # whatever a broken pattern makes of the library or of ``re``
        raise ValueError(f"not a list of patterns ({error})"[:200]) from None
