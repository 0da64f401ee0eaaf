"""A turn's events, made in a thread of their own. Knows no models."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from .events import Event

__all__ = ["in_background"]

_PATIENCE = 5.0
"""Seconds that an interrupted model is waited for."""


def in_background(events: Iterator[Event], stopped: threading.Event) -> Iterator[Event]:
    """The same events, run in a thread of their own: an interrupt need not wait for a model.

    Args:
        events: of a turn.
        stopped: set when nobody waits for them any more.
    """
    arrived: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            for event in events:
                arrived.put(event)
                if stopped.is_set():
                    break
        except BaseException as error:  # handed over, and raised where somebody listens
            arrived.put(error)
        finally:
            arrived.put(None)

    stopped.clear()
    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    try:
        while (event := arrived.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        stopped.set()
        worker.join(_PATIENCE)
