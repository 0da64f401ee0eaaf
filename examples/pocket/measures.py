"""What a drawn picture is compared with, and how sure a share is. Knows no models."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Share", "edges", "evaluated", "hits", "nearest", "share"]

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


def evaluated(
    doc: str | None,
    arguments: Sequence[str] | None,
    make: Callable[[Path, int, int], Any],
    parts: Sequence[str],
    kept: Mapping[str, Any],
    name: str,
) -> None:
    """Make an evaluation as it is asked for on the command line, print its parts, keep them.

    Args:
        doc: of the module; its first line is told.
        arguments: those typed if None.
        make: from the recipe's folder, a count and a seed.
        parts: methods of what is made, in turn.
        kept: written before them.
        name: of the file of figures in the recipe's folder.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo/pocket"), help="of all stages")
    parser.add_argument("--count", type=int, default=300, help="names, and as many of each kind")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    evaluation = make(given.out, given.count, given.seed)
    told: dict[str, Any] = {"seed": given.seed, **kept}
    for part in parts:
        told[part] = getattr(evaluation, part)()
        print(f"{part}: {json.dumps(told[part], indent=1)}", flush=True)
    path = given.out / name
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}, and sheets beside it")
