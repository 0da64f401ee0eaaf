"""What stands beside an answer's words: citations, the passages they name, a notice.

Knows no output format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..index.passage import Passage
from .answer import Answer, Text

__all__ = ["CITATION", "cited_passages", "notice", "split_citations"]

CITATION = re.compile(r"\[([1-9][0-9]{0,3})\]")


def split_citations(text: str, count: int) -> Iterator[str | int]:
    """The text in pieces, each citation of passages 1 to ``count`` as its number.

    >>> list(split_citations("Wait [1]. See [9].", 3))
    ['Wait ', 1, '. See [9].']
    """
    start = 0
    for match in CITATION.finditer(text):
        if int(match[1]) <= count:
            if match.start() > start:
                yield text[start : match.start()]
            yield int(match[1])
            start = match.end()
    if start < len(text):
        yield text[start:]


def cited_passages(answer: Answer) -> tuple[tuple[int, Passage], ...]:
    """The passages that the answer cites, with their numbers, in rising order."""
    count = len(answer.passages)
    numbers = {n for n in answer.citations if 1 <= n <= count}
    for part in answer.parts:
        if isinstance(part, Text):
            pieces = split_citations(part.content, count)
            numbers.update(n for n in pieces if isinstance(n, int))
    return tuple((n, answer.passages[n - 1]) for n in sorted(numbers))


def notice(answer: Answer) -> str:
    """A few words for an answer that is less than one, else empty; its text says the rest."""
    if answer.refused:
        return "Declined by the safety policy"
    if answer.abstained:
        return "Not answered"
    if answer.partial:
        return "Incomplete: this answer was cut short"
    return ""
