"""Loading a chat model: what is wrong is said at once, and nothing else is."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from limner.errors import ModelError, ModelMissing
from limner.tests.tiny_chat_models import chat_model
from limner.tools.chat_models.qwen2_vl import Qwen2VL
from limner.tools.model_files import need_whole_weights


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    folder = chat_model(tmp_path / "model")
    with pytest.raises(ModelMissing, match="is a file") as told:
        Qwen2VL.load(str(folder / "model.safetensors"))
    assert str(folder) in told.value.hint


@pytest.mark.parametrize("template", ["{% for m in %}", "{{ messages[0].what.not }}"])
def test_a_damaged_template_is_known_at_once(tmp_path: Path, template: str) -> None:
    folder = chat_model(tmp_path / "model")
    config = folder / "tokenizer_config.json"
    settings = json.loads(config.read_text()) | {"chat_template": template}
    config.write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="chat template cannot be used") as told:
        Qwen2VL.load(str(folder))
    assert "chat_template.jinja" in told.value.hint


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("config.json", {"num_hidden_layers": 3}),
        ("config.json", {"num_attention_heads": "four"}),
        ("preprocessor_config.json", {"patch_size": None}),
        ("tokenizer_config.json", {"eos_token": 5}),
    ],
)
def test_settings_that_cannot_be_are_a_typed_error(
    tmp_path: Path, file: str, settings: dict[str, object]
) -> None:
    folder = chat_model(tmp_path / "model")
    held = json.loads((folder / file).read_text())
    (held.get("text_config") or held).update(settings)
    (folder / file).write_text(json.dumps(held))
    with pytest.raises(ModelError, match=str(folder)):
        Qwen2VL.load(str(folder))


@pytest.mark.parametrize("kept", [0, 7, 1000, -1])
def test_weights_that_are_cut_off_are_told_before_they_are_read(tmp_path: Path, kept: int) -> None:
    folder = chat_model(tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"cut off|no safetensors file") as told:
        need_whole_weights(folder)
    with pytest.raises(ModelError, match=r"cut off|no safetensors file"):
        Qwen2VL.load(str(folder))
    assert "again" in told.value.hint


@pytest.mark.parametrize(
    ("weight_map", "words"),
    [
        ({"a": "model-00002-of-00002.safetensors"}, "model-00002-of-00002.safetensors is missing"),
        ({"a": "../model.safetensors"}, "is missing"),
        ({"nowhere": "model.safetensors"}, "nowhere is not in it"),
        (["a"], "cannot be read"),
        ({"a": ["b"]}, "is missing"),
    ],
)
def test_files_that_an_index_names_are_looked_for(
    tmp_path: Path, weight_map: object, words: str
) -> None:
    folder = chat_model(tmp_path / "model")
    need_whole_weights(folder)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelError, match=words):
        need_whole_weights(folder)
    with pytest.raises(ModelError, match=words):
        Qwen2VL.load(str(folder))


def test_loading_is_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = chat_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights["model.unknown.weight"] = next(iter(weights.values())).clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    capfd.readouterr()
    level = logging.getLogger("transformers").level
    Qwen2VL.load(str(folder))
    told = capfd.readouterr()
    assert (told.out, told.err, caplog.text) == ("", "", "")
    assert logging.getLogger("transformers").level == level


ASLEEP = """
import sys, threading, torch
from limner.tools.chat_models.qwen2_vl import Qwen2VL
torch.set_num_threads(int(sys.argv[1]))
models = [Qwen2VL.load(sys.argv[2]) for _ in range(2)]
print([thread.name for thread in threading.enumerate()].count("limner-asleep"))
"""


@pytest.mark.parametrize(("threads", "asleep"), [(1, 0), (2, 1)])
def test_one_thread_sleeps_so_that_none_waits_busily(
    threads: int, asleep: int, tmp_path: Path
) -> None:
    folder = str(chat_model(tmp_path / "model"))
    told = subprocess.run(
        [sys.executable, "-c", ASLEEP, str(threads), folder],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(asleep)
