"""The example programs run as they are printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPECTED = {
    "ask.py": ["On macOS, error 809", "marked copy of mac-vpn.png", "saved: demo/fix.html"],
    "stream.py": ["retrieve took", "found machines.pdf, page 5", "picture: Figure 2"],
    "session.py": ["And on macOS?", "the session 'vpn' has 2 turns"],
    "own_chat_model.py": ["- ", "[1]", "Figure"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def run(code: list[str], place: Path) -> str:
    done = subprocess.run(
        [sys.executable, *code],
        cwd=place,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_program(name: str, place: Path) -> None:
    output = run([str(EXAMPLES / name)], place)
    assert all(words in output for words in EXPECTED[name]), output


@pytest.mark.slow
def test_notebook(place: Path) -> None:
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text())["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    code = code.replace('Path("examples")', f"Path({str(EXAMPLES)!r})")
    html = run(["-c", code + "\nprint(answer._repr_html_())"], place)
    assert "<figure" in html and "data:image/png" in html
    assert "<script" not in html
