"""One loop for every model of the recipe: seeded steps, a budget of minutes, checkpoints, a log.

A step depends on the seed and its number alone, so what is interrupted goes on as if it had not
been. A checkpoint is a folder of safetensors shards that appears whole or not at all. Processes
that torchrun started train one model together, each on samples of its own; small layers gain more
from a second process than from a second thread. Knows nothing of what is trained.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = [
    "Plan", "Stage", "attention", "in_turn", "load_shards", "parser", "save_shards",
    "the_firsts", "train",
]  # fmt: skip

SHARD = 12_000_000
"""Most bytes of a file, so that a checkpoint can be carried between machines in pieces."""

_SAVE_EVERY, _TELL_EVERY = 120.0, 15.0  # seconds


@dataclass(frozen=True)
class Plan:
    """How long and on what.

    Attributes:
        out: folder of the whole recipe; a stage writes into a folder of its name.
        total: minutes of training over all calls; the learning rate falls to nothing at their end.
        steps: of training over all calls, in place of ``total``: the same weights every time.
        minutes: of this call; what is left is done by the same command. 0 for no limit.
        batch: samples in a step of each process.
        rate: the highest learning rate.
        seed: of everything.
        size: side of a picture in pixels.
        device: ``cpu`` or ``cuda``.
        dtype: that the forward pass is computed in; weights are float32.
        compiled: whether ``torch.compile`` is used.
        rank: of this process among those that train together.
        ranks: how many they are.
    """

    out: Path
    total: float = 10.0
    steps: int = 0
    minutes: float = 0.0
    batch: int = 64
    rate: float = 1e-3
    seed: int = 0
    size: int = 64
    device: str = "cpu"
    dtype: str = "float32"
    compiled: bool = False
    rank: int = 0
    ranks: int = 1

    @classmethod
    def of(cls, given: argparse.Namespace) -> Self:
        """From what was typed; ``auto`` is settled here, and threads are those of the machine."""
        torch.set_float32_matmul_precision("high")
        device = given.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = dtype_here(device) if given.dtype == "auto" else given.dtype
        batch = given.batch or (given.gpu_batch if device == "cuda" else given.cpu_batch)
        rate = given.rate * math.sqrt(batch / given.cpu_batch) ** 0.5
        return cls(given.out, given.total or given.minutes or 10.0, given.steps, given.minutes,
                   batch, rate, given.seed, given.size, device, dtype,
                   device == "cuda" and not given.eager, *_joined())  # fmt: skip


def _joined() -> tuple[int, int]:
    """Rank and number of the processes that torchrun started; nought and one without it."""
    if "WORLD_SIZE" not in os.environ:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("gloo")
    return distributed.get_rank(), distributed.get_world_size()


@contextmanager
def in_turn(plan: Plan) -> Iterator[None]:
    """The first process does what follows, then the others, which find what it wrote."""
    if plan.rank:
        distributed.barrier()
    yield
    if plan.ranks > 1 and not plan.rank:
        distributed.barrier()


def the_firsts(value: float) -> float:
    """A number of the first process, in all that train together."""
    if not distributed.is_initialized():
        return value
    told = torch.tensor(value, dtype=torch.float64)
    distributed.broadcast(told, 0)
    return float(told)


def dtype_here(device: str) -> str:
    """bfloat16 on a GPU, and where the processor multiplies matrices of it; else float32.

    With AMX a step takes half the time; without, bfloat16 is slower than float32.
    """
    flags = Path("/proc/cpuinfo")
    amx = flags.exists() and "amx_bf16" in flags.read_text()
    return "bfloat16" if device == "cuda" or amx else "float32"


def parser(doc: str | None, cpu_batch: int, gpu_batch: int, rate: float) -> argparse.ArgumentParser:
    """The options that every stage has.

    Args:
        doc: of the module; its first line is told.
        cpu_batch: samples in a step on a CPU.
        gpu_batch: samples in a step on a GPU.
        rate: learning rate for ``cpu_batch``; it grows with the fourth root of the batch.
    """
    made = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    made.set_defaults(cpu_batch=cpu_batch, gpu_batch=gpu_batch)
    made.add_argument("--out", type=Path, default=Path("demo/pocket"), help="of all stages")
    made.add_argument("--total", type=float, default=0.0, metavar="MINUTES",
                      help="of training over all calls (default: --minutes, else 10)")  # fmt: skip
    made.add_argument("--minutes", type=float, default=0.0, help="stop this call cleanly after")
    made.add_argument("--steps", type=int, default=0, help="in place of --total: reproducible")
    made.add_argument("--batch", type=int, default=0, help=f"{cpu_batch}; {gpu_batch} on a GPU")
    made.add_argument("--rate", type=float, default=rate, help="learning rate")
    made.add_argument("--size", type=int, default=64, help="side of a picture in pixels")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--device", default="auto")
    made.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    made.add_argument("--eager", action="store_true", help="do not compile on a GPU")
    return made


class Stage(ABC):
    """A model in training.

    Attributes:
        name: of its folder.
        model: what is trained, as one module.
        decay: of the running average of the weights, which is what is exported.
    """

    name: str
    model: nn.Module
    decay: float = 0.999

    @abstractmethod
    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """The loss of one step, and figures for the log. A function of the step and the weights."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the model for the stages that follow; the averaged weights are in it."""

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """Parameters and their learning rates."""
        return [{"params": list(self.model.parameters()), "rate": rate}]


@dataclass
class _State:
    """What a checkpoint holds besides the weights."""

    step: int = 0
    seconds: float = 0.0


def train(stage: Stage, plan: Plan) -> bool:
    """Train from the newest checkpoint on, until the plan or this call's minutes end.

    Returns:
        Whether the plan is fulfilled.
    """
    folder = plan.out / stage.name
    parameters = dict(stage.model.named_parameters())
    average = {name: p.detach().clone() for name, p in parameters.items()}
    groups = stage.groups(plan.rate)
    optimizer = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.01,
                                  fused=True)  # fmt: skip
    state = _restore(folder, parameters, average, optimizer)
    clock = _Clock(state, plan, stage.name, folder / "log.jsonl")
    began = state.step
    stage.model.train()
    while _share(state, plan) < 1 and not clock.is_over():
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * _slope(state, plan)
        with _precision(plan):
            loss, figures = stage.loss(state.step * plan.ranks + plan.rank)
        loss.backward()  # type: ignore[no-untyped-call]
        _averaged(list(parameters.values()), plan)
        norm = float(nn.utils.clip_grad_norm_(parameters.values(), 1.0))
        if math.isfinite(norm):
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        decay = min(stage.decay, (1 + state.step) / (10 + state.step))
        torch._foreach_lerp_(list(average.values()), [p.detach() for p in parameters.values()],
                             1 - decay)  # fmt: skip
        state.step += 1
        clock.tick(float(loss.detach()), figures)
        if clock.save_due() and not plan.rank:
            _save(folder, state, parameters, average, optimizer)
    if state.step > began and not plan.rank:
        _save(folder, state, parameters, average, optimizer)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(average[name])
    stage.model.eval()
    if not plan.rank:
        stage.export(folder)
    if plan.ranks > 1:
        distributed.barrier()
    done = _share(state, plan) >= 1
    left = "done" if done else f"{100 * _share(state, plan):.0f} % done; the same command goes on"
    if not plan.rank:
        print(f"{stage.name}: step {state.step}, {state.seconds / 60:.1f} min, {left}", flush=True)
    return done


def _averaged(parameters: Sequence[nn.Parameter], plan: Plan) -> None:
    """Gradients become their mean over the processes."""
    if plan.ranks == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([grad.flatten() for grad in grads])
    distributed.all_reduce(flat)
    flat /= plan.ranks
    parts = torch.split(flat, [grad.numel() for grad in grads])
    torch._foreach_copy_(grads, [part.view_as(g) for part, g in zip(parts, grads, strict=True)])


def _share(state: _State, plan: Plan) -> float:
    return state.step / plan.steps if plan.steps else state.seconds / (60 * plan.total)


def _slope(state: _State, plan: Plan) -> float:
    """Of the learning rate: up over the first steps, down over the last third."""
    return min(1.0, (state.step + 1) / 200, max(0.02, 3 * (1 - _share(state, plan))))


def _precision(plan: Plan) -> Any:
    return torch.autocast(plan.device, getattr(torch, plan.dtype), enabled=plan.dtype != "float32")


class _Clock:
    """Counts seconds of training, tells how it goes, says when to save and when to stop."""

    def __init__(self, state: _State, plan: Plan, name: str, log: Path) -> None:
        self._state, self._plan, self._name, self._log = state, plan, name, log
        self._last = self._saved = self._told = time.monotonic()
        self._began = state.seconds
        self._steps, self._losses = 0, list[float]()

    def is_over(self) -> bool:
        return 0 < self._plan.minutes * 60 <= self._state.seconds - self._began

    def save_due(self) -> bool:
        due = time.monotonic() - self._saved > _SAVE_EVERY
        self._saved = time.monotonic() if due else self._saved
        return due

    def tick(self, loss: float, figures: Mapping[str, float]) -> None:
        now = time.monotonic()
        self._state.seconds += now - self._last
        self._last = now
        self._state.seconds = the_firsts(self._state.seconds)  # all stop at the same step
        self._steps += 1
        self._losses.append(loss)
        quiet = now - self._told < _TELL_EVERY and _share(self._state, self._plan) < 1
        if quiet or self._plan.rank:
            return
        speed = self._steps * self._plan.batch * self._plan.ranks / max(now - self._told, 1e-9)
        share = _share(self._state, self._plan)
        left = self._state.seconds * (1 / share - 1) / 60
        row = {
            "step": self._state.step,
            "minutes": round(self._state.seconds / 60, 2),
            "loss": round(sum(self._losses) / len(self._losses), 5),
            "per_second": round(speed, 1),
            **{name: round(value, 5) for name, value in figures.items()},
        }
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as file:
            file.write(json.dumps(row) + "\n")
        told = "  ".join(f"{name} {value}" for name, value in row.items())
        print(f"{self._name}: {told}  left {left:.1f} min", flush=True)
        self._told, self._steps, self._losses = now, 0, []


# ── Checkpoints ──────────────────────────────────────────────────────────────────────────────


def save_shards(tensors: Mapping[str, Tensor], folder: Path, stem: str) -> None:
    """Write tensors as ``STEM-00000.safetensors`` and so on, none larger than `SHARD`."""
    shards: list[dict[str, Tensor]] = [{}]
    room = SHARD - 100_000
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if size > room and shards[-1]:
            shards.append({})
            room = SHARD - 100_000
        shards[-1][name] = tensor.detach().cpu().contiguous()
        room -= size + 100
    for number, shard in enumerate(shards):
        save_file(shard, folder / f"{stem}-{number:05d}.safetensors")


def load_shards(folder: Path, stem: str) -> dict[str, Tensor]:
    """What `save_shards` wrote."""
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob(f"{stem}-*.safetensors")):
        found |= load_file(path)
    return found


def _save(
    folder: Path,
    state: _State,
    parameters: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    place = folder / f"checkpoint-{state.step:08d}"
    half = folder / "checkpoint.tmp"
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    save_shards({f"w.{n}": p for n, p in parameters.items()}, half, "weights")
    save_shards({f"a.{n}": p for n, p in average.items()}, half, "average")
    moments = {}
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            moments[f"{key}.{name}"] = value
    save_shards(moments, half, "moments")
    (half / "state.json").write_text(json.dumps(vars(state)))
    for path in half.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    shutil.rmtree(place, ignore_errors=True)
    half.rename(place)
    for older in _checkpoints(folder)[:-1]:
        shutil.rmtree(older)


def _checkpoints(folder: Path) -> list[Path]:
    """Whole ones, the newest last."""
    return sorted(p for p in folder.glob("checkpoint-*") if re.fullmatch(r".*-\d{8}", p.name))


def _restore(
    folder: Path,
    parameters: Mapping[str, nn.Parameter],
    average: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> _State:
    found = _checkpoints(folder)
    if not found:
        return _State()
    weights, averages = (load_shards(found[-1], stem) for stem in ("weights", "average"))
    moments = load_shards(found[-1], "moments")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[f"w.{name}"])
            average[name].copy_(averages[f"a.{name}"])
            kept = {key: moments.get(f"{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
            if kept["step"] is not None:
                optimizer.state[parameter] = {
                    key: value.to(parameter.device) for key, value in kept.items()
                    if value is not None
                }  # fmt: skip
    return _State(**json.loads((found[-1] / "state.json").read_text()))


def attention() -> Any:
    """The kernel of attention: in bfloat16 the CPU's fused one is slow backwards."""
    fused = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    return sdpa_kernel([*(fused if torch.cuda.is_available() else []), SDPBackend.MATH])
