"""A file that cannot be read is an error once, until it changes; what nothing came of is gone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from limner.errors import LimnerError
from limner.index.document import Stamp
from limner.index.embeddings import HashEmbeddings
from limner.index.failures import Failures
from limner.index.library import Library
from limner.index.report import Report


@pytest.fixture
def shelf(tmp_path: Path) -> Library:
    return Library.open(tmp_path / "library", HashEmbeddings())


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder with a note and an empty file."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "tides.md").write_text("High water is at noon.")
    (folder / "empty.txt").touch()
    return folder


def told(report: Report) -> tuple[list[str], list[str]]:
    """The names of what failed and of what was passed over."""
    failed, skipped = report.failed, report.skipped
    return [Path(p.path).name for p in failed], [Path(p.path).name for p in skipped]


def test_what_failed_before_is_passed_over(shelf: Library, docs: Path) -> None:
    assert told(shelf.add(docs)) == (["empty.txt"], [])
    for report in (shelf.sync(), shelf.add(docs)):
        assert told(report) == ([], ["empty.txt"])
        assert report.skipped[0].reason == "is empty, as before"
    assert told(shelf.add(docs / "empty.txt")) == (["empty.txt"], []), "it was named itself"
    assert told(shelf.sync()) == ([], ["empty.txt"])
    (docs / "empty.txt").write_text("   ")
    assert told(shelf.sync()) == (["empty.txt"], []), "it changed"
    (docs / "empty.txt").write_text("Low water is at six.")
    assert shelf.sync().added == ("empty.txt",)
    (docs / "empty.txt").write_text("")
    assert told(shelf.sync()) == (["empty.txt"], [])
    assert told(shelf.sync()) == ([], ["empty.txt"])
    assert shelf.sources() == {"empty.txt": 1, "tides.md": 1}, "what was known is kept"


def test_one_folder_does_not_forget_another(shelf: Library, docs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "broken.pdf").write_bytes(b"%PDF-1.7 nonsense")
    shelf.add(docs)
    assert told(shelf.add(other)) == (["broken.pdf"], [])
    assert told(shelf.sync()) == ([], ["empty.txt", "broken.pdf"])
    (other / "broken.pdf").unlink()
    shelf.sync()
    shelf.remove(docs)
    shelf.sync()
    assert not (shelf.folder / "failures.json").exists()


def test_a_file_added_alone_fails_once_too(shelf: Library, docs: Path) -> None:
    shelf.add(docs / "tides.md")
    (docs / "tides.md").write_text("")
    assert told(shelf.sync()) == (["tides.md"], [])
    assert told(shelf.sync()) == ([], ["tides.md"])
    assert told(shelf.add(docs / "tides.md")) == (["tides.md"], [])


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_what_may_not_be_read(shelf: Library, docs: Path) -> None:
    (docs / "secret").mkdir()
    for path in (docs / "empty.txt", docs / "secret"):
        path.chmod(0)
    try:
        assert sorted(told(shelf.add(docs))[0]) == ["empty.txt", "secret"]
        assert told(shelf.sync())[0] == []
    finally:
        (docs / "secret").chmod(0o700)


@pytest.mark.parametrize("note", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": [1]}', b"[" * 100_000])
def test_a_damaged_note_says_nothing(shelf: Library, docs: Path, note: bytes) -> None:
    shelf.add(docs)
    (shelf.folder / "failures.json").write_bytes(note)
    assert told(shelf.sync()) == (["empty.txt"], [])
    assert told(shelf.sync()) == ([], ["empty.txt"])


def test_names_of_any_bytes(tmp_path: Path) -> None:
    name, stamp = os.fsdecode(b"/docs/\xff\n.txt"), Stamp(1, 2, 3)
    Failures(tmp_path).write({name: stamp})
    assert Failures(tmp_path).knows(name, stamp)
    assert not Failures(tmp_path).knows(name, Stamp(1, 2, 4))
    assert json.loads((tmp_path / "failures.json").read_text("ascii"))


# ── a library that nothing came of ───────────────────────────────────────────────────────────


def test_nothing_added_leaves_no_library(shelf: Library, docs: Path) -> None:
    for named in ("nowhere.txt", docs / "empty.txt", []):
        assert not shelf.add(named).added
        assert not shelf.folder.exists()
    assert shelf.write([]) == 0 and not shelf.folder.exists()
    assert shelf.add(docs / "tides.md").added and shelf.search("high water")


def test_an_error_leaves_no_library(
    shelf: Library, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(texts: object) -> None:
        raise LimnerError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(shelf.embeddings, "encode_document", fail)
        with pytest.raises(LimnerError):
            shelf.add(docs / "tides.md")
    assert not shelf.folder.exists()
    assert shelf.add(docs / "tides.md").added


def test_a_folder_that_is_looked_at_again_is_kept(shelf: Library, docs: Path) -> None:
    """Nothing in it can be read now; what comes later is found by ``sync``."""
    (docs / "tides.md").unlink()
    shelf.add(docs)
    (docs / "later.txt").write_text("High water is at noon.")
    assert shelf.sync().added == ("later.txt",)


def test_what_others_put_there_is_left_alone(shelf: Library) -> None:
    shelf.folder.mkdir()
    (shelf.folder / "mine.txt").touch()
    shelf.add("nowhere.txt")
    assert (shelf.folder / "mine.txt").exists()
