"""The autoencoder: diffusers' AutoencoderKL, small, from pictures to latents a quarter of the side.

    python examples/pocket/vae.py --out demo/pocket --total 25

Its latents are brought to mean 0 and deviation 1 inside its own 1×1 convolutions, so that the
scaling factor is 1 and every tool that knows no other shift is right. Knows no captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.examples.pocket.emoji import Split
from limner.examples.pocket.reconstruction import apart, reported
from limner.examples.pocket.render import Renderer
from limner.examples.pocket.scenes import Scenes
from limner.examples.pocket.training import Plan, Stage, parser, train

__all__ = ["VaeStage", "normalised", "small_vae"]

_REPORTED = 512  # pictures
_SEED = 1_000_000
_EDGES = 0.5
_KL = 1e-5  # enough to keep the latents near a normal distribution, too little to blur


def small_vae(size: int, widths: tuple[int, ...] = (24, 48, 72)) -> Any:
    """A fresh one, 4 latent channels, a quarter of the side.

    Args:
        size: side of a picture in pixels.
        widths: channels of its blocks.
    """
    import diffusers

    kind: Any = diffusers.AutoencoderKL
    return kind(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=size,
        scaling_factor=1.0,
        force_upcast=False,
    )


class VaeStage(Stage):
    """Differences of pixels at three scales and of edges, and a light pull to a normal."""

    name = "vae"

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.model: Any = small_vae(plan.size).to(plan.device)
        self._scenes = Scenes(Split(plan.seed), jitter=2.0, every=True)
        self._renderer = Renderer(plan.size, plan.out, plan.device)
        self._plan = plan

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        plan = self._plan
        pictures = self._pictures(step, plan.batch)
        random = torch.Generator().manual_seed(_SEED + step)
        latent = self.model.encode(pictures).latent_dist
        noise = torch.randn(latent.mean.shape, generator=random).to(plan.device)
        drawn = self.model.decode(latent.mean + latent.std * noise).sample.float()
        kl = latent.kl().mean() / pictures[0].numel()
        return apart(drawn, pictures, _EDGES) + _KL * pictures[0].numel() * kl, {
            "l1": float((drawn - pictures).abs().mean().detach()),
            "kl": float(kl.detach()),
        }

    def _pictures(self, number: int, count: int) -> Tensor:
        return self._renderer(self._scenes.batch(_SEED + self._plan.seed, number, count))

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """The normalised autoencoder, a sheet of reconstructions, and how good they are."""
        pictures = self._pictures(100_000_000, _REPORTED)
        model = normalised(self.model, pictures)
        model.save_pretrained(folder / "model")
        latents = torch.cat(
            [model.encode(part).latent_dist.mean for part in torch.split(pictures, 64)]
        )
        again = torch.cat([model.decode(part).sample for part in torch.split(latents, 64)]).clamp(
            -1, 1
        )
        told = reported(folder, pictures, again, {
            "mean": [round(v, 3) for v in latents.mean((0, 2, 3)).tolist()],
            "std": [round(v, 3) for v in latents.std((0, 2, 3)).tolist()],
            "scaling_factor": model.config.scaling_factor,
            "parameters": sum(p.numel() for p in model.parameters()),
        })  # fmt: skip
        print("vae:", told, flush=True)


@torch.no_grad()
def normalised(vae: Any, pictures: Tensor) -> Any:
    """A copy whose latents of some pictures have mean 0 and deviation 1 in each channel.

    Both 1×1 convolutions next to the latents are linear, so the shift and the scale go into them
    and no reconstruction changes.
    """
    made = type(vae).from_config(vae.config).to(pictures.device).eval()
    made.load_state_dict(vae.state_dict())
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in torch.split(pictures, 64)])
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    inward, outward = made.quant_conv, made.post_quant_conv
    channels = len(mean)
    inward.weight[:channels] /= std[:, None, None, None]
    inward.bias[:channels] = (inward.bias[:channels] - mean) / std
    inward.bias[channels:] -= 2 * std.log()  # the logarithm of the variance
    outward.bias += (outward.weight[..., 0, 0] * mean).sum(1)
    outward.weight *= std[None, :, None, None]
    return made


def main(arguments: Sequence[str] | None = None) -> bool:
    """Train, normalise, export, report; whether the plan is fulfilled."""
    plan = Plan.of(parser(__doc__, cpu_batch=32, gpu_batch=256, rate=1e-3).parse_args(arguments))
    return train(VaeStage(plan), plan)


if __name__ == "__main__":
    main()
