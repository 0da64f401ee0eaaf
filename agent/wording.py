"""The wordings of a question that the library is searched with. Knows text only."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..tools.quoting import troubles
from ..tools.sentences import stems
from .state import Attachment, Exchange

__all__ = ["is_follow_up", "reworded", "wordings"]

_OPENING = re.compile(
    r"\s*(and|or|but|so|then|also|what about|how about|what if|why not|instead)\b", re.IGNORECASE
)
_POINTING = re.compile(
    r"\b(it|its|they|them|their|that|those|these|this|he|she|him|her|there|then|one|ones|same"
    r"|else|other|another)\b",
    re.IGNORECASE,
)
_INSTEAD = re.compile(
    r"(?:and|or|but|what about|how about)\s+"
    r"(?P<word>on|for|with|in|at|from|to|by|as)\s+(?P<rest>.+)",
    re.IGNORECASE | re.DOTALL,
)
_SCREEN_WORDS = 60


def is_follow_up(question: str) -> bool:
    """Whether a question leans on the one before it: "and on Windows?", "how long is it?".

    What has no word in it leans on nothing.
    """
    if not re.search(r"\w", question):
        return False
    if _OPENING.match(question):
        return True
    content = len(set(stems(question)))
    return content <= 1 or (content <= 4 and _POINTING.search(question) is not None)


def wordings(
    question: str, history: Sequence[Exchange], attachments: Sequence[Attachment]
) -> tuple[str, ...]:
    """What to search for.

    Args:
        question: as asked.
        history: earlier exchanges, oldest first.
        attachments: with their lines read.

    Returns:
        The question, joined with the one before where it leans on it, and once more with the
        words of each attached screenshot.
    """
    joined = question
    leans = _OPENING.match(question) if attachments else is_follow_up(question)
    if history and leans:
        joined = _joined(history[-1].question, question)
    screens = [_gist([line.text for line in a.lines]) for a in attachments]
    return (joined, *(f"{question} {screen}" for screen in screens if screen))


def _gist(rows: Sequence[str]) -> str:
    """What a screen is about: the rows that report trouble, else all of them."""
    told = " ".join(troubles(rows) or rows)
    return " ".join(told.split()[:_SCREEN_WORDS])


def _joined(before: str, question: str) -> str:
    """Two questions in one: "… on Windows?" and "And on macOS?" ask "… on macOS?"."""
    instead = _INSTEAD.fullmatch(question.strip())
    if instead:
        head, found, _ = before.lower().rpartition(f" {instead['word'].lower()} ")
        if found:
            return f"{before[: len(head)]} {instead['word']} {instead['rest']}"
    return f"{before} {question}"


def reworded(question: str, tried: Sequence[str]) -> tuple[str, ...]:
    """One more try for a question that found nothing: its bare words.

    Returns:
        A new wording, or nothing where it was tried.
    """
    bare = " ".join(stems(question))
    return (bare,) if bare and bare not in (*tried, question.lower()) else ()
