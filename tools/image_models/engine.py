"""Loaded diffusion parts at work: one picture at a time, from a completed request to pixels.

The denoising itself is diffusers' pipelines'. Prompts go in as embeddings (`prompting`), latents
come out and are decoded here, so that a width that overflows is seen and mended. Parts stay loaded
between pictures; nothing else does: each picture has its own scheduler and generator, and the same
seed gives the same pixels whatever was drawn before. Knows no folder names and no memory plans'
reasons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from .assembly import assembled, cast, casting_quietly, dtype_of, loaded
from .base import ImageRequest, OnStep
from .checkpoint import Checkpoint
from .families import Family
from .lora import Adapters, chosen
from .memory import TILE, Plan
from .prompting import embeddings
from .schedulers import crosses, evaluations, scheduler_of

__all__ = ["Drawn", "Engine", "Flagged", "Unusable"]

_PREVIEW = 32  # latents on the longer side of a preview


class Unusable(Exception):
    """The picture is not one: numbers that are none, or black all over."""


class Flagged(Exception):
    """The checkpoint's safety checker declines the picture."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture and what came up while it was drawn."""

    image: Image.Image
    checked: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the denoising: which model, where it starts and where it hands over."""

    pipeline: Any
    start: float | None = None
    end: float | None = None


@dataclass
class Engine:
    """The parts of one model, and a refiner's where it has one, on a device.

    Attributes:
        checkpoint: of the model.
        family: of the model.
        device: that it draws on.
        refiner: finishes what the model has begun.
        handover: the fraction of the denoising after which it takes over.
        compiled: whether the repeated blocks of the UNet are compiled, which a GPU gains from.
        held: bytes of the weights that stay on the device.
    """

    checkpoint: Checkpoint
    family: Family
    device: str
    refiner: Checkpoint | None = None
    handover: float = 0.8
    compiled: bool = False
    held: int = 0
    _parts: dict[str, Any] = field(default_factory=dict)
    _refining: dict[str, Any] = field(default_factory=dict)
    _pipelines: dict[str, Any] = field(default_factory=dict)
    _plan: Plan | None = None
    _adapters: Adapters = field(default_factory=Adapters)

    def load(self, plan: Plan) -> None:
        """Have the parts in memory as a plan wants them. Parts that are there stay.

        Raises:
            ModelError: a part cannot be loaded.
        """
        import torch

        if not self._parts:
            self._parts = loaded(self.checkpoint, plan.dtype)
            if self.refiner is not None:
                self._refining = loaded(self.refiner, plan.dtype, ("unet", "tokenizer_2"))
        if plan == self._plan:
            return
        self._adapters.clear()
        self._pipelines.clear()
        for part in self._weighty():
            cast(part, getattr(torch, plan.dtype))
            part.to("cpu" if plan.offload else self.device)
        for parts in (self._parts, self._refining):
            if "unet" in parts and plan.slices != (self._plan is not None and self._plan.slices):
                parts["unet"].set_attention_slice("auto" if plan.slices else None)
        vae = self._parts["vae"]
        vae.use_tiling = plan.tiles
        vae.tile_sample_min_size, vae.tile_latent_min_size = TILE, TILE // self._factor
        if self.compiled and not plan.offload:
            self._parts["unet"].compile_repeated_blocks(fullgraph=True)
        weights = [weight for part in self._weighty() for weight in part.parameters()]
        self.held = 0 if plan.offload else sum(w.numel() * w.element_size() for w in weights)
        self._plan = plan

    def free(self) -> None:
        """Give the memory back."""
        import gc

        import torch

        self._adapters.clear()
        self._parts.clear()
        self._refining.clear()
        self._pipelines.clear()
        self._plan, self.held = None, 0
        gc.collect()
        if self.device != "cpu":
            torch.cuda.empty_cache()

    def draw(self, request: ImageRequest, on_step: OnStep) -> Drawn:
        """One picture.

        Args:
            request: completed; its reference and mask are of its size.
            on_step: see `base.OnStep`.

        Raises:
            Unusable: numbers that are none, or black all over.
            Flagged: the safety checker declines it.
        """
        import torch

        steps = _Steps(self, request, on_step)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        latents: Any = None
        for stage in self._stages(request):
            latents = self._denoised(stage, request, generator, latents, steps)
        if not bool(torch.isfinite(latents).all()):
            raise Unusable("the model computed numbers that are none")
        image, notes = self._image(latents)
        checked = self._check(image)
        if request.mask is not None and request.reference is not None:
            image.paste(request.reference, mask=request.mask.point(lambda v: 255 * (v < 128)))
        return Drawn(image, checked, notes)

    def hands_over(self, request: ImageRequest) -> bool:
        """Whether the refiner comes in: not where there is nothing to do before or after it."""
        assert request.scheduler is not None and request.steps is not None
        if self.refiner is None:
            return False
        scheduler = scheduler_of(request.scheduler, self.checkpoint.settings.scheduler)
        return crosses(scheduler, request.steps, request.strength, self.handover)

    # ── Denoising ────────────────────────────────────────────────────────────────────────────

    def _stages(self, request: ImageRequest) -> Iterator[Stage]:
        """The model alone, or until the hand-over and the refiner from there, each in its turn."""
        mode = 0 if request.reference is None else 1 if request.mask is None else 2
        name = self.family.pipelines[mode]
        pipeline = self._pipeline(name, self._parts, lora=request.lora)
        if not self.hands_over(request):
            yield Stage(pipeline)
            return
        yield Stage(pipeline, end=self.handover)
        refining = self._parts | self._refining | {"tokenizer": None, "text_encoder": None}
        finishing = self._pipeline(self.family.pipelines[max(mode, 1)], refining, self.refiner)
        yield Stage(finishing, start=self.handover)

    def _pipeline(
        self,
        name: str,
        parts: dict[str, Any],
        of: Checkpoint | None = None,
        lora: tuple[tuple[str, float], ...] = (),
    ) -> Any:
        """A pipeline over parts that are shared with all others; made once for each mode."""
        key = f"{name} {'refining' if of else ''}"
        if key not in self._pipelines:
            self._pipelines[key] = assembled(name, parts, (of or self.checkpoint).settings.index)
        pipeline = self._pipelines[key]
        offload = self._plan is not None and self._plan.offload
        for other in self._pipelines.values() if offload else ():
            other.remove_all_hooks()
        if of is None:  # the refiner has none of its own
            self._adapters.put(pipeline, chosen(lora), self.checkpoint.name)
        if offload:
            pipeline.enable_model_cpu_offload(device=self.device)
        return pipeline

    def _denoised(
        self, stage: Stage, request: ImageRequest, generator: Any, latents: Any, steps: _Steps
    ) -> Any:
        import torch

        pipeline, checkpoint = stage.pipeline, self.checkpoint
        if stage.start is not None and self.refiner is not None:
            checkpoint = self.refiner
        assert request.scheduler is not None and request.guidance is not None
        pipeline.scheduler = scheduler_of(request.scheduler, checkpoint.settings.scheduler)
        guided = request.guidance > 1 and pipeline.unet.config.time_cond_proj_dim is None
        options = _given(request, latents, pipeline) | _bounds(stage)
        with torch.no_grad(), casting_quietly():
            try:
                made = pipeline(
                    **embeddings(pipeline, request.prompt, request.negative_prompt, guided),
                    **options,
                    num_inference_steps=request.steps,
                    guidance_scale=request.guidance,
                    generator=generator,
                    output_type="latent",
                    callback_on_step_end=steps,
                )
            except BaseException:
                pipeline.maybe_free_model_hooks()  # else what was offloaded stays on the GPU
                raise
        return made.images

    # ── Decoding ─────────────────────────────────────────────────────────────────────────────

    @property
    def _factor(self) -> int:
        blocks: int = len(self._parts["vae"].config.block_out_channels)
        return int(2 ** (blocks - 1))

    def _image(self, latents: Any) -> tuple[Image.Image, tuple[str, ...]]:
        """Decoded in the VAE's own width; again in float32 where that overflows."""
        import torch

        image, notes = self._pixels(latents, self._decoding), tuple[str, ...]()
        if image is None and self._decoding != torch.float32:
            image = self._pixels(latents, torch.float32)
            notes = ("the VAE overflowed and worked in float32",)
        if image is None:
            raise Unusable("the picture is black, or of numbers that are none")
        return image, notes

    @property
    def _decoding(self) -> Any:
        """The width that the VAE decodes in; some overflow in float16 and say so."""
        import torch

        own, settings = dtype_of(self._parts["vae"]), self._parts["vae"].config
        return torch.float32 if own == torch.float16 and settings.force_upcast else own

    def _pixels(self, latents: Any, dtype: Any) -> Image.Image | None:
        """A picture; None where it is not one."""
        import torch
        from diffusers.image_processor import VaeImageProcessor

        vae, own = self._parts["vae"], dtype_of(self._parts["vae"])
        with torch.no_grad():
            try:
                cast(vae, dtype)
                pixels = vae.decode(self._unscaled(latents.to(dtype)), return_dict=False)[0]
            finally:
                cast(vae, own)
        if not bool(torch.isfinite(pixels).all()):
            return None
        image: Image.Image = VaeImageProcessor().postprocess(pixels, output_type="pil")[0]
        return image if image.getbbox() else None

    def _unscaled(self, latents: Any) -> Any:
        """From the model's latents to the VAE's; some state their mean and deviation."""
        import torch

        config = self._parts["vae"].config
        mean, deviation = config.get("latents_mean"), config.get("latents_std")
        if mean is None or deviation is None:
            return latents / config.scaling_factor
        mean, deviation = (
            torch.tensor(v).view(1, -1, 1, 1).to(latents.device, latents.dtype)
            for v in (mean, deviation)
        )
        return latents * deviation / config.scaling_factor + mean

    def preview(self, latents: Any) -> Image.Image | None:
        """A small picture of latents half way; None where parts wait in main memory."""
        import torch

        if self._plan is not None and self._plan.offload:
            return None
        scale = min(1.0, _PREVIEW / max(latents.shape[-2:]))
        small = (
            latents
            if scale == 1
            else torch.nn.functional.interpolate(latents.float(), scale_factor=scale, mode="area")
        )
        # Half way there is noise; latents that are too large for the VAE give plain colours.
        small = small / small.std().clamp(min=1)
        return self._pixels(small, self._decoding)

    def _check(self, image: Image.Image) -> bool:
        """Whether a safety checker has looked at it.

        Raises:
            Flagged: it declines the picture.
        """
        checker = self._parts.get("safety_checker")
        if checker is None:
            return False
        import numpy as np
        import torch

        seen = self._parts["feature_extractor"](image, return_tensors="pt").pixel_values
        with torch.no_grad():
            pixels = np.asarray(image)[None].astype(np.float32) / 255
            _, found = checker(images=pixels, clip_input=seen.to(checker.device, checker.dtype))
        if any(found):
            raise Flagged
        return True

    def _weighty(self) -> Iterator[Any]:
        for part in (*self._parts.values(), *self._refining.values()):
            if hasattr(part, "parameters"):
                yield part


class _Steps:
    """Counts evaluations over all stages and tells ``on_step``; diffusers' callback."""

    def __init__(self, engine: Engine, request: ImageRequest, on_step: OnStep) -> None:
        self._engine, self._request, self._on_step = engine, request, on_step
        self._done = self._all = 0

    def __call__(self, pipeline: Any, step: int, time: Any, told: dict[str, Any]) -> dict[str, Any]:
        if not self._done:
            self._all = self._counted(pipeline.scheduler)
        self._done += 1
        latents = told["latents"]
        self._on_step(self._done, self._all, lambda: self._engine.preview(latents))
        return {}

    def _counted(self, scheduler: Any) -> int:
        """How many there will be; where Heun's two halves are handed over, one is done twice."""
        name, steps, strength = self._request.scheduler, self._request.steps, self._request.strength
        assert name is not None and steps is not None
        twice = 0
        if scheduler.order == 2 and self._engine.hands_over(self._request):
            last = scheduler.config.num_train_timesteps
            cutoff = round(last - self._engine.handover * last)
            twice = int((scheduler.timesteps < cutoff).sum() % 2 == 0)
        return evaluations(name, steps, strength) + twice


def _given(request: ImageRequest, latents: Any, pipeline: Any) -> dict[str, Any]:
    """What a pipeline starts from: a size, a picture, a picture and a mask, or latents."""
    assert request.size is not None
    width, height = request.size
    if latents is None and request.reference is None:
        return {"width": width, "height": height}
    given = {"image": request.reference if latents is None else latents}
    if request.strength is not None:
        given["strength"] = request.strength
    if request.mask is not None:
        given |= {"mask_image": request.mask, "width": width, "height": height}
    return given


def _bounds(stage: Stage) -> dict[str, float]:
    bounds = {"denoising_start": stage.start, "denoising_end": stage.end}
    return {name: value for name, value in bounds.items() if value is not None}
