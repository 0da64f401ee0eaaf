"""How a picture is fitted into the memory that is free. Counts bytes; knows no weights.

There is a ladder of plans; each next one takes less memory and more time. Pictures of a batch are
decoded one by one, so only the UNet's work grows with their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .families import Settings

__all__ = ["TILE", "Plan", "ladder", "need"]

TILE = 512
"""Pixels on the side of a tile of the VAE."""

_UNET_COPIES, _VAE_COPIES = 60, 10
"""The most memory over one feature map of the first block: 55–78 and 8–10 were measured."""

_WIDTHS = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True, slots=True)
class Plan:
    """How memory is kept.

    Attributes:
        dtype: of the weights.
        tiles: the VAE works tile by tile.
        slices: attention works slice by slice.
        offload: parts wait in main memory and come to the GPU in turn.
    """

    dtype: str
    tiles: bool = False
    slices: bool = False
    offload: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What it does beyond the usual, in words."""
        told = {
            "the VAE worked in tiles, so pixels may differ slightly": self.tiles,
            "attention worked in slices": self.slices,
            "parts waited in main memory": self.offload,
        }
        return tuple(words for words, so in told.items() if so)


def ladder(device: str, dtype: str) -> tuple[Plan, ...]:
    """The plans for a device, from the fastest to the smallest.

    Args:
        device: ``cpu`` or a GPU.
        dtype: of the weights.
    """
    plain, tiles = Plan(dtype), Plan(dtype, tiles=True)
    if device == "cpu":
        return plain, tiles, Plan(dtype, tiles=True, slices=True)
    offload = Plan(dtype, tiles=True, offload=True)
    return plain, tiles, offload, Plan(dtype, tiles=True, slices=True, offload=True)


def need(
    plan: Plan,
    parameters: Mapping[str, int],
    settings: Settings,
    size: tuple[int, int],
    guided: bool,
    together: int = 1,
) -> int:
    """Bytes that a picture, or a batch, takes at its peak on the device that draws it.

    Weights are counted exactly. The work over them is estimated from the largest feature map, with
    factors that were measured on the CPU with the shapes of SD 1.5 at 256² and 512².

    Args:
        plan: how memory is kept.
        parameters: weights of each part.
        settings: of the folder.
        size: of the picture, in pixels.
        guided: whether two pictures go through the model, one without the prompt.
        together: pictures of the batch.
    """
    width = _WIDTHS[plan.dtype]
    parts = [count * width for count in parameters.values()]
    weights = max(parts) if plan.offload else sum(parts)
    # The VAE is worked in float32 where float16 would overflow.
    decoding = 4 if plan.dtype == "float16" else width
    pixels = min(size[0], TILE) * min(size[1], TILE) if plan.tiles else size[0] * size[1]
    vae = pixels * _first(settings.vae) * decoding * _VAE_COPIES
    latents = size[0] * size[1] // 64
    unet = latents * _first(settings.unet) * width * (2 if guided else 1) * together * _UNET_COPIES
    return int(weights + max(vae, unet))


def _first(config: Mapping[str, Any]) -> int:
    """Channels of the first block."""
    return int(config["block_out_channels"][0])
