from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from limner.index.loaders import Block
from limner.tools.media import MediaStore

Load = Callable[..., list[Block]]

PROSE = (
    "The laser cutter stands in the quiet room",
    "and every member may book one hour of it",
    "before the workshop closes for the night.",
)
MORE = (
    "A second paragraph has its own three lines",
    "which say nothing that anybody would want",
    "to know about any machine in the building.",
)


def texts(blocks: list[Block], kind: str = "paragraph") -> list[str]:
    return [block.text for block in blocks if block.kind == kind]


def disc(size: int = 120, colour: str = "navy") -> Image.Image:
    image = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(image).ellipse((5, 5, size - 5, size - 5), colour)
    return image


def close(box: Any, expected: tuple[float, float, float, float], within: float = 4) -> bool:
    return all(abs(a - b) <= within for a, b in zip(box, expected, strict=True))


def test_headings_paragraphs_and_boxes(load_pdf: Load, sheet: Any) -> None:
    page = sheet().text(50, 60, "Machines", 20).text(50, 90, "Rooms", 14)
    page.lines(50, 110, *PROSE).lines(50, 160, *MORE)
    blocks = load_pdf(page)
    assert [(b.kind, b.level, b.page) for b in blocks] == [
        ("heading", 1, 1),
        ("heading", 2, 1),
        ("paragraph", 0, 1),
        ("paragraph", 0, 1),
    ]
    assert texts(blocks) == [" ".join(PROSE), " ".join(MORE)]
    assert close(blocks[2].box, (50, 101, 240, 137), 6)  # origin top left, in points


def test_bold_line_is_a_heading_but_a_bold_lead_is_not(load_pdf: Load, sheet: Any) -> None:
    page = sheet().text(50, 60, "Opening hours", font="F2").lines(50, 75, *PROSE)
    page.draw("BT /F2 10 Tf 50 360 Td (Note.) Tj /F1 10 Tf ( " + PROSE[0] + ") Tj ET")
    page.text(50, 152, PROSE[1]).text(50, 200, "A short line")
    blocks = load_pdf(page)
    assert texts(blocks, "heading") == ["Opening hours"]
    assert texts(blocks)[1:] == [f"Note. {PROSE[0]} {PROSE[1]}", "A short line"]


def test_smaller_type_within_a_line_does_not_break_the_paragraph(
    load_pdf: Load, sheet: Any
) -> None:
    page = sheet().text(50, 60, PROSE[0])
    page.draw("BT /F3 7 Tf 50 428 Td (config.ini) Tj /F1 10 Tf ( holds the rest of it) Tj ET")
    page.text(50, 84, "and nothing else.")
    assert texts(load_pdf(page)) == [
        f"{PROSE[0]} config.ini holds the rest of it and nothing else."
    ]


def test_hyphens_at_line_ends(load_pdf: Load, sheet: Any) -> None:
    page = sheet().lines(
        50, 60, "The router has its own ventila-", "tion and a self-", "Test mode."
    )
    assert texts(load_pdf(page)) == ["The router has its own ventilation and a self-Test mode."]


def test_items_lose_their_bullet_and_keep_their_number(load_pdf: Load, sheet: Any) -> None:
    page = sheet().lines(50, 60, "\x95 Close the lid", "\x95 Open the valve and", "  wait for it")
    page.marks = [m.replace("\x95", "\\225") for m in page.marks]  # WinAnsi's bullet
    page.text(50, 120, "1. Press the button").text(50, 132, "2. Wait")
    page = page.lines(50, 160, "- Dash item one", "- Dash item two")
    blocks = load_pdf(page)
    assert "1. Press the button" in texts(blocks, "item")
    assert "Dash item two" in texts(blocks, "item")


@pytest.mark.parametrize("order", ["rows", "right first", "one piece"])
def test_two_columns_are_read_one_after_the_other(load_pdf: Load, sheet: Any, order: str) -> None:
    left = [f"left column says number {n} of them" for n in range(8)]
    right = [f"right column says number {n} of it" for n in range(8)]
    page = sheet(500).text(150, 40, "A title across both columns", 16)
    if order == "rows":  # both columns on one baseline, one line after the other
        for n in range(8):
            page.text(40, 80 + 12 * n, left[n]).text(270, 80 + 12 * n, right[n])
    elif order == "right first":
        page.lines(270, 80, *right).lines(40, 80, *left)
    else:
        page.lines(40, 80, *left).lines(270, 80, *right)
    page.text(40, 200, "Footnote that crosses the gutter between the two columns of this page")
    page.text(40, 216, "Last words.", 8)
    assert texts(load_pdf(page))[:2] == [" ".join(left), " ".join(right)]


def test_table_rows_carry_the_names_of_their_columns(load_pdf: Load, sheet: Any) -> None:
    page = sheet().lines(50, 60, *PROSE)
    for n, row in enumerate([("Room", "Machine", "Price"), ("3", "saw", "5"), ("4", "laser", "9")]):
        for column, words in enumerate(row):
            page.text(50 + 90 * column, 120 + 15 * n, words)
    for n, (name, value) in enumerate([("Server", "vpn.example"), ("User", "m.okafor")]):
        page.text(50, 200 + 15 * n, name).text(150, 200 + 15 * n, value)
    assert texts(load_pdf(page), "row") == [
        "Room: 3; Machine: saw; Price: 5",
        "Room: 4; Machine: laser; Price: 9",
        "Server: vpn.example",
        "User: m.okafor",
    ]


def test_contents_lines_are_rows(load_pdf: Load, sheet: Any) -> None:
    page = sheet().lines(50, 60, "Safety . . . . . . . . . 4", "Machines ............. 17")
    assert texts(load_pdf(page), "row") == ["Safety: 4", "Machines: 17"]


def test_running_headers_and_page_numbers_go(load_pdf: Load, sheet: Any) -> None:
    pages = []
    for number in range(1, 5):
        page = sheet().text(50, 20, "The handbook of the workshop", 8)
        page.text(300, 20, f"Chapter of {'abcd'[number - 1]} {number + 6}", 8)
        pages.append(page.lines(50, 60, f"Page {number} has words.").text(200, 485, str(number)))
    assert texts(load_pdf(*pages)) == [f"Page {n} has words." for n in range(1, 5)]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_boxes_are_those_of_the_page_as_shown(load_pdf: Load, sheet: Any, rotate: int) -> None:
    # Text that is upright once the page is turned, its first letter 60 from the left, 70 down.
    shown = (400, 500) if rotate in (0, 180) else (500, 400)
    matrix = {
        0: f"1 0 0 1 60 {500 - 70}",
        90: "0 1 -1 0 70 60",
        180: f"-1 0 0 -1 {400 - 60} 70",
        270: f"0 -1 1 0 {400 - 70} {500 - 60}",
    }[rotate]
    page = sheet(rotate=rotate).draw(f"BT /F1 10 Tf {matrix} Tm (Words on a turned page) Tj ET")
    (block,) = load_pdf(page)
    assert block.text == "Words on a turned page"
    assert close(block.box, (60, 62, 167, 73))
    assert block.box is not None and block.box[2] < shown[0]


def test_crop_box_moves_the_origin(load_pdf: Load, sheet: Any) -> None:
    page = sheet(crop=(30, 40, 380, 460)).text(50, 100, "Words on a cropped page")
    (block,) = load_pdf(page)
    assert close(block.box, (20, 51, 133, 62))  # 30 off the left, 500 - 460 off the top


def test_text_set_sideways_is_read_and_its_box_mapped_back(
    load_pdf: Load, sheet: Any, media: MediaStore
) -> None:
    page = sheet()
    for n, words in enumerate(PROSE):  # running upwards, the first line leftmost
        page.draw(f"BT /F1 10 Tf 0 1 -1 0 {60 + 12 * n} 100 Tm ({words}) Tj ET")
    halves = Image.new("RGB", (100, 100), "blue")
    halves.paste("red", (0, 0, 100, 50))
    page.image(0, 0, 0, 0, halves)
    page.marks[-1] = "q 0 120 -120 0 260 100 cm /Im1 Do Q"
    block, figure = load_pdf(page)
    assert block.text == " ".join(PROSE)
    assert close(block.box, (52, 210, 87, 400), 8)
    assert close(figure.box, (140, 280, 260, 400), 6)
    picture = media.open(str(figure.image))
    assert picture.getpixel((150, 40)) == (255, 0, 0)  # upright, as the text is
    assert picture.getpixel((150, picture.height - 40)) == (0, 0, 255)


def chart(page: Any, x: float, y: float) -> None:
    """Axes, bars, a curve and labels: 200 wide and 120 high, its labels outside of it."""
    foot = page.height - y - 120
    page.draw(f"{x} {foot} m {x} {foot + 120} l S {x} {foot} m {x + 200} {foot} l S")
    for n in range(4):
        page.box(x + 20 + 45 * n, y + 90 - 20 * n, 25, 30 + 20 * n, "f")
        page.text(x + 22 + 45 * n, y + 130, f"G{n}", 8)
    page.draw(f"1 0 0 RG {x} {foot} m {x + 50} {foot + 90} {x + 150} {foot + 20} ")
    page.draw(f"{x + 200} {foot + 110} c S 0 0 0 RG")
    page.text(x - 14, y + 62, "dB", 8)


def test_vector_chart_is_cut_out_with_labels_without_caption(
    load_pdf: Load, sheet: Any, media: MediaStore
) -> None:
    page = sheet().lines(50, 50, *PROSE)
    chart(page, 80, 110)
    caption = "Figure 2: Sound level of each machine."
    page.text(80, 262, caption, 8).lines(50, 300, "Figure 2 compares the machines.", *MORE)
    blocks = load_pdf(page)
    (figure,) = [b for b in blocks if b.kind == "figure"]
    assert figure.text == caption
    assert texts(blocks) == [" ".join(PROSE), " ".join(("Figure 2 compares the machines.", *MORE))]
    assert [b.kind for b in blocks] == ["paragraph", "figure", "paragraph"]
    assert figure.box is not None and figure.image is not None
    assert close(figure.box, (62, 106, 284, 246), 8)  # from "dB" to the end of the x axis
    picture = media.open(figure.image)
    assert picture.width == pytest.approx((figure.box[2] - figure.box[0]) * 2.5, abs=3)
    assert picture.getpixel((5, 5)) == (255, 255, 255)
    red = sum(r > 150 and g < 100 for r, g, _ in picture.get_flattened_data())  # the curve
    assert red > 100


def test_a_sentence_about_a_figure_is_no_caption(load_pdf: Load, sheet: Any) -> None:
    page = sheet().lines(50, 50, *PROSE)
    chart(page, 80, 110)
    page.lines(50, 270, "Figure 2 compares the machines of the room", *PROSE)
    blocks = load_pdf(page)
    assert [b.text for b in blocks if b.kind == "figure"] == [""]
    assert texts(blocks)[-1].startswith("Figure 2 compares")


def test_a_background_is_no_part_of_a_figure(load_pdf: Load, sheet: Any) -> None:
    page = sheet().draw("1 1 0.9 rg").box(0, 0, 400, 500, "f").draw("0 g").lines(50, 50, *PROSE)
    chart(page, 80, 110)
    page.text(80, 262, "Figure 2: On yellow paper.", 8)
    (figure,) = [b for b in load_pdf(page) if b.kind == "figure"]
    assert close(figure.box, (62, 106, 284, 246), 8)


def test_what_a_clip_hides_is_no_part_of_a_figure(load_pdf: Load, sheet: Any) -> None:
    page = sheet().lines(50, 60, *PROSE)
    page.draw("q 80 220 200 120 re W n 80 0 m 120 900 200 900 280 0 c S 80 220 m 280 339 l S Q")
    page.draw("80 220 200 120 re S")
    page.text(80, 295, "Figure 1: A curve that leaves its frame.", 8).lines(50, 340, *MORE)
    blocks = load_pdf(page)
    (figure,) = [b for b in blocks if b.kind == "figure"]
    assert close(figure.box, (80, 160, 280, 280), 8)
    assert texts(blocks) == [" ".join(PROSE), " ".join(MORE)]


def test_white_around_a_picture_is_cut_off(load_pdf: Load, sheet: Any, media: MediaStore) -> None:
    wide = Image.new("RGB", (200, 200), "white")
    wide.paste(disc(100), (50, 50))
    (figure,) = load_pdf(sheet().image(100, 100, 200, 200, wide))
    assert close(figure.box, (155, 155, 245, 245), 6)
    assert media.open(str(figure.image)).size == pytest.approx((245, 245), abs=12)


def test_two_drawings_above_one_caption_are_one_figure(load_pdf: Load, sheet: Any) -> None:
    page = sheet()
    page.image(60, 60, 100, 90, disc()).image(180, 60, 100, 90, disc(100, "green"))
    page.text(100, 165, "Figure 1: Two discs.", 8)
    (figure,) = load_pdf(page)
    assert figure.text == "Figure 1: Two discs."
    assert close(figure.box, (60, 60, 280, 150), 8)


def test_a_form_from_another_program_is_one_figure(load_pdf: Load, sheet: Any) -> None:
    operators = "0 0 80 60 re S 10 10 m 20 50 60 0 70 50 c S BT /F1 6 Tf 30 64 Td (Title) Tj ET"
    page = sheet().lines(50, 60, *PROSE).form(80, 280, 2, operators)
    page.text(80, 300, "Fig. 4. A curve in a frame", 8)
    blocks = load_pdf(page)
    (figure,) = [b for b in blocks if b.kind == "figure"]
    assert figure.text == "Fig. 4. A curve in a frame"
    assert close(figure.box, (80, 142, 240, 280), 8)
    assert texts(blocks) == [" ".join(PROSE)]


def test_a_form_that_is_the_whole_page_is_looked_into(load_pdf: Load, sheet: Any) -> None:
    corners = "0 0 m 1 0 l S 199 249 m 200 249 l S 0 249 m 0 250 l S "
    page = sheet().lines(50, 300, *PROSE)
    page.form(0, 500, 2, corners + "40 150 m 60 220 80 150 120 210 c S 40 150 80 60 re S")
    page.text(80, 220, "Figure 1: A curve.", 8)
    (figure,) = [b for b in load_pdf(page) if b.kind == "figure"]
    assert close(figure.box, (80, 80, 240, 200), 8)


def test_pictures_without_caption(load_pdf: Load, sheet: Any) -> None:
    page = sheet().lines(50, 60, *PROSE).image(60, 120, 150, 150, disc())
    page.image(300, 60, 30, 30, disc(40, "red"))
    figures = [b for b in load_pdf(page) if b.kind == "figure"]
    assert len(figures) == 1  # the icon is none
    assert figures[0].text == ""
    assert close(figures[0].box, (60, 120, 210, 270), 12)


def test_photographs_stay_photographs(load_pdf: Load, sheet: Any, tmp_path: Path) -> None:
    disc(300, "teal").save(tmp_path / "disc.jpg", quality=80)
    data = (tmp_path / "disc.jpg").read_bytes()
    page = sheet().lines(50, 60, *PROSE).image(60, 120, 150, 150, disc())
    head = "/Width 300 /Height 300 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode"
    page.images = [(data, head)]
    (figure,) = [b for b in load_pdf(page) if b.kind == "figure"]
    assert figure.image is not None and figure.image.endswith(".jpg")


def test_a_logo_on_every_page_is_one_figure(load_pdf: Load, sheet: Any) -> None:
    pages = [sheet().image(250, 20, 90, 90, disc()).lines(50, 200, *PROSE) for _ in range(3)]
    assert len([b for b in load_pdf(*pages) if b.kind == "figure"]) == 1


def test_rules_frames_and_backgrounds_are_no_figures(load_pdf: Load, sheet: Any) -> None:
    page = sheet().draw("1 1 0.9 rg").box(0, 0, 400, 500, "f").draw("0 g")
    page.box(45, 70, 300, 0.5, "f").text(50, 67, "An underlined line of text")
    page.box(45, 90, 300, 100, "S").lines(50, 110, *PROSE, *MORE)  # a frame around prose
    for n in range(9):  # a table's grid and its shaded heads
        page.draw(f"50 {280 - 15 * n} m 300 {280 - 15 * n} l S {50 + 30 * n} 160 m ")
        page.draw(f"{50 + 30 * n} 280 l S 0.8 g").box(50 + 30 * n, 220, 30, 15, "f")
        page.draw("0 g").text(55, 232 + 15 * n, f"cell {n}")
    assert [b for b in load_pdf(page) if b.kind == "figure"] == []


def test_a_rounded_frame_around_prose_is_no_figure(load_pdf: Load, sheet: Any) -> None:
    page = sheet().lines(60, 100, *PROSE, *MORE, *PROSE)
    for n in range(4):  # drawn corner by corner
        page.draw(f"{50 + 80 * n} 280 m 60 290 {100 + 80 * n} 440 {120 + 60 * n} 420 c S")
    blocks = load_pdf(page)
    assert [b.kind for b in blocks if b.kind == "figure"] == []
    assert " ".join((*PROSE, *MORE, *PROSE)) in texts(blocks)


def test_scan_is_read(
    load_pdf: Load, sheet: Any, lettered: Callable[..., Image.Image], media: MediaStore
) -> None:
    scan = lettered(
        "Rules of the kiln yard", "The door stays shut until the display", "shows sixty degrees."
    )
    page = sheet(450, 200).image(0, 0, 450, 200, scan)  # 2 pixels a point
    blocks = load_pdf(sheet().lines(50, 60, *PROSE), page)
    scanned = [b for b in blocks if b.page == 2]
    words = " ".join(b.text for b in scanned)
    assert "kiln yard" in words and "sixty degrees" in words
    assert not any(b.kind == "figure" for b in scanned)
    assert scanned[0].box is not None and close(scanned[0].box[:2] * 2, (20, 20, 20, 20), 8)
    assert max(b.box[3] for b in scanned if b.box) < 120


def test_a_photograph_that_fills_a_page_is_a_figure(load_pdf: Load, sheet: Any) -> None:
    page = sheet(200, 200).image(0, 0, 200, 200, disc(200))
    (figure,) = load_pdf(page)
    assert figure.kind == "figure" and figure.box == (0, 0, 200, 200)
