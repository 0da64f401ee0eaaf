"""From tokens to text as they come: no half letter, nothing behind a stop, an end at any time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

__all__ = ["Detokenizer", "Row", "StopText"]

_WINDOW = 8  # tokens that are decoded again, so that spaces and letters over several come right


class Detokenizer:
    """Text of a growing list of tokens, each piece once.

    A token may hold a part of a letter, and a tokenizer may write a token otherwise at the start
    of a text; so a few tokens before are decoded along, and what ends in half a letter waits.

    Args:
        decode: text of a list of tokens, special ones kept or left out as it likes.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._start = self._given = 0

    def feed(self, tokens: Sequence[int]) -> str:
        """The text that is certain after these tokens."""
        self._tokens += tokens
        before = self._decode(self._tokens[self._start : self._given])
        now = self._decode(self._tokens[self._start :])
        if now.endswith("\ufffd") or not now.startswith(before):
            return ""
        self._start, self._given = max(self._given - _WINDOW, 0), len(self._tokens)
        return now[len(before) :]

    def close(self) -> str:
        """What was held back."""
        before = self._decode(self._tokens[self._start : self._given])
        now = self._decode(self._tokens[self._start :])
        return now[len(before) :] if now.startswith(before) else ""


class StopText:
    """Lets text through up to the first of some words, and holds back what may begin one."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word for word in words if word]
        self._held = ""
        self.met = False

    def feed(self, text: str) -> str:
        """The text that is certain to stand before every stop."""
        if self.met or not self._words:
            return "" if self.met else text
        self._held += text
        places = [at for word in self._words if (at := self._held.find(word)) >= 0]
        if places:
            self.met = True
            return self._held[: min(places)]
        keep = max(_beginning(self._held, word) for word in self._words)
        sure, self._held = (
            self._held[: len(self._held) - keep],
            self._held[len(self._held) - keep :],
        )
        return sure

    def close(self) -> str:
        """What was held back and turned out to be no stop."""
        return "" if self.met else self._held


def _beginning(text: str, word: str) -> int:
    """How many letters at the end of the text are the first ones of the word."""
    most = min(len(word) - 1, len(text))
    return next((n for n in range(most, 0, -1) if text.endswith(word[:n])), 0)


class Row:
    """One answer as it is written: its text so far, and whether it has ended.

    Args:
        decode: see `Detokenizer`.
        stops: words before which it ends.
        most: tokens after which it ends.

    Attributes:
        tokens: that were fed.
        ended: why it has: ``stop`` at its end token or a stop word, ``length`` after its most
            tokens; empty while it has not.
    """

    def __init__(self, decode: Callable[[list[int]], str], stops: Sequence[str], most: int) -> None:
        self._text = Detokenizer(decode)
        self._stop = StopText(stops)
        self._most = most
        self.tokens = 0
        self.ended: Literal["", "stop", "length"] = ""

    def feed(self, token: int, is_end: bool) -> str:
        """The text that is certain after this token; all that was held back if it is the last."""
        if self.ended:
            return ""
        self.tokens += 1
        text = "" if is_end else self._stop.feed(self._text.feed([token]))
        if is_end or self.tokens == self._most:
            text += self._stop.feed(self._text.close()) + self._stop.close()
            self.ended = "stop" if is_end else "length"
        if self._stop.met:
            self.ended = "stop"
        return text
