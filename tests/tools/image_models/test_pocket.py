"""The model that comes with Limner: it is there, it is small, it draws whatever it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from limner.errors import ModelMissing, UserError
from limner.examples.pocket import evaluate
from limner.tools.image_models.base import GeneratedImage, ImageModel, ImageRequest
from limner.tools.image_models.opening import open_model
from limner.tools.model_files import SHIPPED, folder_of

NAME = "pocket-sdxl"


@pytest.fixture(scope="module")
def model() -> Iterator[ImageModel]:
    yield open_model(NAME)


def drawn(model: ImageModel, prompt: str, **asked: object) -> GeneratedImage:
    request = ImageRequest(prompt, steps=4, **asked)  # type: ignore[arg-type]
    return model.generate(request, lambda step, of, preview: None)


def test_it_is_small_and_safe() -> None:
    files = [path for path in SHIPPED[NAME].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 26_000_000
    assert max(path.stat().st_size for path in files) <= 12_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".toml"}
    assert not [p for p in files if p.suffix == ".json" and "_name_or_path" in p.read_text("utf-8")]


def test_its_name_is_its_own_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).mkdir()
    monkeypatch.chdir(tmp_path)
    assert folder_of(NAME) == (SHIPPED[NAME], "")
    assert open_model(NAME).name == NAME
    assert folder_of(f"./{NAME}") == (Path(NAME), "")


def test_a_misspelt_name_is_put_right() -> None:
    with pytest.raises(ModelMissing) as caught:
        folder_of("pocket-sdlx")
    assert "pocket-sdxl" in str(caught.value.hint)


@pytest.mark.parametrize(
    "prompt",
    [
        "xqztl blorp vvvv", "猫と犬", "кошка на столе", "🐱🐱", "¿?!", "\u202eevil\u0000",
        "a red boat " * 50, "word " * 500, "a" * 10_000,
    ],
)  # fmt: skip
def test_any_words_give_a_picture(model: ImageModel, prompt: str) -> None:
    made = drawn(model, prompt)
    assert made.image.size == (64, 64) and made.model == NAME
    assert np.asarray(made.image).std() > 1  # not one colour


@pytest.mark.parametrize("prompt", ["", "  \n\t "])
def test_no_words_are_refused(model: ImageModel, prompt: str) -> None:
    with pytest.raises(UserError, match="prompt: it is empty"):
        drawn(model, prompt)


@pytest.mark.parametrize("size", [(128, 128), (64, 32), (1024, 1024), (0, 0), (63, 64)])
def test_other_sizes_are_refused_with_the_one_it_knows(
    model: ImageModel, size: tuple[int, int]
) -> None:
    with pytest.raises(UserError, match="pocket-sdxl draws 64×64 only") as told:
        drawn(model, "a boat", size=size)
    assert told.value.hint == "--size 64x64"


def test_it_starts_from_pictures_of_any_size(model: ImageModel) -> None:
    reference = Image.new("RGB", (300, 200), (40, 90, 200))
    near = drawn(model, "a fox", reference=reference, strength=0.3)
    assert near.image.size == (64, 64)
    assert np.abs(np.asarray(near.image.resize((1, 1))) - (40, 90, 200)).max() < 90
    mask = Image.new("L", (300, 200))
    mask.paste(255, (0, 0, 150, 200))
    part = drawn(model, "a fox", reference=reference, mask=mask)
    right = np.asarray(part.image)[:, 44:]
    assert np.abs(right.mean((0, 1)) - (40, 90, 200)).max() < 40


@pytest.mark.parametrize(
    ("colour", "rgb"),
    [("blue", (40, 90, 200)), ("yellow", (252, 220, 70)), ("black", (20, 20, 22))],
)
def test_a_background_has_the_colour_that_is_said(
    model: ImageModel, colour: str, rgb: tuple[int, int, int]
) -> None:
    made = drawn(model, f"a fox on a {colour} background", seed=3)
    corners = np.asarray(made.image)[[2, 2, -3, -3], [2, -3, 2, -3]]
    assert np.abs(np.median(corners, 0) - rgb).max() < 60


def test_no_library_speaks_while_it_loads(capfd: pytest.CaptureFixture[str]) -> None:
    drawn(open_model(NAME), "a fox")
    assert capfd.readouterr() == ("", "")


def test_its_seed_is_its_picture(model: ImageModel) -> None:
    one, again, other = (drawn(model, "a fox", seed=seed).image.tobytes() for seed in (1, 1, 2))
    assert one == again != other


def test_what_is_evaluated_is_what_is_drawn_unasked() -> None:
    able = open_model(NAME).capabilities
    assert (able.steps.own, able.guidance.own) == (evaluate._STEPS, evaluate._GUIDANCE)
