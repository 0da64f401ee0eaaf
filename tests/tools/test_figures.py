from __future__ import annotations

import pytest
from PIL import Image, ImageChops

from limner.tools.figures import crop, is_blank, mark


def test_a_mark_is_a_frame_around_the_box_on_a_copy() -> None:
    image = Image.new("RGB", (200, 100), "white")
    marked = mark(image, [(50, 40, 120, 60)])
    assert is_blank(image)  # the original is unchanged
    changed = ImageChops.difference(image, marked).getbbox()
    assert changed is not None
    x0, y0, x1, y1 = changed
    assert x0 <= 50 and y0 <= 40 and x1 >= 120 and y1 >= 60
    assert x0 > 35 and y0 > 25 and x1 < 135 and y1 < 75
    assert marked.crop((52, 42, 118, 58)).getcolors() == [(66 * 16, (255, 255, 255))]  # inside free


def test_a_mark_at_the_edge_or_outside_stays_within() -> None:
    image = Image.new("RGB", (50, 50), "white")
    assert mark(image, [(-20, -20, 500, 500)]).size == (50, 50)
    assert mark(image, [(900, 900, 950, 950)]).size == (50, 50)


def test_a_crop_is_the_box() -> None:
    image = Image.linear_gradient("L").convert("RGB")
    cut = crop(image, (10, 20, 30, 60))
    assert cut.size == (20, 40)
    assert cut.getpixel((0, 0)) == image.getpixel((10, 20))
    with pytest.raises(ValueError, match="outside"):
        crop(image, (900, 900, 950, 950))


@pytest.mark.parametrize("colour", ["white", "black", (120, 33, 200)])
def test_blank_is_blank(colour: object) -> None:
    assert is_blank(Image.new("RGB", (300, 200), colour))  # type: ignore[arg-type]


def test_a_line_of_text_is_not_blank() -> None:
    image = Image.new("RGB", (300, 200), "white")
    image.paste("black", (20, 20, 280, 30))
    assert not is_blank(image)
