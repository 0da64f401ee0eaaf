"""Tiny models, and what diffusers itself draws with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from limner.tests.tiny_image_models import FAMILIES, image_model
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.schedulers import SCHEDULERS

CLASSES = {
    "sdxl": "StableDiffusionXL",
    "sdxl_turbo": "StableDiffusionXL",
    "sd15": "StableDiffusion",
    "lcm": "StableDiffusion",
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each family, and a refiner."""
    folder = tmp_path_factory.mktemp("models")
    for family in (*FAMILIES, "sdxl_refiner"):
        image_model(folder / family, family, checker=family == "sd15")
    return folder


@pytest.fixture(scope="session")
def painter(models: Path) -> Callable[..., Diffusion]:
    """Our model of a family; kept warm over all tests."""

    @cache
    def load(family: str, refined: bool = False) -> Diffusion:
        refiner = str(models / "sdxl_refiner") if refined else ""
        return Diffusion.load(str(models / family), refiner=refiner)

    return load


@pytest.fixture(scope="session")
def direct(models: Path) -> Callable[..., Image.Image]:
    """What diffusers itself draws: its pipeline from its own loader, called as documented."""
    import diffusers

    @cache
    def pipeline(family: str, mode: str) -> Any:
        kind = getattr(diffusers, f"{CLASSES[family]}{mode}Pipeline")
        made = kind.from_pretrained(models / family)
        made.set_progress_bar_config(disable=True)
        return made

    def draw(family: str, request: ImageRequest, **more: Any) -> Image.Image:
        mode = "" if request.reference is None else "Img2Img" if request.mask is None else "Inpaint"
        pipe = pipeline(family, mode)
        assert request.scheduler
        kind = getattr(diffusers, SCHEDULERS[request.scheduler].made_by)
        pipe.scheduler = kind.from_config(pipe.scheduler.config)
        return pipe(**arguments(request), **more).images[0]

    return draw


def arguments(request: ImageRequest) -> dict[str, Any]:
    """A completed request as diffusers' arguments."""
    import torch

    assert request.size
    size = {"width": request.size[0], "height": request.size[1]}
    given: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt or None,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance,
        "generator": torch.Generator("cpu").manual_seed(request.seed),
    }
    if request.reference is None:
        return given | size
    given |= {"image": request.reference, "strength": request.strength}
    return given if request.mask is None else given | size | {"mask_image": request.mask}


def picture(width: int = 64, height: int = 64) -> Image.Image:
    """Something with colours and edges."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    ImageDraw.Draw(image).ellipse((8, 8, width - 20, height - 16), fill=(200, 40, 90))
    return image


def half(width: int = 64, height: int = 64) -> Image.Image:
    """A mask whose right half is drawn anew."""
    mask = Image.new("L", (width, height))
    mask.paste(255, (width // 2, 0, width, height))
    return mask


def quiet(k: int, n: int, preview: Any) -> None:
    """An ``on_step`` that does nothing."""


def same(a: Image.Image, b: Image.Image) -> bool:
    """Whether two pictures are equal in every pixel."""
    return np.array_equal(np.asarray(a), np.asarray(b))
