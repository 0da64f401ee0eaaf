"""What the small SDXL draws of each name, for the small Janus to learn to look at.

    python examples/pocket/janus_drawn.py --out demo/pocket

The eye of the check step is shown nothing but drawings, and they are blurred where the font is
sharp. Where these were made, `janus` reads them in place of most things that stand alone on white.
Knows Limner's shipped image model; trains nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from limner.examples.pocket.emoji import load
from limner.examples.pocket.evaluate import Artist
from limner.examples.pocket.scenes import Background, Placed, Scene
from limner.tools.model_files import SHIPPED

__all__ = ["Drawings", "drawn"]

_FILE = "drawn.safetensors"
_STEPS = 8  # more change nothing that is seen
_SEED = 15_000_000  # others than people draw with, and than are evaluated
_SHARE = 0.7  # of things that stand alone on white


class Drawings:
    """Drawings of names.

    Args:
        numbers: positions in `emoji.load` of what is drawn.
        pictures: uint8 ``(n, 3, side, side)``.
    """

    def __init__(self, numbers: Sequence[int], pictures: Tensor) -> None:
        self._rows = {number: row for row, number in enumerate(numbers)}
        self._pictures = pictures

    @classmethod
    def found(cls, out: Path) -> Drawings:
        """Those of a recipe's folder; none where none were made."""
        path = out / _FILE
        kept = load_file(path) if path.exists() else {}
        if not kept:
            return cls((), torch.zeros(0))
        return cls(kept["numbers"].tolist(), kept["pictures"])

    def instead(
        self, scenes: Sequence[Scene], pictures: Tensor, random: np.random.Generator
    ) -> Tensor:
        """Painted scenes, most of those that a name alone stands for as drawings.

        Args:
            scenes: as many as pictures.
            pictures: float32 ``(n, 3, side, side)`` from -1 to 1.
            random: decides which.
        """
        made = pictures.clone()
        for row, (scene, chance) in enumerate(zip(scenes, random.random(len(scenes)), strict=True)):
            number = alone(scene)
            if chance < _SHARE and number in self._rows:
                made[row] = self._pictures[self._rows[number]].to(made) / 127.5 - 1
        return made


def alone(scene: Scene) -> int:
    """The number of the only thing of a scene that its name alone stands for; else -1."""
    plain = Placed(0)
    if len(scene.objects) != 1 or scene.background != Background():
        return -1
    placed = scene.objects[0]
    apart = (placed.x - plain.x, placed.y - plain.y, placed.size - plain.size)
    return -1 if placed.mirrored or max(map(abs, apart)) > 0.05 else placed.number


def drawn(out: Path, model: Path, numbers: Sequence[int]) -> None:
    """Draw names and keep the drawings.

    Args:
        out: of the recipe.
        model: a folder as diffusers saves it.
        numbers: positions in `emoji.load`.
    """
    names = [load()[number].name for number in numbers]
    pictures = Artist(model)(names, steps=_STEPS, seed=_SEED)
    kept = ((pictures + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    out.mkdir(parents=True, exist_ok=True)
    save_file({"numbers": torch.tensor(numbers), "pictures": kept}, out / _FILE)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw every name once."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo/pocket"))
    given = parser.parse_args(arguments)
    numbers = [number for number, emoji in enumerate(load()) if emoji.drawn]
    drawn(given.out, SHIPPED["pocket-sdxl"], numbers)
    print(f"written: {given.out / _FILE}, {len(numbers)} drawings")


if __name__ == "__main__":
    main()
