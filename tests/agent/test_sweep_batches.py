"""Pictures of a grid drawn several in a pass: which go together, what fails, what a kill costs."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.agent.sweep.batches import batches, but_words_and_seed
from limner.agent.sweep.grid import Settings
from limner.agent.sweep.journal import Rows
from limner.agent.sweep.running import Task
from limner.errors import ModelError, ModelOutputError
from limner.tests.agent.painting import Painter
from limner.tools.image_models import opening
from limner.tools.image_models.base import Estimate, GeneratedImage, ImageRequest, OnStep
from limner.tools.image_models.provenance import read

GRID = 'prompt = ["a boat", "a cat"]\nsteps = [2, 3]\nseed = "0-4"'  # 20 pictures, 10 of each steps

Sweep = Callable[..., dict[str, Any]]


class Batching(Painter):
    """Paints many in a pass; the word NONE comes to nothing, the word BURST ends a pass."""

    passes: list[list[ImageRequest]] = []  # noqa: RUF012, of all of this class

    def most_together(self, request: ImageRequest, most: int | None = None) -> int:
        return most or 4

    def estimate(self, request: ImageRequest, together: int = 1) -> Estimate:
        return Estimate(seconds=2.0 * together + 1)

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        (found,) = self.generate_many([request], on_step)
        assert isinstance(found, GeneratedImage)
        return found

    def generate_many(
        self, requests: Sequence[ImageRequest], on_step: OnStep
    ) -> list[GeneratedImage | ModelError]:
        self.passes.append(list(requests))
        if any("BURST" in request.prompt for request in requests):
            raise ValueError("burst")
        painted = [super(Batching, self).generate(request, on_step) for request in requests]
        count = len(requests)
        return [
            ModelOutputError("numbers that are none", "")
            if "NONE" in one.prompt
            else replace(one, batch=count, seconds=1 / count)
            for one in painted
        ]


@pytest.fixture
def sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Sweep:
    """``limner sweep`` in this process; what it counts."""
    from limner.agent import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMNER_CACHE", "off")
    monkeypatch.setenv("LIMNER_IMAGE_MODEL", "painter")
    monkeypatch.setattr(opening, "open_model", Batching)
    monkeypatch.setattr(Batching, "passes", [])

    def run(text: str, *options: str) -> dict[str, Any]:
        Path("grid.toml").write_text(text, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["limner", "sweep", "grid.toml", "--json", *options])
        with pytest.raises(SystemExit):
            cli.main()
        said = capsys.readouterr()
        return json.loads(said.out) | {"said": said.err}

    return run


def table(folder: str = "grid-sweep") -> list[dict[str, str]]:
    with (Path(folder) / "results.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# ── Which go together ────────────────────────────────────────────────────────────────────────

TASKS = st.builds(
    lambda prompt, model, steps, seed, together: Task(
        Settings(prompt, model=model, steps=steps, seed=seed), "", together=together
    ),
    st.sampled_from("ab"), st.sampled_from("mn"), st.integers(2, 3), st.integers(0, 9),
    st.integers(1, 4),
)  # fmt: skip


@given(st.lists(TASKS, max_size=30))
def test_batches_hold_every_task_once_and_only_like_ones(tasks: list[Task]) -> None:
    made = batches(tasks)
    assert sorted(map(id, tasks)) == sorted(id(task) for batch in made for task in batch)
    for batch in made:
        assert len({but_words_and_seed(task.settings) for task in batch}) == 1
        assert all(n < task.together for n, task in enumerate(batch) if n)
    places = {id(task): number for number, task in enumerate(tasks)}
    firsts = [places[id(batch[0])] for batch in made]
    assert firsts == sorted(firsts)


@given(st.lists(TASKS, max_size=20))
def test_without_batches_the_order_stays(tasks: list[Task]) -> None:
    alone = [replace(task, together=1) for task in tasks]
    assert [task for (task,) in batches(alone)] == alone


def test_what_cannot_be_drawn_goes_by_itself() -> None:
    good = Task(Settings("a"), "k", together=3)
    bad = replace(good, fault=ModelError("no"))
    assert batches([good, bad, good]) == [[good, good], [bad]]


# ── A sweep ──────────────────────────────────────────────────────────────────────────────────


def test_a_sweep_in_batches_has_a_row_for_every_picture(sweep: Sweep) -> None:
    told = sweep(GRID)
    assert (told["drawn"], told["failed"], told["left"]) == (20, 0, 0)
    assert [len(each) for each in Batching.passes] == [4, 4, 4, 4, 2, 2]
    assert "about 45 s" in told["said"]  # four take 9 s
    rows = table()
    assert {(row["batch"], row["latency_s"]) for row in rows} == {("4", "0.250"), ("2", "0.500")}
    assert len(list(Rows(Path("grid-sweep/rows.jsonl"))._journal)) == 20
    pictures = {row["image_path"]: (Path("grid-sweep") / row["image_path"]) for row in rows}
    pixels = {}
    for name, path in pictures.items():
        signed = read(path)
        assert signed is not None and signed.untouched and signed.drawn.batch > 1
        pixels[name] = signed.drawn.image.tobytes()
    sweep(GRID, "--out", "alone", "--batch", "1")
    assert {len(each) for each in Batching.passes[6:]} == {1} and len(Batching.passes) == 26
    assert {row["batch"] for row in table("alone")} == {"1"}
    for name in pictures:  # under the same name the same pixels
        signed = read(Path("alone") / name)
        assert signed is not None and signed.drawn.image.tobytes() == pixels[name]


def test_the_most_that_is_asked_for_holds(sweep: Sweep) -> None:
    sweep(GRID, "--batch", "8", "--limit", "12")
    assert [len(each) for each in Batching.passes] == [7, 5]
    assert sweep(GRID, "--batch", "8")["drawn"] == 8


def test_a_picture_that_comes_to_nothing_costs_no_other(sweep: Sweep) -> None:
    told = sweep('prompt = ["a", "NONE", "b", "c"]')
    assert [len(each) for each in Batching.passes] == [4]
    assert (told["drawn"], told["failed"]) == (3, 1)
    assert [row["reason"] for row in table()] == ["", "numbers that are none", "", ""]


def test_where_a_pass_breaks_each_is_drawn_alone(sweep: Sweep) -> None:
    told = sweep('prompt = ["a", "BURST", "b"]')
    assert [len(each) for each in Batching.passes] == [3, 1, 1, 1]
    assert (told["drawn"], told["failed"]) == (2, 1)
    assert [row["reason"] for row in table()] == ["", "ValueError: burst", ""]


def test_what_is_there_is_not_drawn_with_the_others(sweep: Sweep) -> None:
    sweep(GRID, "--limit", "3")
    rows = Path("grid-sweep/rows.jsonl")
    rows.write_bytes(rows.read_bytes()[:-30])  # torn: its picture is there
    Batching.passes.clear()
    told = sweep(GRID)
    assert (told["reused"], told["drawn"], told["failed"]) == (2, 18, 0)
    drawn = [(r.prompt, r.steps, r.seed) for each in Batching.passes for r in each]
    assert len(drawn) == len(set(drawn)) == 17


KILLED = """
import os, signal, sys
from limner.agent import cli
from limner.agent.sweep import running
from limner.tests.agent.test_sweep_batches import Batching
from limner.tools.image_models import opening
opening.open_model, write, left = Batching, running.write_file, [6]
def counted(path, data):
    write(path, data)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)  # two of the second batch of four are on the disk
running.write_file = counted
sys.argv = ["limner", "sweep", "grid.toml", "--image-model", "painter"]
cli.main()
"""


@pytest.mark.slow
def test_a_kill_within_a_batch_gives_no_picture_twice(sweep: Sweep, tmp_path: Path) -> None:
    Path("grid.toml").write_text(GRID, encoding="utf-8")
    log = tmp_path / "log"
    process = subprocess.run(
        [sys.executable, "-c", KILLED], env=os.environ | {"PAINTER_LOG": str(log)}, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert len(Rows(Path("grid-sweep/rows.jsonl")).by_key()) == 5
    assert log.read_text().count("ended") == 8
    told = sweep(GRID)
    assert (told["reused"], told["drawn"], told["failed"]) == (5, 15, 0)
    again = [request for each in Batching.passes for request in each]
    assert len(again) == 14  # the sixth was written, its row was not
    rows = table()
    assert len({row["image_path"] for row in rows}) == len(rows) == 20
