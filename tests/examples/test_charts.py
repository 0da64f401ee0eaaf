"""The set of charts and papers: made anew it is the same, and its answers are in its documents."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from limner.agent.evaluation.formats.base import QuestionSet
from limner.agent.evaluation.reading import read_questions

SCRIPT = Path(__file__).parents[2] / "examples" / "make_charts.py"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set, written by the script as a person runs it."""
    folder = tmp_path_factory.mktemp("charts")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def charts() -> QuestionSet:
    return read_questions("charts")


def test_made_anew_it_is_the_same(made: Path, charts: QuestionSet) -> None:
    shipped = charts.path.parent
    for path in made.rglob("*"):
        there = shipped / path.relative_to(made)
        if path.suffix in (".jsonl", ".toml", ".csv", ".md", ".html"):
            assert there.read_bytes() == path.read_bytes(), path.name
        elif path.suffix == ".png":
            assert Image.open(there).size == Image.open(path).size == (640, 400)
        else:
            assert there.exists()
    assert {p.name for p in (made / "charts").iterdir()} == {
        p.name for p in (shipped / "charts").iterdir()
    }


def test_it_is_small_and_whole(charts: QuestionSet) -> None:
    folder = charts.folders[0]
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert sum(sizes.values()) + charts.path.stat().st_size < 400_000
    assert all(size <= 25_000 for name, size in sizes.items() if name.endswith(".png"))
    assert sum(name.endswith(".png") for name in sizes) == 8
    assert charts.faults == () and len(charts.questions) >= 40
    assert {question.category for question in charts.questions} == {
        "chart", "document", "figure", "pointing", "not-in-library",
    }  # fmt: skip


def test_what_it_refers_to_is_there(charts: QuestionSet) -> None:
    folder = charts.folders[0]
    for question in charts.questions:
        sources = [where.partition("#")[0] for where in question.relevant]
        sources += [place.source for place in (*question.boxes, *(question.reference_images or ()))]
        assert all((folder / source).is_file() for source in sources), question.id
        assert (not question.relevant) == (question.category in ("pointing", "not-in-library"))
        assert question.answerable is (question.category != "not-in-library")


def test_the_papers_say_what_is_asked(charts: QuestionSet) -> None:
    """All but what has to be worked out stands there word for word."""
    worked_out = {"document-12", "document-13"}
    for question in charts.questions:
        if question.category == "document" and question.id not in worked_out:
            text = page_text(charts.folders[0], question.relevant[0])
            assert any(answer in text for answer in question.references), question.id


def page_text(folder: Path, where: str) -> str:
    source, _, page = where.partition("#")
    if not page:
        return " ".join(
            re.sub(r"<[^>]+>", " ", html.unescape((folder / source).read_text())).split()
        )
    import pypdfium2

    document = pypdfium2.PdfDocument(folder / source)
    return str(document[int(page) - 1].get_textpage().get_text_bounded())


def test_the_readings_are_worked_out_right(charts: QuestionSet) -> None:
    asked = next(q for q in charts.questions if q.id == "document-12")
    village = re.search(r"did (.+) use", asked.question)
    assert village
    rows = (charts.folders[0] / "meters.csv").read_text().splitlines()
    first, *_, last = next(r for r in rows if r.startswith(village[1])).split(",")[2:]
    assert str(int(last) - int(first)) in asked.references


def test_the_boxes_hold_one_colour(charts: QuestionSet) -> None:
    """What is to be marked is a bar, and a bar is filled: to its edges, and not beyond."""
    for question in charts.questions:
        for place in question.boxes:
            assert place.box is not None
            x0, y0, x1, y1 = map(int, place.box)
            image = Image.open(charts.folders[0] / place.source).convert("RGB")
            inside = image.crop((x0 + 2, y0 + 2, x1 - 2, y1 - 2)).getcolors()
            assert inside is not None and len(inside) == 1, question.id
            colour = inside[0][1]
            beyond = [image.getpixel((x0 - 3, (y0 + y1) // 2)), image.getpixel((x1 + 3, y1 - 9))]
            assert colour not in beyond and image.getpixel(((x0 + x1) // 2, y0 - 3)) != colour


def test_the_bars_are_as_high_as_the_answers(charts: QuestionSet) -> None:
    """The July bar of the first chart, measured in pixels against its scale of 0 to 2,200."""
    asked = next(q for q in charts.questions if "ferry carry in July" in q.question)
    image = Image.open(asked.images[0]).convert("RGB")
    top, bottom = 0.15 * 400, 0.85 * 400  # of the axes
    x = round(640 * (0.13 + 0.83 * 3.5 / 6))
    bar = image.getpixel((x, 330))
    height = sum(image.getpixel((x, y)) == bar for y in range(400))
    assert height / (bottom - top) * 2200 == pytest.approx(float(asked.references[1]), rel=0.02)
