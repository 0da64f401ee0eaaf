from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from limner.errors import (
    DeveloperError,
    LibraryDamaged,
    LibraryError,
    LibraryMismatch,
    LibraryReadOnly,
)
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library, Progress, Report

Child = Callable[..., object]


@pytest.fixture
def model() -> HashEmbeddings:
    return HashEmbeddings()


@pytest.fixture
def shelf(tmp_path: Path, model: HashEmbeddings) -> Library:
    """An empty library."""
    return Library.open(tmp_path / "library", model)


def reasons(report: Report) -> dict[str, str]:
    return {Path(p.path).name: p.reason for p in report.failed}


def texts(library: Library, query: str, k: int = 5) -> list[str]:
    return [p.text for p in library.search(query, k)]


def consistent(library: Library) -> bool:
    """Every passage has its vector, every picture is there: a fresh look at the disk."""
    with Library.open(library.folder, HashEmbeddings()) as fresh:
        fresh.search("anything")
        return all(fresh.media.open(image) for image in fresh.images())


# ── what a person does ───────────────────────────────────────────────────────────────────────


def test_add_and_search(shelf: Library, docs: Path) -> None:
    assert shelf.add(docs).added == ("lights.txt", "tides.md", "boats/rowing.txt")
    best = shelf.search("When is high water?")[0]
    assert (best.text, best.source, best.heading) == ("High water is at noon.", "tides.md", "Tides")
    assert best.score is not None and best.score > 0
    assert shelf.sources() == {"boats/rowing.txt": 1, "lights.txt": 1, "tides.md": 1}
    assert (shelf.stats().files, shelf.stats().passages) == (3, 3)


def test_an_empty_library(shelf: Library) -> None:
    assert not shelf.exists
    assert shelf.search("anything") == () and shelf.images() == set() and shelf.sources() == {}
    assert shelf.lines("x") == () and shelf.stats().files == 0
    assert shelf.sync() == Report() and shelf.collect() == 0
    assert [p.reason for p in shelf.remove("a").failed] == ["not in the library"]
    assert not shelf.folder.exists()  # looking writes nothing


def test_a_library_from_which_everything_was_removed(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    assert len(shelf.remove(docs).removed) == 3
    assert shelf.search("water") == () and shelf.stats().passages == 0
    assert list((shelf.folder / "vectors").iterdir()) == []
    assert shelf.add(docs).added  # and it can be filled again


def test_queries_at_the_edge(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    assert shelf.search("") == () == shelf.search(" \n") == shelf.search([]) == shelf.search([""])
    assert shelf.search("water", k=0) == () == shelf.search("water", k=-1)
    assert len(shelf.search("water", k=1000)) == 3
    assert shelf.search("\ud800 \0 water")[0].source == "tides.md"
    assert shelf.search("water " * 10_000)
    assert shelf.search(["water", "noon", ""])[0].source == "tides.md"


def test_more_than_fifty_can_be_found(shelf: Library, tmp_path: Path) -> None:
    rows = (f"{i},{'a thing with many words ' * 20}\n" for i in range(200))
    (tmp_path / "many.csv").write_text("n,what\n" + "".join(rows))
    shelf.add(tmp_path / "many.csv")
    assert shelf.stats().passages >= 200
    assert len({p.id for p in shelf.search("thing", k=150)}) == 150


def test_progress(shelf: Library, docs: Path) -> None:
    seen: list[Progress] = []
    shelf.add(docs, seen.append)
    assert [(p.done, p.total) for p in seen] == [(0, 3), (1, 3), (2, 3)]
    assert seen[0].path == str(docs / "lights.txt")


def test_a_library_inside_the_folder_it_holds(
    docs: Path, model: HashEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(docs)
    for name in (".limner", "visible"):
        with Library.open(name, model) as library:
            report = library.add(".")
            assert len(report.added) == 3 and not report.failed
            assert len(library.add(".").unchanged) == 3 and len(library.sync().unchanged) == 3
            assert [p.reason for p in library.add(name).failed] == ["part of the library itself"]
        shutil.rmtree(name)


def test_two_folders_with_the_same_names(shelf: Library, tmp_path: Path) -> None:
    for place in ("north", "south"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.txt").write_text(f"It is cold in the {place}.")
    shelf.add([tmp_path / "north", tmp_path / "south"])
    assert set(shelf.sources()) == {"a.txt", "south/a.txt"}
    assert shelf.search("south")[0].source == "south/a.txt"
    assert shelf.remove("south/a.txt").removed == ("south/a.txt",)
    assert set(shelf.sources()) == {"a.txt"}


def test_a_folder_within_an_added_one(shelf: Library, docs: Path, model: HashEmbeddings) -> None:
    shelf.add(docs)
    model.encoded.clear()
    assert shelf.add(docs / "boats").unchanged == ("boats/rowing.txt",)
    assert shelf.add(docs.parent).unchanged and model.encoded == []
    shutil.rmtree(docs / "boats")
    report = shelf.sync()
    assert report.removed == ("boats/rowing.txt",) and not report.failed


# ── each change costs what it should ─────────────────────────────────────────────────────────


def test_what_did_not_change_costs_nothing(
    shelf: Library, docs: Path, model: HashEmbeddings
) -> None:
    shelf.add(docs)
    model.encoded.clear()
    before = (shelf.folder / "library.db").stat().st_mtime_ns
    for report in (shelf.add(docs), shelf.sync(), shelf.add(docs / "tides.md")):
        assert report.unchanged and not (report.added or report.changed)
    assert (shelf.folder / "library.db").stat().st_mtime_ns == before  # nothing was written
    os.utime(docs / "tides.md")
    assert len(shelf.sync().unchanged) == 3
    assert model.encoded == []


def test_a_renamed_file_keeps_its_passages(
    shelf: Library, docs: Path, model: HashEmbeddings
) -> None:
    shelf.add(docs)
    passage = shelf.search("high water")[0]
    model.encoded.clear()
    (docs / "tides.md").rename(docs / "boats" / "ebb.md")
    report = shelf.sync()
    assert (report.added, report.removed) == (("boats/ebb.md",), ("tides.md",))
    assert model.encoded == []
    found = shelf.search("high water")[0]
    assert (found.id, found.source) == (passage.id, "boats/ebb.md")
    assert len(shelf.sync().unchanged) == 3


def test_a_renamed_folder_costs_no_embedding(
    shelf: Library, docs: Path, model: HashEmbeddings
) -> None:
    shelf.add(docs)
    model.encoded.clear()
    (docs / "boats").rename(docs / "ships")
    assert shelf.sync().removed == ("boats/rowing.txt",)
    assert model.encoded == [] and "ships/rowing.txt" in shelf.sources()


def test_one_changed_paragraph_costs_one_chunk(
    shelf: Library, tmp_path: Path, model: HashEmbeddings
) -> None:
    path = tmp_path / "guide.md"
    parts = [f"# Part {i}\n\nThis is the text of part {i}.\n" for i in range(10)]
    path.write_text("\n".join(parts))
    shelf.add(path)
    ids = {p.text: p.id for p in shelf.search("text of part", k=20)}
    model.encoded.clear()
    parts[4] = "# Part 4\n\nThis was rewritten.\n"
    path.write_text("\n".join(["# Part new\n\nSomething before.\n", *parts]))
    assert shelf.sync().changed == ("guide.md",)
    assert sorted(model.encoded) == ["Part 4\nThis was rewritten.", "Part new\nSomething before."]
    now = {p.text: p.id for p in shelf.search("text of part", k=20)}
    assert {t: i for t, i in now.items() if t in ids} == {
        t: i for t, i in ids.items() if t != "This is the text of part 4."
    }
    assert consistent(shelf)


def test_a_deleted_file_goes_at_the_next_sync(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    (docs / "tides.md").unlink()
    assert shelf.add(docs / "lights.txt").removed == ()  # somewhere else was named
    assert shelf.sync().removed == ("tides.md",)
    assert shelf.sync() == Report(unchanged=("lights.txt", "boats/rowing.txt"))


def test_a_file_added_alone_is_synced_too(shelf: Library, docs: Path) -> None:
    shelf.add(docs / "tides.md")
    (docs / "tides.md").write_text("Low water is at six.\n")
    assert shelf.sync().changed == ("tides.md",)
    (docs / "tides.md").unlink()
    assert shelf.sync().removed == ("tides.md",)
    assert shelf.sync() == Report()


def test_a_file_that_changes_while_it_is_read_is_read_again(
    shelf: Library, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.index import ingest

    path, load = docs / "tides.md", ingest.load

    def meddle(at: Path, media: object) -> object:
        before = at.read_text()
        at.write_text("High water is at midnight.\n")
        blocks = load(at, media)
        at.write_text(before)
        return blocks

    monkeypatch.setattr(ingest, "load", meddle)
    shelf.add(path)
    monkeypatch.undo()
    assert texts(shelf, "high water") == ["High water is at midnight."]
    assert shelf.sync().changed == ("tides.md",)
    assert texts(shelf, "high water") == ["High water is at noon."]
    assert shelf.sync().unchanged == ("tides.md",)


def test_two_thousand_unchanged_files_take_a_moment(shelf: Library, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    for n in range(2000):
        path = folder / f"{n % 20}" / f"{n}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Note {n}.")
    assert len(shelf.add(folder).added) == 2000
    for paths in (folder, sorted(folder.rglob("*.txt"))):
        start = time.perf_counter()
        assert len(shelf.add(paths).unchanged) == 2000
        assert time.perf_counter() - start < 1.0
    shelf.search("note")
    start = time.perf_counter()
    for n in range(20):
        shelf.search(f"note {n}")
    assert time.perf_counter() - start < 1.0  # nothing is rebuilt for a query


# ── what a person gets wrong, and what files do ──────────────────────────────────────────────


def test_bad_files_are_named_and_keep_no_good_one_out(shelf: Library, docs: Path) -> None:
    (docs / "empty.txt").touch()
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(500))
    (docs / "binary.txt").write_bytes(b"\x7fELF" + os.urandom(500))
    (docs / "white.md").write_text("\n \n")
    report = shelf.add([docs, docs / "missing.md", docs / "notes.xyz"])
    assert len(report.added) == 3
    failed = reasons(report)
    assert failed["missing.md"] == failed["notes.xyz"] == "no such file or folder"
    assert failed["empty.txt"] == "is empty"
    assert failed["white.md"] == "no text found"
    assert set(failed) == {
        *("empty.txt", "broken.pdf", "binary.txt", "white.md", "missing.md", "notes.xyz")
    }
    assert all(str(docs) not in reason for reason in failed.values())
    assert consistent(shelf)


def test_a_named_file_that_fails_is_reported_once(shelf: Library, docs: Path) -> None:
    (docs / "notes.xyz").write_text("x")
    assert "not supported" in reasons(shelf.add(docs / "notes.xyz"))["notes.xyz"]
    assert shelf.sync() == Report()


def test_a_file_that_became_bad_keeps_its_passages(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    (docs / "tides.md").write_text("")
    assert reasons(shelf.sync()) == {"tides.md": "is empty"}
    assert texts(shelf, "high water")[0] == "High water is at noon."


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (b"line\nbreak.txt", "line\\nbreak.txt"),
        (b"\x1b[31mred\x07.txt", "\\x1b[31mred\\x07.txt"),
        (b"caf\xe9.txt", "caf\\xe9.txt"),
        ("日本 😀.txt".encode(), "日本 😀.txt"),
        (b"'quoted\" --.txt", "'quoted\" --.txt"),
    ],
)
def test_any_file_name(shelf: Library, tmp_path: Path, name: bytes, source: str) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    path = os.fsencode(folder) + b"/" + name
    Path(os.fsdecode(path)).write_text("High water is at noon.")
    assert shelf.add(folder).added == (source,)
    assert shelf.sync().unchanged == (source,)
    assert shelf.search("water")[0].source == source
    assert shelf.remove(source).removed == (source,)
    assert shelf.sync() == Report()


def test_a_folder_that_vanished_keeps_its_passages(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    docs.rename(docs.parent / "elsewhere")
    report = shelf.sync()
    assert reasons(report) == {"docs": "no such file or folder"} and not report.removed
    assert texts(shelf, "high water")[0] == "High water is at noon."
    (docs.parent / "elsewhere").rename(docs)
    assert len(shelf.sync().unchanged) == 3
    assert len(shelf.remove(docs).removed) == 3


def test_a_file_whose_folder_vanished_keeps_its_passages(shelf: Library, docs: Path) -> None:
    shelf.add(docs / "boats" / "rowing.txt")
    shutil.rmtree(docs / "boats")
    report = shelf.sync()
    assert "its folder is gone" in reasons(report)["rowing.txt"] and not report.removed
    assert shelf.remove("rowing.txt").removed == ("rowing.txt",)


def test_a_file_that_became_a_folder(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    (docs / "tides.md").unlink()
    (docs / "tides.md").mkdir()
    (docs / "tides.md" / "ebb.txt").write_text("Ebb.")
    report = shelf.sync()
    assert report.removed == ("tides.md",) and report.added == ("tides.md/ebb.txt",)


# ── removing ─────────────────────────────────────────────────────────────────────────────────


def test_what_was_removed_stays_out_until_it_is_named(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    assert shelf.remove(docs / "tides.md").removed == ("tides.md",)
    assert not shelf.sync().added and not shelf.add(docs).added
    assert shelf.add(docs / "tides.md").added == ("tides.md",)
    assert len(shelf.sync().unchanged) == 3


def test_a_removed_folder_takes_nothing_new(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    assert shelf.remove(docs / "boats").removed == ("boats/rowing.txt",)
    (docs / "boats" / "sailing.txt").write_text("The sail is torn.")
    assert not shelf.sync().added
    assert shelf.add(docs / "boats" / "sailing.txt").added == ("boats/sailing.txt",) or (
        "sailing.txt" in shelf.sources()
    )
    assert "rowing.txt" not in str(shelf.sync().added)
    assert len(shelf.add(docs / "boats").added) == 1


def test_a_file_that_cannot_be_read_can_be_left_out(shelf: Library, docs: Path) -> None:
    (docs / "bad.txt").touch()
    assert reasons(shelf.add(docs)) == {"bad.txt": "is empty"}
    assert not shelf.remove(docs / "bad.txt").failed
    assert not shelf.sync().failed


def test_removing_what_is_not_there(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    report = shelf.remove(["never.txt", docs.parent / "never", "nul\0", docs / "tides.md"])
    assert len(report.failed) == 3 and report.removed == ("tides.md",)


def test_a_path_goes_before_a_source(
    shelf: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "a.txt").write_text(f"Number {place}.")
    shelf.add([tmp_path / "one", tmp_path / "two"])
    monkeypatch.chdir(tmp_path / "two")
    assert shelf.remove("a.txt").removed == ("two/a.txt",)
    assert shelf.remove("a.txt").failed == () or set(shelf.sources()) == {"a.txt"}


def test_pictures_are_freed_with_their_last_passage(
    shelf: Library, docs: Path, paint: Callable
) -> None:
    for name in ("one", "two"):
        folder = docs / name
        folder.mkdir()
        paint("tower").save(folder / "tower.png")
        (folder / f"{name}.md").write_text(f"# {name}\n\n![The tower](tower.png)\n")
        shelf.add(folder / f"{name}.md")
    (image,) = shelf.images()
    shelf.remove("one.md")
    assert set(shelf.media) == {image}
    (docs / "two" / "two.md").write_text("# two\n\nNo picture any more.\n")
    shelf.sync()
    assert set(shelf.media) == set() == shelf.images()


def test_collect_frees_what_a_killed_run_left(shelf: Library, docs: Path, paint: Callable) -> None:
    paint("tower").save(docs / "tower.png")
    (docs / "tower.md").write_text("# Tower\n\n![The tower](tower.png)\n")
    shelf.add(docs / "tower.md")
    kept = set(shelf.media)
    shelf.media.put(paint("stray"))
    (shelf.media.folder / "tmp123.part").write_bytes(b"half")
    assert shelf.collect() == 1
    assert set(shelf.media) == kept and not list(shelf.media.folder.glob("*.part"))
    assert shelf.collect() == 0


def test_removed_words_are_nowhere_on_the_disk(shelf: Library, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("\n\n".join(f"The password of the vault is xyzzy{i}." for i in range(300)))
    (tmp_path / "open.txt").write_text("The garden is open.")
    shelf.add([secret, tmp_path / "open.txt"])
    vectors = HashEmbeddings().encode_document(["The password of the vault is xyzzy7."])

    def written() -> bytes:
        return b"".join(p.read_bytes() for p in shelf.folder.rglob("*") if p.is_file())

    assert b"xyzzy7" in written() and b"secret.txt" in written()
    assert shelf.remove(secret).removed == ("secret.txt",)
    assert b"xyzzy" not in written() and b"secret.txt" not in written()
    assert vectors.tobytes() not in written()
    assert b"The garden is open" in written()


def test_changed_words_are_nowhere_on_the_disk(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    (docs / "tides.md").write_text("# Tides\n\nAsk the harbour master.\n")
    shelf.sync()
    written = b"".join(p.read_bytes() for p in shelf.folder.rglob("*") if p.is_file())
    assert b"High water" not in written and b"harbour master" in written


# ── places and libraries that are not as they should be ──────────────────────────────────────


def test_a_place_that_is_no_folder(tmp_path: Path, model: HashEmbeddings) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LibraryDamaged, match="a file, not a library"):
        Library.open(tmp_path / "file", model)
    for place in ("nul\0", "n" * 300, "~nobody-at-all/x"):
        with pytest.raises(LibraryError, match="cannot be opened"):
            Library.open(place, model)
    below = Library.open(tmp_path / "file" / "below", model)
    with pytest.raises(LibraryReadOnly, match="not a directory"):
        below.add(tmp_path / "file")


def test_another_embedding_model(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    with pytest.raises(LibraryMismatch, match="hash-64, not hash-32"):
        Library.open(shelf.folder, HashEmbeddings(32))


def test_a_newer_format(
    shelf: Library, docs: Path, model: HashEmbeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.index.manifest.FORMAT", 2)
    shelf.add(docs)
    monkeypatch.undo()
    with pytest.raises(LibraryMismatch, match="newer version") as caught:
        Library.open(shelf.folder, model)
    assert "pip install" in caught.value.hint


def damaged(library: Library) -> bool:
    """Whether a damage is noticed, by an error that says so."""
    try:
        with Library.open(library.folder, HashEmbeddings()) as fresh:
            fresh.search("high water")
            fresh.sources()
            fresh.sync()
    except LibraryDamaged as error:
        return bool(error.hint)
    return False


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE passages SET body = replace(body, 'noon', 'dusk')",
        "UPDATE passages SET document = document % 3 + 1",
        "UPDATE passages SET ordinal = ordinal + 1",
        "UPDATE passages SET key = key + 100",
        "UPDATE passages SET body = CAST(X'FFFE' AS TEXT)",
        "DELETE FROM passages WHERE key = 2",
        "DELETE FROM documents WHERE id = 2",
        "UPDATE documents SET source = 'other.md' WHERE id = 2",
        "UPDATE documents SET path = X'2F612E6D64' WHERE id = 2",
        "UPDATE documents SET sha256 = upper(sha256)",
        "UPDATE documents SET mtime = mtime + 1",
        "UPDATE meta SET value = '[]' WHERE key = 'vectors'",
        "UPDATE meta SET value = '[' WHERE key = 'vectors'",
        "UPDATE meta SET value = '[[], []]' WHERE key = 'places'",
        "UPDATE meta SET value = 'one' WHERE key = 'format'",
        "DELETE FROM meta WHERE key = 'places'",
        "DROP TABLE documents",
    ],
)
def test_a_damaged_book_is_noticed(shelf: Library, docs: Path, statement: str) -> None:
    shelf.add(docs)
    assert not damaged(shelf)
    with sqlite3.connect(shelf.folder / "library.db") as book:
        book.execute("PRAGMA foreign_keys = ON")
        book.execute(statement)
    assert damaged(shelf)


@pytest.mark.parametrize("data", [b"", b"x", b"SQLite format 3\0", os.urandom(8192)])
def test_a_file_that_is_no_book(shelf: Library, docs: Path, data: bytes) -> None:
    shelf.add(docs)
    shelf.close()
    (shelf.folder / "library.db").write_bytes(data)
    assert damaged(shelf)


def test_every_single_damage_is_noticed_or_harmless(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    expected = [(p.text, p.source) for p in shelf.search("water", k=9)]
    shelf.close()
    book, noticed = shelf.folder / "library.db", 0
    good, dice = book.read_bytes(), np.random.default_rng(1)
    for at in dice.choice(np.flatnonzero(np.frombuffer(good, np.uint8)), 200, replace=False):
        bad = bytearray(good)
        bad[at] ^= 1 << int(dice.integers(8))
        book.write_bytes(bad)
        try:
            with Library.open(shelf.folder, HashEmbeddings()) as fresh:
                assert [(p.text, p.source) for p in fresh.search("water", k=9)] == expected
        except (LibraryDamaged, LibraryMismatch):
            noticed += 1
    assert noticed > 50


def test_missing_vectors_are_noticed(shelf: Library, docs: Path) -> None:
    shelf.add(docs)
    for path in (shelf.folder / "vectors").iterdir():
        path.unlink()
    assert damaged(shelf)


def test_an_older_copy_of_the_book_is_noticed(shelf: Library, docs: Path) -> None:
    shelf.add(docs / "tides.md")
    old = (shelf.folder / "library.db").read_bytes()
    shelf.add(docs)
    shelf.close()
    (shelf.folder / "library.db").write_bytes(old)
    assert damaged(shelf)  # its vectors are gone


@pytest.mark.parametrize(
    "answer",
    [
        lambda n: np.full((n, 64), np.nan, np.float32),
        lambda n: np.zeros((n + 1, 64), np.float32),
        lambda n: np.zeros((n, 63), np.float32),
    ],
)
def test_a_model_that_misbehaves(
    shelf: Library, docs: Path, model: HashEmbeddings, answer: Callable
) -> None:
    shelf.add(docs / "tides.md")
    model.encode_document = lambda texts: answer(len(texts))  # type: ignore[method-assign]
    with pytest.raises(DeveloperError):
        shelf.add(docs)
    assert shelf.sources() == {"tides.md": 1} and consistent(shelf)
    del model.encode_document
    assert len(shelf.add(docs).added) == 2


# ── other users, other threads ───────────────────────────────────────────────────────────────


def test_files_that_may_not_be_read(open_folder: Path, child: Child) -> None:
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


def test_a_library_that_may_only_be_read(open_folder: Path, child: Child) -> None:
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
                if texts(shelf, "high water")[0] != "High water is at noon.":
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
