"""A grid of settings: read from a TOML file, multiplied out, in the order that costs least.

Knows the file's form and the settings of a picture; opens no model and draws nothing. See
``examples/sweeps``.
"""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ...errors import SourceError, UserError
from ...tools.paths import typed_path
from ..drawn import parse_size
from ..plain_text import clean

__all__ = ["AXES", "Experiment", "Grid", "Settings", "read_grid", "with_model"]

MOST = 100_000
"""Pictures of a grid; more is a slip of the pen."""

_RANGE = re.compile(r"\s*(-?[\d.]+)\s*-\s*(-?[\d.]+)\s*(?:\(\s*\+?\s*([\d.]+)\s*\))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """One picture of a grid; what is empty or None is the model's own choice.

    Attributes:
        prompt: what it shows.
        model: a folder or name; empty for the one that the command names.
        lora: path of an adapter; empty for none.
        lora_weight: of it.
        size: width and height in pixels.
        reference: path of a picture to start from.
        mask: path of what is drawn anew of it.
        negative: what it does not show.
        scheduler: by name.
        guidance: scale.
        strength: of drawing over the reference.
        seed: of the noise.
        steps: of denoising.
    """

    prompt: str
    model: str = ""
    lora: str = ""
    lora_weight: float = 1.0
    size: tuple[int, int] | None = None
    reference: str = ""
    mask: str = ""
    negative: str = ""
    scheduler: str | None = None
    guidance: float | None = None
    strength: float | None = None
    seed: int = 0
    steps: int | None = None

    def of(self, axis: str) -> str:
        """A setting as people read it."""
        value = getattr(self, axis)
        if axis == "size":
            return "×".join(map(str, value)) if value else "own"
        return "own" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


AXES = ("model", "lora", "lora_weight", "size", "reference", "mask", "prompt", "negative",
        "scheduler", "guidance", "strength", "steps", "seed")  # fmt: skip
"""Every setting, the costliest to change first: another model is loaded anew, another seed costs
nothing."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A part of a grid: every combination of some values.

    Attributes:
        name: for people.
        axes: each setting's values, in the order of `AXES`.
    """

    name: str
    axes: tuple[tuple[str, tuple[Any, ...]], ...]

    @property
    def varying(self) -> tuple[str, ...]:
        """The settings with more than one value."""
        return tuple(axis for axis, values in self.axes if len(values) > 1)

    @property
    def count(self) -> int:
        """How many pictures."""
        return math.prod(len(values) for _, values in self.axes)

    def settings(self) -> Iterator[Settings]:
        """Every picture; the costliest setting changes last."""
        names = [axis for axis, _ in self.axes]
        for values in itertools.product(*(values for _, values in self.axes)):
            told = dict(zip(names, values, strict=True))
            if not told.get("lora"):
                told.pop("lora_weight", None)  # of nothing
            yield Settings(**told)


@dataclass(frozen=True, slots=True)
class Grid:
    """What a file asks for.

    Attributes:
        name: the file's, without its suffix.
        experiments: in the file's order.
    """

    name: str
    experiments: tuple[Experiment, ...]

    def settings(self) -> list[Settings]:
        """Every picture once, those of a model together, and within them those of an adapter."""
        found = dict.fromkeys(s for experiment in self.experiments for s in experiment.settings())
        first: dict[tuple[str, ...], int] = {}
        for settings in found:
            for depth in (1, 3):
                first.setdefault(_costly(settings)[:depth], len(first))
        return sorted(found, key=lambda s: [first[_costly(s)[:depth]] for depth in (1, 3)])


def with_model(grid: Grid, name: str) -> Grid:
    """A grid that draws with one model whatever its experiments name.

    Args:
        grid: as read.
        name: of the model, or a folder.
    """
    return replace(grid, experiments=tuple(_by(one, name) for one in grid.experiments))


def _by(experiment: Experiment, name: str) -> Experiment:
    others = ((axis, values) for axis, values in experiment.axes if axis != "model")
    return replace(experiment, axes=(("model", (name,)), *others))


def _costly(settings: Settings) -> tuple[str, ...]:
    return settings.model, settings.lora, str(settings.lora_weight)


# ── Reading ──────────────────────────────────────────────────────────────────────────────────


def read_grid(path: Path) -> Grid:
    """A grid from its file.

    Settings at the top hold for every ``[[experiment]]`` that does not say otherwise; without one
    they are the experiment. Each is a value, a list, or a range: ``"10-50 (+10)"``, ``"1-4"``.

    Args:
        path: TOML. Paths in it are relative to its folder.

    Raises:
        SourceError: not there, or not TOML.
        UserError: a setting that does not exist, or a value of another kind.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{path}: cannot be read ({reason})", "see examples/sweeps") from None
    parts = told.pop("experiment", [{}])
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise UserError(f"{path}: experiment is no table", "write [[experiment]]")
    experiments = tuple(
        _experiment({**told, **part}, path, number) for number, part in enumerate(parts, 1)
    )
    if (count := sum(experiment.count for experiment in experiments)) > MOST:
        raise UserError(f"{path}: {count} pictures, at most {MOST}", "take values out")
    return Grid(path.stem, experiments)


def _experiment(told: Mapping[str, Any], path: Path, number: int) -> Experiment:
    name = str(told.get("name", f"experiment {number}"))
    unknown = sorted(set(told) - set(_READERS) - {"name"})
    if unknown:
        raise UserError(f"{path}: no setting {unknown[0]!r}", f"one of: {', '.join(_READERS)}")
    if "prompt" not in told:
        raise UserError(f"{path}: {name} has no prompt", 'prompt = ["a lighthouse at dusk"]')
    axes = [(axis, _values(axis, told[axis], path)) for axis in AXES if axis in told]
    return Experiment(name, tuple(axes))


def _values(axis: str, told: Any, path: Path) -> tuple[Any, ...]:
    given = told if isinstance(told, list) else [told]
    read, ranges = _READERS[axis]
    found: list[Any] = []
    for value in given:
        try:
            spread = _spread(value) if ranges and isinstance(value, str) else [value]
            found += [read(one) for one in spread]
        except OverflowError:
            raise UserError(
                f"{path}: {axis} = {value!r} has too many values, at most {MOST} are taken",
                'a larger step, as "0-1000 (+10)"',
            ) from None
        except (ValueError, TypeError, ArithmeticError):
            raise UserError(
                f"{path}: {axis} = {value!r} is not what is expected", _EXPECTED[read]
            ) from None
    if not found:
        raise UserError(f"{path}: {axis} has no values", f"leave {axis} out")
    values = [_beside(path, value) if axis in _FILES and value else value for value in found]
    return tuple(dict.fromkeys(values))


def _spread(text: str) -> Sequence[Any]:
    """The numbers of a range, both ends included; whole ones as whole numbers."""
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError("no range")
    first, last, step = Decimal(found[1]), Decimal(found[2]), Decimal(found[3] or 1)
    if step <= 0 or last < first:
        raise ValueError("a range without an end")
    if (last - first) / step >= MOST:
        raise OverflowError("too many values")
    numbers = [first + step * n for n in range(int((last - first) / step) + 1)]
    return [int(n) if n == int(n) else float(n) for n in numbers]


def _beside(path: Path, name: str) -> str:
    """A file that is named relative to the grid; for anything else the name as it stands."""
    near = path.parent / typed_path(name, str(path))
    return str(near) if near.exists() else name


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _words(value: Any) -> str:
    """What is drawn is what can be shown and typed again."""
    return clean(_text(value))


def _scheduler(value: Any) -> str:
    if not (name := _text(value).strip().lower()):
        raise ValueError
    return name


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError
    return float(value)


def _size(value: Any) -> tuple[int, int]:
    try:
        return parse_size(value if isinstance(value, str) else str(_whole(value)))
    except UserError:
        raise ValueError from None


_EXPECTED: dict[Callable[[Any], Any], str] = {
    _text: "text in quotes",
    _words: "text in quotes",
    _scheduler: 'a scheduler\'s name in quotes, as "euler"',
    _whole: 'a whole number, or a range as "10-50 (+10)"',
    _number: 'a number, or a range as "1-3 (+0.5)"',
    _size: '"768x512", or 512 for a square',
}
_READERS: dict[str, tuple[Callable[[Any], Any], bool]] = {
    "prompt": (_words, False),
    "model": (_text, False),
    "lora": (_text, False),
    "lora_weight": (_number, True),
    "size": (_size, False),
    "reference": (_text, False),
    "mask": (_text, False),
    "negative": (_words, False),
    "scheduler": (_scheduler, False),
    "guidance": (_number, True),
    "strength": (_number, True),
    "seed": (_whole, True),
    "steps": (_whole, True),
}
"""How each setting is read, and whether it may be a range."""

_FILES = ("model", "lora", "reference", "mask")
