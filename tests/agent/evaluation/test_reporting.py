"""The files of a report: whole, harmless, bounded."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.agent.answer import Answer, Generated, Picture, Retrieved, Text, Usage
from limner.agent.evaluation.plots import Point, Whisker, latency_svg, quality_svg, tradeoff_svg
from limner.agent.evaluation.questions import Place, Question
from limner.agent.evaluation.reporting import write_report
from limner.agent.evaluation.rows import Row
from limner.agent.evaluation.runs import Run
from limner.agent.evaluation.tables import csv_text, harmless
from limner.agent.evaluation.thumbnails import Album
from limner.errors import UserError
from limner.index.passage import Passage
from limner.tools.media import MediaStore

from .planted import question, row, rows_of, run_on_disk

BAD = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>]]>\u202egnp.exe\x1b[2J\x00\ud800"
WORD = "w" * 10_000
FIRST = "task,model,text,latency_s,input_tok,output_tok,throughput,quality_proxy"


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [v or "" for n, v in attrs if n in ("src", "href", "xlink:href", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_rows(folder: Path) -> list[Row]:
    """Rows with pictures, of which one is drawn, one gone and one of no known form."""
    store = MediaStore(folder / "media")
    drawn = store.put(Image.effect_noise((640, 400), 60).convert("RGB"))
    Image.effect_noise((300, 900), 40).convert("RGB").save(folder / "shot <b>.png")
    passage = Passage("p", BAD + WORD, BAD, 3, image=drawn)
    origin = Generated("painter " + BAD, "r1", BAD, "", 1, 2, 3.0, "euler", (640, 400))
    parts = (
        Text(f"# Heading\n\n{BAD} **bold** [1]\n\n[x](javascript:alert(3))\n\n{WORD}", (1,)),
        Picture(drawn, BAD, BAD, origin),
        Picture(drawn, "again", "", Retrieved(passage)),
        Picture("0" * 64 + ".png", "gone", "it showed this", Retrieved(passage)),
        Picture("../../etc/passwd", "none", "", Retrieved(passage)),
    )
    answer = Answer(parts, (passage,), Usage(10, 5, 3), folder=str(folder / "media"))
    asked = Question(
        BAD, f"{BAD} {WORD}", (str(folder / "shot <b>.png"), str(folder / "none.png"), "/dev/zero"),
        references=(BAD,), reference_images=(Place(BAD, 2),), category=BAD, task=BAD, document=BAD,
    )  # fmt: skip
    other = replace(asked, id="=cmd|'/c calc'!A1", category="plain", question="=1+1")
    return [
        Row(asked, 1, answer, seconds=2.0, model=BAD, scores={"contains": 0.0, BAD: 1.0}),
        Row(other, 1, None, error=BAD, seconds=9.0, model=BAD, scores={"contains": 0.0}),
    ]  # fmt: skip


@pytest.fixture
def hostile(tmp_path: Path) -> Run:
    (tmp_path / "hostile").mkdir()
    rows = hostile_rows(tmp_path / "hostile")
    return run_on_disk(tmp_path / "hostile", rows, faults=(BAD,), image_model=BAD)


def test_nothing_of_a_report_is_active(hostile: Run, tmp_path: Path) -> None:
    again = replace(hostile, folder=tmp_path / BAD.replace("/", "").replace("\0", "")[:40])
    for runs in ([hostile], [hostile, again, again]):
        table, figures, page, words = write_report(runs, tmp_path / "out")
        text = page.read_text(encoding="utf-8")
        found = Page(text)
        assert not {"script", "iframe", "object", "link", "form", "img"} & set(found.tags)
        assert "<script>alert(1)</script>" in found.text and "Heading" in found.text
        assert "\x1b" not in text and "\u202e" not in text and "\0" not in text
        for link in found.links:
            assert re.match(r"data:image/webp;base64,[\w+/=]+$|#[\w-]+$", link)
            assert not link.startswith("#") or link[1:] in found.ids
        assert len(found.ids) == len(set(found.ids))
        assert "://" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
        assert "default-src 'none'" in text and "url(" not in text and "@import" not in text
        figures_read = json.loads(figures.read_text())
        assert [one["failed"] for one in figures_read["runs"]] == [1] * len(runs)
        assert "<script" not in words.read_text() and "\x1b" not in words.read_text()
        for cells in csv.reader(io.StringIO(table.read_text(encoding="utf-8"))):
            assert not any(c.lstrip().startswith(("=", "@")) or "\x1b" in c for c in cells)


def test_the_page_holds_every_row_and_what_it_is_filtered_by(hostile: Run, tmp_path: Path) -> None:
    text = write_report([hostile], tmp_path / "out")[2].read_text(encoding="utf-8")
    found = Page(text)
    assert text.count('class="case ') == 2 and text.count(" is-failed ") == 1
    assert {"show-all", "show-failed", "show-wrong", "in-0", "in-1"} <= set(found.ids)
    assert ".rows:has(#show-failed:checked) .case:not(.is-failed)" in text
    assert found.text.count("its file is missing") >= 2  # an attachment, an answer's picture
    assert "it showed this" in found.text and "generated by painter" in found.text
    thumbnails = [link for link in found.links if link.startswith("data:")]
    assert len(thumbnails) == 2 and found.tags.count("use") == 4  # two each, kept once
    assert "more letters in results.csv" in found.text


def test_results_csv_has_the_columns_that_were_asked_for(hostile: Run, tmp_path: Path) -> None:
    asked = question(1, category="c", references=("x",))
    rows = [
        row(asked, {"contains": 1.0, "rouge_l": None, "id": 0.25}, seconds=4.0, model="-m"),
        row(asked, {"contains": 0.0}, epoch=2, error="broke"),
    ]
    text = csv_text([("one", rows)])
    assert text.startswith(FIRST + ",id,category,epoch,run,error,abstained,refused,first_text_s,")
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["task"], first["text"], first["model"]) == ("c", "About q-001.", "'-m")
    assert (first["latency_s"], first["input_tok"], first["output_tok"]) == ("4.0000", "100", "20")
    assert (first["throughput"], first["quality_proxy"]) == ("5.0000", "1.0000")
    assert (first["run"], first["epoch"], first["score id"]) == ("one", "1", "0.2500")
    assert "rouge_l" not in first
    assert (second["text"], second["error"], second["quality_proxy"]) == ("", "broke", "0.0000")
    lines = write_report([hostile], tmp_path / "out")[0].read_text().splitlines()
    assert lines[0].startswith(FIRST)


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    cell = str(harmless(text))
    if cell.lstrip()[:1] in tuple("=+-@＝＋－＠"):
        float(cell)
    assert cell.lstrip("'").strip() in text or any(ord(c) < 32 or ord(c) > 126 for c in text)


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1+1", "-1+cmd", "@SUM(A1)", "\t=1", "\n =1", "\x1b[m=1", "＝1"]
)
def test_formulas_are_disarmed(cell: str) -> None:
    assert str(harmless(cell)).startswith("'")
    assert harmless("-0.5") == "-0.5" and harmless(3) == 3


def test_two_runs_stand_side_by_side_the_worse_first(tmp_path: Path) -> None:
    asked = [question(n, category="c") for n in range(12)]
    a = run_on_disk(tmp_path / "a" / "run", rows_of([1.0] * 12, asked))
    b = run_on_disk(tmp_path / "b" / "run", rows_of([1.0] * 4 + [0.0] * 8, asked))
    _, figures, page, words = write_report([a, b], tmp_path / "out")
    read = json.loads(figures.read_text())
    assert [one["name"] for one in read["runs"]] == ["run (1)", "run (2)"]
    assert read["comparisons"][0]["has_regression"] is True
    text = page.read_text()
    assert "regression found" in text and "no regression found" not in text
    order = re.findall(r"<bdi>(q-\d+)</bdi> · ", text)
    assert order[:8] == [q.id for q in asked[4:]] and order[8:] == [q.id for q in asked[:4]]
    assert text.count(" is-worse ") == 8
    assert "| contains | 1.000 | 0.333 | -0.667" in words.read_text()


def test_runs_of_other_questions_are_reported_but_not_compared(tmp_path: Path) -> None:
    a = run_on_disk(tmp_path / "a", rows_of([1.0] * 3, [question(n) for n in range(3)]))
    b = run_on_disk(tmp_path / "b", rows_of([1.0] * 3, [question(n) for n in range(5, 8)]))
    _, figures, page, _ = write_report([a, b], tmp_path / "out")
    note = "b is not compared with a: a and b share no question"
    assert json.loads(figures.read_text())["notes"] == [note] and note in page.read_text()
    assert "was not asked this" in page.read_text()


def test_what_cannot_be_reported_is_an_error(tmp_path: Path) -> None:
    run = run_on_disk(tmp_path / "a", rows_of([1.0], [question(1)]))
    with pytest.raises(UserError, match="no rows to report"):
        write_report([replace(run, rows=())], tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_report([run], tmp_path / "file")


def test_an_unfinished_and_unscored_run_says_so(tmp_path: Path) -> None:
    run = run_on_disk(tmp_path / "a", [row(question(1)), row(question(2))])
    page = write_report([replace(run, rows=run.rows[:1])], tmp_path / "out")[2].read_text()
    assert "unfinished: 1 rows are still to come" in page and "1 rows were not scored" in page


def test_an_album_keeps_to_its_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.agent.evaluation.thumbnails._BUDGET", 30_000)
    album = Album(500)
    for n in range(3):
        path = tmp_path / f"{n}.png"
        Image.effect_noise((400, 300 + n), 80).convert("RGB").save(path)
        album.attached(str(path))
        album.attached(str(path))
    held = album.thumbnails
    assert 1 <= len(held) < 3 and album.left_out == 3 - len(held)
    assert max(held[0].width, held[0].height) == album.side == 200
    assert Album(10).side > Album(5_000).side
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    assert album.attached(str(tmp_path / "copy.png")) is held[0] is album.thumbnails[0]


numbers = st.floats(1e-4, 1e5, allow_nan=False)
shares = st.floats(0, 1)


@given(st.lists(st.tuples(numbers, shares), max_size=8))
def test_the_plots_are_whole(points: list[tuple[float, float]]) -> None:
    drawn = [
        latency_svg([(BAD, [x for x, _ in points]), ("none", [])]),
        tradeoff_svg([Point(x, y, y / 2, (1 + y) / 2, 9, BAD) for x, y in points], ["a", BAD]),
        quality_svg([(BAD, [Whisker(y, None, None, BAD), None]) for _, y in points], [BAD, "b"]),
    ]
    for svg in drawn:
        assert bool(svg) == bool(points)
        if svg:
            root = ElementTree.fromstring(svg)
            _, _, width, height = map(float, root.get("viewBox", "").split())
            for dot in root.iter("circle"):
                assert 0 <= float(dot.get("cx", "-1")) <= width
                assert 0 <= float(dot.get("cy", "-1")) <= height
