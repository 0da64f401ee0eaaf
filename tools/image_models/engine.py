"""Loaded diffusion parts at work: a picture or a batch at a time, from requests to pixels.

The denoising itself is diffusers' pipelines'. Prompts go in as embeddings (`prompting`), latents
come out and are decoded here one by one, so that a width that overflows is seen and mended, and a
picture that comes to nothing costs no other. Parts stay loaded between pictures; nothing else does:
each pass has its own scheduler, each picture its own generator, and the same seed gives the same
pixels whatever was drawn before. Knows no folder names and no memory plans' reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from .assembly import Stage, assembled, cast, casting_quietly, dtype_of, loaded
from .base import ImageRequest, OnStep
from .checkpoint import Checkpoint
from .families import Family
from .lora import Adapters, chosen
from .memory import TILE, Plan
from .previews import shrunk, side_by_side
from .prompting import embeddings, joined, windows
from .schedulers import crosses, evaluations, scheduler_of

__all__ = ["Drawn", "Engine", "Flagged", "Unusable"]


@dataclass(frozen=True, slots=True)
class Unusable:
    """The picture is not one: numbers that are none, or black all over.

    Attributes:
        why: in words.
    """

    why: str


@dataclass(frozen=True, slots=True)
class Flagged:
    """The checkpoint's safety checker declines the picture."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture and what came up while it was drawn."""

    image: Image.Image
    checked: bool
    notes: tuple[str, ...]


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

    @property
    def name(self) -> str:
        """Of the folder or the hub; with a refiner, of both."""
        return self.checkpoint.name + (f" + {self.refiner.name}" if self.refiner else "")

    @property
    def revision(self) -> str:
        """Which weights; with a refiner, of both."""
        return self.checkpoint.revision + (f" + {self.refiner.revision}" if self.refiner else "")

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

    def passes(self, requests: Sequence[ImageRequest]) -> list[list[int]]:
        """Which requests go into a pass together, by their numbers: prompts of as many windows.

        Args:
            requests: as for ``draw``.
        """
        if len(requests) == 1:
            return [[0]]
        pipeline = next(self._stages(requests[0])).pipeline
        found: dict[int, list[int]] = {}
        for number, request in enumerate(requests):
            texts = (request.prompt, request.negative_prompt, _guided(request, pipeline))
            found.setdefault(windows(pipeline, *texts), []).append(number)
        return list(found.values())

    def draw(
        self, requests: Sequence[ImageRequest], on_step: OnStep
    ) -> list[Drawn | Unusable | Flagged]:
        """Pictures in one pass: of each what it is, or why there is none.

        Args:
            requests: completed; their references and masks are of their size. They differ in
                prompt, negative prompt and seed alone and go together by ``passes``.
            on_step: see `base.OnStep`; previews show the pictures side by side.
        """
        import torch

        steps = _Steps(self, requests[0], on_step)
        generators = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
        latents: Any = None
        for stage in self._stages(requests[0]):
            latents = self._denoised(stage, requests, generators, latents, steps)
        return [self._finished(*pair) for pair in zip(latents.split(1), requests, strict=True)]

    def _finished(self, latents: Any, request: ImageRequest) -> Drawn | Unusable | Flagged:
        """One picture out of its own latents, decoded alone: the same pixels in any company."""
        import torch

        if not bool(torch.isfinite(latents).all()):
            return Unusable("the model computed numbers that are none")
        found = self._image(latents)
        if found is None:
            return Unusable("the picture is black, or of numbers that are none")
        image, notes = found
        checked = self._check(image)
        if checked is None:
            return Flagged()
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
        self,
        stage: Stage,
        requests: Sequence[ImageRequest],
        generators: list[Any],
        latents: Any,
        steps: _Steps,
    ) -> Any:
        import torch

        pipeline, checkpoint, request = stage.pipeline, self.checkpoint, requests[0]
        if stage.start is not None and self.refiner is not None:
            checkpoint = self.refiner
        assert request.scheduler is not None and request.guidance is not None
        pipeline.scheduler = scheduler_of(request.scheduler, checkpoint.settings.scheduler)
        guided = _guided(request, pipeline)
        told = [embeddings(pipeline, r.prompt, r.negative_prompt, guided) for r in requests]
        options = stage.options(request, latents, len(requests))
        with torch.no_grad(), casting_quietly():
            try:
                made = pipeline(
                    **joined(told),
                    **options,
                    num_inference_steps=request.steps,
                    guidance_scale=request.guidance,
                    generator=generators,
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

    def _image(self, latents: Any) -> tuple[Image.Image, tuple[str, ...]] | None:
        """Decoded in the VAE's own width; again in float32 where that overflows."""
        import torch

        image, notes = self._pixels(latents, self._decoding), tuple[str, ...]()
        if image is None and self._decoding != torch.float32:
            image = self._pixels(latents, torch.float32)
            notes = ("the VAE overflowed and worked in float32",)
        return None if image is None else (image, notes)

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
        if self._plan is not None and self._plan.offload:
            return None
        images = [self._pixels(row, self._decoding) for row in shrunk(latents).split(1)]
        return side_by_side([image for image in images if image is not None])

    def _check(self, image: Image.Image) -> bool | None:
        """Whether a safety checker has looked at it; None where it declines the picture."""
        checker = self._parts.get("safety_checker")
        if checker is None:
            return False
        import numpy as np
        import torch

        seen = self._parts["feature_extractor"](image, return_tensors="pt").pixel_values
        with torch.no_grad():
            pixels = np.asarray(image)[None].astype(np.float32) / 255
            _, found = checker(images=pixels, clip_input=seen.to(checker.device, checker.dtype))
        return None if any(found) else True

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


def _guided(request: ImageRequest, pipeline: Any) -> bool:
    """Whether guidance is classifier-free, so that each picture goes through the model twice."""
    assert request.guidance is not None
    return request.guidance > 1 and pipeline.unet.config.time_cond_proj_dim is None
