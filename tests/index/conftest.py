from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library

CHILD = Path(__file__).with_name("child.py")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """Three small documents in a folder."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "tides.md").write_text("# Tides\n\nHigh water is at noon.\n")
    (folder / "lights.txt").write_text("The lighthouse blinks twice a minute.\n")
    (folder / "boats").mkdir()
    (folder / "boats" / "rowing.txt").write_text("The rowing boat leaks at the stern.\n")
    return folder


@pytest.fixture
def child() -> Callable[..., object]:
    """Runs an action of child.py to its end."""

    def run(*arguments: object, nobody: bool = False) -> object:
        environment = os.environ | ({"AS_NOBODY": "1"} if nobody else {})
        command = [sys.executable, CHILD, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts an action of child.py and leaves it running."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, CHILD, *map(str, arguments)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, which pytest's own are not."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def model() -> HashEmbeddings:
    return HashEmbeddings()


@pytest.fixture
def shelf(tmp_path: Path, model: HashEmbeddings) -> Library:
    """An empty library."""
    return Library.open(tmp_path / "library", model)
