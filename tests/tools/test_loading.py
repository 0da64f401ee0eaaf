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
