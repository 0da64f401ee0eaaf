"""Diffusers' pipelines put together from parts that are loaded once, and what they are called with.

Knows parts and arguments; loads no checkpoint by itself and looks at no picture.
"""

from __future__ import annotations

import gc
import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .base import ImageRequest
from .checkpoint import Checkpoint
from .schedulers import scheduler_of

__all__ = [
    "Stage",
    "assembled",
    "cast",
    "casting_quietly",
    "collecting_later",
    "dtype_of",
    "loaded",
    "quiet",
]

_SETTINGS = ("force_zeros_for_empty_prompt", "requires_aesthetics_score")


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the denoising: which model, where it starts and where it hands over.

    Attributes:
        pipeline: of the model.
        start: the fraction of the denoising that was done before; None for none.
        end: the fraction after which another goes on; None for none.
    """

    pipeline: Any
    start: float | None = None
    end: float | None = None

    def options(self, request: ImageRequest, latents: Any, count: int) -> dict[str, Any]:
        """What the pipeline starts from: a size, a picture, a picture and a mask, or latents.

        Pictures are given once for each of the batch, for a part of the noise is drawn as the VAE
        reads them: of one alone it would come from the first picture's seed only.

        Args:
            request: one of the batch.
            latents: of the stage before, or None.
            count: pictures of the batch.
        """
        bounds = {"denoising_start": self.start, "denoising_end": self.end}
        told = {name: value for name, value in bounds.items() if value is not None}
        assert request.size is not None
        size = dict(zip(("width", "height"), request.size, strict=True))
        if latents is None and request.reference is None:
            return told | size
        given: dict[str, Any] = {"image": [request.reference] * count}
        if latents is not None:
            given["image"] = latents
        if request.strength is not None:
            given["strength"] = request.strength
        if request.mask is not None:
            given |= {"mask_image": [request.mask] * count} | size
        return told | given


def loaded(checkpoint: Checkpoint, dtype: str, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """The parts of a checkpoint by name, on the CPU.

    Args:
        checkpoint: where they are.
        dtype: of their weights.
        only: the parts that are wanted; all where left out.

    Raises:
        ModelError: a part cannot be loaded.
    """
    wanted = [part for part in checkpoint.parts if not only or part in only]
    made: dict[str, Any] = {}
    with collecting_later(), quiet():
        for part in wanted:
            first = made.get("tokenizer") if part == "tokenizer_2" else None
            if first is not None and checkpoint.are_equal(part, "tokenizer"):
                made[part] = first
            else:
                made[part] = checkpoint.load(part, dtype)
    return made


def cast(part: Any, dtype: Any) -> None:
    """Give a part's weights another width, where they have not got it."""
    if dtype_of(part) != dtype:
        with quiet():
            part.to(dtype=dtype)


def dtype_of(part: Any) -> Any:
    """The width of a part's weights."""
    return next(part.parameters()).dtype


def assembled(name: str, parts: Mapping[str, Any], index: Mapping[str, Any]) -> Any:
    """A pipeline over parts that others may share; its scheduler is set for each picture.

    The safety checker is left out, being asked for the decoded picture, and so is the watermark,
    which would depend on what else is installed.

    Args:
        name: of diffusers' class.
        parts: by the names of its arguments.
        index: ``model_index.json`` of the checkpoint, for the few settings that it has.
    """
    with quiet():
        import diffusers

        kind = getattr(diffusers, name)
        given = {
            **parts,
            **{setting: index[setting] for setting in _SETTINGS if setting in index},
            "scheduler": scheduler_of("euler", {"steps_offset": 1}),
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
            "add_watermarker": False,
        }
        known = inspect.signature(kind.__init__).parameters
        pipeline = kind(**{name: value for name, value in given.items() if name in known})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@contextmanager
def collecting_later() -> Iterator[None]:
    """No search for garbage meanwhile.

    Importing the libraries and loading a model makes a million objects that stay, and Python goes
    through all of them again and again as they become more: an eighth of the time until the first
    picture.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@contextmanager
def casting_quietly() -> Iterator[None]:
    """Nothing is said where a pipeline casts its VAE, which it names as a risk on every picture."""
    logger = logging.getLogger("diffusers.models.modeling_utils")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no remarks from the two libraries."""
    from transformers.utils import logging as of_transformers

    with _quiet(of_transformers):
        # Importing diffusers imports transformers' models, whose remarks are unwanted too.
        from diffusers.utils import logging as of_diffusers

        with _quiet(of_diffusers):
            yield


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    before, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.disable_progress_bar()
    library.set_verbosity_error()
    try:
        yield
    finally:
        library.set_verbosity(before)
        if bars:
            library.enable_progress_bar()
