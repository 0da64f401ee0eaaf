"""What is to be painted and what captions say of it. Knows words and places; no pixels, no models.

Whatever varies is said: a caption that names nothing but a thing stands for it centred, large, on
white. So a bare name has one right picture, and every other word of a caption changes something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from limner.examples.pocket.emoji import Split, load

__all__ = ["COLOURS", "PLACES", "SIZES", "Background", "Placed", "Scene", "Scenes"]

_T = TypeVar("_T")

COLOURS = {
    "white": (255, 255, 255),
    "black": (20, 20, 22),
    "grey": (150, 150, 152),
    "red": (214, 48, 49),
    "orange": (245, 145, 40),
    "yellow": (252, 220, 70),
    "green": (60, 160, 80),
    "light green": (180, 228, 170),
    "blue": (40, 90, 200),
    "light blue": (165, 210, 245),
    "purple": (125, 70, 175),
    "pink": (250, 175, 200),
    "brown": (125, 85, 55),
}
"""Of backgrounds, red green blue."""

CAPTIONS = 3
"""Sentences for each scene; training takes one of them at a time."""

_BARE = ("{}", "{}", "{}", "a picture of {}", "a drawing of {}", "an icon of {}", "{}, simple",
         "an image showing {}", "an illustration of {}", "{} on a white background")  # fmt: skip
_STYLED = ("{}", "{}", "a picture of {}", "a drawing of {}", "an illustration of {}")
_NO_MIRROR = re.compile(
    r"\b(left|right|arrows?|button|o’clock|thirty|keycap|mark|sign|latin|letters?|numbers|clock"
    r"|backhand|mirrored|symbols|squared?|atm|abc|pages?|chart|calendar|soon|top|back|on!)\b"
)
PLACES = {
    "on the left": (-0.22, 0.0),
    "on the right": (0.22, 0.0),
    "at the top": (0.0, -0.22),
    "at the bottom": (0.0, 0.22),
    "in the top left corner": (-0.24, -0.24),
    "in the top right corner": (0.24, -0.24),
    "in the bottom left corner": (-0.24, 0.24),
    "in the bottom right corner": (0.24, 0.24),
}
"""How far a thing is from the middle, as a share of the scene's sides."""

SIZES = {"tiny": 0.26, "small": 0.42, "very large": 1.1}
"""Of a thing's longer side, as a share of the scene's."""

_BESIDE = ("{a} and {b}", "{a} and {b}", "{a} and {b}", "{a} next to {b}",
           "{a} on the left of {b}", "{b} on the right of {a}", "{a} with {b}")  # fmt: skip
_STACKED = ("{a} above {b}", "{b} below {a}", "{a} over {b}", "{b} under {a}")


@dataclass(frozen=True)
class Placed:
    """A picture in a scene.

    Attributes:
        number: position in `emoji.load`.
        x: of its centre, as a share of the scene's side, 0 at the left.
        y: of its centre, 0 at the top.
        size: of its longer side, as a share of the scene's.
        angle: in degrees.
        mirrored: left and right changed.
    """

    number: int
    x: float = 0.5
    y: float = 0.5
    size: float = 0.84
    angle: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True)
class Background:
    """What is behind.

    Attributes:
        kind: ``plain``, ``across`` or ``down`` (gradients), ``stripes``, ``dots``, ``clouds``.
        colours: one or two of `COLOURS`, red green blue from 0 to 255.
    """

    kind: str = "plain"
    colours: tuple[tuple[int, int, int], ...] = (COLOURS["white"],)


@dataclass(frozen=True)
class Scene:
    """A picture to be painted, with `CAPTIONS` sentences that tell it."""

    objects: tuple[Placed, ...]
    background: Background
    captions: tuple[str, ...]


class Scenes:
    """Draws scenes at random.

    Args:
        split: what is never drawn.
        jitter: how far places, sizes and angles stray from what a caption says.
        every: take all pictures of the font, also those that the generator does not learn.
        held_out: draw only compositions that training never shows.
        shares: of `bare`, `styled` and `pair`.
    """

    def __init__(
        self,
        split: Split,
        jitter: float = 1.0,
        every: bool = False,
        held_out: bool = False,
        shares: tuple[float, float, float] = (0.45, 0.27, 0.28),
    ) -> None:
        self.split, self.jitter, self.held_out, self.shares = split, jitter, held_out, shares
        self._numbers = [i for i, emoji in enumerate(load()) if every or emoji.drawn]
        self._words = {i: split.words(load()[i]) for i in self._numbers}

    def batch(self, seed: int, number: int, count: int) -> list[Scene]:
        """Scenes: the same for the same seed and number. Every picture comes up equally often.

        Args:
            seed: of all batches.
            number: of this batch.
            count: of scenes.
        """
        random = np.random.default_rng((seed, 7, number))
        order = np.concatenate(
            [random.permutation(self._numbers) for _ in range(count // len(self._numbers) + 1)]
        )
        kinds = random.choice(3, size=count, p=self.shares)
        makers = (self.bare, self.styled, self.pair)
        return [makers[k](int(i), random) for k, i in zip(kinds, order[:count], strict=True)]

    def bare(self, number: int, random: np.random.Generator) -> Scene:
        """A picture alone, centred on white: what its name alone stands for."""
        captions = [_one(_BARE, random).format(self._called(number, random))
                    for _ in range(CAPTIONS)]  # fmt: skip
        return Scene((self._strayed(Placed(number), random),), Background(), tuple(captions))

    def styled(self, number: int, random: np.random.Generator) -> Scene:
        """A picture with a place, a size, a number or a direction, or on some background."""
        objects, how = self._arranged(number, random)
        background, behind = Background(), ""
        if not how or random.random() < 0.7:
            background, behind = self._background(number, random)
        where = [how.format(self._called(number, random, several="two" in how or "three" in how))
                 if how else self._called(number, random) for _ in range(CAPTIONS)]  # fmt: skip
        captions = tuple(_one(_STYLED, random).format(words + behind) for words in where)
        return Scene(tuple(self._strayed(o, random) for o in objects), background, captions)

    def pair(self, a: int, random: np.random.Generator) -> Scene:
        """Two pictures, side by side or one above the other."""
        b = int(random.choice(self._numbers))
        while b == a or self.split.keeps_pair(a, b) != self.held_out:
            b = int(random.choice(self._numbers))
        beside = random.random() < 0.75
        at = ((0.26, 0.5), (0.74, 0.5)) if beside else ((0.5, 0.26), (0.5, 0.74))
        placed = [Placed(n, x, y, 0.46) for n, (x, y) in zip((a, b), at, strict=True)]
        background, behind = Background(), ""
        if random.random() < 0.3:
            background, behind = self._background(a, random, b)
        sentences = _BESIDE if beside else _STACKED
        captions = tuple(
            _one(sentences, random).format(
                a=self._called(a, random, 0.85), b=self._called(b, random, 0.85)
            )
            + behind
            for _ in range(CAPTIONS)
        )
        return Scene(tuple(self._strayed(o, random) for o in placed), background, captions)

    def _arranged(self, number: int, random: np.random.Generator) -> tuple[tuple[Placed, ...], str]:
        """Objects, and a sentence with a gap for the name; an empty one where nothing is said."""
        kind = random.integers(8)
        if kind <= 1:
            where = _one(tuple(PLACES), random)
            x, y = PLACES[where]
            return (Placed(number, 0.5 + x, 0.5 + y, 0.5),), "{} " + where
        if kind == 2:
            size = _one(tuple(SIZES), random)
            return (Placed(number, size=SIZES[size]),), f"{size} {{}}"
        if kind == 3:
            pair = (Placed(number, 0.26, 0.5, 0.46), Placed(number, 0.74, 0.5, 0.46))
            return pair, "two {}"
        if kind == 4:
            row = [(0.5, 0.26), (0.26, 0.72), (0.74, 0.72)]
            return tuple(Placed(number, x, y, 0.42) for x, y in row), "three {}"
        if kind == 5 and not _NO_MIRROR.search(load()[number].name):
            return (Placed(number, mirrored=True),), "{} mirrored"
        return (Placed(number),), ""

    def _background(
        self, number: int, random: np.random.Generator, other: int = -1
    ) -> tuple[Background, str]:
        allowed = [
            colour
            for colour in COLOURS
            if colour != "white"
            and all(self.split.keeps_colour(i, colour) == self.held_out
                    for i in (number, other) if i >= 0)
        ] or ["grey"]  # fmt: skip
        one, two = (_one(allowed, random) for _ in range(2))
        kind = _one(("plain",) * 6 + ("across", "down", "stripes", "dots", "clouds"), random)
        if kind in ("across", "down") and one == two:
            kind = "plain"
        said = {
            "plain": f"a {one} background",
            "across": f"a gradient from {one} to {two}",
            "down": f"a gradient from {one} down to {two}",
            "stripes": f"{one} stripes",
            "dots": f"a dotted {one} background",
            "clouds": f"a cloudy {one} background",
        }[kind]
        colours = (_near(one, random), _near(two, random))
        return Background(kind, colours if kind in ("across", "down") else colours[:1]), (
            f" on {said}" if "background" not in said or random.random() < 0.75 else f", {said[2:]}"
        )

    def _called(
        self, number: int, random: np.random.Generator, named: float = 0.65, several: bool = False
    ) -> str:
        """Its name, or now and then a keyword; with an article, or as several."""
        words, emoji = self._words[number], load()[number]
        told = _one(words, random) if words and random.random() > named else emoji.name
        if several:
            return told if told.endswith("s") or random.random() < 0.3 else f"{told}s"
        if random.random() < 0.45:
            return told
        return f"{'an' if told[0] in 'aeiou' else 'a'} {told}"

    def _strayed(self, placed: Placed, random: np.random.Generator) -> Placed:
        x, y, size, angle = random.uniform(-1, 1, 4) * self.jitter
        return replace(
            placed,
            x=placed.x + 0.02 * x,
            y=placed.y + 0.02 * y,
            size=placed.size * (1 + 0.05 * size),
            angle=3 * angle,
        )


def _one(choices: Sequence[_T], random: np.random.Generator) -> _T:
    return choices[int(random.integers(len(choices)))]


def _near(colour: str, random: np.random.Generator) -> tuple[int, int, int]:
    r, g, b = np.clip(np.array(COLOURS[colour]) + random.integers(-12, 13, 3), 0, 255)
    return int(r), int(g), int(b)
