"""Keeps a library in step while files change. Knows folders and a library's ``sync``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import LibraryLocked, LibraryUnreachable, LimnerError
from .library import Library
from .report import Report

__all__ = ["watch"]

_PAUSE_MS = 1_000  # files that change within a second of each other are read together
_PATIENCE_MS = 5_000  # after which folders that were not there are looked for


def watch(
    library: Library,
    on_report: Callable[[Report], None],
    on_error: Callable[[LimnerError], None],
    stop: threading.Event | None = None,
) -> None:
    """Sync now, and again whenever something changes in what was added, until stopped.

    The lock is held only while a sync runs. Another writer, or a server that is away for a moment,
    is reported and tried again at the next change.

    Args:
        library: it exists.
        on_report: called after each sync that changed something or failed on a file.
        on_error: called with what kept a sync from running.
        stop: ends it when set; Ctrl-C does too.

    Raises:
        LimnerError: anything else than a busy or unreachable library.
    """
    stop = stop or threading.Event()
    _sync(library, on_report, on_error)
    while not stop.is_set():
        places = _there(library)
        for changed in _changes(library, places, stop):
            if changed:
                _sync(library, on_report, on_error)
            elif _there(library) != places:  # a folder came or went: watch anew
                break


def _sync(
    library: Library, on_report: Callable[[Report], None], on_error: Callable[[LimnerError], None]
) -> None:
    try:
        report = library.sync()
    except (LibraryLocked, LibraryUnreachable) as error:
        on_error(error)
        return
    if report.added or report.changed or report.removed or report.failed:
        on_report(report)


def _there(library: Library) -> list[Path]:
    return [path for path in library.watched() if path.exists()]


def _changes(library: Library, places: list[Path], stop: threading.Event) -> Iterator[bool]:
    """Whether something changed, again and again: at each change, and every few seconds."""
    from watchfiles import Change, watch

    avoid = library.folder.resolve()

    def counts(_: Change, path: str) -> bool:
        return not Path(path).is_relative_to(avoid)

    if not places:
        stop.wait(_PATIENCE_MS / 1000)
        yield False
        return
    first = True  # once it looks: what changed between the last sync and then
    for changes in watch(
        *places,
        watch_filter=counts,
        debounce=_PAUSE_MS,
        stop_event=stop,
        rust_timeout=_PATIENCE_MS,
        yield_on_timeout=True,
        raise_interrupt=True,
    ):
        yield first or bool(changes)
        first = False
