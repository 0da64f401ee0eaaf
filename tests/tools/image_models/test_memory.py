"""What is done when memory is short; sizes are told by a stand-in for the system's figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.errors import ModelError
from limner.tests.tools.image_models.conftest import quiet, same
from limner.tools.image_models import attempts
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.engine import Engine
from limner.tools.image_models.memory import Plan, ladder, need

WIDE = ImageRequest("A red boat", size=(1024, 64), steps=2)


@pytest.fixture
def model(models: Path) -> Diffusion:
    return Diffusion.load(str(models / "sdxl"))


def needed(model: Diffusion, plan: Plan, size: tuple[int, int]) -> int:
    return need(plan, model._attempts.parameters, model._engine.checkpoint.settings, size, True)


def free(monkeypatch: pytest.MonkeyPatch, amount: int) -> None:
    monkeypatch.setattr(attempts, "free_memory", lambda device: amount)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_each_rung_takes_less(device: str, model: Diffusion) -> None:
    rungs = [needed(model, plan, (2048, 2048)) for plan in ladder(device, "float32")]
    assert rungs == sorted(rungs, reverse=True) and rungs[0] > rungs[1]


def test_weights_are_counted_as_they_are(model: Diffusion) -> None:
    model.generate(ImageRequest("A red boat", steps=1), quiet)
    counted = 4 * sum(model._attempts.parameters.values())
    assert model._engine.held == counted > 100_000
    model.free()
    assert model._engine.held == 0 and not model._engine._parts


def test_tiles_are_taken_where_memory_is_short(
    model: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, tiles, *_ = ladder("cpu", "float32")
    whole = model.generate(WIDE, quiet)
    assert whole.notes == ()
    model.free()
    free(monkeypatch, needed(model, tiles, (1024, 64)))
    assert needed(model, tiles, (1024, 64)) < needed(model, plain, (1024, 64))
    drawn = model.generate(WIDE, quiet)
    assert "tiles" in drawn.notes[0]
    assert drawn.image.size == (1024, 64) and not same(drawn.image, whole.image)
    assert model.estimate(WIDE).bytes == needed(model, tiles, (1024, 64))
    free(monkeypatch, 10**12)
    again = model.generate(WIDE, quiet)
    assert again.notes == () and same(again.image, whole.image)


def test_what_cannot_fit_is_refused_before_anything_is_loaded(
    model: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    smallest = ladder("cpu", "float32")[-1]
    large = ImageRequest("A red boat", size=(2048, 2048))
    free(monkeypatch, needed(model, smallest, (1024, 1024)) + 1)
    with pytest.raises(ModelError, match="2048×2048 needs about") as told:
        model.generate(large, quiet)
    assert told.value.hint == "--size 1024x1024"
    free(monkeypatch, 1000)
    with pytest.raises(ModelError) as told:
        model.generate(large, quiet)
    assert "smaller model" in told.value.hint
    assert not model._engine._parts


class Tight:
    """A device on which so many attempts run out of memory, in the middle of a step."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int, error: Exception) -> None:
        self.left, self.plans, draw = times, list[Plan](), Engine.draw

        def tight(engine: Engine, request: Any, on_step: Any) -> Any:
            assert engine._plan is not None
            self.plans.append(engine._plan)
            self.left -= 1
            if self.left < 0:
                return draw(engine, request, on_step)

            def burst(k: int, n: int, preview: Any) -> None:
                raise error

            return draw(engine, request, burst)

        monkeypatch.setattr(Engine, "draw", tight)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_one_smaller_plan_is_tried_and_stated(
    error: Exception, model: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = Tight(monkeypatch, 1, error)
    drawn = model.generate(ImageRequest("A red boat", steps=2), quiet)
    assert tight.plans == list(ladder("cpu", "float32")[:2])
    assert "memory had run out" in " ".join(drawn.notes) and "tiles" in " ".join(drawn.notes)


def test_then_it_is_an_error_that_names_what_fits(
    model: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = Tight(monkeypatch, 9, ERRORS[0])
    with pytest.raises(ModelError, match="needs about") as told:
        model.generate(ImageRequest("A red boat", size=(512, 256), steps=2), quiet)
    assert len(tight.plans) == 2
    assert told.value.hint == "--size 384x192"
    assert not model._engine._parts


def test_another_runtime_error_is_not_taken_for_it(
    model: Diffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = Tight(monkeypatch, 9, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        model.generate(ImageRequest("A red boat", steps=2), quiet)
    assert len(tight.plans) == 1


def test_slices_leave_nothing_behind(painter: Callable[..., Diffusion], model: Diffusion) -> None:
    request = ImageRequest("A red boat", size=(64, 64), steps=2, scheduler="euler")
    wanted = painter("sdxl").generate(request, quiet).image
    engine = model._engine
    for plan in (Plan("float32", tiles=True, slices=True), Plan("float32")):
        engine.load(plan)
        kinds = {type(p).__name__ for p in engine._parts["unet"].attn_processors.values()}
        assert kinds == {"SlicedAttnProcessor" if plan.slices else "AttnProcessor2_0"}
    assert same(model.generate(request, quiet).image, wanted)
