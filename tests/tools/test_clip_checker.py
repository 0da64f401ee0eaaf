"""CLIP as a checker, on a tiny model of random weights: the scores are transformers' own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from limner.errors import ModelError, ModelMissing
from limner.tests.tiny_clip import clip_model
from limner.tools.clip_checker import LIKELY, ClipChecker, foils

Paint = Callable[[str], Image.Image]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_model(tmp_path_factory.mktemp("clip"), scale=4.6)


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One to which nothing is much likelier than anything else."""
    return clip_model(tmp_path_factory.mktemp("clip"), scale=1.0)


def directly(folder: Path, picture: Image.Image, texts: list[str]) -> Any:
    """Transformers' two halves, one after the other."""
    import torch
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    model = CLIPModel.from_pretrained(folder).eval()
    pixels = CLIPImageProcessor.from_pretrained(folder)(picture, return_tensors="pt")
    tokens = CLIPTokenizer.from_pretrained(folder)(texts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        seen = model.vision_model(**pixels).pooler_output
        read = model.text_model(**tokens).pooler_output
        seen, read = model.visual_projection(seen)[0], model.text_projection(read)
        cosines = torch.nn.functional.cosine_similarity(seen, read)
        return (cosines * model.logit_scale.exp()).softmax(-1)


@pytest.mark.parametrize("words", ["a red boat", "a lighthouse at dusk"])
def test_the_likelihood_is_that_of_transformers(doubtful: Path, paint: Paint, words: str) -> None:
    checker, picture = ClipChecker.load(str(doubtful)), paint("boat")
    others = foils(words)
    expected = directly(doubtful, picture, [words, *others])
    assert checker.likely(picture, words, others) == pytest.approx(float(expected[0]), rel=1e-4)
    assert expected[0] > 1e-3  # or the comparison would hold for much


def test_what_is_likelier_than_all_the_others_is_shown(folder: Path, paint: Paint) -> None:
    checker, picture = ClipChecker.load(str(folder)), paint("boat")
    found = {w: checker.shows(picture, w) for w in foils("nothing")}
    expected = {w: checker.likely(picture, w, foils(w)) >= LIKELY for w in found}
    assert found == expected
    best = max(found, key=lambda w: checker.likely(picture, w, foils(w)))
    worst = min(found, key=lambda w: checker.likely(picture, w, foils(w)))
    assert (found[best], found[worst]) == (True, False)  # the tiny model prefers one sentence


def test_foils_that_name_the_same_thing_are_left_out() -> None:
    everything = foils("a xylophone")
    assert len(everything) > 15
    left = foils("Two dogs in a castle")
    assert set(everything) - set(left) == {"a dog running on a beach", "a castle on a hill"}


def test_words_of_any_length_and_pictures_of_any_mode_are_taken(folder: Path) -> None:
    checker = ClipChecker.load(str(folder))
    for mode, size in (("L", (3, 900)), ("RGBA", (1, 1)), ("P", (50, 20))):
        checker.shows(Image.new(mode, size), "a boat " * 500)


def test_a_folder_that_is_none_is_named(tmp_path: Path, folder: Path, paint: Paint) -> None:
    with pytest.raises(ModelMissing, match="no such folder"):
        ClipChecker.load(str(tmp_path / "nowhere"))
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="no CLIP that can be loaded"):
        ClipChecker.load(str(tmp_path)).shows(paint("x"), "a boat")
