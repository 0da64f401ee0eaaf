from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from limner.errors import QuestionError
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library, Progress, Report

Child = Callable[..., object]


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
    assert shelf.search("water " * 2_000)[0].source == "tides.md"  # by its parts
    with pytest.raises(QuestionError, match="longer than 16 times the 254 tokens"):
        shelf.search("water " * 10_000)
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
    done = [p.done for p in seen]
    assert {p.total for p in seen} == {3} and done == sorted(done) and done[-1] == 3
    assert (seen[-1].passages, seen[-1].failed) == (3, 0)
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
    from limner.index.reading import Reader, Result

    path, read = docs / "tides.md", Reader.read

    def meddle(reader: Reader, paths: Iterable[Path]) -> Iterator[tuple[Path, Result]]:
        for at in paths:
            before = at.read_text()
            at.write_text("High water is at midnight.\n")
            yield from read(reader, [at])
            at.write_text(before)

    monkeypatch.setattr(Reader, "read", meddle)
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
