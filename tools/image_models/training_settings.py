"""What an adapter is trained with, held against what its base can do. Computes nothing."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...errors import LimnerError, ModelError, ModelMissing, UserError
from ..paths import typed_path
from .checkpoint import Checkpoint
from .families import Family, family_of
from .training_data import Found
from .training_model import TARGETS

__all__ = ["Settings", "asked", "base_of", "checked"]

_TRAINABLE = ("SDXL", "Pocket SDXL", "SD 1.5")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an adapter is trained with.

    Attributes:
        rank: of the adapter, 1 or more.
        alpha: it works with ``alpha / rank``; ``rank`` where None.
        steps: of the optimizer.
        resolution: pixels of a side, divisible by 8; the base's own where None.
        batch: pictures in a step.
        learning_rate: of AdamW.
        schedule: ``constant``, or ``cosine``, which falls to 0 at the last step.
        seed: of all that is random; 0 or more.
        trigger: words that stand in front of every caption, to call the adapter by.
        prompts: that are sampled; where there are none, the first captions.
        every: steps between two checkpoints, each with a sheet of samples.
    """

    rank: int = 8
    alpha: float | None = None
    steps: int = 1000
    resolution: int | None = None
    batch: int = 1
    learning_rate: float = 1e-4
    schedule: str = "constant"
    seed: int = 0
    trigger: str = ""
    prompts: tuple[str, ...] = ()
    every: int = 200


def base_of(name: str) -> tuple[Checkpoint, Family]:
    """A base that can be trained, and its family.

    Args:
        name: a folder, or a name on the hub that was downloaded before.

    Raises:
        ModelMissing: it is not there.
        ModelError: it is there, and cannot.
    """
    hint = "--base stabilityai/stable-diffusion-xl-base-1.0, or another of SDXL or SD 1.5"
    folder = typed_path(name)
    if folder.is_dir() and not (folder / "unet").is_dir():
        raise ModelError(f"{name}: it has no UNet, so no adapter can be trained for it", hint)
    try:
        checkpoint = Checkpoint.find(name)
        family = family_of(checkpoint.settings, checkpoint.name)
    except ModelMissing:
        raise
    except LimnerError as error:
        raise ModelError(str(error), hint) from error
    if family.name not in _TRAINABLE:
        raise ModelError(
            f"{name}: {family.name} draws in few steps, which training would undo; train on its "
            "base, and draw with both",
            hint,
        )
    return checkpoint, family


def checked(settings: Settings, checkpoint: Checkpoint) -> Settings:
    """The settings with the base's own choices in place of None.

    Args:
        settings: as asked for.
        checkpoint: of the base.

    Raises:
        UserError: a value that does not do.
    """
    told = checkpoint.settings
    factor = 2 ** (len(told.vae["block_out_channels"]) - 1)
    side = settings.resolution
    side = int(told.unet["sample_size"]) * factor if side is None else side
    alpha = float(settings.rank) if settings.alpha is None else settings.alpha
    for option, value, good, words in (
        ("rank", settings.rank, settings.rank >= 1, "1 or more"),
        ("alpha", alpha, 0 < alpha < math.inf, "above 0"),
        ("steps", settings.steps, settings.steps >= 1, "1 or more"),
        ("batch", settings.batch, settings.batch >= 1, "1 or more"),
        ("every", settings.every, settings.every >= 1, "1 or more"),
        ("seed", settings.seed, 0 <= settings.seed < 2**63, "0 to 9223372036854775807"),
        ("resolution", side, side >= 8 and side % 8 == 0, "divisible by 8"),
        ("learning-rate", settings.learning_rate, 0 < settings.learning_rate <= 1, "0 to 1"),
        ("schedule", settings.schedule, settings.schedule in ("constant", "cosine"),
         "constant or cosine"),
    ):  # fmt: skip
        if not good:
            near = f"--resolution {max(8, round(side / 8) * 8)}" if option == "resolution" else ""
            raise UserError(
                f"{option} {value}: it must be {words}", near or f"leave --{option} out"
            )
    return replace(settings, resolution=side, alpha=alpha)


def asked(settings: Settings, checkpoint: Checkpoint, pictures: Found) -> dict[str, Any]:
    """What a checkpoint must have been made for; with a constant rate it may go on for longer.

    Args:
        settings: completed.
        checkpoint: of the base.
        pictures: that are learnt.
    """
    told = asdict(settings) | {"base": checkpoint.revision, "targets": TARGETS}
    free = ["prompts", "every"] + (["steps"] if settings.schedule == "constant" else [])
    kept = {name: value for name, value in told.items() if name not in free}
    return kept | {"examples": [[e.digest, e.caption] for e in pictures.examples]}
