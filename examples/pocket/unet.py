"""The U-Net, in SDXL's form: what denoises latents towards a caption.

    python examples/pocket/unet.py --out demo/pocket --total 100

Predicts v under a noise schedule that ends at a signal of half a per cent, so every scheduler
starts from what training ended in, and none divides by zero. Text encoders stay as `text` left
them, since what it taught them of words without pictures would be lost by training on captions;
``--text-rate 0.05`` trains them along, slowly. Knows pictures only as latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limner.examples.pocket.emoji import Split
from limner.examples.pocket.latents import Pool
from limner.examples.pocket.render import Renderer
from limner.examples.pocket.scenes import Scenes
from limner.examples.pocket.text import encoded
from limner.examples.pocket.tokens import tokenized
from limner.examples.pocket.training import Plan, Stage, attention, parser, train

__all__ = ["SCHEDULE", "UNetStage", "denoised_loss", "small_unet", "time_ids"]

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.0001,
    "beta_end": 0.03,
    "prediction_type": "v_prediction",
}
"""Of the noise; the scheduler's own words."""

_GAMMA = 5.0  # min-SNR weighting, Hang et al. 2023, https://arxiv.org/abs/2303.09556
_LEAST = 0.3
"""Weight of a loss where almost no signal is left: there a caption alone decides what is drawn."""
_SHARES, _JITTER = (0.15, 0.1, 0.75), 0.1
"""Of names, scenes and pairs: pairs are the hardest. What strays little is drawn sharper."""

_DROPPED = 0.1  # of captions, for classifier-free guidance


def small_unet(side: int, widths: tuple[int, ...] = (64, 128, 144)) -> Any:
    """A fresh one: three levels, the lower two with attention to the words.

    Args:
        side: of a latent.
        widths: channels of its levels.
    """
    import diffusers

    kind: Any = diffusers.UNet2DConditionModel
    return kind(
        sample_size=side,
        in_channels=4,
        out_channels=4,
        block_out_channels=widths,
        layers_per_block=1,
        norm_num_groups=16,
        attention_head_dim=tuple(width // 32 for width in widths),  # SDXL's name for heads
        use_linear_projection=True,
        resnet_time_scale_shift="scale_shift",
        cross_attention_dim=96 + 160,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=384 + 6 * 8,
    )


def time_ids(size: int, count: int) -> Tensor:
    """SDXL's size, crop and target size: always a whole picture of one size."""
    return torch.tensor([[size, size, 0, 0, size, size]], dtype=torch.float32).repeat(count, 1)


class UNetStage(Stage):
    """The error of v, weighted by min-SNR.

    Args:
        plan: see `Plan`; the folders of `vae` and `text` are in ``plan.out``.
        text_rate: learning rate of the text encoders as a share of the U-Net's.
        shard: samples in a shard of the pool.
    """

    name = "unet"
    decay = 0.998

    def __init__(self, plan: Plan, text_rate: float = 0.0, shard: int = 4096) -> None:
        import diffusers
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        torch.manual_seed(plan.seed)
        texts = plan.out / "text"
        self._plan, self._text_rate = plan, text_rate
        coder: Any = diffusers.AutoencoderKL
        vae = coder.from_pretrained(plan.out / "vae" / "model").to(plan.device).eval()
        self._tokenizer = CLIPTokenizer.from_pretrained(texts / "tokenizer")
        unet = small_unet(plan.size // 4).to(plan.device)
        if plan.device == "cuda":
            unet.to(memory_format=torch.channels_last)
        self.model: Any = nn.ModuleDict({"unet": unet})
        encoders: Any = nn.ModuleDict({
            "text_encoder": CLIPTextModel.from_pretrained(texts / "text_encoder"),
            "text_encoder_2": CLIPTextModelWithProjection.from_pretrained(
                texts / "text_encoder_2"
            ),
        })  # fmt: skip
        if text_rate:
            self.model.update(encoders)
        self._encoders = encoders.to(plan.device).requires_grad_(bool(text_rate))
        self._unet: Any = torch.compile(unet) if plan.compiled else unet
        self._pool = Pool(
            Scenes(Split(plan.seed), _JITTER, shares=_SHARES),
            Renderer(plan.size, plan.out, plan.device),
            vae,
            lambda captions: tokenized(self._tokenizer, captions),
            plan.out / self.name / f"pool-{plan.rank}",
            plan.seed + 1_000 * plan.rank,
            shard,
            reuse=4 if plan.device == "cuda" else 12,
        )
        self._nothing = tokenized(self._tokenizer, [""]).to(plan.device)
        self._kept = kept_signal().to(plan.device)

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """See `Stage.groups`."""
        return [
            {"params": list(part.parameters()),
             "rate": rate * (1 if name == "unet" else self._text_rate)}
            for name, part in self.model.items()
        ]  # fmt: skip

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        plan = self._plan
        latents, ids = self._pool.batch(step // plan.ranks, plan.batch)
        random = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        noise = torch.randn(latents.shape, generator=random).to(plan.device)
        # Evenly spread over the batch: less noise in the loss than times drawn one by one.
        spread = (torch.rand(1, generator=random) + torch.arange(plan.batch) / plan.batch) % 1
        times = (spread * len(self._kept)).long().to(plan.device)
        dropped = torch.rand(plan.batch, generator=random) < _DROPPED
        ids = torch.where(dropped.to(plan.device)[:, None], self._nothing, ids)
        with attention():
            with torch.set_grad_enabled(bool(self._text_rate)):
                states, pooled = encoded(
                    self._encoders["text_encoder"], self._encoders["text_encoder_2"], ids
                )
            told = {"text_embeds": pooled,
                    "time_ids": time_ids(plan.size, plan.batch).to(plan.device)}  # fmt: skip
            noisy, wanted = noised(latents, noise, self._kept[times])
            made = self._unet(noisy, times, states, added_cond_kwargs=told).sample
        return denoised_loss(made, wanted, self._kept[times]), {}

    def export(self, folder: Path) -> None:
        """The U-Net, and the encoders where they were trained along."""
        for name, part in self.model.items():
            part.save_pretrained(folder / name)


def kept_signal() -> Tensor:
    """How much of the signal's variance is left at each time, ``(1000,)``."""
    import diffusers

    kind: Any = diffusers.DDPMScheduler
    made: Tensor = kind(**SCHEDULE).alphas_cumprod
    return made


def noised(latents: Tensor, noise: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Noisy latents and v, what is predicted (Salimans and Ho 2022, appendix D)."""
    a, b = kept.sqrt()[:, None, None, None], (1 - kept).sqrt()[:, None, None, None]
    return a * latents + b * noise, a * noise - b * latents


def denoised_loss(made: Tensor, wanted: Tensor, kept: Tensor) -> Tensor:
    """Squared error of v, weighted by ``min(SNR, γ) / (SNR + 1)``, at least `_LEAST`."""
    snr = kept / (1 - kept)
    weight = (snr.clamp(max=_GAMMA) / (snr + 1)).clamp(min=_LEAST)
    error: Tensor = (made.float() - wanted).square().mean((1, 2, 3))
    return (weight * error).mean() / weight.mean()


def main(arguments: Sequence[str] | None = None) -> bool:
    """Train, export; whether the plan is fulfilled."""
    options = parser(__doc__, cpu_batch=64, gpu_batch=1024, rate=1e-3)
    options.add_argument("--text-rate", type=float, default=0.0, metavar="SHARE",
                         help="learning rate of the text encoders over the U-Net's")  # fmt: skip
    given = options.parse_args(arguments)
    plan = Plan.of(given)
    return train(UNetStage(plan, given.text_rate), plan)


if __name__ == "__main__":
    main()
