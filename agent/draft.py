"""The draft: text with ``[n]`` and, alone on a line, picture slots. One parser for every model.

::

    The VPN needs port 1701. [2]
    [[show 3: the network map]]        the picture of passage 3
    [[mark a1: Error 809]]             the first attached picture, those words boxed
    [[draw: a lighthouse at dusk]]     a new picture

The parser is fed as the text comes and gives the same pieces however the stream was cut. Knows
nothing of passages or pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["DraftParser", "Slot", "cited", "joined", "parse", "readable"]

_SLOT = re.compile(
    r"\s*\[\[\s*(?:(?P<kind>show|mark)\s+(?P<target>a?[1-9]\d{0,3})|(?P<draw>draw))\s*:"
    r"\s*(?P<words>\S.*?)\s*\]\]\s*"
)
_CITATION = re.compile(r"\[(a?[1-9]\d{0,3})\]")
_LONGEST_SLOT = 2_000
_LIKE_A_SLOT = re.compile(
    r"(?<![ \t])[ \t]*\[\[\s*(?:"
    r"(?:show|mark|draw)\b"
    rf"(?:(?:(?!\[\[|\n\s*\n)[\s\S]){{0,{_LONGEST_SLOT}}}?\]\]"  # to its end
    r"|(?:(?!\[\[)[^\n])*)"  # or, where it has none, to that of its line
    r"|[a-z]{0,4}\s*\Z)",  # or a stream that broke off
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a picture.

    Attributes:
        number: counts the draft's slots from 0.
        kind: ``show`` a picture at hand, ``mark`` words on one, or ``draw`` a new one.
        target: a passage's number, ``a1`` for the first attachment, empty for ``draw``.
        words: what it is to show; for ``mark`` the words to box.
    """

    number: int
    kind: Literal["show", "mark", "draw"]
    target: str
    words: str


class DraftParser:
    """Splits a stream into text and slots.

    Text is given as soon as it cannot be part of a slot; a line that may still become one is held
    back until it ends.
    """

    def __init__(self) -> None:
        self._held = ""  # the beginning of a line that may be a slot
        self._inside = False  # within a line that is text
        self._slots = 0

    def feed(self, text: str) -> list[str | Slot]:
        """The pieces that are certain after this much more text."""
        pieces: list[str | Slot] = []
        for line in re.findall(r"[^\n]*\n|[^\n]+", text):
            ended = line.endswith("\n")
            if self._inside:
                pieces.append(line)
            else:
                self._held += line
                if not ended and _may_be_slot(self._held):
                    continue
                pieces.append(self._settle())
            self._inside = not ended
        return pieces

    def close(self) -> list[str | Slot]:
        """What was held back, once the stream has ended."""
        return [self._settle()] if self._held else []

    def _settle(self) -> str | Slot:
        line, self._held = self._held, ""
        match = _SLOT.fullmatch(line)
        if match is None:
            return line
        self._slots += 1
        kind: Literal["show", "mark", "draw"] = "draw"
        if match["kind"]:
            kind = "show" if match["kind"] == "show" else "mark"
        return Slot(self._slots - 1, kind, match["target"] or "", match["words"])


def _may_be_slot(line: str) -> bool:
    start = line.lstrip()
    return len(line) < _LONGEST_SLOT and ("[[".startswith(start[:2]) if start else True)


def parse(chunks: str | Iterable[str]) -> list[str | Slot]:
    """The pieces of a whole draft: texts, neighbouring ones joined and stripped, and slots."""
    parser = DraftParser()
    pieces: list[str | Slot] = []
    for chunk in [chunks] if isinstance(chunks, str) else chunks:
        pieces += parser.feed(chunk)
    return list(joined(pieces + parser.close()))


def joined(pieces: list[str | Slot]) -> Iterator[str | Slot]:
    """Pieces as a parser gives them, with neighbouring texts as one, stripped."""
    text = ""
    for piece in [*pieces, None]:
        if isinstance(piece, str):
            text += piece
            continue
        if text.strip():
            yield text.strip()
        text = ""
        if piece is not None:
            yield piece


def cited(text: str) -> list[str]:
    """The labels cited in a text, each once, in order: ``["2", "a1"]``."""
    return list(dict.fromkeys(_CITATION.findall(text)))


def readable(text: str) -> str:
    """A text of the draft without what is meant as a slot and is none: within a line, unclosed.

    Example:
        >>> readable("Turn it left [[show 1: the valve]], then wait.")
        'Turn it left, then wait.'
    """
    while (left := _LIKE_A_SLOT.sub("", text)) != text:  # one within another leaves its shell
        text = left
    return text
