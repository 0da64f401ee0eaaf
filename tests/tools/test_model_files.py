"""What of a model's folder is loaded, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.errors import ModelMissing
from limner.tools.model_files import need_safetensors, wanted_files


def test_only_whole_models_in_safetensors(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelMissing, match="no safetensors weights"):
        need_safetensors(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    need_safetensors(tmp_path)
    # transformers would load the model that an adapter names in place of this one
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')
    with pytest.raises(ModelMissing, match="an adapter, not a whole model"):
        need_safetensors(tmp_path)


def test_of_an_image_model_its_parts_are_fetched_and_no_width_twice() -> None:
    files = [
        *("model_index.json", "README.md", "sd_xl_base_1.0.safetensors", "unet/config.json"),
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        *("unet/model.onnx", "vae/config.json", "vae/diffusion_pytorch_model.safetensors"),
        *("vae_1_0/diffusion_pytorch_model.safetensors", "text_encoder/pytorch_model.bin"),
        *("tokenizer/merges.txt", "tokenizer/vocab.json", "scheduler/scheduler_config.json"),
    ]
    assert wanted_files(files) == [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "scheduler/scheduler_config.json",
    ]
    assert wanted_files(["config.json", "model.safetensors", "pytorch_model.bin", "run.py"]) == [
        "config.json",
        "model.safetensors",
    ]
