"""Paths as people type them. Knows the form of a path, not what it leads to."""

from __future__ import annotations

from pathlib import Path

from ..errors import UserError

__all__ = ["typed_path"]


def typed_path(name: str | Path, what: str = "") -> Path:
    """A path with ``~`` in place of a home.

    Args:
        name: as it was typed.
        what: it is to be, for messages: ``lora``.

    Raises:
        UserError: it is none: the home of no one, or with a NUL in it.
    """
    told = str(name)
    about = f"{what} {told}".strip().replace("\0", "\\0")
    if "\0" in told:
        raise UserError(f"{about}: a NUL is in it, so it is no path", "type it again")
    try:
        return Path(told).expanduser()
    except RuntimeError:
        home = told.partition("/")[0]
        raise UserError(f"{about}: there is no home {home}", "write the path out") from None
