"""What is removed stays away, and is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from limner.index.embedding_cache import EmbeddingCache
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library, Report


def reasons(report: Report) -> dict[str, str]:
    return {Path(p.path).name: p.reason for p in report.failed}


def texts(library: Library, query: str, k: int = 5) -> list[str]:
    return [p.text for p in library.search(query, k)]


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


def test_what_is_removed_is_taken_out_of_the_cache_too(docs: Path, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache.db")
    with Library(tmp_path / "library", HashEmbeddings(), cache=cache) as library:
        library.add(docs)
        kept = _vectors(cache)
        library.remove(docs / "tides.md")
        assert _vectors(cache) == kept - 1
        (docs / "lights.txt").unlink()
        library.sync()
        assert _vectors(cache) == kept - 2


def _vectors(cache: EmbeddingCache) -> int:
    with closing(sqlite3.connect(cache.path)) as file:
        (count,) = file.execute("SELECT count(*) FROM vectors").fetchone()
    return int(count)
