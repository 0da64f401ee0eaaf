from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from limner.index.loaders import Block, load
from limner.tools.media import MediaStore

Write = Callable[[str, str | bytes], Path]


def saved(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_rows_of_a_screenshot(
    write: Write, media: MediaStore, lettered: Callable[..., Image.Image]
) -> None:
    image = lettered("Cannot connect to the server", "Error 809")
    image.paste(lettered("Try again").crop((30, 30, 300, 90)), (500, 95))
    blocks = load(write("shot.png", saved(image, "PNG")), media)
    assert [block.text for block in blocks] == [
        "Cannot connect to the server",
        "Error 809  Try again",
    ]
    assert {block.kind for block in blocks} == {"screenshot"}
    assert {block.page for block in blocks} == {None}
    (reference,) = {block.image for block in blocks}
    assert reference is not None and media.open(reference).size == image.size
    assert blocks[1].box is not None
    x0, y0, x1, y1 = blocks[1].box  # pixels, around both lines
    assert x0 < 60 and 85 < y0 < 120 and x1 > 600 and y1 < 160


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", "png"), ("JPEG", "jpg"), ("GIF", "png")])
def test_a_picture_without_words_can_still_be_found(
    write: Write,
    media: MediaStore,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    suffix: str,
) -> None:
    monkeypatch.setattr("limner.index.loaders.image.read_lines", lambda image: ())
    path = write(f"empty.{kind.lower()}", saved(Image.new("RGB", (60, 40), "teal"), kind))
    (block,) = load(path, media)
    assert block == Block("screenshot", "", box=(0, 0, 60, 40), image=block.image)
    assert block.image is not None and block.image.endswith(suffix)
