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
_SCREEN_WORDS = 60


def is_follow_up(question: str) -> bool:
    """Whether a question leans on the one before it: "and on Windows?", "how long is it?"."""
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
        joined = f"{history[-1].question} {question}"
    screens = [_gist([line.text for line in a.lines]) for a in attachments]
    return (joined, *(f"{question} {screen}" for screen in screens if screen))


def _gist(rows: Sequence[str]) -> str:
    """What a screen is about: the rows that report trouble, else all of them."""
    told = " ".join(troubles(rows) or rows)
    return " ".join(told.split()[:_SCREEN_WORDS])


def reworded(question: str, history: Sequence[Exchange], tried: Sequence[str]) -> tuple[str, ...]:
    """One more try for a question that found nothing: with its history, else its bare words.

    Returns:
        New wordings, or nothing where none is left to try.
    """
    candidates = [f"{h.question} {question}" for h in history[-1:]]
    candidates.append(" ".join(stems(question)))
    new = [c for c in candidates if c.strip() and c not in tried and c != question.lower()]
    return tuple(new[:1])
