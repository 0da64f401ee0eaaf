"""Coordinates in a draft become boxes, where it is certain on which picture."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from limner.agent.pointing import pointed
from limner.agent.state import Attachment, fresh
from limner.tools.chat_models.families import family_of
from limner.tools.media import MediaStore

EYES = "<|object_ref_start|>the [eyes]<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|>"


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media")


def work(media: MediaStore, family: str = "qwen2_vl") -> Any:
    return SimpleNamespace(chat_model=SimpleNamespace(family=family_of(family)), media=media)


def state(media: MediaStore, pictures: int) -> Any:
    reference = media.put(Image.new("RGB", (500, 200), "white"))
    shots = tuple(Attachment(reference, f"{n}.png") for n in range(pictures))
    return fresh("What is this?", shots)


def test_a_place_becomes_a_slot_and_its_box(media: MediaStore) -> None:
    text, (found,) = pointed(f"Look at {EYES}.", [(504, 196)], state(media, 1), work(media))
    assert text == "Look at the [eyes].\n[[mark a1: the (eyes)]]"
    assert (found.target, found.words) == ("a1", "the (eyes)")
    assert found.boxes == ((50.0, 40.0, 150.0, 80.0),)


@pytest.mark.parametrize("pictures", [0, 2])
def test_of_several_pictures_none_is_marked(media: MediaStore, pictures: int) -> None:
    assert pointed(EYES, [], state(media, pictures), work(media)) == (EYES, ())


@pytest.mark.parametrize("names", [["eyes"] * 20, [f"eye {n}" for n in range(20)]])
def test_a_model_that_repeats_itself_draws_twelve_boxes(
    media: MediaStore, names: list[str]
) -> None:
    draft = "\n".join(EYES.replace("eyes", name) for name in names)
    _, found = pointed(draft, [], state(media, 1), work(media))
    assert sum(len(place.boxes) for place in found) == 12
