"""Screens: which rows of a screenshot tell what to do, and whether two show the same.

Knows rows of text and a question; nothing of passages, pictures or scores.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

from .instructions import instructs
from .quoting import asks_what_to_do, troubles
from .sentences import stems

__all__ = ["is_copy", "remedies"]

_ALIKE = 0.8
_MOST = 5  # rows
_ENDS = (".", "!", ".)", '."')  # of sentences; labels and buttons have none
_ABOUT_ANY = (
    "fix solve resolve repair help mend cure remedy solution troubleshoot problem trouble issue"
    " error message screen get rid work around do go away"
)
"""What is said of any trouble, so names none."""


def is_copy(rows: Collection[str], screens: Sequence[Collection[str]]) -> bool:
    """Whether one of some screens shows nearly all rows of another: it is that one over again.

    Example:
        >>> is_copy(["Error E-1", "Retry"], [["Setup", "Error E-1", "Retry"]])
        True
    """
    own = set(rows)
    return bool(own) and any(len(own & set(screen)) > _ALIKE * len(own) for screen in screens)


def remedies(question: str, rows: Sequence[str]) -> list[int]:
    """Which rows of an attached screen tell what to do about the trouble that it reports.

    Labels, which end without a full stop, do not count, and of a page full of instructions only
    the first few do.

    Args:
        question: that came with the screen.
        rows: of the screen, from above.

    Returns:
        Their positions; none where the question does not ask what to do, names anything that the
        screen does not, or where the screen reports no trouble.

    Example:
        >>> remedies("How do I fix it?", ["Error 5: disk full", "Free 2 GB or more on it.", "OK"])
        [1]
    """
    known = {stem for row in rows for stem in stems(row)} | set(stems(_ABOUT_ANY))
    if not (asks_what_to_do(question) and troubles(rows) and known.issuperset(stems(question))):
        return []
    told = (at for at, row in enumerate(rows) if row.rstrip().endswith(_ENDS) and instructs(row))
    return list(islice(told, _MOST))
