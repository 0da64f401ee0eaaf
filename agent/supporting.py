"""Whether a sentence is borne out by the passages it cites, by what can be checked without a model.

A number or code that no cited passage holds, or no content word in common with any of them, and the
sentence says so. It catches what is wrong on its face; that a sentence passes proves little. Knows
texts only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..tools.sentences import split_sentences, stems
from .draft import cited

__all__ = ["UNCITED", "UNSUPPORTED", "checked_text"]

UNSUPPORTED = "(not in the cited source)"
UNCITED = "(no source)"

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_CITATIONS = re.compile(r"(?:\s*\[a?\d+\])+")
_LEADING = re.compile(r"^(?:\[a?\d+\]\s*)+")
_LEAST = 4  # content words; a shorter sentence without a citation is a turn of phrase


def checked_text(text: str, passages: Sequence[str]) -> str:
    """A draft's text with a remark behind each sentence that is not borne out.

    What cites an attached picture is left as it is: the model saw more of it than its words.

    Args:
        text: with citations ``[1]`` and ``[a1]``.
        passages: what ``[1]``, ``[2]`` … hold.
    """
    lines = ([_remarked(s, passages) for s in _sentences(line)] for line in text.split("\n"))
    return "\n".join(map("".join, lines))


def _sentences(line: str) -> list[str]:
    """The sentences of a line, each with its citations and the space behind it; they add up."""
    ends = []
    at = 0
    for piece in split_sentences(line):
        sentence = _LEADING.sub("", piece)  # citations in front belong to the sentence before
        if not sentence:
            continue
        at = line.index(sentence, at) + len(sentence) if sentence in line[at:] else len(line)
        if follows := _CITATIONS.match(line, at):
            at = follows.end()
        ends.append(at)
    ends = [end for end in ends if end < len(line)] + [len(line)]
    return [line[a:b] for a, b in zip([0, *ends], ends, strict=False) if line[a:b]]


def _remarked(sentence: str, passages: Sequence[str]) -> str:
    labels = cited(sentence)
    if any(label.startswith("a") for label in labels):
        return sentence
    sources = [passages[int(label) - 1] for label in labels if int(label) <= len(passages)]
    words = _CITATIONS.sub("", sentence)
    content = set(stems(words))
    if not sources:
        told = len(content) >= _LEAST and not words.rstrip().endswith((":", "?"))
        return f"{sentence.rstrip()} {UNCITED}" if told else sentence
    source = "\n".join(sources)
    numbers = set(_NUMBER.findall(words)) - set(_NUMBER.findall(source))
    strange = bool(content) and content.isdisjoint(stems(source))
    return f"{sentence.rstrip()} {UNSUPPORTED}" if numbers or strange else sentence
