"""What a drawn picture is compared with, and how sure a share is. Knows no models."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Share", "edges", "hits", "nearest", "share"]

_SHIFT = 3  # pixels of 64
Share = dict[str, float | int | list[float]]


def nearest(pictures: Tensor, references: Tensor) -> Tensor:
    """Mean squared distance over 32×32 linear RGB, the least over shifts of 3 pixels each way.

    Args:
        pictures: ``(n, 3, side, side)`` from -1 to 1.
        references: ``(m, 3, side, side)``.

    Returns:
        ``(n, m)``; a column for each reference.
    """
    known = _small(_sized(references)).flatten(1)
    drawn = F.pad(_sized(pictures), (_SHIFT,) * 4, "replicate")
    best = torch.full((len(pictures), len(references)), math.inf)
    steps = range(2 * _SHIFT + 1)
    for x, y in ((x, y) for x in steps for y in steps):
        moved = _small(drawn[..., y : y + 64, x : x + 64]).flatten(1)
        apart = (
            moved.square().sum(1, keepdim=True) - 2 * moved @ known.T + known.square().sum(1)
        ) / moved.shape[1]
        best = torch.minimum(best, apart)
    return best


def _sized(pictures: Tensor) -> Tensor:
    same = pictures.shape[-1] == 64
    return pictures.float() if same else F.interpolate(pictures.float(), (64, 64), mode="area")


def _small(pictures: Tensor) -> Tensor:
    """Light as it adds up: sRGB's curve undone (IEC 61966-2-1), then the mean of four pixels."""
    value = (pictures.clamp(-1, 1) + 1) / 2
    linear = torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return F.avg_pool2d(linear, 2)


def hits(order: Tensor, meant: Sequence[Collection[int]]) -> tuple[list[bool], list[bool]]:
    """Whether the first, and any of the first five, is one that was meant.

    Args:
        order: best first, ``(n, ≥ 5)``.
        meant: for each row.
    """
    rows = order.tolist()
    first = [row[0] in right for row, right in zip(rows, meant, strict=True)]
    five = [bool(set(row[:5]) & set(right)) for row, right in zip(rows, meant, strict=True)]
    return first, five


def share(right: Sequence[bool]) -> Share:
    """A share with its 95 % interval (Wilson 1927)."""
    n, z = len(right), 1.96
    p = sum(right) / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    interval = [round(max(0.0, middle - half), 3), round(min(1.0, middle + half), 3)]
    return {"share": round(p, 3), "interval": interval, "of": n}


def edges(pictures: Tensor) -> float:
    """How sharp pictures are: the mean difference between neighbouring pixels."""
    across, down = (pictures.float().diff(dim=dim).abs().mean() for dim in (2, 3))
    return round(float(across + down), 4)
