"""What a search returns: filters, near-duplicates, figures, reasons, neighbours, a reranker."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from limner.errors import ModelOutputError, UserError
from limner.index.embeddings import HashEmbeddings, Vectors
from limner.index.hybrid import KEYWORD_WEIGHT
from limner.index.library import Filter, Library

GUIDE = """# Printing

{}

# Scanning

Lay the page on the glass and press the green button of the scanner.
"""
JAM = "When the paper jams, open tray {} and pull the sheet out slowly with both hands."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "old").mkdir(parents=True)
    (folder / "guide.md").write_text(GUIDE.format(JAM.format(2)))
    (folder / "old" / "guide.md").write_text(GUIDE.format(JAM.format(7)))
    (folder / "copy.md").write_text(GUIDE.format(JAM.format(2)))
    os.utime(folder / "old" / "guide.md", (day := datetime(2020, 3, 5, 12).timestamp(), day))
    return folder


@pytest.fixture
def manuals(shelf: Library, folder: Path) -> Library:
    assert not shelf.add(folder).failed
    return shelf


def sources(library: Library, query: str, k: int = 9, where: Filter | None = None) -> list[str]:
    return [passage.source for passage in library.search(query, k, where)]


def test_passages_that_say_the_same_come_once_and_are_named(manuals: Library) -> None:
    best, second, *_ = manuals.why("paper jams in tray 2", k=4)
    assert {best.passage.place, *best.repeats} == {"copy.md, Printing", "guide.md, Printing"}
    assert second.passage.source == "old/guide.md"  # another tray: not the same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Open the valve before you start the pump.", "Do not open the valve before you start it."),
        ("Do open the valve before starting.", "Do not open the valve before starting."),
        ("Room 12 has a projector and a screen.", "Room 13 has a projector and a screen."),
        ("Convert the file from PDF to DOCX.", "Convert the file from DOCX to PDF."),
    ],
)
def test_what_differs_in_what_counts_is_not(
    shelf: Library, tmp_path: Path, one: str, other: str
) -> None:
    (tmp_path / "a.txt").write_text(one)
    (tmp_path / "b.txt").write_text(other)
    shelf.add([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert len(shelf.search(one)) == 2


def test_filters_by_file_and_folder(manuals: Library, folder: Path) -> None:
    assert set(sources(manuals, "paper", where=Filter(sources=("copy.md",)))) == {"copy.md"}
    assert set(sources(manuals, "paper", where=Filter(folder="old"))) == {"old/guide.md"}
    assert set(sources(manuals, "paper", where=Filter(folder=f"{folder}/old/"))) == {"old/guide.md"}
    typed = Filter(sources=(os.path.relpath(folder / "copy.md"),))
    assert set(sources(manuals, "paper", where=typed)) == {"copy.md"}
    named = ("copy.md", "old/guide.md")
    assert set(sources(manuals, "paper", where=Filter(sources=named))) == set(named)


def test_filters_by_day(manuals: Library) -> None:
    old = Filter(until=date(2020, 3, 5))
    assert set(sources(manuals, "paper", where=old)) == {"old/guide.md"}
    assert set(sources(manuals, "paper", where=Filter(since=date(2020, 3, 5), until=old.until)))
    assert "old/guide.md" not in sources(manuals, "paper", where=Filter(since=date(2020, 3, 6)))


def test_filters_by_kind(library: Library) -> None:
    figures = library.search("lighthouse", where=Filter(modality="figure"))
    assert len(figures) == 2 and {p.modality for p in figures} == {"figure"}
    assert all(p.modality == "text" for p in library.search("tide", where=Filter(modality="text")))


@pytest.mark.parametrize(
    "where",
    [Filter(sources=("none.md",)), Filter(folder="ol"), Filter(pages=(1, 2))],
)
def test_a_filter_that_matches_nothing_says_so(manuals: Library, where: Filter) -> None:
    before = manuals.stats()
    with pytest.raises(UserError, match="no passage fits") as caught:
        manuals.search("paper", where=where)
    assert caught.value.hint == "limner ls" and manuals.stats() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"pages": (0, 3)},
        {"pages": (3, 2)},
        {"since": date(2021, 1, 1), "until": date(2020, 1, 1)},
        {"modality": "video"},
    ],
)
def test_filters_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Filter(**wrong)  # type: ignore[arg-type]


def test_why_adds_up(manuals: Library) -> None:
    for e in manuals.why("the green button of the scanner"):
        m = e.match
        assert abs(m.score - m.cosine - KEYWORD_WEIGHT * m.keyword - m.code) < 1e-6
        assert e.passage.score == pytest.approx(m.score, abs=1e-3)
        assert sum(part for _, part in e.words) == pytest.approx(m.keyword, abs=1e-4)
    best = manuals.why("the green button of the scanner")[0]
    assert {word for word, _ in best.words} == {"green", "button", "scanner"}
    assert "cosine" in str(best) and "green" in str(best)
    assert [e.passage for e in manuals.why("paper")] == list(manuals.search("paper"))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("T00777", "T00777"),
        ("What is ticket t00777 about?", "T00777"),
        ("When was E-4127 seen?", "E-4127"),
        ("What does error 809 mean?", "error 809"),
    ],
)
def test_a_code_is_found_among_its_like(tmp_path: Path, query: str, code: str) -> None:
    """Notes of one template: their vectors say nothing of which is meant."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for n in range(300):
        own = f"T{n:05d}, E-{n + 1000}, error {n + 10_000}"
        (docs / f"{n}.txt").write_text(f"Note: {own} about the ticket, seen and filed at noon.")
    (docs / "it.txt").write_text(f"Note: {code} about the ticket, seen and filed at noon.")
    for number in ("777", "3127"):
        (docs / f"{number}.txt").unlink(missing_ok=True)
    with Library.open(tmp_path / "library") as library:
        library.add(docs)
        best = library.why(query)[0]
    assert best.passage.source == "it.txt"
    assert best.match.code > 0 and "× code" in str(best)


def test_years_and_counts_are_no_codes(manuals: Library) -> None:
    assert not any(e.match.code for e in manuals.why("the 1st of 200 scanners in 2019"))


def test_a_figure_is_found_by_what_is_read_off_it(library: Library) -> None:
    found = library.why("tide table of the harbour")
    assert found[0].passage.modality == "figure"


def test_neighbours_stand_in_reading_order(manuals: Library) -> None:
    jam = manuals.search("paper jams in tray 7", 1)[0]
    assert [p.heading for p in manuals.neighbours(jam)] == ["Printing", "Scanning"]
    assert [p.id for p in manuals.neighbours(jam.id, 0)] == [jam.id]
    for unknown in ("999", "x", "", "-1"):
        with pytest.raises(UserError, match="no passage"):
            manuals.neighbours(unknown)


class Backwards:
    """Thinks best of what it is given last."""

    name = "backwards"

    def rerank(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.linspace(0, 1, len(texts), dtype=np.float32)


def test_a_reranker_has_the_last_word(folder: Path, tmp_path: Path) -> None:
    plain = Library.open(tmp_path / "l", HashEmbeddings())
    plain.add(folder)
    library = Library.open(tmp_path / "l", HashEmbeddings(), Backwards())
    before, after = plain.search("paper jams in tray 2", 9), library.why("paper jams in tray 2", 9)
    assert [e.passage.id for e in after] == [p.id for p in reversed(before)]
    assert after[0].reranked == after[0].passage.score == 1.0
    assert len(library.search("paper", 1)) == 1


def test_a_retriever_for_langchain(manuals: Library) -> None:
    found = manuals.as_retriever(k=2, where=Filter(folder="old")).invoke("green button")
    assert found[0].page_content.startswith("Lay the page on the glass")
    assert found[0].metadata["source"] == "old/guide.md"
    assert found[0].metadata["heading"] == "Scanning"


class Faulty(HashEmbeddings):
    """Gives what no model should give."""

    fault = ""

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        vectors = super().encode_query(texts)
        if self.fault == "nan":
            vectors[0, 0] = np.nan
        return vectors[:, :-1] if self.fault == "short" else vectors


@pytest.mark.parametrize("fault", ["nan", "short"])
def test_a_model_that_gives_bad_vectors(folder: Path, tmp_path: Path, fault: str) -> None:
    model = Faulty()
    library = Library.open(tmp_path / "l", model)
    library.add(folder / "guide.md")
    before = library.sources()
    model.fault = fault
    for work in (lambda: library.add(folder), lambda: library.search("paper")):
        with pytest.raises(ModelOutputError, match="finite"):
            work()
    model.fault = ""
    assert library.sources() == before and library.search("paper")


def test_an_empty_library_finds_nothing(shelf: Library, tmp_path: Path) -> None:
    assert shelf.search("anything") == () == shelf.why("anything")
    (tmp_path / "bad.pdf").write_bytes(b"no pdf")
    shelf.add(tmp_path / "bad.pdf")
    assert not shelf.exists and shelf.search("anything") == ()
    (tmp_path / "good.txt").write_text("The ferry leaves from pier four.")
    shelf.add(tmp_path / "good.txt")
    shelf.remove(tmp_path / "good.txt")
    assert shelf.exists and shelf.search("anything") == ()
    assert shelf.stats().passages == 0 and shelf.stats().search == ""
