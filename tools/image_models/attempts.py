"""Pictures drawn in the memory that there is, and what fails tried once more.

A batch that takes more memory than there is is halved, and what does not fit alone is drawn by a
smaller plan; numbers that are none are drawn again in float32. Knows engines, plans and how long
earlier pictures took; no requests that are not complete, and no labels.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ...errors import ModelError, ModelOutputError
from ..chat_models.loading import free_memory
from .base import Estimate, ImageRequest, OnStep
from .engine import Drawn, Engine, Flagged, Unusable
from .history import History
from .memory import Plan, ladder, need
from .schedulers import evaluations

__all__ = ["SMALLEST", "Attempts", "Made"]

SMALLEST = 64
"""Pixels of a side that are always drawn."""

_SMALLER = ("drawn again, memory had run out",)
_OTHERWISE = "take another --seed or --scheduler; if it stays so, download the model's files again"


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a request.

    Attributes:
        found: the picture, or why there is none.
        plan: by which it was drawn.
        seconds: its share of the pass.
        batch: pictures of the pass.
        before: what was tried before, in words.
    """

    found: Drawn | Unusable | Flagged
    plan: Plan
    seconds: float
    batch: int
    before: tuple[str, ...] = ()

    @property
    def drawn(self) -> Drawn:
        """The picture; only where there is one."""
        assert isinstance(self.found, Drawn)
        return self.found

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done beyond the usual, in words."""
        return self.plan.notes + self.before + self.drawn.notes


@dataclass
class Attempts:
    """An engine, and how its pictures are fitted into memory.

    Attributes:
        engine: draws.
        dtype: of the weights at first.
        history: is told how long pictures took.
        parameters: weights of each part of the model.
    """

    engine: Engine
    dtype: str
    history: History
    parameters: Mapping[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.parameters = _parameters(self.engine)

    def estimate(self, request: ImageRequest, together: int) -> Estimate:
        """What pictures will take that are drawn in one pass, all of them.

        Args:
            request: one of them, completed.
            together: how many.

        Raises:
            ModelError: there is no memory for one.
        """
        plan = self._plan(request)
        seconds = self._seconds(request, plan, together)
        return Estimate(seconds, self.need(plan, request, together))

    def _seconds(self, request: ImageRequest, plan: Plan, together: int) -> float | None:
        """Of a pass, from earlier ones of as many pictures, else of fewer."""
        for number in range(together, 0, -1):
            known = self.history.seconds(*self._kind(request, plan, number))
            if known is not None:
                return known * together / number
        return None

    def together(self, request: ImageRequest, most: int) -> int:
        """How many pictures fit into one pass by the fastest plan for one, 1 or more.

        Args:
            request: one of them, completed.
            most: that are wanted.

        Raises:
            ModelError: there is no memory for one.
        """
        plan, room = self._plan(request), self._room()
        numbers = range(most, 1, -1)
        return next((n for n in numbers if self._fits(plan, request, room, n)), 1)

    def draw(self, requests: Sequence[ImageRequest], on_step: OnStep) -> list[Made | ModelError]:
        """Pictures, in as few passes as there is memory for; of each what it is, or its error.

        Args:
            requests: see `Engine.draw`.
            on_step: see `base.OnStep`.

        Raises:
            ModelError: there is no memory for them.
        """
        plan, most = self._plan(requests[0]), self.together(requests[0], len(requests))
        made: list[Made] = []
        before: tuple[str, ...] = ()
        while left := requests[len(made) :]:
            part = left[:most]
            try:
                made += [replace(one, before=before) for one in self._made(plan, part, on_step)]
                continue
            except _OutOfMemory:
                pass
            if len(part) > 1:
                most = len(part) // 2
                before = (f"drawn again, memory had run out for {len(part)} together",)
            elif before == _SMALLER:
                raise self._too_large(part[0])
            else:
                plan, before = self._smaller(plan, part[0]), _SMALLER
        pairs = zip(made, requests, strict=True)
        return [self._usable(one, request, on_step) for one, request in pairs]

    # ── Attempts ─────────────────────────────────────────────────────────────────────────────

    def _usable(self, made: Made, request: ImageRequest, on_step: OnStep) -> Made | ModelError:
        """A picture, if need be from a second attempt in float32, alone; or why there is none."""
        name = self.engine.name
        if isinstance(made.found, Flagged):
            return ModelOutputError(
                f"{name}: its safety checker declines the picture",
                "change the prompt, or take another --seed",
            )
        if not isinstance(made.found, Unusable):
            return made
        fault = made.found.why
        if made.plan.dtype == "float32":
            tried = "" if self.dtype == "float32" else ", in float32 too"
            return ModelOutputError(f"{name}: {fault}{tried}", _OTHERWISE)
        try:
            (again,) = self._made(replace(made.plan, dtype="float32"), [request], on_step)
        except _OutOfMemory:
            return self._too_large(request)
        return self._usable(
            replace(again, before=(f"drawn again in float32: {fault}",)), request, on_step
        )

    def _made(self, plan: Plan, requests: Sequence[ImageRequest], on_step: OnStep) -> list[Made]:
        """One attempt. What a pass holds is let go of, however it ends.

        Raises:
            _OutOfMemory: everything was freed.
        """
        try:
            self.engine.load(plan)
            return self._passes(plan, requests, on_step)
        except BaseException as error:
            _let_go(error)
            if not _is_memory(error):
                raise
            self.engine.free()
        raise _OutOfMemory

    def _passes(self, plan: Plan, requests: Sequence[ImageRequest], on_step: OnStep) -> list[Made]:
        made: dict[int, Made] = {}
        for numbers in self.engine.passes(requests):
            started = time.perf_counter()
            found = self.engine.draw([requests[n] for n in numbers], on_step)
            seconds = time.perf_counter() - started
            kind, count = self._kind(requests[0], plan, len(numbers))
            self.history.note(kind, count, seconds)
            share, batch = seconds / len(numbers), len(numbers)
            made |= {n: Made(f, plan, share, batch) for n, f in zip(numbers, found, strict=True)}
        return [made[n] for n in range(len(requests))]

    # ── Memory ───────────────────────────────────────────────────────────────────────────────

    def need(self, plan: Plan, request: ImageRequest, together: int = 1) -> int:
        """Bytes at the peak; see `memory.need`.

        Args:
            plan: how memory is kept.
            request: completed.
            together: pictures of the pass.
        """
        assert request.size is not None and request.guidance is not None
        settings, guided = self.engine.checkpoint.settings, request.guidance > 1
        return need(plan, self.parameters, settings, request.size, guided, together)

    def _room(self) -> int | None:
        """Bytes for weights and work; None where the system does not tell."""
        free = free_memory(self.engine.device)
        return free + self.engine.held if free else None

    def _fits(self, plan: Plan, request: ImageRequest, room: int | None, together: int = 1) -> bool:
        return room is None or self.need(plan, request, together) <= room

    def _plan(self, request: ImageRequest) -> Plan:
        """The fastest that fits by the estimate.

        Raises:
            ModelError: none does.
        """
        room = self._room()
        for plan in ladder(self.engine.device, self.dtype):
            if self._fits(plan, request, room):
                return plan
        raise self._too_large(request)

    def _smaller(self, plan: Plan, request: ImageRequest) -> Plan:
        """The next plan.

        Raises:
            ModelError: there is none.
        """
        rungs = ladder(self.engine.device, plan.dtype)
        below = rungs[rungs.index(plan) + 1 :]
        if not below:
            raise self._too_large(request)
        return below[0]

    def _too_large(self, request: ImageRequest) -> ModelError:
        """What to say; names a size that would fit, or else what else would help."""
        assert request.size is not None
        smallest = ladder(self.engine.device, self.dtype)[-1]
        room = self._room() or 0
        width, height = request.size
        needed = self.need(smallest, request)
        for share in (0.75, 0.5, 0.375, 0.25):
            side = tuple(max(SMALLEST, int(pixels * share) // 8 * 8) for pixels in (width, height))
            if self.need(smallest, replace(request, size=(side[0], side[1]))) <= min(
                room, needed - 1
            ):
                hint = f"--size {side[0]}x{side[1]}"
                break
        else:
            hint = "take a smaller model, or close what else holds memory"
        return ModelError(
            f"{self.engine.name}: {width}×{height} needs about {needed / 1e9:.1f} GB on "
            f"{self.engine.device}, {room / 1e9:.1f} GB are there for it",
            hint,
        )

    def _kind(self, request: ImageRequest, plan: Plan, together: int) -> tuple[str, int]:
        """What passes must share to take the same time per evaluation; the evaluations."""
        assert request.steps is not None and request.scheduler is not None
        assert request.guidance is not None
        engine, guided = self.engine, request.guidance > 1
        made = f"{engine.name} {engine.revision} {engine.device} {plan} {request.size} {guided}"
        made += f" {len(request.lora)} adapters" if request.lora else ""
        made += f" {together} together" if together > 1 else ""
        return made, evaluations(request.scheduler, request.steps, request.strength)


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


def _parameters(engine: Engine) -> dict[str, int]:
    counts = {part: engine.checkpoint.parameters(part) for part in engine.checkpoint.parts}
    if engine.refiner is not None:
        counts["refiner"] = engine.refiner.parameters("unet")
    return counts
