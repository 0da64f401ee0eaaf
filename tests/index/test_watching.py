from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from limner.errors import LimnerError
from limner.index.library import Library
from limner.index.report import Report
from limner.index.watching import watch


@pytest.fixture
def reports(shelf: Library, docs: Path) -> Iterator[queue.Queue[Report | LimnerError]]:
    """What a watcher says of the documents."""
    shelf.add(docs)
    said: queue.Queue[Report | LimnerError] = queue.Queue()
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(shelf, said.put, said.put, stop))
    watcher.start()
    yield said
    stop.set()
    watcher.join(30)
    assert not watcher.is_alive()


@pytest.mark.slow
def test_changes_are_brought_in(
    shelf: Library, docs: Path, reports: queue.Queue[Report | LimnerError]
) -> None:
    (docs / "new.txt").write_text("The ferry leaves from pier four.")
    report = reports.get(timeout=60)
    assert isinstance(report, Report) and report.added == ("new.txt",)
    assert shelf.search("ferry pier", 1)[0].source == "new.txt"
    (docs / "tides.md").unlink()
    report = reports.get(timeout=60)
    assert isinstance(report, Report) and report.removed == ("tides.md",)


@pytest.mark.slow
def test_what_changes_before_it_first_looks_is_brought_in(
    shelf: Library, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.add(docs)
    watched = shelf.watched

    def meanwhile() -> tuple[Path, ...]:
        if not (docs / "early.txt").exists():  # between the first sync and the first look
            (docs / "early.txt").write_text("The ferry leaves from pier four.")
        return watched()

    monkeypatch.setattr(shelf, "watched", meanwhile)
    said: queue.Queue[Report | LimnerError] = queue.Queue()
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(shelf, said.put, said.put, stop))
    watcher.start()
    try:
        report = said.get(timeout=30)
    finally:
        stop.set()
        watcher.join(30)
    assert isinstance(report, Report) and report.added == ("early.txt",)
