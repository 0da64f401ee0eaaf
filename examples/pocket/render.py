"""Scenes become pixels, many at once, on any device. Knows no words and no models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from limner.examples.pocket.emoji import glyphs
from limner.examples.pocket.scenes import Background, Placed, Scene

__all__ = ["Renderer", "references"]


class Renderer:
    """Paints scenes.

    Args:
        size: side of a picture in pixels.
        cache: a folder where the font's pictures are kept.
        device: that paints.
    """

    def __init__(self, size: int, cache: Path | None = None, device: str = "cpu") -> None:
        self.size, self.device = size, device
        self._sharp = torch.from_numpy(glyphs(size, cache)).to(device)

    def __call__(self, scenes: Sequence[Scene]) -> Tensor:
        """Pictures: float32 ``(n, 3, size, size)``, from -1 to 1."""
        picture = self._backgrounds([scene.background for scene in scenes])
        for layer in range(max(len(scene.objects) for scene in scenes)):
            of = [i for i, scene in enumerate(scenes) if len(scene.objects) > layer]
            cut = self._placed([scenes[i].objects[layer] for i in of])
            at = torch.tensor(of, device=self.device)
            picture[at] = picture[at] * (1 - cut[:, 3:]) + cut[:, :3]
        return picture.clamp(0, 1) * 2 - 1

    def _placed(self, objects: Sequence[Placed]) -> Tensor:
        """Each on an empty canvas: ``(n, 4, size, size)`` from 0 to 1, premultiplied."""
        numbers = torch.tensor([o.number for o in objects], device=self.device)
        cut = self._sharp[numbers].float() / 255
        small = torch.tensor([o.size < 0.6 for o in objects], device=self.device)
        if bool(small.any()):  # what is shrunk is smoothed first, or its edges would flicker
            half = F.interpolate(F.avg_pool2d(cut[small], 2), scale_factor=2, mode="bilinear")
            cut[small] = half
        theta = torch.tensor(
            [_inverse(o) for o in objects], dtype=torch.float32, device=self.device
        )
        grid = F.affine_grid(theta, list(cut.shape), align_corners=False)
        return F.grid_sample(cut, grid, mode="bilinear", align_corners=False)

    def _backgrounds(self, backgrounds: Sequence[Background]) -> Tensor:
        line = (torch.arange(self.size, device=self.device) + 0.5) / self.size
        down, across = torch.meshgrid(line, line, indexing="ij")
        soft = 0.5 + 0.25 * (torch.sin(9 * across + 4 * down) + torch.sin(7 * down - 3 * across))
        dotted = (torch.sin(across * 8 * math.pi) * torch.sin(down * 8 * math.pi)).abs() ** 3
        shades = {
            "plain": torch.zeros_like(line[:, None] * line),
            "across": across,
            "down": down,
            "stripes": 0.5 + 0.5 * torch.sin((across + down) * 8 * math.pi),
            "dots": dotted,
            "clouds": soft,
        }
        shade = torch.stack([shades[b.kind] for b in backgrounds])[:, None]
        pairs = [(b.colours[0], b.colours[-1] if len(b.colours) > 1 else _paler(b.colours[0]))
                 for b in backgrounds]  # fmt: skip
        ends = torch.tensor(pairs, device=self.device, dtype=torch.float32)[..., None, None] / 255
        return ends[:, 0] * (1 - shade) + ends[:, 1] * shade


def _paler(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    r, g, b = (channel + (255 - channel) * 2 // 5 for channel in colour)
    return r, g, b


def _inverse(placed: Placed) -> list[list[float]]:
    """From places of the canvas to places of the picture, both from -1 to 1."""
    cos, sin = math.cos(math.radians(placed.angle)), math.sin(math.radians(placed.angle))
    x, y, s = 2 * placed.x - 1, 2 * placed.y - 1, placed.size
    flip = -1.0 if placed.mirrored else 1.0
    return [
        [flip * cos / s, flip * sin / s, flip * -(cos * x + sin * y) / s],
        [-sin / s, cos / s, (sin * x - cos * y) / s],
    ]


def references(size: int, cache: Path | None = None) -> Tensor:
    """Every picture of the font as its name alone stands for it: ``(n, 3, size, size)``."""
    from limner.examples.pocket.emoji import load

    scenes = [Scene((Placed(i),), Background(), ()) for i in range(len(load()))]
    return Renderer(size, cache)(scenes)
