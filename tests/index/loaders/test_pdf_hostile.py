"""PDFs that are locked, damaged, too large or read by several threads at once."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from limner.errors import SourceError
from limner.index.loaders import Block, load, pdf
from limner.tools.media import MediaStore

Load = Callable[..., list[Block]]

PROSE = (
    "The laser cutter stands in the quiet room",
    "and every member may book one hour of it",
    "before the workshop closes for the night.",
)


def disc() -> Image.Image:
    image = Image.new("RGB", (120, 120), "white")
    ImageDraw.Draw(image).ellipse((5, 5, 115, 115), "navy")
    return image


def test_encrypted(write_pdf: Callable[..., Path], sheet: Any, media: MediaStore) -> None:
    lock = "/V 1 /R 2 /Length 40 /P -4 /Filter /Standard "
    lock += f"/O <{'41' * 32}> /U <{'42' * 32}>"
    path = write_pdf(
        sheet().text(50, 50, "secret"), trailer=f"/Encrypt << {lock} >> /ID [<00> <00>]"
    )
    with pytest.raises(SourceError, match="encrypted") as caught:
        load(path, media)
    assert str(path) in str(caught.value)
    assert caught.value.hint == "save a copy without a password"


def test_damaged(write_pdf: Callable[..., Path], sheet: Any, media: MediaStore) -> None:
    path = write_pdf(sheet().text(50, 50, "words"))
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    with pytest.raises(SourceError, match=re.escape(str(path))):
        load(path, media)
    path.write_bytes(whole[: whole.index(b"startxref")])  # pdfium finds its way without
    assert load(path, media)[0].text == "words"


def test_no_pages_and_no_text(
    write_pdf: Callable[..., Path], sheet: Any, media: MediaStore
) -> None:
    with pytest.raises(SourceError):
        load(write_pdf(), media)
    with pytest.raises(SourceError, match="no text found"):
        load(write_pdf(sheet()), media)


def test_too_many_pages(
    write_pdf: Callable[..., Path], sheet: Any, media: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "MAX_PAGES", 2)
    with pytest.raises(SourceError, match="3 pages, more than 2"):
        load(write_pdf(*[sheet().text(50, 50, "words")] * 3), media)


def test_an_enormous_page_is_rendered_small(load_pdf: Load, sheet: Any, media: MediaStore) -> None:
    page = sheet(14400, 14400).text(200, 14000, "Figure 1: A very large disc", 200)
    page.image(1000, 1000, 10000, 10000, disc())
    (figure,) = [b for b in load_pdf(page) if b.kind == "figure"]
    assert figure.image is not None
    picture = media.open(figure.image)
    assert picture.width * picture.height <= 6_100_000


def test_a_picture_of_too_many_pixels_is_not_decoded(load_pdf: Load, sheet: Any) -> None:
    head = "/Width 60000 /Height 60000 /ColorSpace /DeviceGray"
    page = sheet().lines(50, 60, *PROSE).raw_image(60, 120, 150, 150, b"x\x9c\x03\0", head)
    started = time.perf_counter()
    assert [b.kind for b in load_pdf(page)] == ["paragraph"]
    assert time.perf_counter() - started < 2


def test_threads_take_turns(write_pdf: Callable[..., Path], sheet: Any, media: MediaStore) -> None:
    path = write_pdf(*[sheet().lines(50, 60, *PROSE).image(60, 120, 99, 99, disc())] * 5)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(load(path, media)))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [6] * 6  # five paragraphs and the disc once
