"""Holds a request against what a model knows, and completes it. Knows values only, no model.

Every fault names the option, what the model knows, and what to type instead.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from ...errors import DeveloperError, UserError
from .base import Capabilities, ImageRequest, Range, Sizes

__all__ = ["completed", "digest_of", "fitted", "need_alike"]

LONGEST_PROMPT = 10_000
"""Characters of a prompt; the work of each step grows with its length."""

_LARGEST_SEED = 2**63 - 1
_STRENGTH, _STRENGTH_MASKED = 0.6, 0.99


def completed(request: ImageRequest, capabilities: Capabilities, model: str) -> ImageRequest:
    """The request with the model's own choices in place of None.

    Args:
        request: as asked for.
        capabilities: of the model.
        model: its name, for messages.

    Returns:
        A request whose size, steps, guidance and scheduler are set; strength too with a reference.

    Raises:
        UserError: an option that the model lacks, or a value outside of what it takes.
    """
    _check_words(request, capabilities, model)
    _check_pictures(request, capabilities, model)
    scheduler = request.scheduler or capabilities.schedulers[0]
    if scheduler not in capabilities.schedulers:
        known = ", ".join(capabilities.schedulers)
        raise UserError(
            f"scheduler {scheduler!r}: {model} knows {known}",
            f"--scheduler {capabilities.schedulers[0]}",
        )
    guidance = _number("guidance", request.guidance, capabilities.guidance, model)
    if request.negative_prompt and guidance <= 1:
        raise UserError(
            f"negative prompt: it has no effect with a guidance of {guidance:g}",
            "--guidance 5, or leave --negative out",
        )
    strength = _strength(request)
    return replace(
        request,
        size=_size(request, capabilities.sizes, model),
        steps=_steps(request, capabilities, scheduler, strength, model),
        guidance=guidance,
        scheduler=scheduler,
        strength=strength,
    )


def need_alike(requests: Sequence[ImageRequest]) -> None:
    """See that pictures can be drawn in one pass.

    Args:
        requests: completed.

    Raises:
        DeveloperError: there are none, or they differ in more than words and seed.
    """
    if len({_but_words_and_seed(request) for request in requests}) != 1:
        raise DeveloperError(
            "pictures that differ in more than prompt, negative prompt and seed do not go together",
            "generate() draws each by itself",
        )


def _but_words_and_seed(request: ImageRequest) -> tuple[object, ...]:
    pictures = digest_of(request.reference, "RGB"), digest_of(request.mask, "L")
    settings = request.size, request.steps, request.guidance, request.scheduler, request.strength
    return (*settings, *pictures, request.lora)


def _check_words(request: ImageRequest, capabilities: Capabilities, model: str) -> None:
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        if len(text) > LONGEST_PROMPT:
            raise UserError(
                f"{name}: {len(text)} characters, at most {LONGEST_PROMPT} are taken",
                "shorten it to what the picture is to show",
            )
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UserError(f"{name}: it is not text (half of a character)", "type it again")
    if not request.prompt.strip():
        raise UserError("prompt: it is empty", 'limner draw "a lighthouse at dusk"')
    if request.negative_prompt and not capabilities.negative_prompt:
        raise UserError(f"negative prompt: {model} knows none", "leave --negative out")
    if isinstance(request.seed, bool) or not 0 <= request.seed <= _LARGEST_SEED:
        raise UserError(f"seed {request.seed}: it must be 0 to {_LARGEST_SEED}", "--seed 0")
    if request.lora and not capabilities.lora:
        raise UserError(f"lora: {model} takes none", "leave --lora out")
    for name, weight in request.lora:
        if not math.isfinite(weight):
            raise UserError(f"lora {name}: its weight {weight} is not a number", "--lora NAME:1")


def _check_pictures(request: ImageRequest, capabilities: Capabilities, model: str) -> None:
    reference, mask = request.reference, request.mask
    if reference is None:
        if mask is not None:
            raise UserError(
                "mask: there is no picture that it belongs to", "--reference FILE --mask FILE"
            )
        if request.strength is not None:
            raise UserError(
                "strength: there is no reference to draw over", "--reference FILE --strength 0.6"
            )
        return
    if not capabilities.reference:
        raise UserError(f"reference: {model} cannot start from a picture", "leave --reference out")
    if mask is None:
        return
    if not capabilities.mask:
        raise UserError(f"mask: {model} cannot draw a part anew", "leave --mask out")
    if mask.size != reference.size:
        raise UserError(
            f"mask: it is {_sides(mask.size)}, the reference is {_sides(reference.size)}",
            f"give a mask of {_sides(reference.size)} pixels",
        )
    _, brightest = _extrema(mask.convert("L"))
    if brightest < 128:
        raise UserError("mask: nothing on it is white, so nothing is drawn", "paint a part white")


def _extrema(grey: Image.Image) -> tuple[float, float]:
    found: Any = grey.getextrema()
    return found[0], found[1]


def _strength(request: ImageRequest) -> float | None:
    if request.reference is None:
        return None
    if request.strength is None:
        return _STRENGTH if request.mask is None else _STRENGTH_MASKED
    if not 0 < request.strength <= 1:
        raise UserError(
            f"strength {request.strength:g}: it must be above 0 and at most 1", "--strength 0.6"
        )
    return request.strength


def _steps(
    request: ImageRequest,
    capabilities: Capabilities,
    scheduler: str,
    strength: float | None,
    model: str,
) -> int:
    """Of a reference's steps only the share ``strength`` is taken; one at least must be left."""
    limits = dict(capabilities.scheduler_steps)
    most = min(limits.get(scheduler, capabilities.steps.most), capabilities.steps.most)
    own = min(capabilities.steps.own, most)
    if strength is not None:
        own = next((n for n in range(int(own), int(most) + 1) if int(n * strength)), most)
    if request.steps is not None and request.steps != request.steps // 1:
        raise UserError(f"steps {request.steps}: it must be a whole number", f"--steps {own:g}")
    by = f"{model} with {scheduler}" if scheduler in limits else model
    taken = replace(capabilities.steps, own=own, most=most)
    steps = int(_number("steps", request.steps, taken, by))
    if strength is not None and int(steps * strength) < 1:
        raise UserError(
            f"strength {strength:g} of {steps} steps leaves none to draw",
            f"--strength {min(1.0, math.ceil(100 / steps) / 100):g}",
        )
    return steps


def _number(option: str, value: float | None, taken: Range, model: str) -> float:
    if value is None:
        return float(taken.own)
    if taken.least == taken.most and value != taken.own:
        raise UserError(
            f"{option} {value:g}: {model} knows no choice of it, it is always {taken.own:g}",
            f"leave --{option} out",
        )
    if not taken.least <= value <= taken.most:  # false for nan too
        raise UserError(
            f"{option} {value:g}: {model} takes {taken.least:g} to {taken.most:g}",
            f"--{option} {taken.own:g}",
        )
    return float(value)


def _size(request: ImageRequest, sizes: Sizes, model: str) -> tuple[int, int]:
    """Of the request, else of the reference as nearly as the model can, else the model's own."""
    if request.size is None:
        return sizes.own if request.reference is None else fitted(request.reference.size, sizes)
    width, height = request.size
    wanted = (width, height)
    if sizes.smallest == sizes.largest and wanted != sizes.own:
        raise UserError(
            f"size {_sides(wanted)}: {model} draws {_sides(sizes.own)} only",
            f"--size {_typed(sizes.own)}",
        )
    if not all(sizes.smallest <= side <= sizes.largest for side in wanted):
        raise UserError(
            f"size {_sides(wanted)}: {model} draws sides of {sizes.smallest} to {sizes.largest}",
            f"--size {_typed(_nearest(wanted, sizes))}",
        )
    nearest = _nearest(wanted, sizes)
    if nearest != wanted:
        raise UserError(
            f"size {_sides(wanted)}: the sides must be divisible by {sizes.multiple_of}; "
            f"the nearest is {_sides(nearest)}",
            f"--size {_typed(nearest)}",
        )
    return wanted


def fitted(size: tuple[int, int], sizes: Sizes) -> tuple[int, int]:
    """The size that a model draws which is nearest to another in shape and extent.

    Args:
        size: width and height in pixels.
        sizes: that the model draws.
    """
    scale = min(1.0, sizes.largest / max(size))
    scale = max(scale, min(sizes.smallest / min(size), sizes.largest / max(size)))
    return _nearest((size[0] * scale, size[1] * scale), sizes)


def _nearest(size: tuple[float, float], sizes: Sizes) -> tuple[int, int]:
    step = sizes.multiple_of
    least, most = math.ceil(sizes.smallest / step), sizes.largest // step

    def side(pixels: float) -> int:
        return step * min(max(math.floor(pixels / step + 0.5), least), most)

    return side(size[0]), side(size[1])


def _sides(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _typed(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def digest_of(image: Image.Image | None, mode: str) -> str:
    """SHA-256 of a picture's size and pixels, in hexadecimal; empty for none.

    Args:
        image: or None.
        mode: ``RGB`` or ``L``: what is hashed of it.
    """
    if image is None:
        return ""
    digest = hashlib.sha256(f"{mode} {_sides(image.size)} ".encode())
    digest.update(image.convert(mode).tobytes())
    return digest.hexdigest()
