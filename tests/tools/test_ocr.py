"""Rows of lines, and what is read off real pixels."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from limner.tools import ocr
from limner.tools.ocr import Line, read_lines, rows


def painted(
    words: dict[tuple[int, int], str], size: tuple[int, int], letters: int = 26
) -> Image.Image:
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(letters)
    for place, text in words.items():
        pen.text(place, text, "black", font)
    return image


def line(text: str, x0: float, y0: float, x1: float, y1: float) -> Line:
    return Line(text, (x0, y0, x1, y1), 0.9)


def test_line_survives_a_round_trip() -> None:
    original = Line("words", (1.0, 2.0, 3.0, 4.0), 0.5)
    values = original.to_dict()
    values["box"] = list(values["box"])  # as JSON gives it back
    assert Line.from_dict(values) == original
    assert hash(Line.from_dict(values)) == hash(original)


def test_rows_stand_side_by_side() -> None:
    label, value = line("User", 10, 50, 60, 70), line("m.okafor", 200, 48, 300, 69)
    title, low = line("Sign in", 10, 10, 90, 40), line("OK", 200, 90, 230, 110)
    assert rows([value, low, label, title]) == [[title], [label, value], [low]]
    assert rows([]) == []


def test_what_stands_below_is_another_row() -> None:
    tall = line("65 %", 10, 0, 100, 70)
    upper, lower = line("Power", 120, 28, 200, 48), line("of the laser", 120, 50, 260, 68)
    assert rows([tall, upper, lower]) == [[tall, upper], [lower]]


def test_reads_lines_with_boxes_in_reading_order() -> None:
    image = painted(
        {(40, 30): "Cannot connect to VPN", (40, 100): "Error 809", (420, 102): "Try again"},
        (640, 180),
    )
    found = read_lines(image)
    assert [found_line.text for found_line in found] == [
        "Cannot connect to VPN",
        "Error 809",
        "Try again",
    ]
    x0, y0, x1, y1 = found[1].box
    assert 30 < x0 < 50 and 90 < y0 < 115 and 140 < x1 < 190 and 115 < y1 < 145
    assert all(0.6 <= found_line.score <= 1 for found_line in found)


def test_breadcrumbs_stay_upright() -> None:
    words = "Settings > Network & Internet > VPN"
    (found,) = read_lines(painted({(30, 30): words}, (640, 90)))
    assert found.text.replace(" ", "") == words.replace(" ", "")


def test_white_on_dark() -> None:
    image = Image.eval(
        painted({(40, 30): "LOCKED E-26"}, (400, 100), 36), lambda level: 255 - level
    )
    assert "".join(found.text.replace(" ", "") for found in read_lines(image)) == "LOCKEDE-26"


def test_a_picture_on_its_head_is_turned() -> None:
    image = painted({(40, 30): "The laser cutter stands", (40, 100): "in room four"}, (500, 160))
    upright, turned = read_lines(image), read_lines(image.rotate(180))
    assert [found.text for found in turned] == ["in room four", "The laser cutter stands"]
    x0, y0, x1, y1 = upright[0].box
    box = turned[1].box
    assert box == pytest.approx((500 - x1, 160 - y1, 500 - x0, 160 - y0), abs=6)


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (900, 2), (9, 9)])
def test_tiny_pictures_are_not_read(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "_engine", None)
    assert read_lines(Image.new("RGB", size, "white")) == ()


def test_a_blank_picture() -> None:
    assert read_lines(Image.new("RGB", (20, 200), "white")) == ()


def test_a_tall_strip_is_not_blown_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def engine(pixels: Any, **options: Any) -> SimpleNamespace:
        sizes.append(pixels.shape[1::-1])
        return SimpleNamespace(boxes=None, txts=None)

    monkeypatch.setattr(ocr, "_engine", lambda: engine)
    read_lines(Image.new("RGB", (20, 3000), "white"))
    read_lines(Image.new("RGB", (9000, 8000), "white"))
    assert sizes[0] == (1000, 3000)  # the engine would scale 20 pixels to 736
    assert sizes[1][0] * sizes[1][1] <= 4_010_000


def test_a_toolbar_is_not_overlooked() -> None:
    words = "File  Edit  View  Insert  Format  Tools"
    (found,) = read_lines(painted({(30, 20): words}, (1500, 50), 14))
    assert found.text.split() == words.split()


def test_other_modes() -> None:
    image = painted({(40, 30): "Print queue"}, (300, 90)).convert("L")
    assert [found.text for found in read_lines(image)] == ["Print queue"]


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes of what an engine was given that takes each black bar for a line."""
    sizes: list[tuple[int, int]] = []

    def engine(pixels: Any, **options: Any) -> SimpleNamespace:
        height, width, _ = pixels.shape
        sizes.append((width, height))
        dark = pixels[:, :, 0] < 128
        edges = np.flatnonzero(np.diff(dark.any(axis=1), prepend=False, append=False))
        quads = []
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            inked = np.flatnonzero(dark[(a + b) // 2])
            quads.append([(inked[0], a), (inked[-1], a), (inked[-1], b), (inked[0], b)])
        return SimpleNamespace(boxes=quads, txts=["bar"] * len(quads), scores=[1.0] * len(quads))

    monkeypatch.setattr(ocr, "_engine", lambda: engine)
    return sizes


def test_a_whole_web_page_is_read_in_bands(pieces: list[tuple[int, int]]) -> None:
    page = Image.new("RGB", (900, 20_000), "white")
    tops = range(30, 19_900, 90)
    for top in tops:
        page.paste("black", (100, top, 300, top + 20))
    found = read_lines(page)
    assert [line.box[1] for line in found] == pytest.approx(list(tops), abs=2)  # each bar once
    assert all(line.box[3] - line.box[1] == pytest.approx(20, abs=2) for line in found)
    assert all(width >= 850 and height * width <= 4_010_000 for width, height in pieces)


def test_boxes_of_a_large_picture_are_in_its_own_pixels(pieces: list[tuple[int, int]]) -> None:
    photo = Image.new("RGB", (6000, 4000), "white")
    photo.paste("black", (1000, 2000, 3000, 2300))
    (found,) = read_lines(photo)
    assert found.box == pytest.approx((1000, 2000, 3000, 2300), abs=6)
    (piece,) = pieces
    assert piece[0] * piece[1] <= 4_010_000


def test_threads_share_one_engine() -> None:
    image = painted({(40, 30): "Print queue"}, (300, 90))
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.extend(line.text for line in read_lines(image)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["Print queue"] * 3
