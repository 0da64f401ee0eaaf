"""SDXL with and without its refiner, SDXL-Turbo, SD 1.5 and LCM as image models, on this machine.

A folder as diffusers saves it (`checkpoint`) of a family that is known (`families`) is drawn with
by an `engine`, in the memory that there is (`attempts`); here requests are checked and pictures
labelled. Weights are loaded for the first picture and kept for the next.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Self

from PIL import Image

from ...errors import DeveloperError, ModelError
from .attempts import SMALLEST, Attempts, Made
from .base import Capabilities, Estimate, GeneratedImage, ImageRequest, OnStep, Sizes
from .captions import Captions
from .checking import completed, digest_of, need_alike
from .checkpoint import Checkpoint
from .engine import Engine
from .families import Family, family_of
from .history import History
from .lora import chosen
from .lora_fitting import need_fitting
from .schedulers import SCHEDULERS
from .vocabulary import Vocabulary

__all__ = ["Diffusion"]

_LARGEST = 2048  # pixels of a side
_PAYING, _ON_GPU = {"cpu": 4}, 8
"""Pictures in a pass where nothing is said of it. On a CPU a picture of four together took 35 %
less time than one alone with a small UNet (24 × 24 latents, 64 to 144 channels, one thread)."""

_WIDTHS = ("float32", "float16", "bfloat16")


class Diffusion:
    """Implements `ImageModel`. Made by ``load``; several threads may share one.

    Example:
        >>> model = Diffusion.load("stabilityai/stable-diffusion-xl-base-1.0")
        >>> drawn = model.generate(ImageRequest("a red boat"), lambda k, n, preview: None)
    """

    def __init__(self, engine: Engine, dtype: str, history: History) -> None:
        self._engine = engine
        self._attempts = Attempts(engine, dtype, history)
        self._lock = threading.Lock()
        self._versions = tuple((name, version(name)) for name in ("diffusers", "torch"))
        self._capabilities = _capabilities(engine.family, engine)

    @classmethod
    def load(
        cls,
        name: str,
        *,
        refiner: str = "",
        handover: float = 0.8,
        device: str = "",
        dtype: str = "",
        compiled: bool = False,
    ) -> Self:
        """Find a model and what it can do. Its weights are loaded when the first picture is drawn.

        Args:
            name: a folder as diffusers saves it, or a name on the hub that was downloaded before.
            refiner: another one, which finishes what SDXL has begun.
            handover: the fraction of the denoising after which the refiner takes over.
            device: ``cuda`` where there is one, else ``cpu``.
            dtype: ``float16`` on a GPU, ``float32`` on a CPU.
            compiled: compile the repeated blocks: a GPU draws faster after a slow first picture.

        Raises:
            ModelMissing: not there, or not in a form that is loaded.
            ModelError: of no family that is known, or its settings are damaged.
            DeveloperError: arguments that do not go together.
        """
        checkpoint = Checkpoint.find(name)
        family = family_of(checkpoint.settings, checkpoint.name)
        device, dtype = _placed(device, dtype, compiled)
        finishing = _refiner(refiner, handover, family) if refiner else None
        engine = Engine(checkpoint, family, device, finishing, handover, compiled)
        return cls(engine, dtype, History.of_user())

    @property
    def name(self) -> str:
        """Of the folder or the hub; with a refiner, of both."""
        return self._engine.name

    @property
    def revision(self) -> str:
        """Which weights; with a refiner, of both."""
        return self._engine.revision

    @property
    def family(self) -> Family:
        """What is peculiar to its kind."""
        return self._engine.family

    @property
    def capabilities(self) -> Capabilities:
        """What it can be asked for."""
        return self._capabilities

    def estimate(self, request: ImageRequest, together: int = 1) -> Estimate:
        """See `DrawsMany.estimate`."""
        request = completed(request, self._capabilities, self.name)
        self._need_adapters(request)
        return self._attempts.estimate(request, together)

    def most_together(self, request: ImageRequest, most: int | None = None) -> int:
        """See `DrawsMany.most_together`."""
        request = completed(request, self._capabilities, self.name)
        return self._attempts.together(request, most or _PAYING.get(self._engine.device, _ON_GPU))

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        """See `ImageModel.generate`."""
        (found,) = self.generate_many([request], on_step)
        if isinstance(found, ModelError):
            raise found
        return found

    def generate_many(
        self, requests: Sequence[ImageRequest], on_step: OnStep
    ) -> list[GeneratedImage | ModelError]:
        """See `DrawsMany.generate_many`."""
        asked = [completed(request, self._capabilities, self.name) for request in requests]
        need_alike(asked)
        self._need_adapters(asked[0])
        with self._lock:
            found = self._attempts.draw([_fitted(request) for request in asked], on_step)
        pairs = zip(found, asked, strict=True)
        return [
            self._labelled(made, request) if isinstance(made, Made) else made
            for made, request in pairs
        ]

    def _need_adapters(self, request: ImageRequest) -> None:
        """Say what is wrong with an adapter before anything is loaded for it."""
        for adapter in chosen(request.lora):
            need_fitting(adapter.path, self._engine.checkpoint)

    def _labelled(self, made: Made, request: ImageRequest) -> GeneratedImage:
        assert request.size is not None and request.steps is not None
        assert request.guidance is not None and request.scheduler is not None
        return GeneratedImage(
            image=made.drawn.image,
            model=self.name,
            revision=self.revision,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            size=request.size,
            steps=request.steps,
            guidance=request.guidance,
            scheduler=request.scheduler,
            seed=request.seed,
            strength=request.strength,
            reference=digest_of(request.reference, "RGB"),
            mask=digest_of(request.mask, "L"),
            lora=request.lora,
            device=self._engine.device,
            dtype=made.plan.dtype,
            versions=self._versions,
            checked=made.drawn.checked,
            notes=made.notes,
            seconds=made.seconds,
            batch=made.batch,
        )

    def free(self) -> None:
        """Give the memory back; the next picture loads the weights again."""
        with self._lock:
            self._engine.free()


def _placed(device: str, dtype: str, compiled: bool) -> tuple[str, str]:
    import torch

    there = torch.cuda.is_available()
    device = device or ("cuda" if there else "cpu")
    dtype = dtype or ("float32" if device == "cpu" else "float16")
    if device != "cpu" and not (device.startswith("cuda") and there):
        raise DeveloperError(f"device {device!r} is not there", 'device="cpu"')
    if dtype not in _WIDTHS:
        raise DeveloperError(f"dtype {dtype!r} is not one of {', '.join(_WIDTHS)}", "leave it out")
    if compiled and device == "cpu":
        raise DeveloperError("compiling gains nothing on a CPU", "leave compiled=True out")
    return device, dtype


def _refiner(name: str, handover: float, family: Family) -> Checkpoint:
    if family.name != "SDXL":
        raise DeveloperError(f"{family.name} takes no refiner", "leave refiner=… out")
    if not 0 < handover < 1:
        raise DeveloperError(f"handover {handover}: it must be between 0 and 1", "handover=0.8")
    found = Checkpoint.find(name)
    if not found.settings.index.get("requires_aesthetics_score"):
        raise ModelError(
            f"{found.name}: it is no refiner", "stabilityai/stable-diffusion-xl-refiner-1.0"
        )
    return found


def _capabilities(family: Family, engine: Engine) -> Capabilities:
    settings = engine.checkpoint.settings
    side = int(settings.unet["sample_size"]) * 2 ** (len(settings.vae["block_out_channels"]) - 1)
    others = (name for name in family.schedulers if name != family.scheduler)
    least, most = (side, side) if family.one_size else (min(SMALLEST, side), max(_LARGEST, side))
    return Capabilities(
        sizes=Sizes((side, side), least, most),
        steps=family.steps,
        guidance=family.guidance,
        schedulers=(family.scheduler, *others),
        negative_prompt=family.negative_prompt,
        reference=True,
        mask=True,
        lora=True,
        scheduler_steps=tuple(
            (name, kind.most) for name, kind in SCHEDULERS.items() if kind.most is not None
        ),
        vocabulary=Vocabulary.of_folder(engine.checkpoint.folder),
        captions=Captions.read(engine.checkpoint.folder),
    )


def _fitted(request: ImageRequest) -> ImageRequest:
    """The reference and the mask in the picture's size, as pixels of one kind."""
    size, reference, mask = request.size, request.reference, request.mask
    assert size is not None
    if reference is not None:
        reference = _sized(reference.convert("RGB"), size, Image.Resampling.LANCZOS)
    if mask is not None:
        mask = _sized(mask.convert("L"), size, Image.Resampling.NEAREST)
    return replace(request, reference=reference, mask=mask)


def _sized(image: Image.Image, size: tuple[int, int], how: Any) -> Image.Image:
    return image if image.size == size else image.resize(size, how)
