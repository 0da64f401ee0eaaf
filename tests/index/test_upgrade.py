"""Libraries of format 1 become libraries of today, whole or not at all."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limner.errors import LibraryDamaged, LibraryError, LibraryMismatch, LibraryReadOnly
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.index.manifest import Manifest
from limner.index.upgrade import is_old, upgrade

sys.path.insert(0, str(Path(__file__).parent))
import format1

PROGRAM = Path(format1.__file__)


def content(folder: Path) -> dict[str, Any]:
    """Passages with their keys, pictures' texts, and what searches find."""
    with Library.open(folder, HashEmbeddings()) as library:
        found = {q: library.search(q, k=9) for q in ("high water", "lighthouse", "stern", "disc")}
        lines = {image: library.lines(image) for image in library.images()}
    book = Manifest(folder / "library.db", None)
    passages = book.passages(book.keys().tolist())
    documents, places = book.documents(), book.places()
    book.close()
    return {"found": found, "lines": lines, "places": places, "all": passages, "files": documents}


@pytest.fixture
def old(shelf: Library, docs: Path) -> Path:
    """A library of format 1."""
    shelf.add(docs / "tides.md")
    shelf.add(docs)
    shelf.close()
    format1.turn_back(shelf.folder, last_key=50)
    return shelf.folder


@pytest.mark.parametrize("segments", [1, 3])
def test_everything_is_as_before(shelf: Library, docs: Path, segments: int) -> None:
    shelf.add(docs)
    before = content(shelf.folder)
    shelf.close()
    format1.turn_back(shelf.folder, segments)
    assert is_old(shelf.folder)
    assert content(shelf.folder) == before
    assert not is_old(shelf.folder) and not Library.diagnose(shelf.folder)
    assert len(list((shelf.folder / "vectors").iterdir())) == 1  # the old files are gone
    report = shelf.sync()
    assert len(report.unchanged) == 3 and not report.changed


def test_an_empty_library(shelf: Library, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shelf.add(tmp_path / "empty")
    shelf.close()
    format1.turn_back(shelf.folder)
    with Library.open(shelf.folder, HashEmbeddings()) as library:
        assert library.search("anything") == ()
    assert not Library.diagnose(shelf.folder)


def test_no_key_is_given_twice(old: Path, docs: Path) -> None:
    (docs / "new.txt").write_text("A new note on nets.")
    with Library.open(old, HashEmbeddings()) as library:
        library.sync()
        assert int(library.search("nets", k=1)[0].id) > 50


def test_killed_at_any_step_it_is_old_or_new(
    shelf: Library, docs: Path, old: Path, tmp_path: Path
) -> None:
    states, step, folder = set(), 0, tmp_path / "copy"
    whole = tmp_path / "whole"
    shutil.copytree(old, whole)
    expected = content(whole)
    for step in range(0, 300, 3):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(old, folder)
        if subprocess.run([sys.executable, PROGRAM, str(step), folder]).returncode == 0:
            break
        states.add(is_old(folder))
        assert content(folder) == expected
        assert not Library.diagnose(folder)
    assert step > 8 and True in states


def test_two_processes_at_once(old: Path) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            upgrade(old)
        except LibraryError as error:  # the other one holds the lock
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failures) < 4 and not is_old(old)
    assert len(content(old)["all"]) == 3
    command = [sys.executable, PROGRAM, "100000", old]
    assert {subprocess.run(command).returncode for _ in range(2)} == {0}


def test_a_folder_that_cannot_be_written(
    open_folder: Path, model: HashEmbeddings, docs: Path, child: Callable[..., Any]
) -> None:
    folder = open_folder / "library"
    with Library.open(folder, model) as library:
        library.add(docs)
    format1.turn_back(folder)
    assert child("search", folder, "water", nobody=True)["error"] == LibraryReadOnly.__name__
    assert is_old(folder)


def test_a_newer_format_is_refused(old: Path) -> None:
    with Library.open(old, HashEmbeddings()):
        pass
    value = "3"
    with sqlite3.connect(old / "library.db") as book:
        mark = format1.checksum("meta", "format", value)
        book.execute("UPDATE meta SET value=?, checksum=? WHERE key='format'", (value, mark))
    for look in (lambda: Library.open(old, HashEmbeddings()), lambda: Library.diagnose(old)):
        with pytest.raises(LibraryMismatch, match="newer version"):
            look()


def test_an_old_library_needs_no_repair(old: Path) -> None:
    with pytest.raises(LibraryMismatch, match="older version") as caught:
        Library.diagnose(old)
    assert caught.value.hint == "limner sync"
    done = Library.repair(old, HashEmbeddings())
    assert not done.found and not done.lost and not is_old(old)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE passages SET body = replace(body, 'noon', 'dusk')",
        "UPDATE passages SET ordinal = ordinal + 1",
        "DELETE FROM passages WHERE key = 2",
        "UPDATE documents SET source = 'other.md' WHERE id = 2",
        "vectors",
        "no vectors",
    ],
)
def test_a_damaged_old_library_is_left_alone_and_can_be_repaired(old: Path, damage: str) -> None:
    expected = sorted(p.text for p in content(_copy(old)).pop("all").values())
    if "vectors" in damage:
        path = next((old / "vectors").iterdir())
        path.unlink() if damage == "no vectors" else path.write_bytes(path.read_bytes()[:-8])
    else:
        with sqlite3.connect(old / "library.db") as book:
            book.execute(damage)
    before = {p: p.read_bytes() for p in old.rglob("*") if p.is_file() and p.name != "write.lock"}
    with pytest.raises(LibraryDamaged) as caught, Library.open(old, HashEmbeddings()) as library:
        library.sources()
    assert "doctor" in caught.value.hint
    assert {p: p.read_bytes() for p in before} == before and not list(old.rglob("*.part"))
    Library.repair(old, HashEmbeddings())
    assert not Library.diagnose(old)
    assert sorted(p.text for p in content(old)["all"].values()) == expected


def _copy(folder: Path) -> Path:
    return Path(shutil.copytree(folder, folder.with_name("untouched")))
