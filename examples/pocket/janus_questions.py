"""What the small Janus is asked about painted scenes, and the right answers.

Groups of pictures are Unicode's as CLDR's `properties/labels.txt` has them (Debian:
unicode-cldr-core; no emoji-test.txt is packaged). Pictures that it does not list yet take the group
of the one before them in CLDR's order of emoji (`collation/root.xml`); some forty that are newer
than both have none. Knows words; no pixels, no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.scenes import Scene, Scenes

__all__ = ["Questions", "groups", "named", "unlike"]

_CLDR = Path("/usr/share/unicode/cldr/common")
_COMMON = frozenset({"and", "for", "in", "man", "of", "on", "person", "the", "with", "woman"})


@lru_cache
def groups() -> tuple[tuple[str, str], ...]:
    """Group and subgroup of each picture of `emoji.load`; two empty words where it has none."""
    labels = _labels()
    page = (_CLDR / "collation/root.xml").read_text("utf-8")
    order = page.partition("<collation type='emoji'>")[2].partition("</collation>")[0]
    last = ("", "")
    for mark in order:
        if mark > "\u2000":
            last = labels.setdefault(mark, last)
    found = (labels.get(emoji.text.replace("\ufe0f", "")) for emoji in load())
    return tuple(
        own or labels.get(emoji.text[0], ("", "")) for own, emoji in zip(found, load(), strict=True)
    )


def _labels() -> dict[str, tuple[str, str]]:
    """From lines as ``[😀-😆{👨‍🌾}] ; group ; subgroup``."""
    found: dict[str, tuple[str, str]] = {}
    for line in (_CLDR / "properties/labels.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            marks, group, subgroup = (part.strip() for part in line.split(";"))
            found |= dict.fromkeys(_members(marks[1:-1]), (group, subgroup))
    return found


def _members(marks: str) -> Iterator[str]:
    for sequence, first, last, one in re.findall(r"\{([^}]+)\}|(.)-(.)|(\S)", marks):
        if first:
            yield from map(chr, range(ord(first), ord(last) + 1))
        else:
            yield (sequence or one).replace("\ufe0f", "")


def named(scene: Scene) -> str:
    """The answer to what a scene shows: its things' names, each once."""
    return " and ".join(load()[n].name for n in dict.fromkeys(o.number for o in scene.objects))


def unlike(a: int, b: int) -> bool:
    """Whether neither name says all of the other: a "cat face" is a "cat" too."""
    one, other = (set(load()[i].name.split()) for i in (a, b))
    return not (one <= other or other <= one)


@dataclass(frozen=True)
class Questions:
    """Words that a scene shows, and words that it does not.

    Attributes:
        scenes: how captions are made; what they never say is said here neither.
    """

    scenes: Scenes

    def shown(self, scene: Scene, random: np.random.Generator) -> str:
        """Words that a scene shows: a name, a keyword, its caption, or both of two things."""
        numbers = list(dict.fromkeys(o.number for o in scene.objects))
        kind = random.random()
        if kind < 0.3:
            return scene.captions[int(random.integers(len(scene.captions)))]
        if len(numbers) == 2 and kind < 0.65:
            return self._both(random.permutation(numbers).tolist(), random)
        return self._called(int(random.choice(numbers)), random)

    def missing(self, scene: Scene, random: np.random.Generator) -> str:
        """Words of other things; half of them are of a similar one."""
        numbers = list(dict.fromkeys(o.number for o in scene.objects))
        near = int(random.choice(numbers))
        other = self._other(near, numbers, random)
        kind = random.random()
        if kind < 0.3:
            make = self.scenes.bare if kind < 0.15 else self.scenes.styled
            return make(other, random).captions[0]
        if kind < (0.6 if len(numbers) == 2 else 0.42) and not self._split.keeps_pair(near, other):
            pair = [near, other] if random.random() < 0.5 else [other, near]
            return self._both(pair, random)
        return self._called(other, random)

    def _other(self, near: int, numbers: list[int], random: np.random.Generator) -> int:
        """A picture that none of some is, nor could be called."""
        alike = self._alike[near]
        for _ in range(50):
            of = alike if len(alike) and random.random() < 0.5 else self._drawn
            other = int(random.choice(of))
            if all(unlike(other, n) and not self._share_words(other, n) for n in numbers):
                return other
        return next(n for n in self._drawn.tolist() if all(unlike(n, m) for m in numbers))

    def _share_words(self, a: int, b: int) -> bool:
        one, other = ({load()[i].name, *load()[i].keywords} for i in (a, b))
        return bool(one & other)

    def _both(self, numbers: Sequence[int], random: np.random.Generator) -> str:
        return " and ".join(self._called(number, random) for number in numbers)

    def _called(self, number: int, random: np.random.Generator) -> str:
        words, name = self._split.words(load()[number]), load()[number].name
        told = words[int(random.integers(len(words)))] if words and random.random() < 0.2 else name
        if random.random() < 0.5:
            return told
        return f"{'an' if told[0] in 'aeiou' else 'a'} {told}"

    @property
    def _split(self) -> Split:
        return self.scenes.split

    @cached_property
    def _drawn(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([i for i, emoji in enumerate(load()) if emoji.drawn])

    @cached_property
    def _alike(self) -> dict[int, list[int]]:
        """Drawn pictures of the same subgroup, or whose names share a word."""
        places: dict[object, set[int]] = {}
        for i in self._drawn.tolist():
            for key in self._marks(i):
                places.setdefault(key, set()).add(i)
        return {
            i: sorted(set[int]().union(*(places[key] for key in self._marks(i))) - {i})
            for i in self._drawn.tolist()
        }

    @staticmethod
    def _marks(number: int) -> set[object]:
        group = {groups()[number]} if groups()[number][1] else set[tuple[str, str]]()
        return {*group, *(set(load()[number].name.split()) - _COMMON)}
