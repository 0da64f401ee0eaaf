"""Tables, contact sheets and the page of a sweep."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from limner.agent.sweep.grid import Experiment, Grid, Settings
from limner.agent.sweep.journal import Row
from limner.agent.sweep.plot import pareto_svg
from limner.agent.sweep.reporting import report
from limner.agent.sweep.results import Result, fastest, largest, pareto
from limner.agent.sweep.sheets import sheets_of

HOSTILE = "'\"><script>alert(1)</script>\x1b[2J\u202e & a lion"


def result(prompt: str, seconds: float, quality: float, steps: int = 2, side: int = 64) -> Result:
    row = Row("k", file="p.png", width=side, height=side, steps=steps, seconds=seconds,
              sharpness=quality, model="m", scheduler="euler")  # fmt: skip
    return Result(Settings(prompt, steps=steps), row)


FAILED = Result(Settings("a"), Row("f", failed="no paint"))


def test_fastest_and_largest_by_prompt() -> None:
    rows = [
        *(result("a", 3, 1, 28, 512), result("a", 1, 1, 16, 512), result("a", 4, 1, 28, 768)),
        *(result("b", 2, 1, 16, 768), result("b", 2.5, 1, 28, 256), FAILED),
    ]
    assert [(r.settings.prompt, r.row.seconds) for r in fastest(rows)] == [("a", 1), ("b", 2)]
    assert [r.row.seconds for r in largest(rows)] == [4, 2.5]  # steps before size


numbers = st.floats(0, 100, allow_nan=False)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30))
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    front = [(r.row.seconds, r.quality) for r in pareto([result("a", *p) for p in points])]

    def beaten(point: tuple[float, float]) -> bool:
        return any(o != point and o[0] <= point[0] and o[1] >= point[1] for o in points)

    assert set(front) == {point for point in points if not beaten(point)}
    assert front == sorted(front)


@settings(max_examples=300)
@given(st.lists(st.tuples(numbers, st.floats(-1e6, 1e6)), max_size=12))
@example([(0.0, 5e-324)])
@example([(0.0, -1e6), (1e-9, -1e6 + 1e-9)])
def test_the_plot_is_whole(points: list[tuple[float, float]]) -> None:
    svg = pareto_svg([FAILED, *(result(HOSTILE, *point) for point in points)])
    if not points:
        assert svg == ""
        return
    root = ElementTree.fromstring(svg)
    dots = [e for e in root.iter() if e.get("class") == "dot"]
    assert len(dots) == len(points)
    for dot in dots:
        assert 60 < float(dot.get("cx", "")) < 860 and 0 < float(dot.get("cy", "")) < 430


def experiment(**axes: tuple[object, ...]) -> Experiment:
    return Experiment("trial", tuple(axes.items()))


def test_a_sheet_for_each_combination_of_what_else_varies() -> None:
    one = experiment(size=((64, 64), (96, 64)), prompt=("a", "b"), scheduler=("euler", "dpm"),
                     steps=(1, 2, 3))  # fmt: skip
    results = {s: Result(s, Row(str(n))) for n, s in enumerate(one.settings())}
    sheets = sheets_of(one, results)
    assert [s.title for s in sheets] == [
        f"trial · size {size} · scheduler {name}"
        for size, name in product(("64×64", "96×64"), ("euler", "dpm"))
    ]
    for sheet in sheets:
        assert (sheet.row_axis, sheet.column_axis) == ("prompt", "steps")
        assert (sheet.rows, sheet.columns) == (("a", "b"), ("1", "2", "3"))
        for row, cells in zip(sheet.rows, sheet.cells, strict=True):
            for column, cell in zip(sheet.columns, cells, strict=True):
                assert cell is not None
                assert (cell.settings.prompt, str(cell.settings.steps)) == (row, column)
    shown = {cell.row.key for s in sheets for row in s.cells for cell in row if cell}
    assert len(shown) == len(results) == 24


def test_long_axes_are_cut_into_sheets() -> None:
    one = experiment(prompt=tuple(f"p{n}" for n in range(25)), seed=tuple(range(30)))
    sheets = sheets_of(one, {s: Result(s, Row("k")) for s in one.settings()})
    assert len(sheets) == 2 * 3
    assert sum(cell is not None for s in sheets for row in s.cells for cell in row) == 25 * 30


@pytest.mark.parametrize(
    "axes",
    [
        {"prompt": ("a",)},
        {"prompt": ("a", "b")},
        {"prompt": ("a",), "seed": (1, 2)},
        {"prompt": ("a",), "lora": ("", "x"), "lora_weight": (0.5, 1.0)},
        {"prompt": ("a",), "guidance": (1.0, 2.0), "steps": (3, 4)},
    ],
)
def test_every_picture_is_on_a_sheet(axes: dict[str, tuple[object, ...]]) -> None:
    one = experiment(**axes)
    results = {s: Result(s, Row(str(s))) for s in one.settings()}
    sheets = sheets_of(one, results)
    shown = {cell.row.key for s in sheets for row in s.cells for cell in row if cell}
    assert shown == {r.row.key for r in results.values()}


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_and_the_sheets(tmp_path: Path) -> None:
    one = experiment(prompt=(HOSTILE, "a boat"), steps=(2, 3))
    grid = Grid(HOSTILE, (one,))
    (tmp_path / "pictures").mkdir()
    results = []
    for n, chosen in enumerate(one.settings()):
        Image.effect_noise((96, 64), 50).convert("RGB").save(tmp_path / "pictures" / f"{n}.png")
        row = Row(str(n), file=f"pictures/{n}.png", width=96, height=64, steps=2, seconds=n + 0.5,
                  sharpness=n * 10.0, model=HOSTILE, scheduler=HOSTILE)  # fmt: skip
        results.append(Result(chosen, row))
    results[3] = Result(results[3].settings, Row("3", failed=HOSTILE))
    (tmp_path / "pictures" / "2.png").unlink()
    (tmp_path / "sheets").mkdir()
    (tmp_path / "sheets" / "007.png").write_bytes(b"of a larger grid")
    written = report(grid, results, tmp_path)
    text = written.page.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert "script" not in page.tags and page.tags.count("img") == 2
    assert "<script>alert(1)</script>" in page.text and "\x1b" not in text and "\u202e" not in text
    assert "no safety checker has looked at 3 of them" in page.text
    assert 'data-name="steps">2<' in text  # what a row says of itself where there is no heading
    assert "its file is missing" in page.text and "highest steps" in page.text.lower()
    for link in page.links:
        assert link.startswith("data:image/jpeg;base64,") or re.fullmatch(r"pictures/\d\.png", link)
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    (sheet,) = written.sheets
    assert list((tmp_path / "sheets").iterdir()) == [sheet]
    with Image.open(sheet) as image:
        assert image.width > 2 * 256 and image.height > 2 * 256
    lines = written.table.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("prompt,height,width,steps,guidance,scheduler,latency_s,image_path")
