"""Faults listed by their codes: which sentence of a manual is about which code.

Manuals say "F22: pressure too low. Open the loop." in one entry and "F28: …" in the next; what one
of them tells to do is wrong for the other. Knows texts; nothing of questions or chat models.
"""

from __future__ import annotations

import re

from .sentences import split_sentences

__all__ = ["codes", "entries", "heads", "kinds", "without_codes"]

_FORM = r"[A-Z]{1,4}-?\d{2,}\b|0x[0-9A-Fa-f]+\b|(?i:error|code)\W{1,2}\d+\b"
_CODE = re.compile(rf"\b(?:{_FORM})")
_KIND = re.compile(r"^(?:0x|\D*)")
_ENDS = (".", "!", "?", "…")
_BEGINS = re.compile(rf"\W*(?:(?i:error|fault|code|alarm|message)\W+)?({_FORM})")


def codes(text: str) -> set[str]:
    """The codes by which a screen and a manual name the same fault.

    Example:
        >>> sorted(codes("Locked: E-26, error 809, since 2019"))
        ['e26', 'error 809']
    """
    return {_plain(code) for code in _CODE.findall(text)}


def entries(text: str) -> list[str]:
    r"""The code that each sentence of a text is about; empty where it is about none.

    An entry begins with a sentence that begins with a code. It ends before the next one, or with
    its line; where that line is no whole sentence, as a title is not, the lines below belong to it.

    Args:
        text: its blocks, one a line, as `quoting.quotable` splits them.

    Example:
        >>> entries("F22: low. Open the loop. F28: no flame.\nCall us.")
        ['f22', 'f22', 'f28', '']
    """
    found: list[str] = []
    code = ""
    for line in text.splitlines():
        for sentence in split_sentences(line):
            begins = _BEGINS.match(sentence)
            code = begins[1] if begins else code
            found.append(_plain(code))
        if line.rstrip().endswith(_ENDS):
            code = ""
    return found


def heads(sentence: str) -> bool:
    """Whether a sentence opens an entry of a list, and does not merely speak of a code first.

    Example:
        >>> heads("F22: low."), heads("F22 Pressure low"), heads("F22 never means a leak.")
        (True, True, False)
    """
    begins = _BEGINS.match(sentence)
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
