"""Drawings in the place of painted things, for the small Janus to learn to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from limner.examples.pocket import emoji
from limner.examples.pocket.janus_drawn import Drawings, alone, drawn
from limner.examples.pocket.janus_eyes import EyesStage
from limner.examples.pocket.scenes import Background, Placed, Scene, Scenes
from limner.examples.pocket.training import Plan
from limner.tools.model_files import SHIPPED

pytestmark = pytest.mark.skipif(bool(emoji.missing()), reason=f"missing: {emoji.missing()}")


def scene(*placed: Placed, background: Background | None = None) -> Scene:
    return Scene(placed, background or Background(), ())


def test_what_a_name_alone_stands_for() -> None:
    blue = Background(colours=((40, 90, 200),))
    assert alone(scene(Placed(7, x=0.51, size=0.86))) == 7
    assert alone(scene(Placed(7, mirrored=True))) == alone(scene(Placed(7, size=0.42))) == -1
    assert alone(scene(Placed(7, x=0.26))) == alone(scene(Placed(7), background=blue)) == -1
    assert alone(scene(Placed(7), Placed(8))) == -1
    scenes, random = Scenes(emoji.Split()), np.random.default_rng(0)
    assert all(alone(scenes.bare(n, random)) == n for n in range(0, 1400, 50) if n in scenes._words)


def test_most_of_what_stands_alone_is_a_drawing_and_nothing_else() -> None:
    drawings = Drawings([7], torch.full((1, 3, 8, 8), 255, dtype=torch.uint8))
    scenes = [*[scene(Placed(7))] * 200, scene(Placed(8)), scene(Placed(7), Placed(8))]
    painted = torch.zeros(202, 3, 8, 8)
    made = drawings.instead(scenes, painted, np.random.default_rng(0))
    share = float(made[:200].mean((1, 2, 3)).eq(1).float().mean())
    assert 0.6 < share < 0.8 and set(made.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(made[200:], painted[200:]) and not painted.any()
    again = drawings.instead(scenes, painted, np.random.default_rng(0))
    assert torch.equal(made, again)


def test_without_drawings_all_is_painted(tmp_path: Path) -> None:
    painted = torch.rand(2, 3, 8, 8)
    made = Drawings.found(tmp_path).instead(
        [scene(Placed(7))] * 2, painted, np.random.default_rng(0)
    )
    assert torch.equal(made, painted)


def test_drawings_are_kept(tmp_path: Path) -> None:
    names = {e.name: n for n, e in enumerate(emoji.load())}
    drawn(tmp_path, SHIPPED["pocket-sdxl"], [names["fox"], names["red apple"]])
    found = Drawings.found(tmp_path)
    scenes = [scene(Placed(names["red apple"]))] * 20
    made = found.instead(scenes, torch.ones(20, 3, 64, 64), np.random.default_rng(0))
    apple = next(picture for picture in made if not picture.eq(1).all())
    middle = apple[:, 28:40, 28:40].mean((1, 2))
    assert middle[0] > 0.2 > middle[1] and middle[0] > middle[2] + 0.5  # red


def test_eyes_look_at_drawings_where_there_are_some(tmp_path: Path) -> None:
    """One row for each thing, all of it one grey that no painted scene is."""
    numbers = [n for n, e in enumerate(emoji.load()) if e.drawn]
    grey = torch.full((len(numbers), 3, 64, 64), 77, dtype=torch.uint8)
    save_file({"numbers": torch.tensor(numbers), "pictures": grey}, tmp_path / "drawn.safetensors")
    stage, looked = EyesStage(Plan(tmp_path, batch=64)), []
    stage.model.register_forward_pre_hook(lambda _, given: looked.append(given[0]))
    loss, _ = stage.loss(0)
    flat = looked[0].flatten(1)
    of_drawings = float((flat == flat[:, :1]).all(1).float().mean())
    assert 0.05 < of_drawings < 0.4 and loss.isfinite()
