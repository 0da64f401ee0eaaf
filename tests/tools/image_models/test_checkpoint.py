"""Folders that are not what they claim to be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limner.errors import ModelError, ModelMissing
from limner.tests.tools.image_models.conftest import quiet, same
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.diffusion import Diffusion

BOAT = ImageRequest("A red boat", steps=2)


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models / "sd15", tmp_path / "model"))


def edited(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rename(path: Path, name: str) -> None:
    path.rename(path.with_name(name))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


MISSING: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no index": (lambda f: (f / "model_index.json").unlink(), "model_index.json is missing"),
    "no unet": (lambda f: shutil.rmtree(f / "unet"), "is missing"),
    "no encoder": (lambda f: shutil.rmtree(f / "text_encoder"), "text_encoder is missing"),
    "no scheduler": (lambda f: shutil.rmtree(f / "scheduler"), "scheduler_config.json is missing"),
    "no tokenizer": (lambda f: (f / "tokenizer/tokenizer.json").unlink(), "no tokenizer.json"),
    "pickled": (
        lambda f: rename(
            f / "unet/diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"
        ),
        "no safetensors weights; other formats are not loaded",
    ),
}
DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut": (lambda f: cut(f / "vae/diffusion_pytorch_model.safetensors"), "safetensors"),
    "git lfs": (
        lambda f: (f / "unet/diffusion_pytorch_model.safetensors").write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
        ),
        "safetensors",
    ),
    "no json": (lambda f: (f / "model_index.json").write_text("{"), "cannot be read"),
    "deep json": (lambda f: (f / "unet/config.json").write_text("[" * 100_000), "cannot be read"),
    "a list": (lambda f: (f / "vae/config.json").write_text("[]"), "holds no settings"),
    "another kind": (
        lambda f: edited(f / "model_index.json", _class_name="FluxPipeline"),
        r"FluxPipeline .* no family that is known \(SDXL-Turbo, Pocket SDXL, SDXL, LCM, SD 1\.5\)",
    ),
    "no size": (lambda f: edited(f / "unet/config.json", sample_size=None), "no sizes"),
    "a vast size": (lambda f: edited(f / "unet/config.json", sample_size=10**9), "no sizes"),
    "no blocks": (lambda f: edited(f / "vae/config.json", block_out_channels=[]), "no sizes"),
    "words for blocks": (lambda f: edited(f / "vae/config.json", block_out_channels=["a"]), "no s"),
    "for inpainting only": (lambda f: edited(f / "unet/config.json", in_channels=9), "9 channels"),
}


@pytest.mark.parametrize("how", MISSING)
def test_what_is_missing_is_named(how: str, folder: Path) -> None:
    spoil, says = MISSING[how]
    spoil(folder)
    with pytest.raises(ModelMissing, match=says) as told:
        Diffusion.load(str(folder))
    assert told.value.hint


@pytest.mark.parametrize("how", DAMAGED)
def test_what_is_damaged_is_named(how: str, folder: Path) -> None:
    spoil, says = DAMAGED[how]
    spoil(folder)
    with pytest.raises(ModelError, match=says) as told:
        Diffusion.load(str(folder)).generate(BOAT, quiet)
    assert told.value.hint


def test_weights_that_are_missing_are_not_made_up(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        path = folder / part / f"{name}.safetensors"
        weights = load_file(path)
        gone, kept = sorted(weights)[0], dict(sorted(weights.items())[1:])
        save_file(kept, path, metadata={"format": "pt"})
        with pytest.raises(ModelError, match="1 weights are missing"):
            Diffusion.load(str(folder)).generate(BOAT, quiet)
        save_file(weights, path, metadata={"format": "pt"})
        assert gone not in kept
    Diffusion.load(str(folder)).generate(BOAT, quiet)


def test_code_in_the_folder_is_never_run(folder: Path, models: Path) -> None:
    """Neither a part's class from a module beside it, nor a pipeline of the folder's own."""
    wanted = Diffusion.load(str(models / "sd15")).generate(BOAT, quiet)
    marker = folder / "ran"
    code = f"open({str(marker)!r}, 'w').close()\nclass Evil: pass\n"
    for place in (folder / "evil.py", folder / "unet" / "evil.py", folder / "pipeline.py"):
        place.write_text(code)
    edited(folder / "model_index.json", unet=["evil", "Evil"], scheduler=["evil", "Evil"])
    edited(folder / "unet/config.json", _class_name="Evil", auto_map={"AutoModel": "evil.Evil"})
    edited(folder / "text_encoder/config.json", auto_map={"AutoModel": "evil.Evil"})
    edited(folder / "scheduler/scheduler_config.json", _class_name="Evil")
    drawn = Diffusion.load(str(folder)).generate(BOAT, quiet)
    assert not marker.exists()
    assert same(drawn.image, wanted.image)


def test_a_checker_that_is_pickled_leaves_pictures_unchecked(folder: Path) -> None:
    rename(folder / "safety_checker/model.safetensors", "pytorch_model.bin")
    assert not Diffusion.load(str(folder)).generate(BOAT, quiet).checked


def test_of_two_widths_the_full_one_is_taken(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    name = "diffusion_pytorch_model"
    plain = folder / f"unet/{name}.safetensors"
    weights = load_file(plain)
    wanted = Diffusion.load(str(folder))
    counted, drawn = wanted._attempts.parameters["unet"], wanted.generate(BOAT, quiet)
    halved = {key: value.half() for key, value in weights.items()}
    save_file(halved, folder / f"unet/{name}.fp16.safetensors", metadata={"format": "pt"})
    both = Diffusion.load(str(folder))
    assert both._attempts.parameters["unet"] == counted
    assert same(both.generate(BOAT, quiet).image, drawn.image)
    plain.unlink()
    only = Diffusion.load(str(folder))
    assert only._attempts.parameters["unet"] == counted
    assert only.generate(BOAT, quiet).image.getbbox()


def test_a_tokenizer_as_published_in_two_files(folder: Path, models: Path) -> None:
    """``vocab.json`` and ``merges.txt``, without ``tokenizer.json``."""
    told = json.loads((folder / "tokenizer/tokenizer.json").read_text())["model"]
    (folder / "tokenizer/tokenizer.json").unlink()
    (folder / "tokenizer/vocab.json").write_text(json.dumps(told["vocab"]))
    merges = [" ".join(m) if isinstance(m, list) else m for m in told["merges"]]
    (folder / "tokenizer/merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    drawn = Diffusion.load(str(folder)).generate(BOAT, quiet)
    wanted = Diffusion.load(str(models / "sd15")).generate(BOAT, quiet)
    assert same(drawn.image, wanted.image)


def test_a_name_of_the_hub_is_looked_for_in_the_cache(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    name = "stabilityai/stable-diffusion-xl-base-1.0"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelMissing, match="not in the local Hugging Face cache") as told:
        Diffusion.load(name)
    assert told.value.hint == f"limner models pull {name}"
    commit = "462165984030d82259a11f4367a4eed129e94a7b"
    place = tmp_path / "models--stabilityai--stable-diffusion-xl-base-1.0"
    shutil.copytree(models / "sdxl", place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs/main").write_text(commit)
    drawn = Diffusion.load(name).generate(BOAT, quiet)
    assert (drawn.model, drawn.revision) == (name, commit)
    for wrong in ("nowhere", "./no/where", "/no/where", "a/b/c"):
        with pytest.raises(ModelMissing, match="no such folder"):
            Diffusion.load(wrong)
