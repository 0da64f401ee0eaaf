"""Which pictures of a grid are drawn in one pass: those that differ in words and seed alone.

Knows settings; no models, no pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from .grid import Settings

if TYPE_CHECKING:
    from .running import Task

__all__ = ["batches", "but_words_and_seed"]


def but_words_and_seed(settings: Settings) -> Settings:
    """What pictures of a batch have in common."""
    return replace(settings, prompt="", negative="", seed=0)


def batches(tasks: Iterable[Task]) -> list[list[Task]]:
    """Tasks that go together, in the order of the first of each batch.

    The order of models and adapters stays, and where each picture goes by itself so does all of it.

    Args:
        tasks: in the order of drawing; each says how many like it go together. What cannot be
            drawn goes by itself.
    """
    made: list[list[Task]] = []
    open_: dict[Settings, list[Task]] = {}
    for task in tasks:
        alike = but_words_and_seed(task.settings)
        batch = open_.get(alike)
        if batch is None or len(batch) >= task.together or task.fault:
            batch = []
            made.append(batch)
            if not task.fault:
                open_[alike] = batch
        batch.append(task)
    return made
