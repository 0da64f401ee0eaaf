"""Pictures half way, made small for looking at. Knows latents and pictures, no models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

__all__ = ["shrunk", "side_by_side"]

_LONGEST = 32  # latents on the longer side


def shrunk(latents: Any) -> Any:
    """Latents that are quickly decoded, each row by itself whatever stands beside it.

    Args:
        latents: ``(pictures, channels, height, width)``.
    """
    import torch

    scale = min(1.0, _LONGEST / max(latents.shape[-2:]))
    small = (
        latents
        if scale == 1
        else torch.nn.functional.interpolate(latents.float(), scale_factor=scale, mode="area")
    )
    # Half way there is noise; latents that are too large for the VAE give plain colours.
    return torch.cat([row / row.std().clamp(min=1) for row in small.split(1)])


def side_by_side(images: Sequence[Image.Image]) -> Image.Image | None:
    """Pictures of one size as one; None of none."""
    if len(images) < 2:
        return next(iter(images), None)
    width, height = images[0].size
    row = Image.new("RGB", (width * len(images), height))
    for n, image in enumerate(images):
        row.paste(image, (n * width, 0))
    return row
