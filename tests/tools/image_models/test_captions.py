"""Prompts changed in the words of the captions that a small model was trained on."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.errors import ModelError
from limner.examples.pocket.scenes import COLOURS, PLACES, SIZES
from limner.tools.image_models.captions import CAPTIONS, Captions
from limner.tools.image_models.opening import open_model
from limner.tools.model_files import SHIPPED

FOLDER = SHIPPED["pocket-sdxl"]
POCKET = Captions.read(FOLDER) or Captions()


@pytest.mark.parametrize(
    ("prompt", "wish", "changed"),
    [
        ("a fox", "bigger", "a large fox"),
        ("a large fox", "bigger", "a very large fox"),
        ("a fox", "smaller", "a small fox"),
        ("an apple", "a bit smaller", "a small apple"),
        ("a small apple", "bigger", "an apple"),
        ("a small fox", "even smaller", "a tiny fox"),
        ("a tiny fox", "smaller", "a tiny fox"),
        ("a fox", "huge", "a very large fox"),
        ("fox", "tiny", "tiny fox"), ("a big fox", "smaller", "a large fox"),
        ("a huge fox", "on a red background", "a huge fox on a red background"),
        ("a fox", "two of them", "a fox, two of them"),
        ("a fox, two of them", "three of them", "a fox, three of them"),
        ("two foxes", "three of them", "three foxes"),
        ("a fox", "on a blue background", "a fox on a blue background"),
        ("a fox on a red background", "the background light blue",
         "a fox on a light blue background"),
        ("a fox, on a cloudy red background", "with an orange background",
         "a fox on an orange background"),
        ("a fox", "to the right", "a fox on the right"),
        ("a fox on the right", "in the top left corner", "a fox in the top left corner"),
        ("a fox on a blue background, two of them", "bigger",
         "a large fox on a blue background, two of them"),
    ],
)  # fmt: skip
def test_a_change_is_worded_as_captions_word_it(prompt: str, wish: str, changed: str) -> None:
    assert POCKET.changed(prompt, wish) == changed


@pytest.mark.parametrize(
    "wish", ["night", "as a watercolour", "blue", "on a plaid background", "nine of them", "a cat"]
)
def test_what_captions_do_not_say_is_not_known(wish: str) -> None:
    assert POCKET.changed("a fox", wish) is None
    assert Captions().changed("a fox", "bigger") is None


@settings(deadline=None)
@given(st.text(), st.text())
def test_nothing_said_breaks_it(prompt: str, wish: str) -> None:
    for said in (wish, "bigger", "on a blue background", "three of them"):
        POCKET.changed(prompt, said)


def test_the_shipped_list_is_of_words_that_captions_say() -> None:
    assert open_model("pocket-sdxl").capabilities.captions == POCKET
    assert set(POCKET.sizes) == {"", "large", *SIZES}
    assert set(POCKET.places) == set(PLACES) - {"on the left"}
    assert set(POCKET.backgrounds) == set(COLOURS)


def test_a_folder_without_a_list_knows_any_words(tmp_path: Path) -> None:
    assert Captions.read(tmp_path) is None


@pytest.mark.parametrize("text", ["sizes = [", "sizes = 3", "# " + "x" * 30_000, "sizes = [[1]]"])
def test_a_list_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / CAPTIONS).write_text(text)
    with pytest.raises(ModelError, match=r"captions\.toml: cannot be read"):
        Captions.read(tmp_path)


def test_the_list_is_written_for_people() -> None:
    assert tomllib.loads((FOLDER / CAPTIONS).read_text("utf-8"))["alike"] is True
    assert "size (tiny, small, large, very large), number (two, three), pl" in POCKET.told()
