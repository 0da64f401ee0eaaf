"""What of a model's folder is loaded, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.errors import ModelMissing
from limner.tools.model_files import need_safetensors


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
