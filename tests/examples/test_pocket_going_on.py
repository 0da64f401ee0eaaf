"""What is shipped can be trained further."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

from limner.examples.pocket.assemble import assembled
from limner.examples.pocket.going_on import main, unpacked
from limner.examples.pocket.training import load_shards
from limner.tools.model_files import SHIPPED

MODEL = SHIPPED["pocket-sdxl"]


def test_unpacked_and_assembled_again_it_is_what_is_shipped(tmp_path: Path) -> None:
    unpacked(MODEL, tmp_path)
    start = tmp_path / "unet" / "checkpoint-00000000"
    assert json.loads((start / "state.json").read_text()) == {"step": 0, "seconds": 0.0}
    weights = load_shards(start, "weights")
    average = {
        f"w.{name.removeprefix('a.')}": w for name, w in load_shards(start, "average").items()
    }
    assert all(name.startswith("a.") for name in load_shards(start, "average"))
    assert weights.keys() == average.keys()
    assert all(torch.equal(w, average[name]) for name, w in weights.items())
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(MODEL / "unet"))
    unet.load_state_dict({n.removeprefix("w.unet."): w for n, w in weights.items()})
    unet.save_pretrained(tmp_path / "unet" / "unet")
    again = assembled(tmp_path)
    for path in MODEL.rglob("*.safetensors"):
        ours, theirs = load_file(path), load_file(again / path.relative_to(MODEL))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(w, theirs[n]) for n, w in ours.items()), path


def test_what_is_there_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    with pytest.raises(SystemExit, match="move it away"):
        main(["--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["unet"]
