"""Sweeps: killed, resumed, changed, on a full disk; and what is measured and written of them."""

from __future__ import annotations

import csv
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFilter

from limner.agent.sweep.journal import Row, Rows
from limner.agent.sweep.measures import measured_peak, sharpness
from limner.tests.agent.painting import Painter, open_painter
from limner.tools.image_models import opening
from limner.tools.image_models.provenance import read

REAL = opening.open_model
PAINTING = Path(__file__).with_name("painting.py")
FIRST = ["prompt", "height", "width", "steps"]
FIRST += ["guidance", "scheduler", "latency_s", "image_path"]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """``limner sweep`` in this process, of a grid that is given as text."""
    from limner.agent import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIMNER_IMAGE_MODEL", "painter")
    monkeypatch.setattr(opening, "open_model", open_painter)

    def run(text: str, *options: str) -> subprocess.CompletedProcess[str]:
        Path("grid.toml").write_text(text, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["limner", "sweep", "grid.toml", *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(options, int(ended.value.code or 0), *said)

    return run


def table(folder: str | Path = "grid-sweep") -> list[dict[str, str]]:
    with (Path(folder) / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def counts(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert run.stdout, run.stderr
    return json.loads(run.stdout)  # type: ignore[no-any-return]


GRID = 'prompt = ["a boat", "a cat"]\nsteps = [2, 3]\nscheduler = ["euler", "dpm"]\nseed = "0-1"'


def test_a_sweep_from_grid_to_table(here: Run) -> None:
    run = here(GRID)
    assert run.returncode == 0 and run.stdout.endswith("grid-sweep/sweep.html\n")
    assert "16 pictures, 16 to draw" in run.stderr
    rows = table()
    assert list(rows[0])[:8] == FIRST and len(rows) == 16
    for row in rows:
        signed = read(Path("grid-sweep") / row["image_path"])
        assert signed is not None and signed.untouched
        drawn = signed.drawn
        assert (drawn.prompt, str(drawn.steps), drawn.scheduler, str(drawn.seed)) == (
            *(row["prompt"], row["steps"], row["scheduler"], row["seed"]),
        )
        assert (row["status"], row["width"], row["model"]) == ("done", "64", "painter")
        assert row["checked"] == "no"
        assert float(row["sharpness"]) == pytest.approx(sharpness(drawn.image), abs=0.06)
        assert float(row["latency_s"]) == pytest.approx(drawn.seconds, abs=0.001)
    assert len({row["image_path"] for row in rows}) == 16


def test_the_same_command_draws_nothing_twice(here: Run, monkeypatch: Any) -> None:
    here(GRID)
    monkeypatch.setattr(Painter, "generate", None)
    told = counts(here(GRID, "--json"))
    assert (told["reused"], told["drawn"], told["failed"], told["left"]) == (16, 0, 0, 0)


def test_a_changed_grid_keeps_what_is_the_same(here: Run) -> None:
    here(GRID)
    told = counts(here(GRID.replace("[2, 3]", "[3, 4]"), "--json"))
    assert (told["reused"], told["drawn"], told["pictures"]) == (8, 8, 16)
    assert {row["steps"] for row in table()} == {"3", "4"}


def test_pictures_of_another_sweep_or_of_draw_are_not_drawn_again(here: Run) -> None:
    here(GRID)
    told = counts(here(GRID, "--out", "other", "--json"))
    assert (told["drawn"], told["drawn_before"]) == (0, 16)
    assert {row["drawn_before"] for row in table("other")} == {"yes"}


def test_a_limit(here: Run) -> None:
    told = counts(here(GRID, "--limit", "5", "--json"))
    assert (told["drawn"], told["left"]) == (5, 11) and len(table()) == 5
    told = counts(here(GRID, "--json"))
    assert (told["reused"], told["drawn"], told["left"]) == (5, 11, 0)


def test_what_fails_is_a_row_and_the_rest_goes_on(here: Run) -> None:
    text = GRID.replace('"a cat"', '"FAIL", "a naked child"') + "\nguidance = [5, 99]"
    run = here(text, "--json")
    assert run.returncode == 1
    told = counts(run)
    assert (told["drawn"], told["failed"], told["left"]) == (8, 40, 0)
    reasons = {(row["prompt"], row["reason"]) for row in table() if row["status"] == "failed"}
    assert ("FAIL", "the paint has run out") in reasons
    assert ("a boat", "guidance 99: painter takes 0 to 20") in reasons
    assert any(p == "a naked child" and "can't help" in reason for p, reason in reasons)
    assert "cannot be drawn" in run.stderr


def test_what_failed_is_tried_again(here: Run, monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Painter, "generate", None)  # a fault that no one foresaw
        assert here(GRID).returncode == 1
    assert all("TypeError" in row["reason"] for row in table())
    told = counts(here(GRID, "--json"))
    assert (told["drawn"], told["failed"]) == (16, 0)
    assert {row["status"] for row in table()} == {"done"}


def test_failed_rows_give_way_to_drawn_ones(tmp_path: Path) -> None:
    journal = Rows(tmp_path / "rows.jsonl")
    journal.append(Row("k", failed="no paint"))
    journal.append(Row("k", file="pictures/k.png", digest="d"))
    assert journal.by_key() == {"k": Row("k", file="pictures/k.png", digest="d")}


def test_a_picture_that_was_deleted_is_drawn_again(here: Run, monkeypatch: Any) -> None:
    monkeypatch.setenv("LIMNER_CACHE", "off")
    here(GRID)
    (Path("grid-sweep") / table()[3]["image_path"]).unlink()
    told = counts(here(GRID, "--json"))
    assert (told["reused"], told["drawn"]) == (15, 1)


def test_a_picture_that_was_cut_short_is_drawn_again(here: Run, monkeypatch: Any) -> None:
    monkeypatch.setenv("LIMNER_CACHE", "off")
    here(GRID)
    path = Path("grid-sweep") / table()[3]["image_path"]
    path.write_bytes(path.read_bytes()[:-40])
    assert counts(here(GRID, "--json"))["drawn"] == 1
    assert read(path) is not None


def test_a_picture_overwritten_by_as_many_bytes_is_drawn_again(here: Run, monkeypatch: Any) -> None:
    monkeypatch.setenv("LIMNER_CACHE", "off")
    here(GRID)
    path = Path("grid-sweep") / table()[3]["image_path"]
    path.write_bytes(os.urandom(path.stat().st_size))
    told = counts(here(GRID, "--json"))
    assert (told["reused"], told["drawn"]) == (15, 1)
    assert read(path) is not None


def test_a_picture_whose_row_was_lost_is_not_drawn_again(here: Run, monkeypatch: Any) -> None:
    monkeypatch.setenv("LIMNER_CACHE", "off")
    here(GRID)
    rows = Path("grid-sweep/rows.jsonl")
    rows.write_bytes(rows.read_bytes()[:-30])  # torn
    monkeypatch.setattr(Painter, "generate", None)
    told = counts(here(GRID, "--json"))
    assert (told["reused"], told["failed"]) == (15, 0) and len(table()) == 16


def test_models_are_opened_once_each(here: Run, monkeypatch: Any) -> None:
    opened: list[str] = []

    def open_model(name: str) -> Painter:
        opened.append(name)
        return Painter(name)

    monkeypatch.setattr(opening, "open_model", open_model)
    here(GRID + '\nmodel = ["one", "two"]')
    assert opened == ["one", "two"] * 2  # to plan, and to draw
    assert {row["model"] for row in table()} == {"one", "two"}


def test_the_command_line_wins_over_the_models_of_a_grid(here: Run) -> None:
    text = GRID + '\n[[experiment]]\nmodel = ["one", "two"]\n[[experiment]]\nmodel = "m + r"'
    run = here(text, "--image-model", "easel")
    assert run.returncode == 0 and {row["model"] for row in table()} == {"easel"}
    assert len(table()) == 16  # the experiments differ in their models only
    assert "easel draws in place of one, two, m + r" in run.stderr
    assert "in place of" not in here(GRID, "--image-model", "easel").stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [("prompt = 5", "prompt"), ('prompt = "a"\nguidance = 99', "--guidance 5")],
)
def test_a_grid_of_which_nothing_can_be_drawn(here: Run, text: str, says: str) -> None:
    run = here(text)
    assert run.returncode == 1 and says in run.stderr and not Path("grid-sweep").exists()


def test_a_folder_of_other_things_is_refused(here: Run, tmp_path: Path) -> None:
    Path("mine").mkdir()
    assert here(GRID, "--out", "mine").returncode == 0  # empty
    assert here(GRID, "--out", "mine").returncode == 0  # its own
    Path("photos").mkdir()
    Path("photos/cat.png").write_bytes(b"cat")
    Path("file").write_bytes(b"")
    for name, says in (("photos", "other things than a sweep"), ("file", "it is no folder")):
        run = here(GRID, "--out", name)
        assert run.returncode == 1 and says in run.stderr and "--out" in run.stderr
    assert [path.name for path in Path("photos").iterdir()] == ["cat.png"]


def test_no_cell_of_the_table_is_a_formula(here: Run) -> None:
    prompts = ["=1+1", "+cmd", "-x", "@a", "a = b", "-5"]
    here(f"prompt = {json.dumps(prompts)}\nguidance = 0.5")
    assert {row["prompt"] for row in table()} == {"'=1+1", "'+cmd", "'-x", "'@a", "a = b", "-5"}
    assert {row["guidance"] for row in table()} == {"0.5"}


def test_the_tables_have_headings_and_one_picture_is_one(here: Run) -> None:
    run = here('prompt = "a boat"')
    assert run.stdout.count("prompt\tsize\tsteps\tguidance\tscheduler\tseconds\n") == 2
    assert "1 picture, 1 to draw" in run.stderr and "1 picture, 1 drawn" in run.stderr


def test_one_sweep_at_a_time_writes_into_a_folder(here: Run) -> None:
    from filelock import FileLock

    Path("grid-sweep").mkdir()
    with FileLock("grid-sweep/.lock"):
        run = here(GRID)
    assert run.returncode == 1 and "another sweep" in run.stderr


# ── Kills, full disks ────────────────────────────────────────────────────────────────────────


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    journal = Rows(tmp_path / "rows.jsonl")
    for key in "abc":
        journal.append(Row(key, file=f"{key}.png"))
    whole = (tmp_path / "rows.jsonl").read_bytes()
    ends = {n + d for n, byte in enumerate(whole) if byte == 10 for d in (0, 1)}
    for end in ends | set(range(0, len(whole) + 1, 29)):
        (tmp_path / "rows.jsonl").write_bytes(whole[:end])
        kept = set(journal.by_key())
        assert kept == set("abc"[: whole[:end].count(b"\n")]) or (
            whole[end : end + 1] == b"\n" and kept == set("abc"[: whole[:end].count(b"\n") + 1])
        )
        journal.append(Row("new"))
        assert set(journal.by_key()) == kept | {"new"}


def test_a_flipped_bit_costs_one_row(tmp_path: Path) -> None:
    journal = Rows(tmp_path / "rows.jsonl")
    for key in "abc":
        journal.append(Row(key))
    data = bytearray((tmp_path / "rows.jsonl").read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "rows.jsonl").write_bytes(bytes(data))
    assert set(journal.by_key()) == {"a", "c"}


@pytest.mark.parametrize("at", [0, 5, 15])
@pytest.mark.parametrize("where", ["row", "picture"])
def test_a_full_disk_loses_nothing_finished(
    here: Run, monkeypatch: pytest.MonkeyPatch, at: int, where: str
) -> None:
    from limner.agent.sweep import running

    done, real = [0], {"row": os.write, "picture": running.write_file}

    def full(*arguments: Any) -> Any:
        if where == "row" and b'"key"' not in arguments[1]:
            return real["row"](*arguments)
        done[0] += 1
        if done[0] > at:
            if where == "row":
                real["row"](arguments[0], arguments[1][:20])  # a part went through
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real[where](*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "write") if where == "row" else (running, "write_file")), full)
        run = here(GRID)
    assert run.returncode == 1
    assert f"no space left on device); {at} of 16 are done and safe" in run.stderr
    told = counts(here(GRID, "--json"))
    assert (told["reused"], told["failed"], told["left"]) == (at, 0, 0) and len(table()) == 16


def test_an_interrupt_ends_in_130_and_keeps_what_is_done(tmp_path: Path) -> None:
    process = _started(tmp_path, "0.2")
    _wait_for_rows(tmp_path, process, 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "goes on from here" in err and "Traceback" not in err
    assert len(Rows(tmp_path / "grid-sweep" / "rows.jsonl").by_key()) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["off", "on"])
def test_killed_three_times_it_finishes_and_draws_nothing_twice(tmp_path: Path, cache: str) -> None:
    chance = random.Random(cache)
    for stop in (30, 90, 150):
        process = _started(tmp_path, "0.02", cache)
        _wait_for_rows(tmp_path, process, stop)
        time.sleep(chance.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL
    last = _started(tmp_path, "0.02", cache, "--json")
    out, err = last.communicate(timeout=300)
    assert last.returncode == 0, err
    told = json.loads(out)
    assert (told["pictures"], told["left"], told["failed"]) == (200, 0, 0)
    assert told["reused"] >= 150
    rows = table(tmp_path / "grid-sweep")
    asked = {(row["prompt"], row["steps"], row["seed"]) for row in rows}
    assert len(rows) == len(asked) == 200
    assert len({row["image_path"] for row in rows}) == 200
    for row in rows:
        signed = read(tmp_path / "grid-sweep" / row["image_path"])
        assert signed is not None and signed.untouched and signed.drawn.prompt == row["prompt"]
    begun = [line for line in (tmp_path / "log").read_text().splitlines() if "begun" in line]
    assert len(set(begun)) == 200
    assert len(begun) <= 203  # a kill costs the picture at hand


def _started(folder: Path, delay: str, cache: str = "off", *options: str) -> Any:
    (folder / "grid.toml").write_text('prompt = ["a", "b"]\nsteps = "2-11"\nseed = "0-9"')
    where = str(folder / "cache") if cache == "on" else "off"
    variables = {"PAINTER_DELAY": delay, "PAINTER_LOG": str(folder / "log"), "LIMNER_CACHE": where}
    return subprocess.Popen(
        [sys.executable, PAINTING, "sweep", "grid.toml", "--image-model", "painter", *options],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_rows(folder: Path, process: subprocess.Popen[str], count: int) -> None:
    path = folder / "grid-sweep" / "rows.jsonl"
    until = time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.01)


# ── Measures, tables, pages ──────────────────────────────────────────────────────────────────


def test_sharpness_is_opencvs() -> None:
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    noise = Image.effect_noise((61, 47), 50)
    for image in (noise, noise.filter(ImageFilter.GaussianBlur(2)), Image.new("L", (5, 5), 9)):
        expected = cv2.Laplacian(np.asarray(image), cv2.CV_64F).var()
        assert sharpness(image) == pytest.approx(expected, rel=1e-9)
    assert sharpness(noise.filter(ImageFilter.GaussianBlur(2))) < sharpness(noise) / 10


@pytest.mark.skipif(sys.platform != "linux", reason="the system must tell")
def test_a_peak_is_of_what_runs_within() -> None:
    with measured_peak() as large:
        held = bytearray(os.urandom(1)) * 200_000_000
    del held
    with measured_peak() as small:
        pass
    assert large.bytes is not None and small.bytes is not None
    assert large.bytes - small.bytes > 150_000_000


# ── Agreement with prompts ───────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP model made from its configuration; random weights."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    from limner.tests.tiny_image_models import _tokenizer

    folder = tmp_path_factory.mktemp("clip")
    tokenizer = _tokenizer(folder, "<|endoftext|>")
    words = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
             "num_attention_heads": 2, "vocab_size": len(tokenizer),
             "eos_token_id": tokenizer.eos_token_id}  # fmt: skip
    eyes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "image_size": 32, "patch_size": 16}  # fmt: skip
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=words, vision_config=eyes, projection_dim=16)).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return folder


def test_agreement_is_what_clip_itself_says(clip: Path) -> None:
    import torch
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    from limner.agent.sweep.scoring import ClipScorer

    model = CLIPModel.from_pretrained(clip)
    image, prompt = Image.effect_noise((80, 60), 60).convert("RGB"), "a red boat " * 60
    words = CLIPTokenizer.from_pretrained(clip)(prompt, truncation=True, max_length=77,
                                                return_tensors="pt")  # fmt: skip
    assert words["input_ids"].shape == (1, 77)
    pixels = CLIPImageProcessor.from_pretrained(clip)(images=image, return_tensors="pt")
    with torch.no_grad():
        logits = model(**words, **pixels).logits_per_image
    expected = float(logits / model.logit_scale.detach().exp())
    assert ClipScorer.load(str(clip))(image, prompt) == pytest.approx(expected, abs=1e-5)


def test_what_was_drawn_without_a_scorer_is_scored_later(here: Run, clip: Path) -> None:
    here(GRID, "--limit", "6")
    before = {row["image_path"]: row for row in table()}
    assert {row["prompt_agreement"] for row in table()} == {""}
    told = counts(here(GRID, "--scorer", str(clip), "--json"))
    assert (told["reused"], told["drawn"]) == (6, 10)
    rows = table()
    assert all(-1 <= float(row["prompt_agreement"]) <= 1 for row in rows)
    for row in rows:
        if (old := before.get(row["image_path"])) is not None:
            same = {k: v for k, v in row.items() if k != "prompt_agreement"}
            assert same == {k: v for k, v in old.items() if k != "prompt_agreement"}
    assert "agreement with the prompt" in Path("grid-sweep/sweep.html").read_text(encoding="utf-8")


def test_a_scorer_that_is_none(here: Run, tmp_path: Path) -> None:
    assert here(GRID, "--scorer", str(tmp_path)).returncode == 3
    assert not Path("grid-sweep").exists()


def test_the_small_example_with_a_diffusion_model(
    here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.tests.tiny_image_models import image_model

    monkeypatch.setattr(opening, "open_model", REAL)
    folder = image_model(tmp_path / "model", "sd15")
    example = Path(__file__).parents[2] / "examples" / "sweeps" / "tiny.toml"
    run = here(example.read_text(encoding="utf-8"), "--image-model", str(folder), "--limit", "5")
    assert run.returncode == 0, run.stderr
    rows = table()
    assert len(rows) == 5 and {row["model"] for row in rows} == {"model"}
    assert all(float(row["latency_s"]) > 0 and float(row["steps_per_s"]) > 0 for row in rows)
    assert all(float(row["peak_memory_mb"]) > 1 for row in rows)
    run = here(example.read_text(encoding="utf-8"), "--image-model", str(folder), "--limit", "2")
    assert "5 done in earlier runs, 2 to draw, about " in run.stderr


def test_a_model_that_is_not_here_is_told_as_such(here: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr(opening, "open_model", REAL)
    run = here(GRID + '\nmodel = "nobody/nothing-at-all"')
    assert run.returncode == 3 and "limner models pull nobody/nothing-at-all" in run.stderr
    assert not Path("grid-sweep").exists()
