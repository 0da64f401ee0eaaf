"""A base model with a fresh adapter in its UNet: what it computes for training.

The loss is the plain one of denoising; what is learnt are peft's layers in the UNet's attention.
Everything that is random is made of the seed and the number of the step, so that a run that was
cut short goes on as if it had not been. Knows no files but the base's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from ...errors import UserError
from ..media import decode_image
from .assembly import assembled, cast, dtype_of, loaded, quiet
from .base import ImageRequest
from .checkpoint import Checkpoint
from .engine import Drawn, Engine
from .families import Family
from .memory import Plan
from .prompting import embeddings
from .training_data import Example, square

__all__ = ["TARGETS", "Learner", "generator", "memory"]

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""The layers of attention that an adapter changes."""

_VALIDATED = 8  # pictures at most
_TIMES = (0.1, 0.35, 0.6, 0.85)  # of the noise's schedule, at which a validation looks
_SAMPLE_STEPS = 20


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example as the model takes it: float32 on the CPU.

    Attributes:
        mean: of its latents, ``(4, h, w)``.
        deviation: of its latents, of the same shape.
        words: its caption's embeddings, ``(77, width)``.
        pooled: its caption's pooled embedding, ``(width,)``; SDXL only.
        time_ids: see `training_data.Square`.
    """

    mean: Any
    deviation: Any
    words: Any
    pooled: Any
    time_ids: tuple[int, ...]


def generator(seed: int, what: str, number: int) -> Any:
    """Random numbers of their own for a purpose; on the CPU, the same on every machine."""
    import torch

    digest = hashlib.sha256(f"{seed} {what} {number}".encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:7]))


class Learner:
    """The model that learns.

    Args:
        checkpoint: of the base.
        family: of the base.
        device: that trains.
        dtype: of the base's weights; the adapter's are float32.
        rank: of the adapter.
        alpha: of the adapter; it works with ``alpha / rank``.
        seed: of all that is random.
        checkpointing: compute activations twice instead of keeping them.

    Attributes:
        device: that trains.
        scaled: whether losses are to be scaled, lest gradients vanish in float16.
        weights: the adapter's, by name.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        family: Family,
        *,
        device: str,
        dtype: str,
        rank: int,
        alpha: float,
        seed: int,
        checkpointing: bool,
    ) -> None:
        import diffusers
        import torch

        self._checkpoint, self._family, self._seed = checkpoint, family, seed
        self.device, self.scaled, self._dtype = device, dtype == "float16", getattr(torch, dtype)
        self._parts = loaded(checkpoint, dtype)
        self.unet = self._parts["unet"]
        for part in self._parts.values():
            if hasattr(part, "parameters"):
                part.requires_grad_(False)
        _adapt(self.unet, rank, alpha, seed)
        self._engine = Engine(checkpoint, family, device, _parts=self._parts)
        self._engine.load(Plan(dtype))
        if checkpointing:
            self.unet.enable_gradient_checkpointing()
        self.weights = {n: w for n, w in self.unet.named_parameters() if w.requires_grad}
        kind_of: Any = diffusers.DDPMScheduler
        with quiet():  # its settings are those of another class
            self._scheduler = kind_of.from_config(dict(checkpoint.settings.scheduler))
        kind = self._scheduler.config.prediction_type
        if kind not in ("epsilon", "v_prediction"):
            raise UserError(f"{checkpoint.name}: it predicts {kind!r}", "take another --base")

    # ── What stays the same ──────────────────────────────────────────────────────────────────

    def encoded(self, examples: Sequence[Example], side: int) -> tuple[list[Encoded], int]:
        """Examples as latents and embeddings; and how many captions were cut to one window."""
        import torch

        index = self._checkpoint.settings.index
        pipeline = assembled(self._family.pipelines[0], self._parts, index)
        read: dict[str, tuple[Any, Any, bool]] = {}
        made: list[Encoded] = []
        cut = 0
        for example in examples:
            if example.caption not in read:
                read[example.caption] = self._read(pipeline, example.caption)
            words, pooled, longer = read[example.caption]
            picture = square(decode_image(example.path), side)
            with torch.no_grad():
                mean, deviation = self._latents(picture.image)
            made.append(Encoded(mean, deviation, words, pooled, picture.time_ids))
            cut += longer
        return made, cut

    def _read(self, pipeline: Any, caption: str) -> tuple[Any, Any, bool]:
        told = embeddings(pipeline, caption, "", guided=False)
        words, pooled = told["prompt_embeds"][0].float().cpu(), told.get("pooled_prompt_embeds")
        window = self._parts["text_encoder"].config.max_position_embeddings
        pooled = None if pooled is None else pooled[0].float().cpu()
        return words[:window], pooled, len(words) > window

    def _latents(self, image: Image.Image) -> tuple[Any, Any]:
        import torch
        from diffusers.image_processor import VaeImageProcessor

        vae, own = self._parts["vae"], dtype_of(self._parts["vae"])
        try:
            cast(vae, torch.float32)  # some overflow in float16
            pixels = VaeImageProcessor().preprocess(image).to(self.device, torch.float32)
            spread = vae.encode(pixels).latent_dist
        finally:
            cast(vae, own)
        mean, deviation = spread.mean[0].cpu(), spread.std[0].cpu()
        config = vae.config
        centre, scale = config.get("latents_mean"), config.get("latents_std")
        if centre is None or scale is None:
            return mean * config.scaling_factor, deviation * config.scaling_factor
        centre, scale = (torch.tensor(v).view(-1, 1, 1) for v in (centre, scale))
        factor = config.scaling_factor / scale
        return (mean - centre) * factor, deviation * factor

    # ── Loss ─────────────────────────────────────────────────────────────────────────────────

    def loss(self, examples: Sequence[Encoded], step: int, batch: int) -> Any:
        """Of one step, a scalar that can be differentiated; which pictures depends on the step."""
        import torch

        chosen = [examples[at] for at in self._order(len(examples), step, batch)]
        random = generator(self._seed, "step", step)
        latents = torch.stack(
            [e.mean + e.deviation * torch.randn(e.mean.shape, generator=random) for e in chosen]
        )
        noise = torch.randn(latents.shape, generator=random)
        last = self._scheduler.config.num_train_timesteps
        times = torch.randint(0, last, (len(chosen),), generator=random)
        return self._denoised(chosen, latents, noise, times)

    def _order(self, count: int, step: int, batch: int) -> list[int]:
        """Positions in this step: every picture once before any a second time."""
        import torch

        orders: dict[int, list[int]] = {}
        found = []
        for position in range(step * batch, (step + 1) * batch):
            epoch, at = divmod(position, count)
            if epoch not in orders:
                random = generator(self._seed, "epoch", epoch)
                orders[epoch] = torch.randperm(count, generator=random).tolist()
            found.append(orders[epoch][at])
        return found

    def validation(self, examples: Sequence[Encoded]) -> float:
        """The mean loss over some pictures, always with the same noise at the same times."""
        import torch

        last, losses = self._scheduler.config.num_train_timesteps, []
        for number, example in enumerate(examples[:_VALIDATED]):
            random = generator(self._seed, "validation", number)
            for share in _TIMES:
                noise = torch.randn((1, *example.mean.shape), generator=random)
                times = torch.tensor([int(share * last)])
                with torch.no_grad():
                    lost = self._denoised([example], example.mean[None], noise, times)
                losses.append(float(lost))
        return sum(losses) / len(losses)

    def _denoised(self, examples: Sequence[Encoded], latents: Any, noise: Any, times: Any) -> Any:
        import torch

        noisy = self._scheduler.add_noise(latents, noise, times)
        wanted = noise
        if self._scheduler.config.prediction_type == "v_prediction":
            wanted = self._scheduler.get_velocity(latents, noise, times)
        given: dict[str, Any] = {
            "encoder_hidden_states": self._stacked([e.words for e in examples])
        }
        if examples[0].pooled is not None:
            ids = torch.tensor([e.time_ids for e in examples], device=self.device)
            pooled = self._stacked([e.pooled for e in examples])
            given["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": ids}
        kind = torch.device(self.device).type
        with torch.autocast(kind, self._dtype, enabled=self._dtype != torch.float32):
            noisy = noisy.to(self.device, self._dtype)
            found = self.unet(noisy, times.to(self.device), **given, return_dict=False)[0]
        return torch.nn.functional.mse_loss(found.float(), wanted.to(self.device))

    def _stacked(self, tensors: Sequence[Any]) -> Any:
        import torch

        return torch.stack(list(tensors)).to(self.device, self._dtype)

    # ── Samples ──────────────────────────────────────────────────────────────────────────────

    def sample(self, prompt: str, side: int, seed: int) -> Image.Image:
        """What the model draws now, as `Diffusion` would; grey where that is not to be shown."""
        request = ImageRequest(
            prompt,
            size=(side, side),
            steps=_SAMPLE_STEPS,
            guidance=self._family.guidance.own,
            scheduler=self._family.scheduler,
            seed=seed,
        )
        (found,) = self._engine.draw([request], lambda k, n, preview: None)
        return found.image if isinstance(found, Drawn) else Image.new("RGB", (side, side), "grey")

    def adapter(self) -> dict[str, Any]:
        """The adapter's weights under the names that diffusers looks for; float32, on the CPU."""
        from peft.utils import get_peft_model_state_dict

        found = get_peft_model_state_dict(self.unet)
        return {f"unet.{n}": w.detach().float().cpu().contiguous() for n, w in found.items()}


def _adapt(unet: Any, rank: int, alpha: float, seed: int) -> None:
    """Give a UNet an adapter that does nothing yet."""
    import torch
    from peft import LoraConfig

    settings: dict[str, Any] = {"lora_alpha": alpha, "init_lora_weights": "gaussian"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet.add_adapter(LoraConfig(r=rank, target_modules=list(TARGETS), **settings))
    for weight in unet.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def memory(checkpoint: Checkpoint, dtype: str, side: int, batch: int, rank: int) -> tuple[int, int]:
    """Bytes of the weights, and of all that a step keeps for its way back.

    The second is counted, not guessed: a step is taken with tensors that have shapes only.
    """
    import diffusers
    import torch

    width = getattr(torch, dtype).itemsize
    weights = sum(checkpoint.parameters(part) for part in checkpoint.parts) * width
    settings = checkpoint.settings
    latents = side // 2 ** (len(settings.vae["block_out_channels"]) - 1)
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with quiet(), torch.device("meta"):
        kind: Any = diffusers.UNet2DConditionModel
        unet = kind.from_config(dict(settings.unet))
        unet.to(getattr(torch, dtype)).requires_grad_(False)
        _adapt(unet, rank, rank, 0)
        given: dict[str, Any] = {}
        if settings.unet.get("addition_embed_type") == "text_time":
            ids = 6
            pooled = settings.unet["projection_class_embeddings_input_dim"]
            pooled -= ids * settings.unet["addition_time_embed_dim"]
            shapes = {
                "text_embeds": torch.zeros(batch, pooled),
                "time_ids": torch.zeros(batch, ids),
            }
            given["added_cond_kwargs"] = {n: t.to(unet.dtype) for n, t in shapes.items()}
        noisy = torch.zeros(batch, 4, latents, latents, dtype=unet.dtype)
        words = torch.zeros(batch, 77, settings.unet["cross_attention_dim"], dtype=unet.dtype)
        own = {w.untyped_storage()._cdata for w in unet.parameters()}
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with _fused(), hooks:
            held = unet(noisy, torch.zeros(batch), words, **given)
    found = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)
    learnt = sum(weight.numel() for weight in unet.parameters() if weight.requires_grad)
    del held
    return weights + 16 * learnt, found


def _fused() -> Any:
    """Attention keeps what it is given and gives, as fused kernels do: no matrix of all pairs."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Attention(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, query: Any, key: Any, value: Any) -> Any:
            out = query.new_empty((*query.shape[:-1], value.shape[-1]))
            ctx.save_for_backward(query, key, value, out)
            return out

    class Fused(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is torch.nn.functional.scaled_dot_product_attention:
                apply: Any = Attention.apply
                return apply(*args[:3])
            return func(*args, **(kwargs or {}))

    return Fused()
