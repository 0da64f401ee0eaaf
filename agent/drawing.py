"""A picture drawn within a turn: asked for, followed step by step, kept with its record.

Knows image models by their contract, and the media store. Knows no slots and no words of people:
what is to be drawn is decided elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from PIL import Image

from ..errors import ModelMissing, UserError
from ..tools.image_models.base import GeneratedImage, ImageModel, ImageRequest, OnStep
from ..tools.image_models.base import Preview as MakePreview
from ..tools.image_models.provenance import signed_png
from ..tools.media import MediaStore
from ..tools.safety import drawing_refusal
from .answer import Generated, Picture
from .events import PictureStep
from .workbench import Workbench

__all__ = [
    "Stopped",
    "drawn",
    "drawn_again",
    "labelled",
    "next_seed",
    "request_of",
    "the_painter",
]

_PREVIEW_EVERY = 0.4
"""Seconds between two previews: making one takes a little of the time of drawing."""

_PREVIEW_SIDE = 256  # pixels of the longer side


class Stopped(Exception):
    """Nobody waits for the picture any more."""


def the_painter(work: Workbench) -> ImageModel:
    """The image model.

    Raises:
        ModelMissing: there is none.
    """
    if work.image_model is None:
        raise ModelMissing("there is no image model to draw with", "--image-model pocket-sdxl")
    return work.image_model


def drawn(
    slot: int,
    request: ImageRequest,
    work: Workbench,
    tell: Callable[[Any], None],
    reference: str = "",
    mask: str = "",
) -> Picture:
    """A new picture, kept in the media store with its record.

    Args:
        slot: the number of its slot, for `PictureStep`.
        request: what to draw; the image model completes it.
        work: draws and keeps.
        tell: is told of every step.
        reference: media reference of the request's own.
        mask: media reference of the request's own.

    Raises:
        ModelMissing: there is no image model.
        UserError: the policy declines the prompt, or the model cannot draw this.
        ModelError: the model failed.
        Stopped: the turn was given up; within the step that was being drawn.
    """
    model = the_painter(work)
    if rule := drawing_refusal(request.prompt):
        raise UserError(rule.message)
    made = model.generate(request, _follower(slot, work, tell))
    # Without its time, the same picture drawn twice is the same file.
    media = work.media.put_file(signed_png(replace(made, seconds=0.0)))
    return _pictured(media, made.prompt, _origin(made, reference, mask))


def _follower(slot: int, work: Workbench, tell: Callable[[Any], None]) -> OnStep:
    """Tells of steps, with previews now and then where they are wanted; ends what is given up."""
    due = 0.0

    def on_step(k: int, n: int, preview: MakePreview) -> None:
        nonlocal due
        if work.stopped.is_set():
            raise Stopped
        small = None
        if work.previews and time.monotonic() >= due:
            small = _small(preview())
            due = time.monotonic() + _PREVIEW_EVERY
        tell(PictureStep(slot, k, n, small))

    return on_step


def _small(image: Image.Image | None) -> Image.Image | None:
    if image is not None:
        image.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
    return image


def _origin(made: GeneratedImage, reference: str, mask: str) -> Generated:
    return Generated(
        model=made.model,
        revision=made.revision,
        prompt=made.prompt,
        negative_prompt=made.negative_prompt,
        seed=made.seed,
        steps=made.steps,
        guidance=made.guidance,
        scheduler=made.scheduler,
        size=made.size,
        strength=made.strength,
        reference=reference,
        mask=mask,
        lora=made.lora,
        checked=made.checked,
    )


def _pictured(media: str, caption: str, origin: Generated) -> Picture:
    said = ["Generated picture", *origin.caveats]
    return Picture(media, caption, f"{', '.join(said)}: {origin.prompt}", origin)


def labelled(picture: Picture, confirmed: bool | None) -> Picture:
    """A generated picture that says whether a check found that it shows its prompt."""
    assert isinstance(picture.origin, Generated)
    return _pictured(picture.media, picture.caption, replace(picture.origin, confirmed=confirmed))


def request_of(origin: Generated, media: MediaStore) -> ImageRequest:
    """What a picture was drawn with, to be asked for again.

    Raises:
        LibraryDamaged: what it was drawn from is missing or was changed.
    """
    return ImageRequest(
        prompt=origin.prompt,
        negative_prompt=origin.negative_prompt,
        size=origin.size,
        steps=origin.steps,
        guidance=origin.guidance,
        scheduler=origin.scheduler,
        seed=origin.seed,
        reference=media.open(origin.reference) if origin.reference else None,
        mask=media.open(origin.mask).convert("L") if origin.mask else None,
        strength=origin.strength,
        lora=origin.lora,
    )


def drawn_again(
    slot: int, origin: Generated, work: Workbench, tell: Callable[[Any], None]
) -> Picture:
    """The same with the next seed.

    Raises:
        LimnerError, Stopped: as ``drawn`` and ``request_of``.
    """
    request = replace(request_of(origin, work.media), seed=next_seed(origin.seed))
    return drawn(slot, request, work, tell, origin.reference, origin.mask)


def next_seed(seed: int) -> int:
    """Another seed, the same for everybody."""
    return (seed + 1) % 2**63
