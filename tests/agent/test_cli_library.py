"""The library's commands in real processes: filters, reasons, moves, watching, repair."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from limner.tests.forked import limner

COMMAND = [sys.executable, "-m", "limner"]


def found(*arguments: str, cwd: Path) -> list[dict[str, Any]]:
    run = limner("search", *arguments, "--json", cwd=cwd)
    assert run.returncode == 0, run.stderr
    return list(json.loads(run.stdout))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of manuals, and a library of them beside it."""
    place = tmp_path_factory.mktemp("manuals and more")
    for name, tray in (("a", 2), ("b", 7)):
        (place / "docs" / name).mkdir(parents=True)
        (place / "docs" / name / "printer.md").write_text(
            f"# Paper jam\n\nWhen the paper jams, open tray {tray} and pull the sheet out.\n\n"
            "# Toner\n\nShake the cartridge before you put it in, then close the cover firmly.\n"
        )
    (place / "docs" / "drafts").mkdir()
    (place / "docs" / "drafts" / "secret.md").write_text("The paper jams on purpose.")
    (place / "docs" / ".limnerignore").write_text("drafts/\n")
    added = limner("add", "docs", cwd=place)
    assert added.returncode == 0 and "2 added" in added.stderr, added.stderr
    return place


def test_filters_reasons_and_surroundings(place: Path) -> None:
    assert {row["source"] for row in found("paper jam", cwd=place)} == {
        "a/printer.md",
        "b/printer.md",
    }
    only = found("paper jam", "--folder", "b", "--why", "--around", "1", cwd=place)
    assert {row["source"] for row in only} == {"b/printer.md"}
    assert "cosine" in only[0]["why"] and "jam" in only[0]["why"]
    assert [row["text"][:5] for row in only[0]["around"]] == ["When ", "Shake"]
    shown = limner("search", "paper jam", "--source", "a/printer.md", "--why", cwd=place).stdout
    assert "tray 2" in shown and "tray 7" not in shown and "keyword" in shown


def test_filters_that_fit_nothing_or_make_no_sense(place: Path) -> None:
    for arguments, words in (
        (("--folder", "c"), "no passage fits the filter (folder c)"),
        (("--page", "x"), "is no page"),
        (("--kind", "video"), "no passage is a video"),
        (("--page", "3"), "no passage fits the filter (pages 3 to 3)"),
    ):
        run = limner("search", "paper", *arguments, cwd=place)
        assert run.returncode == 1 and words in run.stderr, run.stderr
        assert "Traceback" not in run.stderr and "try: " in run.stderr


def test_there_and_back(place: Path) -> None:
    before = found("paper jam", cwd=place)
    assert limner("migrate", cwd=place).returncode == 1
    for store, name in (("chroma", "Chroma"), ("faiss", "FAISS")):
        moved = limner("migrate", "--store", store, cwd=place)
        assert moved.returncode == 0 and "moved" in moved.stderr, moved.stderr
        assert found("paper jam", cwd=place) == before
        assert name in json.loads(limner("ls", "--json", cwd=place).stdout)["search"]


def test_damage_is_found_and_repaired(place: Path) -> None:
    before = found("paper jam", cwd=place)
    (vectors,) = (place / ".limner" / "vectors").iterdir()
    data = bytearray(vectors.read_bytes())
    data[-300] ^= 1
    vectors.write_bytes(data)
    run = limner("search", "paper jam", cwd=place)
    assert run.returncode == 1 and "limner doctor --repair" in run.stderr
    assert limner("doctor", cwd=place).returncode == 3
    repaired = limner("doctor", "--repair", cwd=place)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert found("paper jam", cwd=place) == before
    assert limner("doctor", cwd=place).returncode == 0


def test_watching(place: Path) -> None:
    watcher = subprocess.Popen(
        [*COMMAND, "sync", "--watch"], cwd=place, stderr=subprocess.PIPE, text=True
    )
    assert watcher.stderr is not None
    try:
        assert "watching" in watcher.stderr.readline()
        (place / "docs" / "new.txt").write_text("The ferry leaves from pier four.")
        assert "+ new.txt" in watcher.stderr.readline()
        (place / "docs" / "new.txt").unlink()
        assert "- new.txt" in watcher.stderr.readline()
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(60) == 130
        assert "Traceback" not in watcher.stderr.read()
    finally:
        watcher.kill()
        watcher.wait()


def test_another_writer_is_waited_for(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from limner.agent import cli_common
    from limner.errors import LibraryLocked
    from limner.index.lock import locked

    lock = locked(place / ".limner")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            lock.release()

    monkeypatch.setattr(cli_common, "sleep", nap)
    cli_common.patiently(lambda: locked(place / ".limner")).release()
    assert len(naps) == 2
    assert capsys.readouterr().err.count("waiting for it to end") == 1

    def busy() -> None:
        raise LibraryLocked("busy")

    monkeypatch.setattr(cli_common, "_PATIENCE", -1.0)
    with pytest.raises(LibraryLocked):
        cli_common.patiently(busy)
    assert len(naps) == 2


def test_a_place_that_cannot_hold_a_library(place: Path) -> None:
    """Each is one line and what to type instead."""
    (place / "file").write_text("")
    (place / "loop").symlink_to(place / "loop")
    for folder in ("file", "file/library", "loop", "/proc/library", "/dev/null", "n" * 300):
        for command in (("add", "docs"), ("search", "paper"), ("ask", "When?"), ("sync",)):
            run = limner(*command, "--library", folder, cwd=place)
            lines = run.stderr.splitlines()
            assert run.returncode == 1 and run.stdout == "", (folder, command, run.stderr)
            assert lines[0].startswith("error: ") and lines[1].startswith("try: "), run.stderr
            assert len(lines) == 2


def test_removed_texts_leave_the_cache_too(place: Path, tmp_path: Path) -> None:
    env = {"LIMNER_CACHE": str(tmp_path / "cache")}
    (tmp_path / "a.txt").write_text("The ferry leaves from pier four.")
    assert limner("add", "a.txt", cwd=tmp_path, env=env).returncode == 0
    cache = tmp_path / "cache" / "embeddings.db"
    assert cache.stat().st_mode & 0o077 == 0
    assert limner("rm", "a.txt", cwd=tmp_path, env=env).returncode == 0
    with closing(sqlite3.connect(cache)) as book:
        for table in ("vectors", "uses"):
            assert book.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
