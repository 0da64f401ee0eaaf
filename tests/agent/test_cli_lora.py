"""limner lora train, ls and rm: what people type, read and interrupt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from limner.tests.conftest import painted
from limner.tests.tiny_image_models import image_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_model(tmp_path_factory.mktemp("models") / "sd15", "sd15")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for words in ("red boat", "lighthouse"):
        painted(words, (96, 80)).save(tmp_path / "pictures" / f"{words.replace(' ', '_')}.png")
    return tmp_path


Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command line in this process, with a folder of adapters of its own."""
    from limner.agent import cli

    monkeypatch.chdir(place)
    monkeypatch.setenv("LIMNER_ADAPTERS", str(place / "adapters"))
    monkeypatch.delenv("LIMNER_IMAGE_MODEL", raising=False)

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["limner", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), *said)

    return run


SHORT = ("--rank", "2", "--steps", "4", "--every", "2", "--learning-rate", "0.01")


def test_train_draw_list_and_delete(here: Here, base: Path, place: Path) -> None:
    done = here("lora", "train", "pictures", "--base", base, "--out", "neon", *SHORT,
                "--trigger", "zwx")  # fmt: skip
    assert done.returncode == 0, done.stderr
    file = place / "adapters" / "neon.safetensors"
    assert done.stdout.strip() == str(file) and file.is_file()
    for words in ("memory: about", "time: ", "step 0: loss", "step 4: loss", "before"):
        assert words in done.stderr
    assert here("lora", "ls").stdout.split() == ["neon", "sd15", "zwx", "4"]
    (told,) = json.loads(here("lora", "ls", "--json").stdout)
    assert told == {
        "name": "neon", "path": str(file), "base": "sd15", "trigger": "zwx", "steps": 4,
    }  # fmt: skip
    draw: Any = ("--image-model", base, "--steps", "2", "--size", "64x64")
    drawn = here("draw", "zwx, a boat", "-o", "a.png", *draw, "--lora", "neon:0.8", "--json")
    assert json.loads(drawn.stdout)["lora"] == [["neon", 0.8]], drawn.stderr
    here("draw", "zwx, a boat", "-o", "b.png", *draw)
    assert (place / "a.png").read_bytes() != (place / "b.png").read_bytes()
    assert here("lora", "rm", "neon").returncode == 0
    assert not list((place / "adapters").iterdir())
    none = here("lora", "ls")
    assert none.stdout == "" and none.stderr.startswith("none yet in ")
    gone = here("draw", "zwx, a boat", "-o", "a.png", *draw, "--lora", "neon")
    assert gone.returncode == 1 and "limner lora ls" in gone.stderr


def test_json(here: Here, base: Path, place: Path) -> None:
    (place / "pictures" / "broken.png").write_bytes(b"no picture")
    done = here(
        "lora", "train", "pictures", "--base", base, "-o", "a.safetensors", *SHORT, "--json"
    )
    told = json.loads(done.stdout)
    assert told["path"] == "a.safetensors" and told["pictures"] == 2
    assert [Path(row["path"]).name for row in told["skipped"]] == ["broken.png"]
    assert told["loss_after"] < told["loss_before"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("lora", "train", "pictures", "--base", "BASE", "-o", "a", "--rank", "0"), 1, "rank 0"),
        (("lora", "train", "nowhere", "--base", "BASE", "-o", "a"), 1, "no such folder"),
        (("lora", "train", "pictures", "--base", "pictures", "-o", "a"), 3, "no UNet"),
        (("lora", "train", "pictures", "--base", "gone/gone", "-o", "a"), 3, "gone/gone"),
        (("lora", "train", "pictures", "--base", "BASE", "-o", "../a"), 1, "neither a name"),
        (("lora", "train", "pictures", "--base", "BASE"), 2, "--out"),
        (("lora", "rm", "gone"), 1, "no adapter"),
        (("lora", "rm", "../pictures"), 1, "no adapter"),
    ],
)
def test_faults(
    arguments: tuple[str, ...], code: int, words: str, here: Here, base: Path, place: Path
) -> None:
    done = here(*(str(base) if word == "BASE" else word for word in arguments))
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert (place / "pictures").is_dir()


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_the_same_command_goes_on(base: Path, place: Path) -> None:
    command = [
        *(sys.executable, "-m", "limner", "lora", "train", "pictures", "--base", str(base)),
        *("--out", "a.safetensors", "--rank", "2", "--steps", "60", "--every", "1000"),
        *("--learning-rate", "0.01"),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command, cwd=place, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert child.stderr is not None
    heard = ""
    for line in child.stderr:
        heard += line
        if line.startswith("time:"):
            child.send_signal(signal.SIGINT)
            break
    heard += child.stderr.read()
    assert child.wait() == 130, heard
    assert "the same command goes on" in heard and "Traceback" not in heard
    assert not (place / "a.safetensors").exists()
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "going on after step" in done.stderr, done.stderr
    steps = [json.loads(x) for x in (place / "a.training" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps if "loss" in row] == list(range(1, 61))
    assert load_file(place / "a.safetensors")


def test_one_ctrl_c_ends_it_before_the_first_step(
    here: Here, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.tools.image_models import training

    heard: list[str] = []

    def pressed(*_: object, **__: object) -> object:
        heard.append("once")
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("it went on")

    monkeypatch.setattr(training, "Learner", pressed)
    done = here("lora", "train", "pictures", "--base", base, "--out", "a", *SHORT)
    assert (done.returncode, heard) == (130, ["once"])
    assert "once more" not in done.stderr
