"""Training that is interrupted, and training that is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from limner.examples.pocket import training
from limner.examples.pocket.training import Plan, Stage, load_shards, train


class Broken(Exception):
    pass


def unbroken(
    name: str,
    make: Callable[[Plan], Stage],
    prepared: Callable[[Path], Path],
    folder: Path,
    patch: pytest.MonkeyPatch,
) -> None:
    """Four steps, and two steps, a break and two more: the same checkpoint, bit by bit.

    Args:
        name: of the stage.
        make: it.
        prepared: makes a folder that has what the stage needs.
        folder: to work in.
        patch: undone by the caller.
    """
    found = {}
    for kind in ("whole", "broken"):
        plan = Plan(prepared(folder / kind), steps=4, batch=4)
        if kind == "broken":
            patch.setattr(training, "_SAVE_EVERY", -1.0)
            _broken(make(plan), plan, patch)
            (plan.out / name / "checkpoint.tmp").mkdir()  # one that was being written
        assert train(make(plan), plan)
        last = plan.out / name / "checkpoint-00000004"
        assert [p.name for p in (plan.out / name).glob("checkpoint*")] == [last.name]
        found[kind] = {s: load_shards(last, s) for s in ("weights", "average", "moments")}
    for stem, tensors in found["whole"].items():
        assert tensors and tensors.keys() == found["broken"][stem].keys()
        assert all(torch.equal(t, found["broken"][stem][n]) for n, t in tensors.items()), stem


def _broken(stage: Stage, plan: Plan, patch: pytest.MonkeyPatch) -> None:
    loss = stage.loss

    def breaking(step: int) -> tuple[Tensor, dict[str, float]]:
        if step == 2:
            raise Broken
        return loss(step)

    patch.setattr(stage, "loss", breaking)
    with pytest.raises(Broken):
        train(stage, plan)
