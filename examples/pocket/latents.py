"""What the U-Net is trained on: latents of painted scenes with their captions as token ids.

Painting and encoding cost as much as a training step on a CPU, so samples wait in a pool of shards
and are used a few times, each time with another of their captions. A shard is made from its number
alone and kept on disk, so that an interrupted training finds the same pool. Knows no denoising.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from limner.examples.pocket.render import Renderer
from limner.examples.pocket.scenes import Scenes

__all__ = ["Pool", "fingerprint"]

_SEED = 5_000_000


@dataclass
class Pool:
    """Shards ``newest - shards + 1`` to ``newest``; the newest follows the step.

    Attributes:
        scenes: what is painted.
        renderer: that paints.
        vae: that encodes.
        tokens: of captions, ids int64 ``(n, 32)``.
        folder: where shards are kept.
        seed: of the scenes.
        shard: samples in one.
        shards: at most in the pool.
        reuse: how often a sample is used before the next shard comes, on the average.
    """

    scenes: Scenes
    renderer: Renderer
    vae: Any
    tokens: Callable[[list[str]], Tensor]
    folder: Path
    seed: int = 0
    shard: int = 4096
    shards: int = 24
    reuse: int = 6
    _held: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    _vae: str = ""

    def __post_init__(self) -> None:
        self._vae = fingerprint(self.vae)

    def batch(self, step: int, count: int) -> tuple[Tensor, Tensor]:
        """Samples of a step: latents ``(count, 4, h, w)`` and ids ``(count, 32)``, on the device.

        Args:
            step: decides which.
            count: of samples.
        """
        newest = step * count // (self.shard * self.reuse)
        members = range(max(0, newest - self.shards + 1), newest + 1)
        for number in [number for number in self._held if number not in members]:
            del self._held[number]
            self._path(number).unlink(missing_ok=True)
        for number in members:
            if number not in self._held:
                self._held[number] = self._found(number)
        random = np.random.default_rng((self.seed, 11, step))
        of = random.integers(members.start, members.stop, count)
        latents, ids = [], []
        for number in np.unique(of):
            held, many = self._held[int(number)], int((of == number).sum())
            rows = torch.from_numpy(random.integers(self.shard, size=many))
            said = torch.from_numpy(random.integers(held["ids"].shape[1], size=many))
            latents.append(held["latents"][rows.to(held["latents"].device)].float())
            ids.append(held["ids"][rows, said])
        device = self.renderer.device
        return torch.cat(latents).to(device), torch.cat(ids).long().to(device)

    def _path(self, number: int) -> Path:
        return self.folder / f"{self._vae}-{self.seed}-{number:06d}.safetensors"

    def _found(self, number: int) -> dict[str, Tensor]:
        path = self._path(number)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            half = path.with_suffix(".tmp")
            save_file(self._made(number), half)
            half.replace(path)
        held = load_file(path)
        held["latents"] = held["latents"].to(self.renderer.device)
        return held

    @torch.no_grad()
    def _made(self, number: int) -> dict[str, Tensor]:
        scenes = self.scenes.batch(_SEED + self.seed, number, self.shard)
        with torch.autocast(self.renderer.device.partition(":")[0], enabled=False):
            latents = [
                self.vae.encode(self.renderer(scenes[at : at + 128])).latent_dist.mean.half().cpu()
                for at in range(0, len(scenes), 128)
            ]
            kept = torch.cat(latents)
        said = zip(*(scene.captions for scene in scenes), strict=True)
        ids = torch.stack([self.tokens(list(captions)) for captions in said], 1)
        return {"latents": kept, "ids": ids.short().contiguous()}


def fingerprint(model: Any) -> str:
    """Eight digits of a model's weights."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]
