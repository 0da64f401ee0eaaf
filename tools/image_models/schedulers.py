"""Schedulers by the names that people know, each made from a checkpoint's own settings.

Knows diffusers' classes by name; nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SCHEDULERS", "crosses", "evaluations", "scheduler_of"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A row of the table: diffusers' class, evaluations per step, the most steps it takes."""

    made_by: str
    order: int = 1
    most: int | None = None


SCHEDULERS = {
    "euler": _Kind("EulerDiscreteScheduler"),
    "euler_a": _Kind("EulerAncestralDiscreteScheduler"),
    "dpm": _Kind("DPMSolverMultistepScheduler"),  # DPM++ 2M
    "ddim": _Kind("DDIMScheduler"),
    "heun": _Kind("HeunDiscreteScheduler", order=2),
    "unipc": _Kind("UniPCMultistepScheduler"),
    "lcm": _Kind("LCMScheduler", most=50),  # the steps that its models were distilled from
}
"""By name, in the order in which they are offered."""

_UNLESS_SAID = {"clip_sample": False}
"""Where a checkpoint's settings do not say so: latents are not pixels, and clipping them, which
some classes do by default, pales the picture."""


def scheduler_of(name: str, config: Mapping[str, Any]) -> Any:
    """A fresh scheduler.

    Args:
        name: one of `SCHEDULERS`.
        config: the checkpoint's own, ``scheduler/scheduler_config.json``; of whatever class.
    """
    import diffusers

    return getattr(diffusers, SCHEDULERS[name].made_by).from_config(_UNLESS_SAID | dict(config))


def crosses(scheduler: Any, steps: int, strength: float | None, fraction: float) -> bool:
    """Whether there is something to do on both sides of a fraction of the denoising.

    Args:
        scheduler: fresh; its timesteps are set.
        steps: as asked for.
        strength: the share of them that is taken; None for all.
        fraction: above 0, below 1.
    """
    scheduler.set_timesteps(steps)
    left = steps - (steps if strength is None else min(int(steps * strength), steps))
    visited = scheduler.timesteps[left * scheduler.order :]
    last = scheduler.config.num_train_timesteps
    cutoff = round(last - fraction * last)  # as diffusers' pipelines have it
    return bool(visited[0] >= cutoff > visited[-1])


def evaluations(name: str, steps: int, strength: float | None) -> int:
    """How often the model is asked: what ``on_step`` counts.

    Args:
        name: one of `SCHEDULERS`.
        steps: as asked for.
        strength: the share of them that is taken; None for all.
    """
    taken = steps if strength is None else min(int(steps * strength), steps)
    order = SCHEDULERS[name].order
    return taken * order - (order - 1)
