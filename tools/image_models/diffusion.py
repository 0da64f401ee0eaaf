"""SDXL with and without its refiner, SDXL-Turbo, SD 1.5 and LCM as image models, on this machine.

A folder as diffusers saves it (`checkpoint`) of a family that is known (`families`) is drawn with
by an `engine`; here requests are checked, memory is planned, and what fails is tried once more.
Weights are loaded for the first picture and kept for the next.
"""

from __future__ import annotations

import threading
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Self

from PIL import Image

from ...errors import DeveloperError, ModelError, ModelOutputError
from ..chat_models.loading import free_memory
from .base import Capabilities, Estimate, GeneratedImage, ImageRequest, OnStep, Sizes
from .checking import completed, digest_of
from .checkpoint import Checkpoint
from .engine import Drawn, Engine, Flagged, Unusable
from .families import Family, family_of
from .history import History
from .lora import chosen
from .memory import Plan, ladder, need
from .schedulers import SCHEDULERS, evaluations

__all__ = ["Diffusion"]

_SMALLEST, _LARGEST = 64, 2048  # pixels of a side
_WIDTHS = ("float32", "float16", "bfloat16")


class Diffusion:
    """Implements `ImageModel`. Made by ``load``; several threads may share one.

    Example:
        >>> model = Diffusion.load("stabilityai/stable-diffusion-xl-base-1.0")
        >>> drawn = model.generate(ImageRequest("a red boat"), lambda k, n, preview: None)
    """

    def __init__(self, engine: Engine, dtype: str, history: History) -> None:
        self._engine = engine
        self._dtype = dtype
        self._history = history
        self._lock = threading.Lock()
        self._versions = tuple((name, version(name)) for name in ("diffusers", "torch"))
        self._parameters = _parameters(engine)
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
        refiner = self._engine.refiner
        return self._engine.checkpoint.name + (f" + {refiner.name}" if refiner else "")

    @property
    def revision(self) -> str:
        """Which weights; with a refiner, of both."""
        refiner = self._engine.refiner
        return self._engine.checkpoint.revision + (f" + {refiner.revision}" if refiner else "")

    @property
    def family(self) -> Family:
        """What is peculiar to its kind."""
        return self._engine.family

    @property
    def capabilities(self) -> Capabilities:
        """What it can be asked for."""
        return self._capabilities

    def estimate(self, request: ImageRequest) -> Estimate:
        """See `ImageModel.estimate`."""
        request = completed(request, self._capabilities, self.name)
        plan = self._plan(request)
        kind, count = self._kind(request, plan)
        return Estimate(self._history.seconds(kind, count), self._need(plan, request))

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        """See `ImageModel.generate`."""
        request = completed(request, self._capabilities, self.name)
        assert request.size is not None and request.steps is not None
        assert request.guidance is not None and request.scheduler is not None
        chosen(request.lora)  # what is not there is told before anything is loaded
        with self._lock:
            drawn, plan, seconds = self._drawn(_fitted(request), on_step)
        return GeneratedImage(
            image=drawn.image,
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
            dtype=plan.dtype,
            versions=self._versions,
            checked=drawn.checked,
            notes=plan.notes + drawn.notes,
            seconds=seconds,
        )

    def free(self) -> None:
        """Give the memory back; the next picture loads the weights again."""
        with self._lock:
            self._engine.free()

    # ── Attempts ─────────────────────────────────────────────────────────────────────────────

    def _drawn(self, request: ImageRequest, on_step: OnStep) -> tuple[Drawn, Plan, float]:
        """A picture, if need be from a second attempt: one in float32, or one in less memory."""
        plan = self._plan(request)
        try:
            return self._attempt(plan, request, on_step)
        except Unusable as fault:
            if plan.dtype == "float32":
                raise ModelOutputError(f"{self.name}: {fault}", _OTHERWISE) from None
            wider, why = replace(plan, dtype="float32"), f"drawn again in float32: {fault}"
        except _OutOfMemory:
            wider, why = self._smaller(plan, request), "drawn again, memory had run out"
        try:
            drawn, plan, seconds = self._attempt(wider, request, on_step)
        except Unusable as fault:
            raise ModelOutputError(f"{self.name}: {fault}, in float32 too", _OTHERWISE) from None
        except _OutOfMemory:
            raise self._too_large(request) from None
        return replace(drawn, notes=(why, *drawn.notes)), plan, seconds

    def _attempt(
        self, plan: Plan, request: ImageRequest, on_step: OnStep
    ) -> tuple[Drawn, Plan, float]:
        """One attempt. What a picture holds is let go of, however it ends.

        Raises:
            _OutOfMemory: everything was freed.
        """
        try:
            self._engine.load(plan)
            started = time.perf_counter()
            drawn = self._engine.draw(request, on_step)
        except Flagged as declined:
            _let_go(declined)
            raise ModelOutputError(
                f"{self.name}: its safety checker declines the picture",
                "change the prompt, or take another --seed",
            ) from None
        except BaseException as error:
            _let_go(error)
            if not _is_memory(error):
                raise
            self._engine.free()
        else:
            seconds = time.perf_counter() - started
            kind, count = self._kind(request, plan)
            self._history.note(kind, count, seconds)
            return drawn, plan, seconds
        raise _OutOfMemory

    # ── Memory ───────────────────────────────────────────────────────────────────────────────

    def _need(self, plan: Plan, request: ImageRequest) -> int:
        assert request.size is not None and request.guidance is not None
        settings = self._engine.checkpoint.settings
        return need(plan, self._parameters, settings, request.size, request.guidance > 1)

    def _room(self) -> int | None:
        """Bytes for weights and work; None where the system does not tell."""
        free = free_memory(self._engine.device)
        return free + self._engine.held if free else None

    def _plan(self, request: ImageRequest) -> Plan:
        """The fastest that fits by the estimate.

        Raises:
            ModelError: none does.
        """
        room = self._room()
        for plan in ladder(self._engine.device, self._dtype):
            if room is None or self._need(plan, request) <= room:
                return plan
        raise self._too_large(request)

    def _smaller(self, plan: Plan, request: ImageRequest) -> Plan:
        rungs = ladder(self._engine.device, plan.dtype)
        below = rungs[rungs.index(plan) + 1 :]
        if not below:
            raise self._too_large(request)
        return below[0]

    def _too_large(self, request: ImageRequest) -> ModelError:
        """What to say; names a size that would fit, or else what else would help."""
        assert request.size is not None
        smallest = ladder(self._engine.device, self._dtype)[-1]
        room = self._room() or 0
        width, height = request.size
        needed = self._need(smallest, request)
        for share in (0.75, 0.5, 0.375, 0.25):
            side = tuple(max(_SMALLEST, int(pixels * share) // 8 * 8) for pixels in (width, height))
            if self._need(smallest, replace(request, size=(side[0], side[1]))) <= min(
                room, needed - 1
            ):
                hint = f"--size {side[0]}x{side[1]}"
                break
        else:
            hint = "take a smaller model, or close what else holds memory"
        return ModelError(
            f"{self.name}: {width}×{height} needs about {needed / 1e9:.1f} GB on "
            f"{self._engine.device}, {room / 1e9:.1f} GB are there for it",
            hint,
        )

    def _kind(self, request: ImageRequest, plan: Plan) -> tuple[str, int]:
        """What pictures must share to take the same time per evaluation; the evaluations."""
        assert request.steps is not None and request.scheduler is not None
        assert request.guidance is not None
        guided = request.guidance > 1
        made = f"{self.name} {self.revision} {self._engine.device} {plan} {request.size} {guided}"
        made += f" {len(request.lora)} adapters" if request.lora else ""
        return made, evaluations(request.scheduler, request.steps, request.strength)


_OTHERWISE = "take another --seed or --scheduler; if it stays so, download the model's files again"


class _OutOfMemory(Exception):
    pass


def _let_go(error: BaseException) -> None:
    """Empty the frames that an error went through: they hold latents for as long as it is kept."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        with suppress(RuntimeError):  # one that still runs
            frame.clear()
            # Diffusers calls ``locals()``, and Python 3.11 keeps that copy until it is read anew.
            _ = frame.f_locals


def _is_memory(error: BaseException) -> bool:
    """A GPU has an error of its own for it, the CPU's allocator a sentence."""
    import torch

    told = str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError)
        and ("DefaultCPUAllocator" in told or "not enough memory" in told)
    )


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


def _parameters(engine: Engine) -> dict[str, int]:
    counts = {part: engine.checkpoint.parameters(part) for part in engine.checkpoint.parts}
    if engine.refiner is not None:
        counts["refiner"] = engine.refiner.parameters("unet")
    return counts


def _capabilities(family: Family, engine: Engine) -> Capabilities:
    settings = engine.checkpoint.settings
    side = int(settings.unet["sample_size"]) * 2 ** (len(settings.vae["block_out_channels"]) - 1)
    others = (name for name in family.schedulers if name != family.scheduler)
    return Capabilities(
        sizes=Sizes((side, side), min(_SMALLEST, side), max(_LARGEST, side)),
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
