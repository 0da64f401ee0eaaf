"""What is peculiar to a family of diffusion models. One row each; knows no weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import ModelError
from .base import Range
from .schedulers import SCHEDULERS

__all__ = ["FAMILIES", "Family", "Settings", "family_of"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a diffusers folder says of itself, read without loading anything.

    Attributes:
        index: ``model_index.json``.
        unet: ``unet/config.json``.
        vae: ``vae/config.json``.
        scheduler: ``scheduler/scheduler_config.json``.
    """

    index: Mapping[str, Any]
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    scheduler: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """A row of the table.

    Attributes:
        name: for people.
        pipelines: diffusers' classes that draw from text, from a picture, and within a mask.
        is_one: whether a folder is of this family; the first row that says so counts.
        steps: that it takes.
        guidance: that it takes; classifier-free above 1.
        scheduler: its own choice.
        schedulers: that it knows.
        negative_prompt: whether it knows one.
        one_size: whether it draws nothing but the size it was trained on.
    """

    name: str
    pipelines: tuple[str, str, str]
    is_one: Callable[[Settings], bool]
    steps: Range
    guidance: Range
    scheduler: str
    schedulers: tuple[str, ...] = tuple(SCHEDULERS)
    negative_prompt: bool = True
    one_size: bool = False


def _class(settings: Settings) -> str:
    return str(settings.index.get("_class_name"))


def _is_turbo(settings: Settings) -> bool:
    """It is published as SDXL; only its scheduler's settings tell the two apart."""
    told = settings.scheduler
    return _is_sdxl(settings) and (
        told.get("_class_name") == "EulerAncestralDiscreteScheduler"
        and told.get("timestep_spacing") == "trailing"
    )


def _is_pocket(settings: Settings) -> bool:
    """As `examples/pocket` trains it: nothing else of this form predicts v for so few pixels."""
    small = int(settings.unet.get("sample_size") or 0) <= 32
    return (
        _is_sdxl(settings)
        and small
        and settings.scheduler.get("prediction_type") == ("v_prediction")
    )


def _is_sdxl(settings: Settings) -> bool:
    return _class(settings) == "StableDiffusionXLPipeline"


def _is_lcm(settings: Settings) -> bool:
    named = _class(settings) in ("LatentConsistencyModelPipeline", "StableDiffusionPipeline")
    return named and settings.unet.get("time_cond_proj_dim") is not None


def _is_sd(settings: Settings) -> bool:
    return _class(settings) == "StableDiffusionPipeline"


def _pipelines(name: str) -> tuple[str, str, str]:
    return f"{name}Pipeline", f"{name}Img2ImgPipeline", f"{name}InpaintPipeline"


_SD, _SDXL = _pipelines("StableDiffusion"), _pipelines("StableDiffusionXL")

FAMILIES = (
    Family("SDXL-Turbo", _SDXL, _is_turbo, Range(4, 1, 50), Range(0, 0, 0), "euler_a",
           negative_prompt=False),
    Family("Pocket SDXL", _SDXL, _is_pocket, Range(20, 1, 200), Range(2, 0, 50), "euler",
           one_size=True),
    Family("SDXL", _SDXL, _is_sdxl, Range(30, 1, 200), Range(5, 0, 50), "euler"),
    Family("LCM", _SD, _is_lcm, Range(4, 1, 50), Range(8.5, 1, 50), "lcm", ("lcm",),
           negative_prompt=False),
    Family("SD 1.5", _SD, _is_sd, Range(30, 1, 200), Range(7.5, 0, 50), "dpm"),
)  # fmt: skip
"""Each is held against diffusers' own pipelines, pixel by pixel, by the tests."""


def family_of(settings: Settings, folder: str) -> Family:
    """The row of a folder.

    Args:
        settings: of the folder.
        folder: for messages.

    Raises:
        ModelError: of no family that is known.
    """
    if settings.index.get("requires_aesthetics_score"):
        raise ModelError(
            f"{folder}: a refiner draws nothing by itself",
            "take stabilityai/stable-diffusion-xl-base-1.0 and give this one as its refiner",
        )
    if settings.unet.get("in_channels") != 4 or not any(f.is_one(settings) for f in FAMILIES):
        known = ", ".join(family.name for family in FAMILIES)
        raise ModelError(
            f"{folder}: {_class(settings)} with {settings.unet.get('in_channels')} channels is "
            f"of no family that is known ({known})",
            "limner models ls",
        )
    return next(family for family in FAMILIES if family.is_one(settings))
