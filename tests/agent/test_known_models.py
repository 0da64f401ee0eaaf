"""Fetching a model: what came must be what is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.agent import known_models
from limner.errors import ModelMissing
from limner.tests.tiny_image_models import image_model

NAME = "someone/something"


@pytest.mark.parametrize("file", ["pytorch_model.bin", "config.json"])
def test_a_model_without_safetensors_is_refused_when_it_is_fetched(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(name: str, revision: str | None) -> None:
        folder = tmp_path / "models--someone--something" / "snapshots" / "main"
        folder.mkdir(parents=True)
        (folder / file).write_bytes(b"{}")

    monkeypatch.setattr(known_models, "_fetched", fetched)
    monkeypatch.setattr(known_models, "cache_folder", lambda: tmp_path)
    with pytest.raises(ModelMissing, match="no safetensors weights"):
        known_models.pull(NAME)


def test_what_an_image_model_lacks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_models, "cache_folder", lambda: tmp_path / "cache")
    place = known_models.place_of("stabilityai/stable-diffusion-xl-base-1.0")
    assert not place.here and "model_index.json" in place.missing
    assert "config.json" in known_models.place_of("deepseek-community/Janus-Pro-1B").missing
    folder = image_model(tmp_path / "sd15", "sd15")
    assert known_models.place_of(str(folder)).here
    next((folder / "vae").glob("*.safetensors")).unlink()
    assert known_models.place_of(str(folder)).missing == ("vae/*.safetensors",)
