"""Runs that are killed and stopped, in processes of their own; real signals at random moments."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from limner.agent.evaluation.runs import Run
from limner.agent.journal import Journal
from limner.tests.agent.evaluation import parrot

COUNT = 60


class Warm:
    """A process that runs `parrot` in forks."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, parrot.__file__], stdin=-1, stdout=-1, text=True
        )
        assert self._line() == "warm"

    def begin(self, out: Path, delay: float = 0.0, count: int = COUNT) -> int:
        assert self.process.stdin
        self.process.stdin.write(json.dumps([str(out), count, delay]) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def end(self) -> int:
        return int(self._line())

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    started = Warm()
    yield started
    started.process.kill()
    started.process.communicate()


def wait_for(out: Path, rows: int) -> None:
    path, ends = out / "rows.jsonl", time.monotonic() + 120
    while not path.exists() or path.read_bytes().count(b"\n") < rows:
        assert time.monotonic() < ends, "no rows came"
        time.sleep(0.002)


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_is_whole_in_the_end(
    tmp_path: Path, warm: Warm
) -> None:
    from inspect_ai.log import list_eval_logs, read_eval_log

    dice = random.Random()
    whole, out = tmp_path / "whole", tmp_path / "killed"
    warm.begin(whole)
    assert warm.end() == 0
    there = 0
    for _ in range(5):
        child = warm.begin(out, 0.005)
        wait_for(out, there + dice.randint(2, 9))
        time.sleep(dice.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        assert warm.end() == -signal.SIGKILL
        there = (out / "rows.jsonl").read_bytes().count(b"\n")
    kept = len(Run.open(out).rows)
    assert 10 <= kept < COUNT
    warm.begin(out)
    assert warm.end() == 0
    done, unbroken = Run.open(out), Run.open(whole)
    assert done.missing == 0 and len(done.rows) == COUNT
    asked = Counter(line["row"]["question"]["id"] for line in Journal(out / "rows.jsonl"))
    assert set(asked.values()) == {1}, "a question was asked again that had been answered"
    assert [(r.question, r.scores, r.answer and r.answer.parts) for r in done.rows] == [
        (r.question, r.scores, r.answer and r.answer.parts) for r in unbroken.rows
    ]
    (log,) = [read_eval_log(info) for info in list_eval_logs(str(out / "logs"))]
    assert log.status == "success" and log.samples and len(log.samples) == COUNT


def test_ctrl_c_ends_a_run_whose_model_is_silent(tmp_path: Path, warm: Warm) -> None:
    out = tmp_path / "run"
    child = warm.begin(out, 0.05, 12)
    wait_for(out, 2)
    os.kill(child, signal.SIGINT)
    assert warm.end() == 130
    there = Run.open(out)
    assert 2 <= len(there.rows) < 12 and not any(row.error for row in there.rows)
