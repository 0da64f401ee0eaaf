"""A library that changes its vector store or its embedding model."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.errors import LibraryMismatch, UserError
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.index.migration import Migration

QUERIES = ("high water", "rowing boat", "lighthouse blinks")


@pytest.fixture
def filled(shelf: Library, docs: Path) -> Library:
    shelf.add(docs)
    return shelf


def answers(library: Library) -> list[list[tuple[str, float | None]]]:
    return [[(p.id, p.score) for p in library.search(query)] for query in QUERIES]


def test_to_chroma_and_back_without_embedding(filled: Library, model: HashEmbeddings) -> None:
    before, encoded = answers(filled), list(model.encoded)
    steps: list[Migration] = []
    Library.migrate(filled.folder, "chroma", on_progress=steps.append)
    assert (steps[-1].done, steps[-1].total) == (3, 3)
    library = Library.open(filled.folder, model)
    assert answers(library) == before == answers(filled)
    assert "Chroma" in library.stats().search
    assert not (filled.folder / "vectors").exists()
    Library.migrate(filled.folder, "faiss")
    assert answers(library) == before and "FAISS" in library.stats().search
    assert not (filled.folder / "chroma").exists()
    assert model.encoded == encoded


def test_a_library_in_chroma_is_changed_like_any(filled: Library, docs: Path) -> None:
    Library.migrate(filled.folder, "chroma")
    (docs / "lights.txt").write_text("The lighthouse has been dark since Monday.\n")
    (docs / "tides.md").unlink()
    report = filled.sync()
    assert report.changed == ("lights.txt",) and report.removed == ("tides.md",)
    assert filled.search("dark since Monday", 1)[0].source == "lights.txt"
    assert not any(p.source == "tides.md" for p in filled.search("high water", 9))
    filled.remove("lights.txt")
    assert filled.sources() == {"boats/rowing.txt": 1}
    assert len(filled.search("anything", 9)) == 1


def test_to_another_model(filled: Library, model: HashEmbeddings) -> None:
    other = HashEmbeddings(dimensions=96)
    Library.migrate(filled.folder, embedding_model=other)
    assert len(other.encoded) >= 3
    with pytest.raises(LibraryMismatch):
        Library.open(filled.folder, model).search("water")
    library = Library.open(filled.folder, other)
    assert library.search("high water", 1)[0].source == "tides.md"
    assert len(library.sync().unchanged) == 3


def test_a_move_that_fails_leaves_the_library_as_it_was(filled: Library) -> None:
    before = answers(filled)

    def stop(_: Migration) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Library.migrate(filled.folder, "chroma", on_progress=stop)
    assert answers(filled) == before
    filled.collect()
    assert answers(filled) == before and not (filled.folder / "chroma").exists()


def test_moves_that_cannot_be(filled: Library, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no vector store 'milvus'"):
        Library.migrate(filled.folder, "milvus")
    with pytest.raises(UserError, match="no library"):
        Library.migrate(tmp_path / "none", "chroma")
    Library.migrate(filled.folder, "faiss")  # there already
    assert answers(filled)
