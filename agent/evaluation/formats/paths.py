"""What a question set may name on disk. Knows folders and links; knows no format.

A set may come from anywhere, and what it names is shown to a model, perhaps on somebody else's
machine. So it reaches the folder that it lies in and the folder above, no further: links are
followed first, and a home folder or the root of the disk is no folder above.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...plain_text import shortened
from .base import BadRow

__all__ = ["confined", "in_text", "picture"]


def confined(folder: Path, name: str) -> Path:
    """A path that a set names, absolute, with links followed.

    Args:
        folder: that the set lies in.
        name: as the set writes it, relative to ``folder``, or absolute.

    Raises:
        BadRow: it leads out of the folder above the set's, or is no path at all.
    """
    shown = shortened(name, 120)
    try:
        home = folder.resolve()
        path = (home / name).resolve()
        above = home.parent
        ours = [home] if above in (Path(above.anchor), Path.home().resolve()) else [home, above]
    except (OSError, ValueError, RuntimeError):
        raise BadRow(f"{shown!r} is no path") from None
    if not any(path.is_relative_to(root) for root in ours):
        raise BadRow(
            f"{shown!r} lies outside the set's folder and the one above it; copy it beside the set"
        )
    return path


def picture(folder: Path, name: str) -> str:
    """The absolute path of a picture that a set names.

    Args:
        folder: that the set lies in.
        name: as `confined`.

    Raises:
        BadRow: it may not be read, or is not there.
    """
    path = confined(folder, name)
    try:
        there = path.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        raise BadRow(f"the picture {shortened(name, 120)!r} is not there")
    return str(path)


def in_text(pieces: Sequence[str]) -> str:
    """A text that pictures stand in: where each stood, it says which one, from 1.

    >>> in_text(["I have these:", "How are they opened?"])
    'I have these: [picture 1] How are they opened?'
    """
    text = pieces[0]
    for number, piece in enumerate(pieces[1:], 1):
        text = f"{text.rstrip(' ')} [picture {number}] {piece.lstrip(' ')}"
    return text.strip()
