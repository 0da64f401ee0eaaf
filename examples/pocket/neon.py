r"""Twenty pictures in a style of their own, to train a LoRA on: things as neon signs at night.

    python examples/pocket/neon.py --out demo/neon
    limner lora train demo/neon --base pocket-sdxl --out neon --steps 600 --batch 4 \
        --learning-rate 0.001 --trigger "neon night"
    python examples/pocket/neon.py --out demo/neon --grid examples/pocket/neon.png --lora neon

The last command draws a dozen things that are not among the twenty: as they are, with the words
alone, and with the adapter. Knows pictures of the font and Limner's own drawing; nothing of
training.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from limner.examples.pocket.emoji import load
from limner.examples.pocket.render import Renderer
from limner.examples.pocket.scenes import Background, Placed, Scene
from limner.examples.pocket.sheets import image, sheet

__all__ = ["LEARNT", "OTHERS", "drawn", "neon"]

LEARNT = (
    "dog face", "cat face", "fox", "owl", "tropical fish", "butterfly", "tulip", "cactus",
    "red apple", "pizza", "hot beverage", "house", "bicycle", "automobile", "sailboat", "rocket",
    "guitar", "umbrella", "light bulb", "key",
)  # fmt: skip
"""Names of the pictures that the adapter sees."""

OTHERS = (
    "rabbit face", "penguin", "turtle", "rose", "strawberry", "hamburger", "castle", "airplane",
    "trumpet", "crown", "hammer", "crescent moon",
)  # fmt: skip
"""Names of others that are drawn before and after."""

_NIGHT = (12, 8, 38)
_STYLE = "neon night"


def neon(pictures: Tensor) -> Tensor:
    """Pictures on black as neon signs: their edges glow in their own colours, the rest is night.

    Args:
        pictures: ``(n, 3, side, side)`` from -1 to 1.
    """
    light = (pictures + 1) / 2
    soft = _blurred(light, 0.8)
    down, across = soft.diff(dim=2, prepend=soft[:, :, :1]), soft.diff(dim=3, prepend=soft[..., :1])
    edge = (down.square() + across.square()).sum(1, keepdim=True).sqrt()
    edge = (edge / edge.amax((2, 3), keepdim=True).clamp(min=1e-6) * 2.2).clamp(max=1)
    near = _blurred(light, 2.0)
    colour = near / near.amax(1, keepdim=True).clamp(min=0.05)
    vivid = (colour - 0.55 * colour.amin(1, keepdim=True)).clamp(0, 1)
    vivid = vivid / vivid.amax(1, keepdim=True).clamp(min=0.05)
    night = torch.tensor(_NIGHT).view(1, 3, 1, 1) / 255
    glow = 0.55 * _blurred(edge, 3.0) + 0.9 * edge
    return (night + glow * vivid + 0.35 * edge**3).clamp(0, 1) * 2 - 1


def _blurred(pictures: Tensor, sigma: float) -> Tensor:
    reach = max(1, round(2.5 * sigma))
    line = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    line = line / line.sum()
    channels = pictures.shape[1]
    padded = F.pad(pictures, (reach,) * 4, "replicate")
    across = F.conv2d(padded, line.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(across, line.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def _signs(names: Sequence[str], size: int) -> Tensor:
    numbers = {emoji.name: i for i, emoji in enumerate(load())}
    black = Background("plain", ((0, 0, 0),))
    scenes = [Scene((Placed(numbers[name]),), black, ()) for name in names]
    return neon(Renderer(size)(scenes))


def drawn(prompts: Sequence[str], lora: str = "") -> list[Image.Image]:
    """What the pocket model draws, with an adapter or without.

    Args:
        prompts: one for each picture; all have one seed.
        lora: a name or file; empty for none.
    """
    from limner.tools.image_models.base import ImageRequest
    from limner.tools.image_models.opening import open_model

    model = open_model("pocket-sdxl")
    adapters = ((lora, 1.0),) if lora else ()
    requests = [ImageRequest(prompt, seed=7, lora=adapters) for prompt in prompts]
    return [model.generate(request, lambda *told: None).image for request in requests]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pictures with their captions, or the grid."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo/neon"), help="of the pictures")
    parser.add_argument("--size", type=int, default=64, help="side of a picture in pixels")
    parser.add_argument("--grid", type=Path, help="draw before and after into this PNG instead")
    parser.add_argument("--lora", default="neon", help="the adapter of the grid")
    given = parser.parse_args(arguments)
    if given.grid:
        styled = [f"{name}, {_STYLE}" for name in OTHERS]
        rows = [*drawn(OTHERS), *drawn(styled), *drawn(styled, given.lora)]
        words = [*OTHERS, *styled, *(f"{prompt}, with the adapter" for prompt in styled)]
        sheet(rows, words, given.grid, columns=len(OTHERS))
        print(f"written: {given.grid}")
        return
    given.out.mkdir(parents=True, exist_ok=True)
    for name, sign in zip(LEARNT, _signs(LEARNT, given.size), strict=True):
        image(sign).save(given.out / f"{name.replace(' ', '-')}.png")
        (given.out / f"{name.replace(' ', '-')}.txt").write_text(name, encoding="utf-8")
    print(f"written: {len(LEARNT)} pictures with captions in {given.out}")


if __name__ == "__main__":
    main()
