"""What both autoencoders are held to: pictures against what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from limner.examples.pocket.sheets import sheet

__all__ = ["apart", "reported"]

_SHOWN = 40  # pairs on the sheet


def apart(drawn: Tensor, pictures: Tensor, edges: float) -> Tensor:
    """Differences of pixels, absolute and squared, and of edges, at three scales.

    Args:
        drawn: ``(n, 3, side, side)``.
        pictures: that they should be, from -1 to 1.
        edges: weight of differences between neighbours.
    """
    total = drawn.new_zeros(())
    for _ in range(3):
        difference = drawn - pictures
        total = total + difference.abs().mean() + difference.square().mean()
        for dim in (2, 3):
            total = total + edges * difference.diff(dim=dim).abs().mean()
        drawn, pictures = F.avg_pool2d(drawn, 2), F.avg_pool2d(pictures, 2)
    return total


def reported(
    folder: Path, pictures: Tensor, again: Tensor, more: Mapping[str, Any]
) -> dict[str, Any]:
    """Write ``report.json`` and ``reconstructions.png``; what the first one says.

    Args:
        folder: of the stage.
        pictures: ``(n, 3, side, side)`` from -1 to 1.
        again: what the autoencoder made of them.
        more: figures of its own.
    """
    mse = ((again - pictures) / 2).square().mean((1, 2, 3))
    told = {
        "psnr": round(float(-10 * mse.log10().mean()), 2),
        "l1": round(float((again - pictures).abs().mean()), 4),
        **more,
    }
    (folder / "report.json").write_text(json.dumps(told, indent=1) + "\n")
    both = torch.stack([pictures[:_SHOWN], again[:_SHOWN]], 1).flatten(0, 1)
    sheet(both, ["was", "is"] * (len(both) // 2), folder / "reconstructions.png", columns=10)
    return told
