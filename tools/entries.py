"""Faults listed by their codes: which sentence of a manual is about which code.

Manuals say "F22: pressure too low. Open the loop." in one entry and "F28: …" in the next; what one
of them tells to do is wrong for the other. What stands together in a text, about a code or about
none, is a *place*. Knows texts; nothing of questions or chat models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .instructions import goes_on, instructs
from .sentences import split_sentences

__all__ = ["Place", "codes", "entries", "heads", "kinds", "places", "without_codes"]

_FORM = r"[A-Z]{1,4}-?\d{2,}\b|0x[0-9A-Fa-f]+\b|(?i:error|code)\W{1,2}\d+\b"
_CODE = re.compile(rf"\b(?:{_FORM})")
_KIND = re.compile(r"^(?:0x|\D*)")
_ENDS = (".", "!", "?", "…")
_NOUN = r"(?i:alarm|code|error|fault|message|warning)\W+"
_HEADS = re.compile(rf"\W*(?:{_NOUN})?({_FORM})")
_BEGINS = re.compile(
    r"\W*(?:(?i:if|in case of|on|once|should|to|when|whenever)\W+(?:\w+\W+){0,3}?)?"
    rf"(?:(?i:an?|the)\W+(?={_NOUN}))?(?:{_NOUN}){{0,2}}({_FORM})"
)
"""A sentence that opens an entry: "F22: low", "The message F22 means", "If you see error F22"."""


@dataclass(frozen=True, slots=True)
class Place:
    """What stands together in a text.

    Attributes:
        number: which place of the text it is, from 0.
        code: whose entry it is; empty where it is about none.
    """

    number: int
    code: str


def codes(text: str) -> set[str]:
    """The codes by which a screen and a manual name the same fault.

    Example:
        >>> sorted(codes("Locked: E-26, error 809, since 2019"))
        ['e26', 'error 809']
    """
    return {_plain(code) for code in _CODE.findall(text)}


def places(text: str) -> list[Place]:
    r"""The place that each sentence of a text belongs to.

    A place begins with a line, or with a sentence that begins with a code: an entry. It ends before
    the next one, or with its line; but an entry whose line is no whole sentence, as a title is not,
    takes in the lines below, and so does any place whose line ends in a colon. Where a place has
    not told what to do, the lines below that do belong to it, and so does, before them, one that
    ends in a colon; where it has, those that go on with it, as a next step does.

    Args:
        text: its blocks, one a line, as `quoting.quotable` splits them.

    Example:
        >>> [place.number for place in places("F22: low.\nOpen it.\nCall us.\nWe help.")]
        [0, 0, 0, 1]
    """
    walk = _Walk()
    for line in text.splitlines():
        if sentences := split_sentences(line):
            walk.read(sentences)
    return walk.found


def entries(text: str) -> list[str]:
    r"""The code that each sentence of a text is about; empty where it is about none.

    Example:
        >>> entries("F22: low. Open the loop. F28: no flame.\nIt rains.")
        ['f22', 'f22', 'f28', '']
    """
    return [place.code for place in places(text)]


class _Walk:
    """A text read line by line: the place of every sentence so far, and whether the last is open.

    Attributes:
        found: a place for each sentence.
    """

    def __init__(self) -> None:
        self.found: list[Place] = []
        self._place = Place(-1, "")
        self._ended = True  # the last line was whole: the next needs a reason to belong to it
        self._told = False  # the lines that began the place told what to do
        self._quiet = True  # no line of the place did

    def read(self, sentences: Sequence[str]) -> None:
        """One line more."""
        joins = self._joins(sentences[0])
        for at, sentence in enumerate(sentences):
            begins = _BEGINS.match(sentence)
            code = _plain(begins[1]) if begins else ""
            if code != self._place.code if code else not (at or joins):
                self._place = Place(self._place.number + 1, code)
                self._told = joins = False
                self._quiet = True
            tells = instructs(sentence)
            self._told = self._told or (not joins and tells)
            self._quiet = self._quiet and not tells
            self.found.append(self._place)
        last = sentences[-1]
        self._ended = last.endswith(_ENDS) if self._place.code else not last.endswith(":")

    def _joins(self, sentence: str) -> bool:
        """Whether a line that begins so belongs to the place before."""
        if not self.found:
            return False
        leads = self._quiet and sentence.endswith(":")
        tells = not self._told and instructs(sentence)
        return not self._ended or goes_on(sentence) or tells or leads


def heads(sentence: str) -> bool:
    """Whether a sentence opens an entry of a list, and does not merely speak of a code first.

    Example:
        >>> heads("F22: low."), heads("F22 Pressure low"), heads("F22 never means a leak.")
        (True, True, False)
    """
    begins = _HEADS.match(sentence)
    if not begins:
        return False
    after = sentence[begins.end() :].lstrip()
    return not after or not after[0].isalnum() or not sentence.endswith(_ENDS)


def kinds(found: set[str]) -> set[str]:
    """What some codes are without their numbers.

    Example:
        >>> sorted(kinds({"e26", "e27", "error 809"}))
        ['e', 'error ']
    """
    return {_KIND.findall(code)[0] for code in found}


def without_codes(text: str) -> str:
    """A text without the codes in it."""
    return _CODE.sub(" ", text)


def _plain(code: str) -> str:
    """E-26 and E26 are one, and so are error 809 and Error: 809."""
    return " ".join(re.findall(r"\w+", code.lower().replace("-", "")))
