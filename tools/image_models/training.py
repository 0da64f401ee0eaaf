"""Training a LoRA adapter: from a folder of pictures to a file that `lora` loads.

A run can be cut short at any moment; the same call goes on from its last checkpoint and ends with
the same adapter as one that was left alone. Knows the order of things; `training_model` computes,
`training_data` reads pictures, `training_state` keeps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...errors import ModelError, UserError
from ..chat_models.loading import free_memory
from . import training_card, training_state
from .checkpoint import Checkpoint
from .lora import adapter_file, need_peft
from .training_data import Describe, Found, found
from .training_model import Learner, memory
from .training_settings import Settings, asked, base_of, checked
from .training_state import State

__all__ = ["Settings", "Step", "Stopped", "Trained", "train"]

_WORK = 1.6  # a step's bytes over those that are counted: measured with SD 1.5 on a CPU
_TIMED = 3  # steps after which the time left can be told


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was taken.

    Attributes:
        number: from 1.
        steps: in all.
        loss: of its pictures, at times of its own: noisy.
        learning_rate: that it was taken with.
        seconds: that it took.
        left: seconds until the end, as far as can be told yet.
    """

    number: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    left: float | None


@dataclass(frozen=True, slots=True)
class Trained:
    """An adapter that is done.

    Attributes:
        path: its file.
        folder: its checkpoint, log and samples.
        before: mean loss on fixed pictures, noise and times before the first step.
        after: the same after the last.
        examples: pictures that it was trained on.
        skipped: files that could not be read, each with the reason.
    """

    path: Path
    folder: Path
    before: float
    after: float
    examples: int
    skipped: tuple[tuple[Path, str], ...]


class Stopped(Exception):
    """A run was asked to stop, and has; its checkpoint is written."""


def train(
    images: Path,
    base: str,
    out: str,
    settings: Settings,
    *,
    captions: Path | None = None,
    describe: Describe | None = None,
    device: str = "",
    say: Callable[[str], None] = lambda words: None,
    on_step: Callable[[Step], None] = lambda step: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train an adapter, or go on with one that was begun.

    Args:
        images: a folder of pictures.
        base: SDXL or SD 1.5: a folder as diffusers saves it, or a name on the hub that was
            downloaded before.
        out: a ``.safetensors`` file, or a name in the user's folder of adapters.
        settings: what it is trained with.
        captions: a folder of captions; see `training_data.found`.
        describe: captions those pictures that nothing is written about.
        device: ``cuda`` where there is one, else ``cpu``.
        say: told what is worth knowing, in words.
        on_step: told of every step.
        stopping: asked after every step whether to write a checkpoint and stop.

    Raises:
        UserError: settings, pictures or places that do not do.
        ModelError: the base is not there, is no model that can be trained, or does not fit.
        Stopped: ``stopping`` said so.
    """
    need_peft()
    path = adapter_file(out)
    checkpoint, family = base_of(base)
    settings = checked(settings, checkpoint)
    assert settings.resolution is not None and settings.alpha is not None
    folder = path.with_suffix(".training")
    if describe is not None:
        describe = training_state.remembering(describe, folder / "captions.json")
    pictures = found(images, settings.resolution, captions, settings.trigger, describe)
    del describe  # a captioner's memory is needed now
    for skipped, reason in pictures.skipped:
        say(f"skipped: {skipped.name}: {reason}")
    for note in pictures.notes:
        say(note)
    state = State(folder, asked(settings, checkpoint, pictures))
    with state.alone():
        begun = state.load()
        if begun is None and path.exists():
            raise UserError(f"{path}: there is an adapter already", "choose another --out")
        if begun is not None and begun.step > settings.steps:
            raise UserError(
                f"{path.stem} has {begun.step} steps already, more than {settings.steps}",
                f"--steps {begun.step} or more goes on with it; another --out starts anew",
            )
        device, dtype = _placed(device)
        frugal = _frugal(checkpoint, settings, device, dtype, say)
        learner = Learner(
            checkpoint,
            family,
            device=device,
            dtype=dtype,
            rank=settings.rank,
            alpha=settings.alpha,
            seed=settings.seed,
            checkpointing=frugal,
        )
        run = _Run(learner, state, settings, pictures, say, on_step, stopping)
        before, after = run.go(begun)
        hint = "make room and type the same again: the last checkpoint is kept"
        facts = _facts(settings, checkpoint, pictures)
        training_state.write(path, training_card.adapter_bytes(learner, facts), hint)
        card = training_card.card(path, facts, (before, after))
        training_state.write(path.with_suffix(".md"), card.encode(), hint)
    return Trained(path, state.folder, before, after, len(pictures.examples), pictures.skipped)


class _Run:
    """The steps of one training, from a checkpoint or from the start."""

    def __init__(
        self,
        learner: Learner,
        state: State,
        settings: Settings,
        pictures: Found,
        say: Callable[[str], None],
        on_step: Callable[[Step], None],
        stopping: Callable[[], bool],
    ) -> None:
        import torch

        self._learner, self._state, self._settings = learner, state, settings
        self._say, self._on_step, self._stopping = say, on_step, stopping
        self._prompts = settings.prompts or _prompts(pictures)
        self._optimizer = torch.optim.AdamW(learner.weights.values(), lr=settings.learning_rate)
        self._scaler = torch.amp.GradScaler(learner.device.split(":")[0], enabled=learner.scaled)
        assert settings.resolution is not None
        self._side = settings.resolution
        self._examples, cut = learner.encoded(pictures.examples, self._side)
        if cut:
            say(f"{cut} captions are longer than the model reads in training, and cut")

    def go(self, begun: training_state.Checkpoint | None) -> tuple[float, float]:
        """Take the steps that are left; the validation's loss before the first and at the end."""
        done = 0
        if begun is not None:
            self._restore(begun)
            done = begun.step
            self._say(f"going on after step {done} of {self._settings.steps}")
        self._state.cut_log(done)
        if begun is None:
            self._look(0)
            self._save(0)
        spent: list[float] = []
        for number in range(done + 1, self._settings.steps + 1):
            self._on_step(self._step(number, spent))
            stop = self._stopping()
            last = number == self._settings.steps
            if number % self._settings.every == 0 or last:
                self._look(number)
                self._save(number)
            elif stop:
                self._save(number)
            if stop and not last:
                raise Stopped(f"stopped after step {number} of {self._settings.steps}")
        seen = self._state.validations()
        return seen[min(seen)], seen[max(seen)]

    def _step(self, number: int, spent: list[float]) -> Step:
        import torch

        started = time.perf_counter()
        rate = self._rate(number)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss = self._learner.loss(self._examples, number - 1, self._settings.batch)
        if not bool(torch.isfinite(loss)):
            raise ModelError(
                f"step {number}: the loss is {float(loss.detach())}",
                "take a smaller --learning-rate",
            )
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self._learner.weights.values(), 1.0)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        seconds = time.perf_counter() - started
        spent.append(seconds)
        left = self._left(number, spent)
        told = Step(number, self._settings.steps, float(loss.detach()), rate, seconds, left)
        self._state.note(step=number, loss=told.loss, lr=rate, seconds=round(seconds, 4))
        return told

    def _rate(self, number: int) -> float:
        settings = self._settings
        if settings.schedule == "constant":
            return settings.learning_rate
        return settings.learning_rate * (1 + math.cos(math.pi * number / settings.steps)) / 2

    def _left(self, number: int, spent: Sequence[float]) -> float | None:
        """From the median of the last steps; the first is slower and says little."""
        if len(spent) < _TIMED:
            return None
        recent = sorted(spent[-50:])
        return recent[len(recent) // 2] * (self._settings.steps - number)

    def _look(self, number: int) -> None:
        """Validate and draw samples."""
        loss = self._learner.validation(self._examples)
        self._state.note(step=number, validation=loss)
        path = self._state.sample(number)
        if self._prompts:
            sheet = training_card.sheet(
                self._learner, self._prompts, self._side, self._settings.seed, number
            )
            training_state.write_picture(path, sheet)
        self._say(f"step {number}: loss {loss:.4f} on fixed noise; samples: {path}")

    # ── Checkpoints ──────────────────────────────────────────────────────────────────────────

    def _save(self, number: int) -> None:
        tensors: dict[str, Any] = {}
        for name, weight in self._learner.weights.items():
            moments = self._optimizer.state.get(weight, {})
            named = {"weight": weight.detach(), **moments}
            tensors |= {f"{kind}.{name}": value.cpu().contiguous() for kind, value in named.items()}
        scaler = self._scaler.state_dict()
        self._state.save(training_state.Checkpoint(number, tensors, scaler))

    def _restore(self, begun: training_state.Checkpoint) -> None:
        import torch

        for name, weight in self._learner.weights.items():
            with torch.no_grad():
                weight.copy_(begun.tensors[f"weight.{name}"])
            moments = {k: begun.tensors.get(f"{k}.{name}") for k in ("exp_avg", "exp_avg_sq")}
            steps = begun.tensors.get(f"step.{name}")
            if steps is not None:
                placed = {k: v.to(weight.device) for k, v in moments.items() if v is not None}
                self._optimizer.state[weight] = {"step": steps, **placed}
        if begun.scaler:
            self._scaler.load_state_dict(dict(begun.scaler))


# ── Before the first step ────────────────────────────────────────────────────────────────────


def _placed(device: str) -> tuple[str, str]:
    import torch

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        return device, "float32"
    return device, "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


def _frugal(
    checkpoint: Checkpoint,
    settings: Settings,
    device: str,
    dtype: str,
    say: Callable[[str], None],
) -> bool:
    """Tell what memory it takes; whether activations are to be computed twice to save some.

    Raises:
        ModelError: the weights alone do not fit.
    """
    assert settings.resolution is not None
    weights, kept = memory(checkpoint, dtype, settings.resolution, settings.batch, settings.rank)
    free = free_memory(device)
    frugal = bool(free) and weights + _WORK * kept > free
    words = f"{_bytes(weights)} for weights, {_bytes(kept)} for a step, on {device}"
    if free:
        words += f", where {_bytes(free)} are free"
    if frugal:
        words += "; activations are computed twice to take less, which is slower"
    say(f"memory: about {words}")
    if free and weights > free:
        raise ModelError(
            f"{checkpoint.name}: its weights take {_bytes(weights)} on {device}, "
            f"{_bytes(free)} are free",
            "close what else holds memory, or take a smaller base",
        )
    return frugal


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _prompts(pictures: Found) -> tuple[str, ...]:
    captions = dict.fromkeys(e.caption for e in pictures.examples if e.caption.strip())
    return tuple(captions)[:2]


def _facts(settings: Settings, checkpoint: Checkpoint, pictures: Found) -> dict[str, Any]:
    """What is kept of a training in the adapter's file and on its card."""
    told = asdict(settings)
    del told["prompts"], told["every"]
    base = {"base": checkpoint.name, "base_revision": checkpoint.revision}
    return base | told | {"pictures": len(pictures.examples), "limner": version("limner")}
