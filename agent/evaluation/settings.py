"""Settings: how the questions of a run are asked. A pure value."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the questions of a run are asked.

    Attributes:
        limit: the first so many questions of each set; None for all.
        epochs: how often each is asked.
        connections: the most questions at a time.
        seed: see `Turns.ask`.
        retries: how often a question is asked again after a model failed.
        metrics: by name; empty for those that fit the questions, see `running.metrics_for`.
    """

    limit: int | None = None
    epochs: int = 1
    connections: int = 1
    seed: int = 0
    retries: int = 0
    metrics: tuple[str, ...] = ()
