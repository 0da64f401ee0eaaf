"""Untrusted text made harmless to look at: no control, no direction tricks, nothing invisible.

Knows nothing of terminals or pages. Everything that reaches either comes from somewhere else (a
document, a file's name, a model, an error), and all of it passes through `clean`.
"""

from __future__ import annotations

import re

__all__ = ["HIDDEN", "clean", "clean_line", "shortened"]

_SEQUENCES = re.compile(
    r"(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # strings, ended
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # control sequences
    r"|\x1b[ -/]*[0-~]?"  # two-letter escapes
)
"""ECMA-48 escape sequences with what they carry. A string (OSC, DCS, APC …) that never ends loses
only its opening, so that a stray byte cannot swallow the rest of a document."""

HIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but newline and tab, DEL, C1
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # fillers and joiners
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"  # zero width, bidirectional
    "\ufe00-\ufe0f\U000e0000-\U000e0fff"  # variation selectors, tags
    "\ufff0-\ufffb\ufffe\uffff\ufdd0-\ufdef\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\ud800-\udfff"  # lone surrogates
)
"""The inside of a character class: what is never shown as it is."""

_BREAKS = re.compile("\r\n|[\x0b\x0c\x85\u2028\u2029]")
_EMOJI = "[©®\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
_EMOJI += "[\ufe0f\U0001f3fb-\U0001f3ff]?"
_LETTER = "[\u0620-\u06dc\u06de-\u070e\u0710-\u0dff]"  # scripts that shape with joiners
_HIDDEN = re.compile(
    f"((?:{_EMOJI})(?:\u200d(?:{_EMOJI}))*"
    "|[0-9#*]\ufe0f\u20e3"
    f"|(?<={_LETTER})[\u200c\u200d](?={_LETTER}))"
    f"|[{HIDDEN}]"
)


def clean(text: str) -> str:
    r"""Text without anything that could steer a terminal, overwrite or hide.

    Escape sequences vanish with their payload; then control characters other than newline and
    tab, direction marks, invisible characters and lone surrogates. Joiners stay where emoji and
    the scripts between Arabic and Sinhala need them. Cleaning twice is cleaning once.

    >>> clean("\x1b[31mred\x1b[0m and \x1b]8;;http://x\x07this\x1b]8;;\x07")
    'red and this'
    """
    text = _BREAKS.sub("\n", _SEQUENCES.sub("", text))
    return _HIDDEN.sub(lambda match: match[1] or "", text)


def clean_line(text: str) -> str:
    """The same on one line, for names, captions and messages: each run of white space a blank."""
    return " ".join(clean(text).split())


def shortened(text: str, most: int) -> str:
    """One line of at most so many characters, cut between words where there are any."""
    line = clean_line(text)
    if len(line) <= most:
        return line
    start = line[: most - 1]
    words = start.rpartition(" ")[0]
    return f"{words if len(words) > most // 2 else start[:-1]} …"
