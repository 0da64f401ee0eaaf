"""From a folder to the class that draws with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.errors import LimnerError, ModelError, UserError
from limner.tests.tiny_image_models import image_model
from limner.tests.tiny_janus import janus
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.janus import Janus
from limner.tools.image_models.opening import open_model


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


def test_janus_as_it_was_published_is_told_what_to_take(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "multi_modality"}')
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ModelError, match="published form") as told:
        open_model(str(tmp_path))
    assert "deepseek-community" in told.value.hint
