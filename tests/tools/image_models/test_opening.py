"""From a folder to the class that draws with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.errors import LimnerError, ModelError, ModelMissing, UserError
from limner.tests.tiny_image_models import image_model
from limner.tests.tiny_janus import janus
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.janus import Janus
from limner.tools.image_models.opening import open_model
from limner.tools.model_files import snapshot


def test_folders_of_diffusers_and_of_janus(tmp_path: Path) -> None:
    base = image_model(tmp_path / "base", "sdxl")
    refiner = image_model(tmp_path / "refiner", "sdxl_refiner")
    words = janus(tmp_path / "janus")
    assert isinstance(open_model(str(base)), Diffusion)
    assert open_model(f"{base} + {refiner}").name == "base + refiner"
    assert isinstance(open_model(str(words)), Janus)
    with pytest.raises(UserError, match="no refiner"):
        open_model(f"{words} + {refiner}")
    with pytest.raises(LimnerError, match="draws nothing by itself"):
        open_model(str(refiner))


@pytest.mark.parametrize("name", ["m/sdxl +", "+ m/sdxl", "+", " + ", "a/b + c/d + e/f", "a/b + "])
def test_a_plus_without_a_model_beside_it(name: str) -> None:
    with pytest.raises(UserError, match="before the \\+") as told:
        open_model(name)
    assert "BASE + REFINER" in told.value.hint


@pytest.mark.parametrize("name", ["m/sd xl", "m/-sdxl", "m/a--b", "m\n/x", "m/" + "x" * 200])
def test_a_name_that_no_model_can_have(name: str) -> None:
    with pytest.raises(ModelMissing, match="no model of the hub"):
        open_model(name)
    with pytest.raises(ModelMissing, match="no model of the hub"):
        snapshot(name)


def test_janus_as_it_was_published_is_told_what_to_take(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "multi_modality"}')
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match="published form") as told:
        open_model(str(tmp_path))
    assert "deepseek-community" in told.value.hint
