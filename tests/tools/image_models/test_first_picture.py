"""A fresh process draws its first picture without loading or doing what the picture does not need.

No times are measured here; benchmarks/first_picture.py does that.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from limner.tools.image_models.assembly import collecting_later, loaded
from limner.tools.image_models.checkpoint import Checkpoint

NEEDLESS = (
    *("sentence_transformers", "faiss", "langgraph", "langchain_core", "onnxruntime", "rapidocr"),
    *("chromadb", "pypdfium2", "prompt_toolkit", "sqlite3", "pandas", "matplotlib", "sklearn"),
    *("torchvision", "onnx", "tensorflow", "jax"),
)

DRAWS = """
import gc, json, sys
passes = []
gc.callbacks.append(lambda phase, told: passes.append(told["generation"]))
from limner.__main__ import main
try:
    main()
except SystemExit as ended:
    code = ended.code
whole = sum(generation == 2 for generation in passes)
print(json.dumps([code, whole, gc.isenabled(), sorted(set(map(str, sys.modules)))]))
"""


def test_nothing_else_is_imported_and_what_stays_is_not_gone_through_again(tmp_path: Path) -> None:
    words = ["draw", "a fox", "-o", str(tmp_path / "fox.png"), "--steps", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", DRAWS, *words],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"LIMNER_CACHE": "off", "LIMNER_IMAGE_MODEL": "pocket-sdxl"},
    )
    code, whole, collects, modules = json.loads(done.stdout.splitlines()[-1])
    assert (code or 0, whole, collects) == (0, 0, True)
    assert "diffusers" in modules and not set(NEEDLESS) & set(modules)


def test_garbage_is_searched_for_again_afterwards() -> None:
    with pytest.raises(ValueError), collecting_later():
        assert not gc.isenabled()
        with collecting_later():
            pass
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()
    gc.disable()
    try:
        with collecting_later():
            pass
        assert not gc.isenabled()  # who had turned it off finds it so
    finally:
        gc.enable()


def test_equal_tokenizers_are_read_once(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sdxl"
    shutil.copytree(models / "sdxl", folder)
    shutil.rmtree(folder / "tokenizer_2")
    shutil.copytree(folder / "tokenizer", folder / "tokenizer_2")
    one, other = tokenizers(folder)
    assert one is other
    (folder / "tokenizer_2" / "tokenizer_config.json").write_text('{"pad_token": "!"}', "utf-8")
    one, other = tokenizers(folder)
    assert one is not other and other.pad_token == "!"


def tokenizers(folder: Path) -> tuple[Any, Any]:
    found = loaded(Checkpoint.find(str(folder)), "float32", ("tokenizer", "tokenizer_2"))
    return found["tokenizer"], found["tokenizer_2"]
