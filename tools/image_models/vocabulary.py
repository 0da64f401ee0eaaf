"""The words that an image model was taught, where its folder says so. Loads no model.

A folder says so in the file of `captions`, as ``taught = "the English names of animals"``: its
tokenizer then holds each of those words whole, and what it breaks into pieces it was not taught.
Of a folder that says nothing nothing is said.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ...errors import ModelError
from ..sentences import STOP_WORDS
from .captions import CAPTIONS

if TYPE_CHECKING:
    from .base import ImageModel

__all__ = ["Vocabulary", "remark"]

_WORD = re.compile(r"[^\W\d_]+")
_ENDINGS = (
    *(("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe"), ("ed", ""), ("ed", "e")),
    *(("ing", ""), ("ing", "e")),
)
_SHORTEST = 3  # letters of a word with an ending
_LONGEST = 100  # characters of what a folder says
_TOLD = 3  # words


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a model was taught.

    Attributes:
        taught: in words, as they stand after "knows".
        tokenizer: the file ``tokenizer.json``, read when it is first asked.
    """

    taught: str
    tokenizer: Path

    @classmethod
    def of_folder(cls, folder: Path) -> Self | None:
        """What a folder says; None where it says nothing.

        Raises:
            ModelError: what it says cannot be read.
        """
        path, tokenizer = folder / CAPTIONS, folder / "tokenizer" / "tokenizer.json"
        if not path.is_file() or not tokenizer.is_file():
            return None
        taught = _read(path, tomllib.loads).get("taught")
        line = " ".join(taught.split())[:_LONGEST] if isinstance(taught, str) else ""
        return cls(line, tokenizer) if line and line.isprintable() else None

    def unknown(self, text: str) -> tuple[str, ...]:
        """The words of a text that the model was not taught, each once, in order.

        A word with a regular ending is known where it is known without; small words of grammar
        are no names of things, and not counted.
        """
        known = _whole_words(self.tokenizer)
        words = dict.fromkeys(_WORD.findall(text.lower()))
        return tuple(
            word
            for word in words
            if len(word) > 1 or not word.isascii()
            if word not in STOP_WORDS and known.isdisjoint(_without_endings(word))
        )


def remark(model: ImageModel, prompt: str) -> str:
    """A sentence on the words of a prompt that a model was not taught; empty for none.

    Args:
        model: draws.
        prompt: what it draws.

    Raises:
        ModelError: its tokenizer cannot be read.
    """
    vocabulary = model.capabilities.vocabulary
    words = vocabulary.unknown(prompt) if vocabulary else ()
    if vocabulary is None or not words:
        return ""
    told = ", ".join(f"“{word[:30]}”" for word in words[:_TOLD])
    others = " and others" if len(words) > _TOLD else ""
    return f"{model.name} knows {vocabulary.taught}, and does not know {told}{others}."


def _without_endings(word: str) -> set[str]:
    found = {word}
    for ending, instead in _ENDINGS:
        base = word.removesuffix(ending) + instead
        if word.endswith(ending) and len(base) >= _SHORTEST:
            found.add(base)
    return found


@lru_cache(maxsize=4)
def _whole_words(tokenizer: Path) -> frozenset[str]:
    """The words that a tokenizer in CLIP’s form holds as one token each."""
    told = _read(tokenizer, json.loads)
    try:
        pieces = [str(piece) for piece in dict(told["model"]["vocab"])]
        added = [str(token["content"]) for token in told.get("added_tokens", ())]
    except (KeyError, TypeError) as error:
        raise ModelError(f"{tokenizer}: no tokenizer ({error!r})", "download it again") from None
    ends = (piece.removesuffix("</w>") for piece in pieces if piece.endswith("</w>"))
    return frozenset(added) | frozenset(ends)


def _read(path: Path, loads: Callable[[str], Any]) -> dict[str, Any]:
    try:
        found = loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error})", "download it again") from None
    return found if isinstance(found, dict) else {}
