"""What a question must be before anything is loaded for it. Knows no models."""

from __future__ import annotations

from ..errors import QuestionError

__all__ = ["checked_question", "sendable"]

_LONGEST = 32_000


def checked_question(question: str) -> str:
    """A question without the white space around it, as valid Unicode.

    Raises:
        QuestionError: it is empty or far too long.
    """
    question = sendable(question).strip()
    if not question:
        raise QuestionError("the question is empty", 'limner ask "your question"')
    if len(question) > _LONGEST:
        raise QuestionError(
            f"the question has {len(question):,} characters; {_LONGEST:,} is the most",
            "put long texts into a file and add it to the library",
        )
    return question


def sendable(text: str) -> str:
    r"""Text with a question mark for each lone surrogate, which no tokenizer and no file takes.

    >>> sendable("E-26 \udcff?")
    'E-26 ??'
    """
    return text.encode("utf-8", "replace").decode("utf-8")
