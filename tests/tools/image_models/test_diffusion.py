"""Held against diffusers' own pipelines, pixel by pixel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limner.tests.tiny_image_models import FAMILIES
from limner.tests.tools.image_models.conftest import arguments, half, picture, quiet, same
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.checking import completed
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.schedulers import SCHEDULERS

PROMPT = "A red boat off the lighthouse at dusk"
MODES: dict[str, dict[str, Any]] = {
    "text": {},
    "image": {"reference": picture(), "strength": 0.6},
    "mask": {"reference": picture(), "mask": half(), "strength": 0.9},
}
ASKED: dict[str, dict[str, Any]] = {
    "own choice": {},
    "guidance": {"guidance": 3.0},
    "no guidance": {"guidance": 1.0},
    "negative": {"negative_prompt": "blurry, low quality"},
}
KNOWN = {family: ("lcm",) if family == "lcm" else tuple(SCHEDULERS) for family in FAMILIES}
LACKS = {"sdxl_turbo": ("guidance", "no guidance", "negative"), "lcm": ("negative",)}


def cases() -> Iterator[tuple[str, str, str, str]]:
    """Every pair of a scheduler, a mode and what is asked, in each family; not every three."""
    for family in FAMILIES:
        own, *others = (asked for asked in ASKED if asked not in LACKS.get(family, ()))
        for row, scheduler in enumerate(KNOWN[family]):
            for column, mode in enumerate(MODES):
                yield family, scheduler, mode, own
                if others:
                    yield family, scheduler, mode, others[(row + column) % len(others)]


Painter = Callable[..., Diffusion]
Direct = Callable[..., Image.Image]


@pytest.mark.parametrize(("family", "scheduler", "mode", "asked"), list(cases()))
def test_pixels_are_those_of_diffusers(
    family: str, scheduler: str, mode: str, asked: str, painter: Painter, direct: Direct
) -> None:
    model = painter(family)
    request = ImageRequest(
        PROMPT, scheduler=scheduler, steps=4, seed=11, **(MODES[mode] | ASKED[asked])
    )
    steps: list[tuple[int, int]] = []
    drawn = model.generate(request, lambda k, n, preview: steps.append((k, n)))
    theirs = direct(family, completed(request, model.capabilities, "it"))
    if request.mask is not None:
        theirs = Image.composite(theirs, MODES[mode]["reference"], request.mask)
    assert same(drawn.image, theirs)
    assert len(np.unique(np.asarray(drawn.image))) > 50
    assert [k for k, _ in steps] == list(range(1, len(steps) + 1))
    assert {n for _, n in steps} == {len(steps)}


def test_lcm_is_what_its_own_pipeline_draws(models: Path, painter: Painter) -> None:
    import diffusers

    theirs = diffusers.LatentConsistencyModelPipeline.from_pretrained(models / "lcm")
    theirs.set_progress_bar_config(disable=True)
    model = painter("lcm")
    request = completed(ImageRequest(PROMPT, seed=5), model.capabilities, "it")
    given = arguments(request)
    del given["negative_prompt"]
    assert same(model.generate(request, quiet).image, theirs(**given).images[0])


@pytest.mark.parametrize("size", [(64, 64), (72, 104), (128, 64)])
def test_sizes(size: tuple[int, int], painter: Painter, direct: Direct) -> None:
    model = painter("sdxl")
    request = ImageRequest(PROMPT, size=size, steps=2)
    drawn = model.generate(request, quiet)
    assert drawn.image.size == drawn.size == size
    assert same(drawn.image, direct("sdxl", completed(request, model.capabilities, "it")))


def test_one_step_of_every_scheduler(painter: Painter, direct: Direct) -> None:
    model = painter("sd15")
    for scheduler in SCHEDULERS:
        request = ImageRequest(PROMPT, scheduler=scheduler, steps=1)
        drawn = model.generate(request, quiet)
        assert same(drawn.image, direct("sd15", completed(request, model.capabilities, "it")))


# ── The refiner ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def recipe(models: Path) -> Direct:
    """Base and refiner as diffusers' documentation puts them together."""
    import diffusers

    @cache
    def loaded(mode: str) -> tuple[Any, Any]:
        base = getattr(diffusers, f"StableDiffusionXL{mode}Pipeline").from_pretrained(
            models / "sdxl"
        )
        refiner = getattr(
            diffusers, f"StableDiffusionXL{mode or 'Img2Img'}Pipeline"
        ).from_pretrained(models / "sdxl_refiner", text_encoder_2=base.text_encoder_2, vae=base.vae)
        return base, refiner

    def draw(request: ImageRequest, handover: float) -> Image.Image:
        mode = "" if request.reference is None else "Img2Img" if request.mask is None else "Inpaint"
        base, refiner = loaded(mode)
        assert request.scheduler
        kind = getattr(diffusers, SCHEDULERS[request.scheduler].made_by)
        for pipe in (base, refiner):
            pipe.set_progress_bar_config(disable=True)
            pipe.scheduler = kind.from_config(pipe.scheduler.config)
        given = arguments(request)
        latents = base(**given, denoising_end=handover, output_type="latent").images
        given |= {"image": latents}
        if not mode:
            del given["width"], given["height"]
        return refiner(**given, denoising_start=handover).images[0]

    return draw


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_refiner_takes_over_as_documented(
    scheduler: str, mode: str, painter: Painter, recipe: Direct
) -> None:
    model = painter("sdxl", refined=True)
    request = ImageRequest(PROMPT, "blurry", scheduler=scheduler, steps=10, seed=2, **MODES[mode])
    steps: list[tuple[int, int]] = []
    drawn = model.generate(request, lambda k, n, preview: steps.append((k, n)))
    theirs = recipe(completed(request, model.capabilities, "it"), 0.8)
    if request.mask is not None:
        theirs = Image.composite(theirs, MODES[mode]["reference"], request.mask)
    assert same(drawn.image, theirs)
    alone = painter("sdxl").generate(request, quiet)
    assert not same(drawn.image, alone.image)
    assert "refiner" in drawn.model and "+" in drawn.revision
    assert steps == [(k, len(steps)) for k in range(1, len(steps) + 1)]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 12])
def test_any_number_of_steps_is_handed_over(scheduler: str, steps: int, painter: Painter) -> None:
    model = painter("sdxl", refined=True)
    told: list[tuple[int, int]] = []
    drawn = model.generate(
        ImageRequest(PROMPT, scheduler=scheduler, steps=steps), lambda k, n, p: told.append((k, n))
    )
    assert drawn.image.getbbox()
    assert told == [(k, len(told)) for k in range(1, len(told) + 1)]


def test_nothing_is_said_of_a_vae_that_is_cast_for_a_reference(painter: Painter) -> None:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("diffusers")
    logger.addHandler(handler)
    try:
        painter("sdxl").generate(ImageRequest(PROMPT, steps=2, **MODES["image"]), quiet)
    finally:
        logger.removeHandler(handler)
    assert not [words for words in said if "kept in float32" in words]
