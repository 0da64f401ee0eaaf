"""Processes that are killed, and disks that are full."""

from __future__ import annotations

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limner.errors import LibraryError, LibraryReadOnly
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library

Start = Callable[..., "subprocess.Popen[str]"]
FILES = 40


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for n in range(FILES):
        (folder / f"{n:02}.txt").write_text(f"Note number {n} speaks of word{n}.")
    return folder


def files_in(folder: Path) -> int:
    """How many files a library holds, after a look at every passage and vector."""
    with Library.open(folder, HashEmbeddings()) as library:
        sources = library.sources()
        assert set(sources.values()) <= {1}
        assert {p.source for p in library.search("note", k=FILES)} == set(sources)
        for source in sources:  # some words fall on the same place of the small vectors
            best = library.search(f"word{int(source.removesuffix('.txt'))}", k=3)
            assert source in {passage.source for passage in best}
        return len(sources)


def finish(folder: Path, notes: Path) -> None:
    """A second run reads only what is missing, and leaves nothing of the first behind."""
    before, model = files_in(folder), HashEmbeddings()
    with Library.open(folder, model) as library:
        report = library.add(notes)
    assert (len(report.added), len(report.unchanged)) == (FILES - before, before)
    assert len(model.encoded) == FILES - before
    assert files_in(folder) == FILES
    assert not list(folder.rglob("*.part"))


def test_killed_at_any_moment(tmp_path: Path, notes: Path, start: Start) -> None:
    dice, held = random.Random(5), []
    process = start("add_when_told", tmp_path / "whole", notes)
    assert process.stdout and process.stdout.readline() == "ready\n"
    begun = time.monotonic()
    process.wait()
    whole = time.monotonic() - begun
    for trial in range(15):
        folder = tmp_path / f"library{trial}"
        process = start("add_when_told", folder, notes)
        assert process.stdout and process.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0.3, 1.0) * whole)
        process.kill()
        process.wait()
        held.append(files_in(folder))
        whole *= 0.8 if held[-1] == files_in(tmp_path / "whole") else 1.1
        finish(folder, notes)
        shutil.rmtree(folder)
    assert len(set(held)) > 1  # some were killed early and some late
    assert set(held) <= {0, FILES}  # and each at a commit


def test_killed_at_every_step(tmp_path: Path, notes: Path, start: Start) -> None:
    for step in range(100):
        folder = tmp_path / f"library{step}"
        if start("add_and_die", folder, notes, step).wait() == 0:
            break
        finish(folder, notes)
    assert step > 8


def test_killed_at_every_step_of_a_change(tmp_path: Path, notes: Path, start: Start) -> None:
    original = tmp_path / "original"
    Library.open(original, HashEmbeddings()).add(notes)
    (notes / "00.txt").unlink()
    (notes / "01.txt").write_text("Note number 1 now speaks of word1 in another way.")
    for step in range(100):
        folder = tmp_path / f"library{step}"
        shutil.copytree(original, folder)
        if start("add_and_die", folder, notes, step).wait() == 0:
            break
        assert files_in(folder) in (FILES, FILES - 1)
        with Library.open(folder, HashEmbeddings()) as library:
            library.sync()
            assert "another way" in library.search("word1", k=1)[0].text
        written = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
        assert b"speaks of word1." not in written and b"word0." not in written
    assert step > 3


# ── faults ───────────────────────────────────────────────────────────────────────────────────


class Faults:
    """Lets the n-th write to the disk fail, be it a flush, a rename or a commit."""

    def __init__(self, patch: pytest.MonkeyPatch, code: int) -> None:
        self.left, self.struck, self.code = -1, False, code
        patch.setattr(os, "fsync", self._fallible(os.fsync))
        patch.setattr(Path, "replace", self._fallible(Path.replace))
        patch.setattr(shutil, "move", self._fallible(shutil.move))
        faults, connect = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
                if statement == "COMMIT" and faults.strikes():
                    error = sqlite3.OperationalError("database or disk is full")
                    error.sqlite_errorcode = sqlite3.SQLITE_FULL
                    raise error
                return super().execute(statement, *values)

        patch.setattr(
            sqlite3,
            "connect",
            lambda *arguments, **named: connect(*arguments, factory=Connection, **named),
        )

    def strikes(self) -> bool:
        self.left -= 1
        struck = self.left == 0
        self.struck |= struck
        return struck

    def _fallible(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            if self.strikes():
                raise OSError(self.code, os.strerror(self.code))
            return function(*arguments, **named)

        return call


@pytest.fixture(params=[errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def faults(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    return Faults(monkeypatch, request.param)


def test_every_write_may_fail(
    tmp_path: Path, faults: Faults, paint: Callable[[str], object]
) -> None:
    docs, original = tmp_path / "docs", tmp_path / "original"
    docs.mkdir()
    (docs / "old.md").write_text("# Old\n\nHigh water is at noon.\n")
    (docs / "gone.md").write_text("# Gone\n\nThis will be deleted.\n")
    Library.open(original, HashEmbeddings()).add(docs)
    (docs / "gone.md").unlink()
    (docs / "old.md").write_text("# Old\n\nHigh water is at noon.\n\n# New\n\nA new word.\n")
    (docs / ".pictures").mkdir()
    paint("tower").save(docs / ".pictures" / "tower.png")
    (docs / "new.md").write_text("# Tower\n\n![The tower](.pictures/tower.png)\n")
    docs_named = [docs / "old.md", docs / "new.md"]
    for n in range(1, 100):
        folder = tmp_path / f"library{n}"
        shutil.copytree(original, folder)
        with Library.open(folder, HashEmbeddings()) as library:
            before = library.search("high water gone tower", k=9)
            faults.left, faults.struck = n, False
            try:
                library.add(docs_named)
                library.sync()
            except LibraryReadOnly as error:
                assert error.hint and str(folder) in str(error)
                if not library.sources().keys() & {"new.md"}:
                    now = library.search("high water gone tower", k=9)
                    assert [(p.id, p.text) for p in now] == [(p.id, p.text) for p in before]
            if not faults.struck:
                break
            assert not list(folder.rglob("*.part"))
            report = library.add(docs_named)  # in the same process, and it works
            assert not report.failed
            library.sync()
            assert set(library.sources()) >= {"old.md", "new.md"}
            assert "gone.md" not in library.sources()
            assert library.search("The tower")[0].image
        with Library.open(folder, HashEmbeddings()) as fresh:
            assert fresh.search("a new word")[0].text == "A new word."
        shutil.rmtree(folder)
    assert n > 10


def test_a_new_library_that_cannot_be_written(tmp_path: Path, faults: Faults) -> None:
    (tmp_path / "a.txt").write_text("High water is at noon.")
    for n in range(1, 100):
        folder = tmp_path / f"library{n}"
        with Library.open(folder, HashEmbeddings()) as library:
            faults.left, faults.struck = n, False
            try:
                library.add(tmp_path / "a.txt")
            except LibraryError as error:
                assert isinstance(error, LibraryReadOnly)
                assert library.search("water") == ()
            if not faults.struck:
                break
            assert not list(folder.rglob("*.part"))
            library.add(tmp_path / "a.txt")
            assert len(library.search("water")) == 1
    assert n > 4


def test_a_full_disk_is_no_fault_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paint: Callable[[str], object]
) -> None:
    paint("tower").save(tmp_path / "tower.png")
    (tmp_path / "a.md").write_text("# Tower\n\n![The tower](tower.png)\n")
    library = Library.open(tmp_path / "library", HashEmbeddings())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "b.txt").write_text("First.")
    library.add(tmp_path / "b.txt")
    monkeypatch.setattr("limner.tools.media.os.fsync", full)
    with pytest.raises(LibraryReadOnly, match="no space left"):
        library.add(tmp_path / "a.md")
