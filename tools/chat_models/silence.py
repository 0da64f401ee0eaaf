"""Cuts a connection whose other end has fallen silent.

A read timeout cannot tell the first word, which may take minutes, from the next, which may not;
and a server that sends comments to keep a connection open never runs into one.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from math import inf
from threading import Condition, Thread
from time import monotonic
from types import TracebackType
from typing import Any, Self

__all__ = ["Watch"]

_LOOK = 1.0  # seconds between two looks at the clock; a cut comes late by no more


class Watch:
    """Watches one answer. A context manager; leaving it ends the watch.

    Args:
        ends: when, on the monotonic clock, the first word must have come.
        silence: seconds that may pass between two words after that.

    Attributes:
        heard: whether a first word has come.
        answered: whether there was an answer to watch.
        cut: whether the connection was cut.
    """

    def __init__(self, ends: float, silence: float) -> None:
        self.heard = False
        self.answered = False
        self.cut = False
        self._ends = ends
        self._left = 0.0
        self._silence = silence
        self._changed = Condition()
        self._over = False
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._over = True
            self._changed.notify()

    def over(self, connection: Any) -> None:
        """Begin to watch a connection: an httpx network stream."""
        self.answered = True
        wire = connection.get_extra_info("socket") if connection is not None else None
        if wire is not None and self._thread is None:
            self._thread = Thread(target=self._wait, args=(wire,), daemon=True)
            self._thread.start()

    def word(self) -> None:
        """A word has come."""
        with self._changed:
            self._ends = monotonic() + self._silence
            if not self.heard:
                self.heard = True
                self._changed.notify()  # the next may have less time than the first

    def pause(self) -> None:
        """The reader is busy with what has come; its time is not the server's."""
        with self._changed:
            self._left = self._ends - monotonic()
            self._ends = inf

    def resume(self) -> None:
        """The reader waits again."""
        with self._changed:
            self._ends = monotonic() + self._left

    def _wait(self, wire: socket.socket) -> None:
        with self._changed:
            while not self._over:
                left = self._ends - monotonic()
                if left <= 0:
                    self.cut = True
                    with suppress(OSError):  # closed from the other end meanwhile
                        wire.shutdown(socket.SHUT_RDWR)
                    return
                self._changed.wait(min(left, _LOOK))
