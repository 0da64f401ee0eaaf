"""Whether a sentence is borne out by the passages it cites, by what can be checked without a model.

A number or code that no cited passage holds, no content word in common with any of them, or no
source at all, and the sentence says so. It catches what is wrong on its face; that a sentence
passes proves little. Knows texts only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..tools.entries import codes
from ..tools.sentences import split_sentences, stems
from .draft import cited

__all__ = ["UNCITED", "UNSUPPORTED", "checked_text"]

UNSUPPORTED = "(not in the cited source)"
UNCITED = "(no source)"

_NUMBER = re.compile(r"(?:(?<![^\W\d_])[^\W\d_]+|(?<![A-Za-z])(?:[A-Z]+|[a-z])-)?\d+(?:[.,:]\d+)*")
"""A number with the letters that it belongs to: the 26 of E-26 is none of minutes."""

_WORDED = ("error ", "code ")  # such a code's number is looked for by itself
_CITATIONS = re.compile(r"(?:\s*\[a?\d+\])+")
_LEADING = re.compile(r"^(?:\[a?\d+\]\s*)+")
_ENUMERATION = re.compile(
    r"^(?:[\s#>*_•-]*(?:step\s+)?\(?\d{1,2}[.):](?=[\s*_]|$))+", re.IGNORECASE
)
_LEAST = 3  # content words; a shorter sentence without a citation is a turn of phrase
_TALK = frozenset(
    stems(
        "answer ask based according below document feel find follow found free good happy help "
        "hope information know library luck mention need passage picture provided question "
        "read say screenshot see sorry source step summarise summary sure text welcome yes"
    )
)
"""Stems of words that speak of the answer, not of what it tells."""


def checked_text(text: str, passages: Sequence[str], attachments: int = 0) -> str:
    """A draft's text with a remark behind each sentence that is not borne out.

    What cites an attached picture is left as it is: the model saw more of it than its words.

    Args:
        text: with citations ``[1]`` and ``[a1]``.
        passages: what ``[1]``, ``[2]`` … hold.
        attachments: how many pictures came with the question.
    """
    lines = (
        [_remarked(s, passages, attachments) for s in _sentences(line)] for line in text.split("\n")
    )
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


def _remarked(sentence: str, passages: Sequence[str], attachments: int) -> str:
    labels = cited(sentence)
    if any(int(label[1:]) <= attachments for label in labels if label.startswith("a")):
        return sentence
    numbered = [int(label) for label in labels if not label.startswith("a")]
    sources = [passages[n - 1] for n in numbered if n <= len(passages)]
    words = _ENUMERATION.sub("", _CITATIONS.sub("", sentence))
    if sources:
        remark = "" if _is_in("\n".join(sources), words) else UNSUPPORTED
    else:
        remark = UNCITED if _tells(words, bool(labels)) else ""
    return f"{sentence.rstrip()} {remark}" if remark else sentence


def _is_in(source: str, words: str) -> bool:
    """Whether a source holds the numbers and codes of a sentence, and any word of it."""
    content = set(stems(words))
    shared = not content or not content.isdisjoint(stems(source))
    return shared and _codes(words) <= _codes(source) and _numbers(words) <= _numbers(source)


def _tells(words: str, cites: bool) -> bool:
    """Whether a sentence without a source tells something that needs one."""
    if cites:  # what does not exist
        return re.search(r"\w", words) is not None
    end = words.rstrip(" *_")
    if end.endswith("?"):
        return False
    return bool(_numbers(words)) or (
        len(set(stems(words)) - _TALK) >= _LEAST and not end.endswith(":")
    )


def _codes(text: str) -> set[str]:
    return {code.replace("-", "") for code in codes(text) if not code.startswith(_WORDED)}


def _numbers(text: str) -> set[str]:
    return {number.replace("-", "").lower() for number in _NUMBER.findall(text)}
