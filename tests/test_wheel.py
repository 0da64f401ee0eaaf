"""The wheel, installed away from the checkout: an editable install hides what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the files that git knows or would take, so that none is left behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = run("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, source / name)
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", out)
    run(sys.executable, *build, source, cwd=source)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that holds the wheel and sees this one's packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--quiet")
    run(*pip, "install", "--no-deps", "--no-index", "--force-reinstall", wheel, cwd=folder)
    return folder / "bin"


def test_the_wheel_holds_the_product_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"limner"}
    for needed in (
        "limner/py.typed",
        "limner/agent/templates/answer.html.jinja",
        "limner/prompts/answer.jinja",
        "limner/prompts/policy.toml",
        "limner/examples/handbook/machines.pdf",
        "limner/examples/handbook/screens/vpn-error.png",
        "limner/examples/shots/mac-vpn.png",
        "limner/examples/questions/handbook.jsonl",
        "limner/tools/image_models/pocket/pocket-sdxl/model_index.json",
        "limner/tools/image_models/pocket/pocket-janus/config.json",
    ):
        assert needed in names
    assert not any(name.startswith(("limner/tests", "limner/benchmarks")) for name in names)
    assert not any("__pycache__" in name or ".venv" in name for name in names)
    code = {p.relative_to(ROOT).as_posix() for p in (ROOT / "index").rglob("*.py")}
    assert {f"limner/{name}" for name in code} <= names


def test_what_runs_is_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = run(installed / "python", "-c", "import limner; print(limner.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    run(installed / "limner", "demo", cwd=tmp_path, HF_HUB_OFFLINE="1")
    page = tmp_path / "demo" / "answer.html"
    assert page.stat().st_size > 10_000
    text = page.read_text("utf-8")
    assert "<html" in text and "data:image/" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo"]
