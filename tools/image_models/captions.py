"""What the captions say that a small model was trained on, and a prompt changed in their words.

A model that has learnt few words lists them in ``captions.toml`` beside its weights; any other
is told a change as people say it. What else that file says is `vocabulary`'s. Knows words; draws
nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ...errors import ModelError

__all__ = ["CAPTIONS", "Captions"]

CAPTIONS = "captions.toml"
"""The file beside a model's weights."""

_LARGEST = 20_000  # bytes of it
_TOLD = 4  # words of a kind
_MEANT = {"big": -1, "large": -1, "huge": -1, "little": 0}
"""Sizes by other names than a model's own: the largest and the smallest that it knows."""


@dataclass(frozen=True, slots=True)
class Captions:
    """Words by which captions change how a thing is shown; what they do not hold is not known.

    Attributes:
        sizes: from small to large; the empty one is what a name alone stands for.
        numbers: of the same thing.
        places: in the picture.
        backgrounds: their colours.
        alike: another seed changes little of a picture.

    Example:
        >>> captions = Captions(("tiny", "small", ""), ("two",), ("on the left",), ("blue",))
        >>> captions.changed("a fox", "smaller")
        'a small fox'
        >>> captions.changed("a small fox", "on a blue background")
        'a small fox on a blue background'
        >>> captions.changed("a fox", "night") is None
        True
    """

    sizes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    alike: bool = False

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Those of a model's folder; None where it lists none.

        Raises:
            ModelError: the file is no such list.
        """
        path = folder / CAPTIONS
        try:
            if path.stat().st_size > _LARGEST:
                raise ValueError("too long")
            told = tomllib.loads(path.read_text("utf-8"))
            listed = [name for name in cls.__slots__ if name != "alike" and name in told]
            lists = {name: _words(told[name]) for name in listed}
            return cls(**lists, alike=bool(told.get("alike"))) if lists else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{path}: cannot be read ({error})", "put it right") from error

    def changed(self, prompt: str, wish: str) -> str | None:
        """A prompt after a change; None where captions say nothing like it.

        Args:
            prompt: that a picture was drawn from.
            wish: what is to be different: ``bigger``, ``on a blue background``, ``two of them``.
        """
        said = " ".join(wish.lower().split()).strip(" .,!")
        caption = _Caption.of(prompt, self)
        for change in (self._sized, self._counted, self._placed, self._backed):
            if changed := change(caption, said):
                return changed.words
        return None

    def told(self) -> str:
        """What can be changed, in words."""
        held = {
            "size": [size for size in self.sizes if size],
            "number": self.numbers,
            "place": self.places,
            "background": self.backgrounds,
        }
        return ", ".join(f"{name} ({_some(words)})" for name, words in held.items() if words)

    def _sized(self, caption: _Caption, said: str) -> _Caption | None:
        words = re.sub(r"^(?:look |much |even |a (?:bit|little|lot) )+", "", said)
        step = {"bigger": 1, "larger": 1, "smaller": -1}.get(words)
        if step and self.sizes:
            place = self._place(caption.size) + step
            size = self.sizes[min(max(place, 0), len(self.sizes) - 1)]
        elif words in self.sizes and words:
            size = words
        elif words in _MEANT and self.sizes:
            size = self.sizes[self._place(words)]
        else:
            return None
        return replace(caption, size=size)

    def _place(self, size: str) -> int:
        if size in self.sizes:
            return self.sizes.index(size)
        return _MEANT.get(size, 0) % len(self.sizes)

    def _counted(self, caption: _Caption, said: str) -> _Caption | None:
        words = re.sub(r" of (?:them|it|these|those)$", "", said)
        if words not in self.numbers:
            return None
        return replace(caption, **{"many" if caption.many else "number": words})

    def _placed(self, caption: _Caption, said: str) -> _Caption | None:
        where = re.sub(r"^(?:to|at|in|on|into|towards) ", "", said)
        place = next((p for p in self.places if p.partition(" ")[2] == where), "")
        return replace(caption, place=place) if place else None

    def _backed(self, caption: _Caption, said: str) -> _Caption | None:
        found = _BEHIND.fullmatch(said)
        colour = (found["before"] or found["after"]) if found else ""
        return replace(caption, background=colour) if colour in self.backgrounds else None


_BEHIND = re.compile(
    r"(?:(?:on|against|with|have|has) )?(?:an? |the )?"
    r"(?:(?P<before>[\w ]+) background|background (?:(?:in|is|to) )?(?P<after>[\w ]+))"
)


@dataclass(frozen=True, slots=True)
class _Caption:
    """A prompt in its parts; each but the thing may be empty."""

    thing: str
    article: str = ""
    many: str = ""
    size: str = ""
    number: str = ""
    place: str = ""
    background: str = ""

    @classmethod
    def of(cls, prompt: str, known: Captions) -> Self:
        """The parts of a prompt; what is none of them belongs to the thing."""
        form = (
            rf"(?:(?P<article>an?|the) )?(?:(?P<many>{_any(known.numbers)}) )?"
            rf"(?:(?P<size>{_any((*known.sizes, *_MEANT))}) )?(?P<thing>.+?)"
            rf"(?:,? (?P<place>{_any(known.places)}))?"
            r"(?:(?:,| on|, on| against) an? (?P<background>[\w -]{1,40}) background)?"
            rf"(?:, (?P<number>{_any(known.numbers)}) of them)?"
        )
        found = re.fullmatch(form, prompt.strip(" .,"), re.IGNORECASE | re.DOTALL)
        if found is None:
            return cls(prompt)
        parts = {name: part or "" for name, part in found.groupdict().items()}
        return cls(**parts | {"size": parts["size"].lower()})

    @property
    def words(self) -> str:
        """The prompt again."""
        named = f"{self.size} {self.thing}".strip()
        article = self.article
        if article.lower() in ("a", "an"):
            article = "an" if named[0] in "aeiou" else "a"
        words = " ".join(filter(None, (article, self.many, named, self.place)))
        if self.background:
            an = "an" if self.background[0] in "aeiou" else "a"
            words += f" on {an} {self.background} background"
        return f"{words}, {self.number} of them" if self.number else words


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:_TOLD]) + (" …" if len(words) > _TOLD else "")


def _any(words: Iterable[str]) -> str:
    """A pattern of any of them, the longest first; of none where there are none."""
    held = sorted((re.escape(word) for word in words if word), key=len, reverse=True)
    return "|".join(held) or "(?!)"


def _words(told: Any) -> tuple[str, ...]:
    if not isinstance(told, list) or not all(isinstance(word, str) for word in told):
        raise ValueError("a list of words is expected")
    return tuple(" ".join(word.lower().split()) for word in told)
