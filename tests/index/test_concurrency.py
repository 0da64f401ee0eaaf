"""Several processes, users and threads at one library."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from limner.errors import LibraryLocked
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library

Start = Callable[..., "subprocess.Popen[str]"]


def test_a_second_writer_is_refused_at_once(tmp_path: Path, docs: Path, start: Start) -> None:
    folder = tmp_path / "library"
    library = Library.open(folder, HashEmbeddings())
    library.add(docs / "tides.md")
    first = start("add_slowly", folder, docs)
    assert first.stdout and first.stdout.readline() == "writing\n"
    for write in (lambda: library.add(docs), library.sync, library.collect):
        begun = time.monotonic()
        with pytest.raises(LibraryLocked, match="another process is writing") as caught:
            write()
        assert time.monotonic() - begun < 1 and caught.value.hint
    with pytest.raises(LibraryLocked):
        library.remove("tides.md")
    assert library.search("water")[0].source == "tides.md"  # reading goes on
    first.kill()
    first.wait()
    assert len(library.add(docs).added) == 2  # a killed writer leaves no lock


def test_eight_writers_at_once(tmp_path: Path, start: Start) -> None:
    for n in range(8):
        (tmp_path / f"{n}.txt").write_text(f"Note {n}.")
    folder = tmp_path / "library"
    writers = [start("add", folder, tmp_path / f"{n}.txt") for n in range(8)]
    answers = [writer.communicate(timeout=60)[0] for writer in writers]
    done = sum('"added": ["' in answer for answer in answers)
    refused = sum('"error": "LibraryLocked"' in answer for answer in answers)
    assert done + refused == 8 and done >= 1
    with Library.open(folder, HashEmbeddings()) as library:
        assert library.stats().files == len(library.search("note", k=20)) == done


def test_a_reader_sees_one_state_at_a_time(tmp_path: Path, start: Start) -> None:
    notes, folder = tmp_path / "notes", tmp_path / "library"
    notes.mkdir()
    for n in range(40):
        text = "\n\n".join(f"# Part {part}\n\nNote {n} part {part}." for part in range(3))
        (notes / f"{n:02}.md").write_text(text)
    writer = start("add_in_batches", folder, notes, 1)
    seen: list[int] = []
    with Library.open(folder, HashEmbeddings()) as reader:
        while writer.poll() is None:
            found = reader.search("note part", k=500)
            of_file: dict[str, int] = {}
            for passage in found:
                of_file[passage.source] = of_file.get(passage.source, 0) + 1
            assert set(of_file.values()) <= {3}  # a file is there whole or not at all
            seen.append(len(of_file))
        assert writer.returncode == 0
        assert len({p.source for p in reader.search("note part", k=500)}) == 40
    assert seen == sorted(seen)
    assert len(set(seen)) > 5  # it looked while the other wrote


def test_a_reader_sees_what_another_process_did(
    tmp_path: Path, docs: Path, child: Callable[..., object]
) -> None:
    folder = tmp_path / "library"
    with Library.open(folder, HashEmbeddings()) as reader:
        assert reader.search("water") == ()
        child("add", folder, docs / "tides.md")
        assert [p.source for p in reader.search("water")] == ["tides.md"]
        child("add", folder, docs)
        assert reader.stats().files == 3 == len(reader.search("water"))
        (docs / "tides.md").unlink()
        child("sync", folder)
        assert "tides.md" not in reader.sources()


def test_files_that_may_not_be_read(open_folder: Path, child: Callable[..., object]) -> None:
    docs, shut = open_folder / "docs", open_folder / "docs" / "shut"
    shut.mkdir(parents=True)
    (docs / "open.txt").write_text("High water is at noon.")
    (docs / "secret.txt").write_text("Nobody reads this.")
    (docs / "secret.txt").chmod(0o600)
    (shut / "inside.txt").write_text("Nobody reads this either.")
    shut.chmod(0o700)
    (open_folder / "library").mkdir()
    os.chown(open_folder / "library", 65534, 65534)
    report = child("add", open_folder / "library", docs, nobody=True)
    assert report["added"] == ["open.txt"]
    assert {Path(p["path"]).name: p["reason"] for p in report["failed"]} == {
        "shut": "permission denied",
        "secret.txt": "permission denied",
    }
    (docs / "open.txt").chmod(0o600)
    docs.chmod(0o700)
    report = child("sync", open_folder / "library", nobody=True)
    assert not report["removed"] and report["failed"][0]["reason"] == "permission denied"
    found = child("search", open_folder / "library", "water", nobody=True)
    assert found == ["High water is at noon."]


def test_a_library_that_may_only_be_read(open_folder: Path, child: Callable[..., object]) -> None:
    (open_folder / "a.txt").write_text("High water is at noon.")
    child("add", open_folder / "library", open_folder / "a.txt")
    assert child("search", open_folder / "library", "water", nobody=True) == [
        "High water is at noon."
    ]
    refused = child("add", open_folder / "library", open_folder / "a.txt", nobody=True)
    assert refused["error"] == "LibraryReadOnly" and refused["hint"]
    refused = child("add", open_folder / "new", open_folder / "a.txt", nobody=True)
    assert refused["error"] == "LibraryReadOnly" and "permission denied" in refused["message"]
    (open_folder / "library").chmod(0o700)
    refused = child("search", open_folder / "library", "water", nobody=True)
    assert refused["error"] == "LibraryError" and "permission denied" in refused["message"]


def test_threads_may_share_a_library(shelf: Library, docs: Path) -> None:
    shelf.add(docs / "tides.md")
    wrong: list[object] = []
    stop = threading.Event()

    def read() -> None:
        try:
            while not stop.is_set():
                if shelf.search("high water")[0].text != "High water is at noon.":
                    wrong.append("another answer")
                shelf.stats()
                shelf.sources()
        except Exception as error:
            wrong.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for n in range(15):
        (docs / f"{n}.txt").write_text(f"Note number {n}.")
        shelf.add(docs)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert shelf.stats().files == 18
