"""Several pictures in one pass: each is the one that is drawn alone, and fails alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from limner.errors import DeveloperError, ModelError, ModelOutputError
from limner.tests.tiny_image_models import image_model
from limner.tests.tools.image_models.conftest import half, picture, quiet
from limner.tools.image_models import attempts
from limner.tools.image_models.base import DrawsMany, GeneratedImage, ImageRequest
from limner.tools.image_models.cache import PictureCache, Remembering
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.engine import Engine
from limner.tools.image_models.fake import HashPainter
from limner.tools.image_models.memory import ladder
from limner.tools.image_models.provenance import read, signed_png

FOUR = tuple(ImageRequest(f"A red boat {n}", steps=2, seed=n + 7) for n in range(4))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Diffusion:
    """SD 1.5 with a safety checker; its parts are put back by whoever tampers with them."""
    folder = image_model(tmp_path_factory.mktemp("batches") / "sd15", "sd15", checker=True)
    return Diffusion.load(str(folder))


def pictures(found: list[GeneratedImage | ModelError]) -> list[GeneratedImage]:
    assert all(isinstance(one, GeneratedImage) for one in found), found
    return [one for one in found if isinstance(one, GeneratedImage)]


def apart(a: Image.Image, b: Image.Image) -> int:
    """The largest difference of two pictures, 0 to 255."""
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


# ── The same pictures ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "more",
    [
        {"scheduler": "euler_a"},
        {"reference": picture(), "mask": half(), "strength": 0.9, "scheduler": "lcm"},
    ],
    ids=["noise at every step", "noise of the VAE"],
)
def test_each_is_drawn_as_alone(more: dict[str, Any], model: Diffusion) -> None:
    """To one step of 255: a matrix over times, by 2 rows and by 8, is rounded otherwise."""
    requests = [replace(r, **more) for r in FOUR]
    requests[1] = replace(requests[1], negative_prompt="blurry")
    together = pictures(model.generate_many(requests, quiet))
    alone = [model.generate(request, quiet) for request in requests]
    assert max(apart(a.image, b.image) for a, b in zip(together, alone, strict=True)) <= 1
    assert min(apart(a.image, together[0].image) for a in together[1:]) > 10
    for one, lone, request in zip(together, alone, requests, strict=True):
        assert (one.batch, lone.batch, one.notes) == (4, 1, ())
        assert (one.seed, one.prompt, one.checked) == (request.seed, request.prompt, True)
        assert one.seconds == together[0].seconds > 0


def test_where_kernels_are_alike_so_is_every_pixel(
    model: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that read one row of each picture go by twos here, as they do for a picture alone."""
    forward = torch.nn.Linear.forward

    def by_twos(layer: Any, rows: Any) -> Any:
        parts = rows.split(2) if rows.dim() == 2 else [rows]
        return torch.cat([forward(layer, part) for part in parts])

    monkeypatch.setattr(torch.nn.Linear, "forward", by_twos)
    together = pictures(model.generate_many(FOUR, quiet))
    alone = [model.generate(request, quiet) for request in FOUR]
    assert [apart(a.image, b.image) for a, b in zip(together, alone, strict=True)] == [0] * 4


def test_prompts_of_other_lengths_go_into_passes_of_their_own(model: Diffusion) -> None:
    long = replace(FOUR[1], prompt="A red boat at dusk " * 40)
    told: list[tuple[int, int]] = []
    found = pictures(
        model.generate_many([FOUR[0], long, FOUR[2]], lambda k, n, preview: told.append((k, n)))
    )
    assert [one.batch for one in found] == [2, 1, 2] and [one.seed for one in found] == [7, 8, 9]
    assert len(told) == 4 and apart(found[1].image, model.generate(long, quiet).image) <= 1


def test_a_preview_shows_them_side_by_side(model: Diffusion) -> None:
    seen: list[Any] = []
    model.generate_many(FOUR[:2], lambda k, n, preview: seen.append(preview()))
    assert [image.size for image in seen] == [(128, 64)] * 2


def test_what_is_not_alike_is_refused(model: Diffusion) -> None:
    for other in ({"steps": 3}, {"size": (64, 72)}, {"guidance": 2.0}, {"reference": picture()}):
        with pytest.raises(DeveloperError, match="do not go together"):
            model.generate_many([FOUR[0], replace(FOUR[1], **other)], quiet)
    with pytest.raises(DeveloperError):
        model.generate_many([], quiet)


def test_a_file_says_how_many_were_in_the_pass(model: Diffusion) -> None:
    from limner.agent.drawn import facts

    one = replace(model.generate(FOUR[0], quiet), batch=4)
    signed = read(signed_png(one))
    assert signed is not None and signed.drawn.batch == 4
    assert ("batch", "one of 4 in one pass") in facts(signed)
    assert json.loads(json.dumps(one.to_dict()))["batch"] == 4


# ── A picture fails alone ────────────────────────────────────────────────────────────────────


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """Seeds whose latents come out as numbers that are none."""
    seeds: set[int] = set()
    denoised = Engine._denoised

    def spoil(engine: Engine, stage: Any, requests: Any, *rest: Any) -> Any:
        latents = denoised(engine, stage, requests, *rest)
        for row, request in enumerate(requests):
            if request.seed in seeds:
                latents[row] = float("nan")
        return latents

    monkeypatch.setattr(Engine, "_denoised", spoil)
    yield seeds


def test_numbers_that_are_none_cost_one_picture(model: Diffusion, spoiled: set[int]) -> None:
    spoiled.add(FOUR[2].seed)
    found = model.generate_many(FOUR, quiet)
    assert [type(one) for one in found].count(GeneratedImage) == 3
    assert isinstance(found[2], ModelOutputError) and "numbers that are none" in str(found[2])


def test_one_that_overflows_is_drawn_again_alone_in_float32(
    model: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[int, Any]] = []
    draw = Engine.draw

    def watched(engine: Engine, requests: Any, on_step: Any) -> Any:
        assert engine._plan is not None
        drawn.append((len(requests), engine._plan.dtype))
        found = draw(engine, requests, on_step)
        if engine._plan.dtype == "float16":
            found[1] = attempts.Unusable("black")
        return found

    monkeypatch.setattr(Engine, "draw", watched)
    narrow = Diffusion.load(str(model._engine.checkpoint.folder), dtype="float16")
    found = pictures(narrow.generate_many(FOUR[:3], quiet))
    assert drawn == [(3, "float16"), (1, "float32")]
    assert [one.dtype for one in found] == ["float16", "float32", "float16"]
    assert found[1].notes == ("drawn again in float32: black",) and found[0].notes == ()


def test_a_declined_picture_costs_no_other(
    model: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, None, True])
    monkeypatch.setattr(Engine, "_check", lambda engine, image: next(answers))
    found = model.generate_many(FOUR[:3], quiet)
    assert isinstance(found[1], ModelOutputError) and "declines" in str(found[1])
    assert [one.checked for one in found if isinstance(one, GeneratedImage)] == [True, True]


# ── Memory ───────────────────────────────────────────────────────────────────────────────────


def test_as_many_go_together_as_fit(model: Diffusion, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = replace(FOUR[0], size=(512, 64))
    plan = ladder("cpu", "float32")[0]
    room = [0]
    monkeypatch.setattr(attempts, "free_memory", lambda device: room[0] - model._engine.held)

    def needed(count: int) -> int:
        asked = replace(wide, guidance=7.5)
        return model._attempts.need(plan, asked, count)

    assert needed(9) > needed(1)  # the UNet's work has outgrown the VAE's
    for count in (8, 9):
        room[0] = needed(count)
        assert model.most_together(wide, 20) == count
    assert model.most_together(wide) == 4 and model.most_together(wide, 2) == 2
    room[0] = needed(1)
    assert model.most_together(wide, 20) < 9
    monkeypatch.setattr(attempts, "free_memory", lambda device: None)
    assert model.most_together(wide, 20) == 20


def test_a_batch_is_halved_before_a_smaller_plan_is_tried(
    model: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, bool]] = []
    draw = Engine.draw

    def tight(engine: Engine, requests: Any, on_step: Any) -> Any:
        assert engine._plan is not None
        sizes.append((len(requests), engine._plan.tiles))
        if len(requests) > 1 or not engine._plan.tiles:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return draw(engine, requests, on_step)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "draw", tight)
        found = pictures(model.generate_many(FOUR, quiet))
    assert sizes == [(4, False), (2, False), (1, False), *[(1, True)] * 4]
    assert [one.seed for one in found] == [r.seed for r in FOUR]
    assert "memory had run out" in found[0].notes[1] and "tiles" in found[0].notes[0]

    def roomier(engine: Engine, requests: Any, on_step: Any) -> Any:
        if len(requests) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return draw(engine, requests, on_step)

    monkeypatch.setattr(Engine, "draw", roomier)
    found = pictures(model.generate_many(FOUR, quiet))
    assert {(one.batch, one.notes) for one in found} == {
        (2, ("drawn again, memory had run out for 4 together",))
    }


# ── Remembered ───────────────────────────────────────────────────────────────────────────────


def test_only_what_is_not_known_is_drawn(model: Diffusion, tmp_path: Path) -> None:
    kept = Remembering(model, PictureCache(tmp_path / "kept"))
    assert isinstance(model, DrawsMany) and isinstance(kept, DrawsMany)
    first = kept.generate(FOUR[1], quiet)
    found = pictures(kept.generate_many(FOUR[:3], quiet))
    assert [one.batch for one in found] == [2, 1, 2]
    assert apart(found[1].image, first.image) == 0
    again = pictures(kept.generate_many(FOUR[:3], lambda k, n, preview: pytest.fail("drawn")))
    assert [apart(a.image, b.image) for a, b in zip(found, again, strict=True)] == [0] * 3


def test_a_model_that_draws_each_by_itself_does_so(tmp_path: Path) -> None:
    plain: Callable[[], Any] = HashPainter
    kept = Remembering(plain(), PictureCache(tmp_path / "kept"))
    assert kept.most_together(FOUR[0], 8) == 1 and not isinstance(kept.model, DrawsMany)
    found = pictures(kept.generate_many(FOUR, quiet))
    assert [one.seed for one in found] == [r.seed for r in FOUR]
    assert kept.known(FOUR[3]) is not None
