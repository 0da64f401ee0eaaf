"""The experiments that are shipped, each through its own file, with tiny models of its families.

The only thing that is changed in a file is its sizes, which are divided by `SMALLER`.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from limner.tests.tiny_image_models import image_model
from limner.tests.tiny_janus import janus
from limner.tools.image_models.provenance import read

EXAMPLES = Path(__file__).parents[2] / "examples" / "sweeps"
SMALLER = {"sdxl": 8, "sd15": 8, "lion": 4}
"""By what the sizes are divided; diffusion models draw no side below 64."""

FIRST = "prompt,height,width,steps,guidance,scheduler,latency_s,image_path,"
BASE = "stabilityai/stable-diffusion-xl-base-1.0"
REFINER = "stabilityai/stable-diffusion-xl-refiner-1.0"
MODELS: dict[str, Callable[[Path], Path]] = {
    BASE: lambda folder: image_model(folder, "sdxl"),
    REFINER: lambda folder: image_model(folder, "sdxl_refiner", seed=1),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": lambda folder: image_model(folder, "sd15"),
    "deepseek-community/Janus-Pro-1B": janus,
}


def smaller(text: str, by: int) -> str:
    def divided(line: re.Match[str]) -> str:
        return re.sub(r"\d+", lambda number: str(int(number[0]) // by), line[0])

    return re.sub(r"(?m)^size = .*$", divided, text)


def swept(
    name: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> list[dict[str, str]]:
    """The table of an experiment's file, whose models are folders of the names that it gives."""
    from limner.agent import cli

    monkeypatch.chdir(folder)
    monkeypatch.setenv("LIMNER_CACHE", "off")
    monkeypatch.delenv("LIMNER_IMAGE_MODEL", raising=False)
    text = (EXAMPLES / f"{name}.toml").read_text(encoding="utf-8")
    Path("grid.toml").write_text(smaller(text, SMALLER[name]), encoding="utf-8")
    for model, make in MODELS.items():
        if model in text:
            make(Path(model))
    monkeypatch.setattr(sys, "argv", ["limner", "sweep", "grid.toml"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code, capsys.readouterr().err
    table = Path("grid-sweep/results.csv").read_text(encoding="utf-8")
    assert table.startswith(FIRST)
    rows = list(csv.DictReader(table.splitlines()))
    for row in rows:
        assert row["status"] == "done" and float(row["latency_s"]) > 0
        signed = read(Path("grid-sweep") / row["image_path"])
        assert signed is not None and signed.untouched
        assert signed.drawn.image.size == (int(row["width"]), int(row["height"]))
        assert str(signed.drawn.steps) == row["steps"] and signed.drawn.model == row["model"]
    return rows


@pytest.mark.slow
def test_sdxl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = swept("sdxl", tmp_path, monkeypatch, capsys)
    assert len(rows) == 32 and {row["width"] for row in rows} == {"64", "96"}
    settings = {(row["guidance"], row["scheduler"], row["steps"]) for row in rows}
    assert settings == {(g, s, n) for g in ("3", "5.5") for s in ("euler", "dpm")
                        for n in ("16", "28")}  # fmt: skip


@pytest.mark.slow
def test_sd15(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = swept("sd15", tmp_path, monkeypatch, capsys)
    assert len(rows) == 16 and len({row["negative"] for row in rows}) == 2
    assert {row["guidance"] for row in rows} == {"7", "7.5", "8", "8.5", "9"}


@pytest.mark.slow
def test_lion_with_the_refiner_and_janus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = swept("lion", tmp_path, monkeypatch, capsys)
    refined, painted = rows[:3], rows[3:]
    assert {row["model"] for row in refined} == {f"{Path(BASE).name} + {Path(REFINER).name}"}
    assert [(r["width"], r["steps"]) for r in refined] == [
        *(("64", "20"), ("128", "50"), ("192", "100")),
    ]
    assert [row["model"] for row in painted] == ["Janus-Pro-1B"]
