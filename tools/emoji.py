"""Emoji as words. Knows the names that Unicode gives its characters, and nothing else."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["emoji_named"]

_EMOJI = re.compile(
    r"\s*(?:[\u231a-\u23ff\u2600-\u27bf\u2b05-\u2b55\U0001f000-\U0001faff][\ufe0f\u200d]*\s*)+"
)
_ONE = re.compile(r"[^\s\ufe0f\u200d](?:\ufe0f?\u200d\S)*")
_PRINTED = re.compile(r"\b(?:black|white|heavy|medium)\s+")
"""How a symbol is printed, in the names of those that are older than emoji: “heavy black heart”."""

_LETTER = "regional indicator symbol letter "


def emoji_named(text: str) -> str:
    """A text in which names stand for its emoji; what is joined to one thing stays one.

    Example:
        >>> emoji_named("draw 🦊 in snow")
        'draw fox face in snow'
    """
    if not _EMOJI.search(text):
        return text
    named = _EMOJI.sub(lambda found: f" {_names(found.group())} ", text)
    return re.sub(r" +(?=[,.;:!?])", "", named).strip()


def _names(emoji: str) -> str:
    things: list[str] = []
    for found in _ONE.finditer(emoji):
        name = " ".join(filter(None, (_name(letter) for letter in found.group())))
        flag = things and things[-1].startswith("flag ") and len(things[-1]) == len("flag x")
        if name.startswith(_LETTER) and flag:
            things[-1] += name[-1]
        elif name:
            things.append(name.replace(_LETTER, "flag "))
    return ", ".join(things)


def _name(letter: str) -> str:
    name = unicodedata.name(letter, "").lower()
    joins = letter in "\ufe0f\u200d" or name.startswith("emoji modifier")
    return "" if joins else _PRINTED.sub("", name) if letter < "\u2b56" else name
