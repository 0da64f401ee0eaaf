"""The eyes of the small Janus learn to tell things apart, before its language model reads.

    torchrun --nproc-per-node 2 examples/pocket/janus_eyes.py --out demo/pocket --total 12

Transformers' own vision tower and aligner; a linear map of the mean of what they say, which is not
shipped, must name the things of a scene. Without a language model behind them a picture costs a
tenth, so most of what there is to see is learnt here. Where `janus_drawn` has made drawings, they
look at them too. Knows no words: a name is a number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.janus_drawn import Drawings
from limner.examples.pocket.janus_vq import PATCH
from limner.examples.pocket.measures import hits, share
from limner.examples.pocket.render import Renderer
from limner.examples.pocket.scenes import Scene, Scenes
from limner.examples.pocket.training import Plan, Stage, parser, train

__all__ = ["WIDTH", "Eyes", "EyesStage", "seen", "started", "vision", "whole"]

WIDTH = 256
"""Of what the eyes say, and of the language model that is told."""

_EYES = 160
_REPORTED = 512  # pictures
_SEED = 13_000_000
_SHARES = (0.25, 0.45, 0.30)  # what stands alone on white is learnt soon


def vision(size: int) -> dict[str, Any]:
    """The settings of the eyes, as ``JanusVisionConfig`` takes them.

    Args:
        size: side of a picture in pixels.
    """
    return {
        "hidden_size": _EYES, "num_hidden_layers": 4, "num_attention_heads": 5,
        "image_size": size, "patch_size": PATCH, "projection_dim": WIDTH,
        "num_image_tokens": (size // PATCH) ** 2, "initializer_range": _EYES**-0.5,
    }  # fmt: skip


class Eyes(nn.Module):
    """Fresh eyes, and a map from what they see to names, which is not kept.

    Args:
        size: side of a picture in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        from transformers.models.janus import modeling_janus as parts
        from transformers.models.janus.configuration_janus import JanusVisionConfig

        config = JanusVisionConfig(**vision(size))
        self.tower: Any = parts.JanusVisionModel(config)
        self.aligner: Any = parts.JanusVisionAlignerMLP(config)
        started(self.aligner)
        self.names = nn.Linear(WIDTH, len(load()))
        nn.init.zeros_(self.names.weight)
        nn.init.zeros_(self.names.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """What the eyes say of pictures from -1 to 1: ``(n, places, WIDTH)``."""
        told: Tensor = self.aligner(self.tower(whole(pictures)).last_hidden_state)
        return told

    @classmethod
    def found(cls, size: int, folder: Path) -> Eyes:
        """Those that `EyesStage` trained.

        Args:
            size: side of a picture in pixels.
            folder: of the stage.
        """
        eyes = cls(size)
        eyes.load_state_dict(load_file(folder / "eyes.safetensors"))
        return eyes


def started(part: nn.Module) -> None:
    """Linear layers begin such that they let signals through."""
    for layer in part.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)


def whole(pictures: Tensor) -> Tensor:
    """Pictures from -1 to 1 in the 256 steps that files have."""
    return ((pictures + 1) * 127.5).round() / 127.5 - 1


def seen(names: nn.Linear, looks: Tensor, scenes: Sequence[Scene]) -> Tensor:
    """Cross-entropy of the names of what is in scenes, from the mean of what the eyes say.

    Args:
        names: to as many numbers as there are pictures in the font.
        looks: ``(n, places, WIDTH)``.
        scenes: n, whose things share the probability evenly.
    """
    wanted = torch.zeros(len(scenes), names.out_features, device=looks.device)
    for row, scene in zip(wanted, scenes, strict=True):
        row[[placed.number for placed in scene.objects]] = 1
    told = names(looks.float().mean(1)).float()
    return F.cross_entropy(told, wanted / wanted.sum(1, keepdim=True))


class EyesStage(Stage):
    """Cross-entropy of names over scenes of all kinds.

    Args:
        plan: see `Plan`.
    """

    name = "janus_eyes"
    decay = 0.998

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self._plan = plan
        self.model: Any = Eyes(plan.size).to(plan.device)
        if plan.device == "cpu":  # the fused kernels are slow backwards in bfloat16
            self.model.tower.set_attn_implementation("eager")
        self._renderer = Renderer(plan.size, plan.out, plan.device)
        self._drawings = Drawings.found(plan.out)
        self._scenes = Scenes(Split(plan.seed), shares=_SHARES)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        seed = _SEED + self._plan.seed
        scenes = self._scenes.batch(seed, step, self._plan.batch)
        random = np.random.default_rng((seed, 17, step))
        pictures = self._drawings.instead(scenes, self._renderer(scenes), random)
        return seen(self.model.names, self.model(pictures), scenes), {}

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """The weights, and how often one of a scene's things is what is seen first, or in five."""
        scenes = self._scenes.batch(_SEED + self._plan.seed, 100_000_000, _REPORTED)
        order = torch.cat([
            self.model.names(self.model(self._renderer(scenes[at : at + 64])).mean(1)).topk(5)[1]
            for at in range(0, len(scenes), 64)
        ])  # fmt: skip
        first, five = hits(order, [{o.number for o in scene.objects} for scene in scenes])
        save_file(
            {name: weight.contiguous() for name, weight in self.model.state_dict().items()},
            folder / "eyes.safetensors",
        )
        told = {
            "first": share(first),
            "among five": share(five),
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }
        (folder / "report.json").write_text(json.dumps(told, indent=1) + "\n")
        print("janus_eyes:", told, flush=True)


def main(arguments: Sequence[str] | None = None) -> bool:
    """Train, export, report; whether the plan is fulfilled."""
    plan = Plan.of(parser(__doc__, cpu_batch=96, gpu_batch=1024, rate=1e-3).parse_args(arguments))
    return train(EyesStage(plan), plan)


if __name__ == "__main__":
    main()
