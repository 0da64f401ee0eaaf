"""Code that a model's folder brings along is never run, and nobody is asked whether to."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limner.tests.forked import limner
from limner.tests.tiny_chat_models import chat_model
from limner.tests.tiny_clip import clip_model
from limner.tests.tiny_janus import janus
from limner.tests.tiny_models import qwen3_reranker, sentence_transformer

_PRODUCT = ("agent", "index", "tools", "prompts")
_CODE = "from pathlib import Path\nPath({0!r}).write_text('run')\nclass Mine:\n    pass\n"


def _brings(folder: Path, file: str, auto: str, **settings: object) -> None:
    """Settings that name a class of the folder's own, which leaves a trace where it is imported."""
    path = folder / file
    held = json.loads(path.read_text()) if path.is_file() else {}
    entry: object = ["mine.Mine", None] if auto == "AutoTokenizer" else "mine.Mine"
    path.write_text(json.dumps(held | settings | {"auto_map": {auto: entry}}))
    (folder / "mine.py").write_text(_CODE.format(str(folder.parent / "trace")))


def _chat(file: str, auto: str, **settings: object) -> Callable[[Path], Path]:
    def made(place: Path) -> Path:
        folder = chat_model(place / "model")
        _brings(folder, file, auto, **settings)
        return folder

    return made


def _embedding(place: Path) -> Path:
    folder = sentence_transformer(place / "model")
    _brings(folder, "config.json", "AutoConfig", model_type="mine")
    return folder


def _reranker(place: Path) -> Path:
    folder = qwen3_reranker(place / "model")
    _brings(folder, "config.json", "AutoConfig", model_type="mine")
    return folder


_ASK = ["ask", "When is high water?", "--chat-model"]
CASES: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "chat config": (_chat("config.json", "AutoConfig", model_type="mine"), _ASK),
    "chat pictures": (
        _chat("preprocessor_config.json", "AutoImageProcessor", image_processor_type="Mine"),
        _ASK,
    ),
    "embedding": (_embedding, ["add", "tides.txt", "--embedding-model"]),
    "reranker": (_reranker, ["search", "high water", "--reranker"]),
}


@pytest.mark.parametrize("case", CASES)
def test_own_code_is_refused_whatever_is_typed(case: str, tmp_path: Path) -> None:
    make, command = CASES[case]
    (tmp_path / "tides.txt").write_text("High water is at noon.")
    if "add" not in command:
        assert limner("add", "tides.txt", cwd=tmp_path).returncode == 0
    told = limner(*command, make(tmp_path), cwd=tmp_path, typed="y\n" * 50)
    assert not (tmp_path / "trace").exists()
    assert told.returncode == 3, told.stderr
    assert "brings its own code, which is never run" in " ".join(told.stderr.split())
    assert "Do you wish" not in told.stdout + told.stderr
    assert "Traceback" not in told.stderr


LOADED = """
import sys
from pathlib import Path
from limner.errors import ModelError
from limner.index.reranking import Qwen3Reranker
from limner.tools.chat_models.qwen2_vl import Qwen2VL
from limner.tools.clip_checker import ClipChecker
from limner.tools.image_models.janus_checkpoint import JanusCheckpoint, JanusWeights
load = {
    "chat": Qwen2VL.load,
    "clip": lambda folder: ClipChecker.load(folder)._loaded,
    "janus": lambda folder: JanusWeights(JanusCheckpoint.find(folder)).inputs,
    "reranker": lambda folder: Qwen3Reranker(Path(folder)).rerank("high water", ["at noon"]),
}
for kind, place in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    try:
        load[kind](place)
    except ModelError as error:
        print(error)
"""
MAKERS: dict[str, Callable[[Path], Path]] = {
    "chat": chat_model,
    "clip": lambda folder: clip_model(folder, 1.0),
    "janus": janus,
    "reranker": qwen3_reranker,
}


def test_a_tokenizer_of_its_own_is_not_run(tmp_path: Path) -> None:
    """Where the kind of model has one in transformers, that is taken in its place."""
    places = []
    for kind, make in MAKERS.items():
        folder = make(tmp_path / kind / "model")
        _brings(folder, "tokenizer_config.json", "AutoTokenizer", tokenizer_class="Mine")
        places += [kind, str(folder)]
    told = subprocess.run(
        [sys.executable, "-c", LOADED, *places],
        input="y\n" * 50,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert not list(tmp_path.glob("*/trace"))
    assert "Do you wish" not in told.stdout + told.stderr


def _loads(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Each mention of ``from_pretrained`` that may go on to a class of the folder's choice.

    Those are transformers' ``Auto…`` classes, its processors, which hand their parts to them, and
    what a name does not tell.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "from_pretrained":
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if re.fullmatch(r"Auto\w*|\w*(?<!Image)Processor|[a-z]\w*", owner):
                yield node


def _safe(calls: dict[ast.expr, ast.Call], node: ast.expr) -> bool:
    call = calls.get(node)
    return call is not None and any(
        keyword.arg == "trust_remote_code"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is False
        for keyword in call.keywords
    )


def test_every_load_says_that_own_code_is_not_trusted() -> None:
    root = Path(__file__).parents[2]
    seen = 0
    for path in sorted(p for name in _PRODUCT for p in (root / name).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {node.func: node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        loads: list[ast.expr] = list(_loads(tree))
        loads += [f for f in calls if isinstance(f, ast.Name) and f.id == "SentenceTransformer"]
        for node in loads:
            seen += 1
            assert _safe(calls, node), f"{path}:{node.lineno} does not pass trust_remote_code=False"
    assert seen >= 7
