"""How a generated picture is to be drawn differently: values, and both ways to write them down.

``/redraw 2 seed=7 size=512x512`` is read here and written here. Knows no words of people (see
`edit_words`), no models, and nothing of how it is done (see `redrawing`).
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from ..errors import UserError
from ..index.passage import Box
from .answer import Answer, Generated, Picture
from .drawn import parse_size

__all__ = [
    "UNCHANGED",
    "Changes",
    "Edit",
    "command_of",
    "drawings_of",
    "numbers_in",
    "numbers_told",
    "parse_changes",
    "parse_command",
    "picture_of",
]

_NUMBERED = re.compile(
    r"\b(?:picture|image|drawing)\s+(?:number\s+|no\.?\s*|#)?([1-9][0-9]{0,3})\b", re.ASCII | re.I
)
_USAGE = "/redraw 2 seed=7 steps=20 size=512x512"


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be different from how a picture was drawn. None leaves it as it was.

    Attributes:
        prompt: what it shows.
        negative: what it does not show.
        size: width and height in pixels.
        steps: denoising steps.
        guidance: classifier-free guidance scale.
        scheduler: by name.
        seed: of the starting noise.
        strength: how much of a picture is drawn over, above 0, at most 1; a picture that was drawn
            from none is then drawn from itself.
        mask: the part that is drawn anew, in pixels of the picture, origin top left.

    Raises:
        UserError: a value of another form.
    """

    prompt: str | None = None
    negative: str | None = None
    size: tuple[int, int] | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    seed: int | None = None
    strength: float | None = None
    mask: Box | None = None

    def __post_init__(self) -> None:
        for name, value in self.named.items():
            object.__setattr__(self, name, _FORMS[name](name, value))

    @property
    def named(self) -> dict[str, Any]:
        """Those that are not None, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


def _integral(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UserError(f"{name} {value!r}: a whole number is expected", f"{name}=7")
    return int(value)


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UserError(f"{name} {value!r}: a number is expected", f"{name}=0.6")
    return float(value)


def _words(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UserError(f"{name} {value!r}: words are expected", f"{name}='a red boat'")
    return value


def _sides(name: str, value: object) -> tuple[int, int]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise UserError(f"{name} {value!r}: width and height are expected", f"{name}=(512, 512)")
    return _integral(name, value[0]), _integral(name, value[1])


def _edges(name: str, value: object) -> Box:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 4:
        raise UserError(
            f"{name} {value!r}: the left, upper, right and lower edge in pixels are expected",
            f"{name}=(10, 20, 200, 150)",
        )
    x0, y0, x1, y1 = (_real(name, edge) for edge in value)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


_FORMS: Mapping[str, Callable[[str, object], Any]] = {
    "prompt": _words,
    "negative": _words,
    "size": _sides,
    "steps": _integral,
    "guidance": _real,
    "scheduler": _words,
    "seed": _integral,
    "strength": _real,
    "mask": _edges,
}

UNCHANGED = Changes()


@dataclass(frozen=True, slots=True)
class Edit:
    """One generated picture and how it is to be drawn differently.

    Attributes:
        picture: its origin is `Generated`.
        changes: what is named; with none, another seed is taken.
        onto: it is drawn from the picture as it is, where the model can do that.
        region: what of it is to be drawn anew, in words; empty for all of it.
        another: another seed is taken beside what is named.
        wish: what is to be different of the whole picture, as it was said; the prompt ends in it.
    """

    picture: Picture
    changes: Changes = UNCHANGED
    onto: bool = False
    region: str = ""
    another: bool = False
    wish: str = ""


def drawings_of(answers: Iterable[Answer]) -> tuple[Picture, ...]:
    """The generated pictures of a conversation, in the order in which they were shown.

    Args:
        answers: of the conversation, oldest first.
    """
    shown = (picture for answer in answers for picture in answer.pictures)
    return tuple(picture for picture in shown if isinstance(picture.origin, Generated))


def picture_of(drawings: Sequence[Picture], number: int | None) -> Picture:
    """The picture that is meant.

    Args:
        drawings: of a conversation, as ``drawings_of`` gives them.
        number: counts them from 1; None for the last one.

    Raises:
        UserError: there is no such picture.
    """
    if not drawings:
        raise UserError(
            "there is no picture to redraw: none was drawn in this conversation",
            "draw a lighthouse at dusk",
        )
    number = len(drawings) if number is None else _integral("picture", number)
    if not 1 <= number <= len(drawings):
        count = "one was" if len(drawings) == 1 else f"{len(drawings)} were"
        raise UserError(
            f"there is no picture {number} to redraw: {count} drawn in this conversation",
            f"/redraw {len(drawings)}",
        )
    return drawings[number - 1]


def numbers_in(said: str) -> frozenset[int]:
    """The numbers by which a sentence names pictures.

    Example:
        >>> numbers_in("make picture 2 night")
        frozenset({2})
    """
    return frozenset(int(number) for number in _NUMBERED.findall(said))


def numbers_told(before: int, new: int) -> str:
    """Which numbers new drawings of a conversation are called by; empty where none is new.

    Args:
        before: how many it had.
        new: how many there are now besides.

    Example:
        >>> numbers_told(1, 1)
        'This is picture 2 of this conversation.'
    """
    if not new:
        return ""
    if new == 1:
        return f"This is picture {before + 1} of this conversation."
    return f"These are pictures {before + 1} to {before + new} of this conversation."


# ── as it is typed ───────────────────────────────────────────────────────────────────────────


def parse_command(argument: str) -> tuple[int | None, Changes]:
    """The number of a picture and the changes, of what stands behind ``/redraw``.

    Example:
        >>> parse_command('2 seed=7 prompt="a red boat"')
        (2, Changes(prompt='a red boat', negative=None, size=None, steps=None, guidance=None, ...))

    Raises:
        UserError: a parameter that is unknown, or a value that is none.
    """
    try:
        words = shlex.split(argument)
    except ValueError:
        raise UserError("a quotation mark has no partner", _USAGE) from None
    number = int(words.pop(0)) if words and re.fullmatch(r"[0-9]{1,4}", words[0]) else None
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(
                f"{word!r}: a parameter is written name=value, with quotes around words", _USAGE
            )
        if name in pairs:
            raise UserError(f"{name} is named twice", _USAGE)
        pairs[name] = value
    return number, parse_changes(pairs)


def parse_changes(values: Mapping[str, str]) -> Changes:
    """Changes out of their names and values as text.

    Raises:
        UserError: a parameter that is unknown, or a value that is none.
    """
    for name in values:
        if name not in _READ:
            raise UserError(f"there is no parameter {name!r}; there are {', '.join(_READ)}", _USAGE)
    return Changes(**{name: _READ[name](name, value) for name, value in values.items()})


def _whole(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", value.strip(), re.ASCII):
        raise UserError(f"{name} {value!r}: a whole number is expected", f"{name}=7")
    return int(value)


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{name} {value!r}: a number is expected", f"{name}=0.6")
    return number


def _size(name: str, value: str) -> tuple[int, int]:
    try:
        return parse_size(value)
    except UserError as error:
        raise UserError(str(error), f"{name}=512x512") from None


def _box(name: str, value: str) -> Box:
    parts = value.split(",")
    if len(parts) != 4:
        raise UserError(
            f"{name} {value!r}: the left, upper, right and lower edge in pixels are expected",
            f"{name}=10,20,200,150",
        )
    x0, y0, x1, y1 = (_number(name, part) for part in parts)
    return x0, y0, x1, y1


def _text(name: str, value: str) -> str:
    return value


_READ: Mapping[str, Callable[[str, str], Any]] = {
    "prompt": _text,
    "negative": _text,
    "seed": _whole,
    "steps": _whole,
    "guidance": _number,
    "scheduler": _text,
    "size": _size,
    "strength": _number,
    "mask": _box,
}


def command_of(changes: Changes) -> str:
    """Changes as they are typed: the inverse of ``parse_command``.

    Example:
        >>> command_of(Changes(prompt="a red boat", seed=7))
        "/redraw prompt='a red boat' seed=7"
    """
    named = changes.named
    if changes.size is not None:
        named["size"] = f"{changes.size[0]}x{changes.size[1]}"
    if changes.mask is not None:
        named["mask"] = ",".join(f"{edge:.12g}" for edge in changes.mask)
    parts = (f"{name}={shlex.quote(_typed(value))}" for name, value in named.items())
    return " ".join(["/redraw", *parts])


def _typed(value: object) -> str:
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
