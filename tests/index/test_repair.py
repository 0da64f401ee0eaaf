"""What is damaged is named, and rebuilt from the sources."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from limner.errors import LibraryLocked, LibraryMismatch, UserError
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.index.lock import locked

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def cases() -> ModuleType:
    """The benchmark's damages."""
    spec = importlib.util.spec_from_file_location("damage_cases", BENCHMARKS / "damage_cases.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["damage_cases"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def world(cases: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A library with several segments and pictures, and earlier states of it."""
    return cases.build(tmp_path_factory.mktemp("damages") / "world", notes=8)


@pytest.fixture
def library(world: Any, tmp_path: Path) -> Path:
    """A copy of the library that may be damaged."""
    return Path(shutil.copytree(world.library, tmp_path / "library"))


@pytest.fixture
def rebuilt(cases: ModuleType, world: Any) -> Callable[[Path], Any]:
    """Repairs a library, which then is as the undamaged one."""
    expected = cases.content(world.library)

    def run(folder: Path) -> Any:
        done = Library.repair(folder, cases.model())
        assert not Library.diagnose(folder)
        assert cases.content(folder) == expected
        assert not list(folder.glob("*.part*"))
        return done

    return run


def change(folder: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(folder / "library.db") as book:
        book.execute(statement, values)
    book.close()


def reasons(folder: Path) -> str:
    return "\n".join(f"{p.path}: {p.reason}" for p in Library.diagnose(folder))


@pytest.mark.slow
def test_random_damages(cases: ModuleType, world: Any, tmp_path: Path) -> None:
    expected, came, wrong = cases.content(world.library), Counter(), []
    for seed in range(10_000, 10_100):
        folder = tmp_path / "case"
        shutil.copytree(world.library, folder)
        part, kind = cases.damage(world, folder, seed)
        outcome, why = cases.outcome(folder, expected)
        came[outcome] += 1
        rollback = part == "library.db" and kind == "older"  # a state that once was whole
        if outcome in ("crashed", "silently wrong") and not rollback:
            wrong.append((seed, part, kind, outcome, why))
        if outcome == "detected" and not rollback:
            repair, left = cases.mended(world, folder, expected)
            if repair == "not rebuilt":
                wrong.append((seed, part, kind, repair, left))
        shutil.rmtree(folder)
    assert not wrong
    assert came["detected"] > 50 and came["harmless"] > 3


def test_a_sound_library_is_left_as_it_is(library: Path, rebuilt: Callable[[Path], Any]) -> None:
    before = {p: p.read_bytes() for p in library.rglob("*") if p.is_file()}
    done = rebuilt(library)
    assert not done.found and not done.lost and not done.embedded and not done.set_aside
    assert {p: p.read_bytes() for p in library.rglob("*") if p.is_file()} == before


def test_no_library(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no library here"):
        Library.repair(tmp_path / "none", HashEmbeddings())
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("part", ["vectors", "words"])
def test_a_damaged_segment_costs_what_is_in_it(
    library: Path, rebuilt: Callable[[Path], Any], part: str
) -> None:
    path = min((library / part).iterdir(), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[-70] ^= 1
    path.write_bytes(data)
    assert f"{part}: " in reasons(library)
    done = rebuilt(library)
    assert done.embedded < 10 if part == "vectors" else not done.embedded
    assert not done.report.changed and not done.lost


def test_a_damaged_passage_costs_its_file(library: Path, rebuilt: Callable[[Path], Any]) -> None:
    change(library, "UPDATE passages SET body = replace(body, 'thing4', 'thing5')")
    assert "passage" in reasons(library)
    done = rebuilt(library)
    assert done.report.changed == ("note04.md",) and done.embedded == 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM passages WHERE key = 9",
        "DELETE FROM passages WHERE document = 5",
        "DELETE FROM documents WHERE id = 4",
        "UPDATE passages SET key = key + 1000 WHERE key = 9",
        "UPDATE passages SET document = 5 WHERE key = 2",
        "UPDATE passages SET ordinal = 7 WHERE key = 2",
        "UPDATE passages SET image = upper(image)",
        "UPDATE documents SET source = 'note99.md' WHERE id = 4",
        "UPDATE documents SET path = CAST(replace(path, 'note', 'nope') AS BLOB) WHERE id = 4",
        "UPDATE documents SET path = (SELECT CAST(replace(path, 'e00', 'e02') AS BLOB)), "
        "source = source WHERE id = 1",
        "UPDATE documents SET sha256 = upper(sha256)",
        "UPDATE documents SET mtime = mtime + 1, size = 'big'",
        "UPDATE documents SET id = 400 WHERE id = 4",
        "UPDATE meta SET value = '' WHERE key = 'vectors'",
        "UPDATE meta SET value = '{' WHERE key = 'words'",
        "UPDATE meta SET value = '8' WHERE key = 'dimensions'",
        "UPDATE meta SET value = '{}' WHERE key = 'store'",
        "UPDATE meta SET value = '9' WHERE key = 'format'",
        "UPDATE meta SET value = 'x' WHERE key = 'model'",
        "DELETE FROM meta WHERE key != 'places'",
        "DROP INDEX passages_by_image",
        "DROP TABLE passages",
        "DROP TABLE ocr_lines",
        "UPDATE sqlite_sequence SET seq = 1",
    ],
)
def test_rows(library: Path, rebuilt: Callable[[Path], Any], statement: str) -> None:
    change(library, statement)
    assert "library.db: " in reasons(library) or "are of no passage" in reasons(library)
    rebuilt(library)


def test_a_path_that_means_another_file_is_no_reason_to_read_that(
    library: Path, world: Any, rebuilt: Callable[[Path], Any]
) -> None:
    other = world.folder / "alone2.md"  # beside a file that was added by itself
    other.write_text("# Private\n\nNever added.\n")
    try:
        path = os.fsencode(other)
        change(library, "UPDATE documents SET path = ? WHERE source = 'alone.md'", path)
        done = Library.repair(library, HashEmbeddings())
        assert "its passages are kept" in done.lost[0].reason
        with Library.open(library, HashEmbeddings()) as opened:
            assert "Never added" not in "".join(p.text for p in opened.search("private", k=50))
            assert any("word99" in p.text for p in opened.search("word99"))
    finally:
        other.unlink()


def test_pictures_are_stored_again(library: Path, rebuilt: Callable[[Path], Any]) -> None:
    first, second, _ = sorted((library / "media").iterdir())
    first.unlink()
    second.write_bytes(b"x")
    assert "is missing" in reasons(library) and "was damaged" in reasons(library)
    assert len(rebuilt(library).report.changed) == 2


def test_what_was_removed_does_not_come_back(library: Path, cases: ModuleType, world: Any) -> None:
    change(library, "UPDATE meta SET value = '[[], []]' WHERE key = 'places'")
    done = Library.repair(library, HashEmbeddings())
    assert "folders were added" in done.lost[0].reason and "limner add" in done.lost[0].reason
    assert not Library.diagnose(library)
    assert cases.content(library) == cases.content(world.library)


def test_a_source_that_is_gone_is_reported_and_kept(tmp_path: Path, docs: Path) -> None:
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add(docs)
    text = "# One\n\n" + "\n\n".join(f"## Part {n}\n\nPart {n} is here." for n in range(4))
    (docs / "parts.md").write_text(text)
    library.sync()
    library.close()
    (docs / "parts.md").unlink()
    change(library.folder, "UPDATE passages SET body = replace(body, 'Part 2 is', 'Part 3 was')")
    done = Library.repair(library.folder, HashEmbeddings())
    assert [(p.path, "gone" in p.reason) for p in done.lost] == [("parts.md", True)]
    assert not Library.diagnose(library.folder)
    found = {p.text for p in library.search("part", k=9) if p.source == "parts.md"}
    assert found == {"Part 0 is here.", "Part 1 is here.", "Part 3 is here."}


def test_a_book_that_cannot_be_read_is_set_aside(
    library: Path, rebuilt: Callable[[Path], Any]
) -> None:
    data = bytearray((library / "library.db").read_bytes())
    data[:4096] = os.urandom(4096)
    (library / "library.db").write_bytes(data)
    done = rebuilt(library)  # its other pages still name everything
    assert done.set_aside == library / "library.db.damaged"
    assert done.set_aside.read_bytes() == data


@pytest.mark.parametrize("data", [None, b"", b"x" * 9000])
def test_nothing_can_be_read(library: Path, data: bytes | None) -> None:
    path = library / "library.db"
    path.unlink() if data is None else path.write_bytes(data)
    done = Library.repair(library, HashEmbeddings())
    assert "limner add PATH" in done.lost[-1].reason
    assert not Library.diagnose(library)


def test_conversations_are_left_alone(library: Path, rebuilt: Callable[[Path], Any]) -> None:
    (library / "sessions.db").write_bytes(b"not a database")
    (library / "answers").mkdir()
    (library / "answers" / "a.png").write_bytes(b"picture")
    (library / "library.db").write_bytes((library / "library.db").read_bytes()[:9000])
    Library.repair(library, HashEmbeddings())
    assert (library / "sessions.db").read_bytes() == b"not a database"
    assert (library / "answers" / "a.png").exists()


def test_another_model_or_a_writer_at_work(library: Path) -> None:
    with pytest.raises(LibraryMismatch, match="hash-64, not hash-32"):
        Library.repair(library, HashEmbeddings(32))
    lock = locked(library)
    with pytest.raises(LibraryLocked):
        Library.repair(library, HashEmbeddings())
    lock.release()


_KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
left = int(sys.argv[2])
def mortal(function):
    def call(*a, **b):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*a, **b)
    return call
os.fsync, Path.replace = mortal(os.fsync), mortal(Path.replace)
Path.unlink = mortal(Path.unlink)
Library.repair(sys.argv[1], HashEmbeddings())
"""


@pytest.mark.slow
def test_killed_at_any_step_it_can_be_run_again(
    library: Path, tmp_path: Path, rebuilt: Callable[[Path], Any]
) -> None:
    change(library, "UPDATE passages SET body = replace(body, 'thing4', 'thing5')")
    change(library, "UPDATE documents SET source = 'x' WHERE source = 'alone.md'")
    next((library / "vectors").iterdir()).unlink()
    next((library / "media").iterdir()).unlink()
    for step in range(0, 200, 2):
        folder = tmp_path / "copy"
        shutil.copytree(library, folder)
        command = [sys.executable, "-c", _KILLED, str(folder), str(step)]
        done = subprocess.run(command, stderr=subprocess.PIPE)
        rebuilt(folder)
        shutil.rmtree(folder)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert step > 8
