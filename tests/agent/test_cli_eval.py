from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from limner.agent.evaluation.runs import Run
from limner.index import library as library_module
from limner.index.embeddings import HashEmbeddings
from limner.tests.tools.chat_server import REPLY, Serve, nowhere, serving, stats

Called = Callable[..., subprocess.CompletedProcess[str]]

TIDES = "# Tides\n\nHigh water at the harbour is at noon on Friday.\n"
ROWS = [
    {"id": "a", "question": "When was the lighthouse built?", "reference": "1871"},
    {"id": "b", "question": "Who keeps the lighthouse?", "reference": "nobody"},
    {"id": "c", "question": "What is this?", "images": ["letter.png"]},
]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Called:
    """``limner eval`` in this process, in a folder with the set ``sea.jsonl``."""
    from limner.agent import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library_module, "find_embeddings", lambda name: HashEmbeddings())
    Path("sea.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    Path("letter.png").write_text("no picture at all")
    Path("tides.md").write_text(TIDES)
    Path("sea.toml").write_text('documents = ["tides.md"]\n')

    def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["limner", "eval", *map(str, words)])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        said = capfd.readouterr()
        return subprocess.CompletedProcess(words, int(code or 0), said.out, said.err)

    return call


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as begin:
        yield begin


def test_from_a_set_to_a_report_and_on(here: Called, serve: Serve) -> None:
    server = serve("good")
    command = ("run", "sea.jsonl", "--endpoint", server, "--metric", "text", "--chat-model", "a/b")
    first = here(*command)
    out = Path("runs/sea-b")
    assert first.returncode == 1, first.stderr  # the third question has no picture
    assert "3 questions asked of a/b" in first.stderr and "a library is made in" in first.stderr
    assert "c: " in first.stderr and "letter.png" in first.stderr
    assert "contains" in first.stdout and first.stdout.endswith(f"{out}/report.html\n")
    for name in ("results.csv", "summary.json", "report.html", "library/library.db"):
        assert (out / name).is_file(), name
    rows = Run.open(out).rows
    assert [row.failed for row in rows] == [False, False, True]
    assert rows[0].answer and rows[0].answer.text.startswith(REPLY)
    assert rows[0].scores and rows[0].scores["contains"] == 1.0
    asked = stats(server)["requests"]
    again = here(*command, "--json")
    told = json.loads(again.stdout)
    assert (told["rows"], told["reused"], told["asked"], told["failed"]) == (3, 2, 1, 1)
    assert "2 answered before and kept, 1 failed before and asked again, 1 to ask" in again.stderr
    assert again.returncode == 1 and stats(server)["requests"] == asked
    assert told["summary"]["rows"] == 3 and str(out / "report.html") in told["files"]
    # Measured anew, and held against another seed.
    scored = here("score", out, "--metric", "abstaining", "--json")
    assert scored.returncode == 0 and json.loads(scored.stdout)["changed"] == 3
    assert "no_false_abstention" in (Run.open(out).rows[0].scores or {})
    assert "contains" in here("score", out).stdout
    refused = here(*command, "--seed", "3")
    assert refused.returncode == 1 and "the seed differs" in refused.stderr
    assert "--out" in refused.stderr


def test_a_run_without_a_failure_ends_well(here: Called, serve: Serve) -> None:
    done = here(
        "run", "sea.jsonl", "--endpoint", serve("busy-once"), "--limit", "2", "--out", "mine",
        "--max-connections", "2", "--epochs", "2", "--metric", "text",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 questions each 2 times asked of letters at" in done.stderr
    assert [row.epoch for row in Run.open("mine").rows] == [1, 2, 1, 2]


def test_what_a_command_does_not_ask_is_told(here: Called, serve: Serve) -> None:
    words = ("run", "sea.jsonl", "--endpoint", serve(), "--metric", "contains", "--out", "mine")
    here(*words, "--limit", "2")
    fewer = here(*words, "--limit", "1")
    assert "1 row of before not asked for now: kept on disk, out of the report" in fewer.stderr
    assert len(Run.open("mine").rows) == 1
    assert len(here(*words, "--limit", "2").stdout.splitlines()) == 3  # quality, contains, page
    assert len(Run.open("mine").rows) == 2
    Path("bare.csv").write_text("id,question,reference\na,When?,noon\n,,\na,Who?,Ada\n")
    bare = here("run", "bare.csv", "--endpoint", serve(), "--out", "bare", "--json")
    assert "an empty library is asked (try: --library DIR" in bare.stderr
    assert any("bare.csv" in fault for fault in json.loads(bare.stdout)["faults"])


def test_a_row_that_is_damaged_is_told(here: Called, serve: Serve) -> None:
    here("run", "sea.jsonl", "--endpoint", serve(), "--limit", "2", "--out", "mine")
    place = Path("mine/rows.jsonl")
    place.write_bytes(place.read_bytes().replace(b"lighthouse", b"lighthorse", 1))
    assert "1 lines of rows.jsonl are not whole" in here("report", "mine").stderr
    assert Run.open("mine").damaged == 1 and len(Run.open("mine").rows) == 1


def test_a_library_that_is_named_is_asked(here: Called, serve: Serve, tmp_path: Path) -> None:
    with library_module.Library.open("own", HashEmbeddings()) as library:
        library.add("tides.md")
    words = ("run", "sea.jsonl", "--limit", "1", "--endpoint", serve(), "--out", "mine")
    assert here(*words, "--library", "own").returncode == 0
    assert not Path("mine/library").exists() and Run.open("mine").manifest.library == "own"
    missing = here(*words, "--library", "none")
    assert missing.returncode == 1 and "no library here" in missing.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "none.jsonl"], 1, "no question set"),
        (["run", "sea.jsonl", "--metric", "beauty"], 1, "one of: text, pictures"),
        (["run", "sea.jsonl", "--fields", "question"], 1, "--fields OURS=THEIRS"),
        (["run", "sea.jsonl", "--epochs", "0"], 2, "--epochs"),
        (["run", "sea.jsonl", "--profile", "server"], 2, "--endpoint"),
        (["run", "sea.jsonl", "--endpoint", "DOWN"], 3, "no chat server answers"),
        (["run", "sea.jsonl", "--out", "."], 1, "other things than a run"),
        (["score", "."], 1, "no run of a question set"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_asked(
    here: Called, words: list[str], code: int, said: str
) -> None:
    done = here(*[nowhere() if word == "DOWN" else word for word in words])
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not list(Path().glob("runs/*/rows.jsonl"))


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path, serve: Serve) -> None:
    row = {"id": "a", "question": "When is high water at the harbour?"}
    (tmp_path / "sea.jsonl").write_text(json.dumps(row))
    (tmp_path / "sea.toml").write_text('documents = ["tides.md"]\n')
    (tmp_path / "tides.md").write_text(TIDES)
    server = serve("hang")
    command = [sys.executable, "-m", "limner", "eval", "run", "sea.jsonl", "--endpoint", server]
    run = subprocess.Popen(
        [*command, "--out", "run"], cwd=tmp_path, stderr=-1, text=True, env=dict(os.environ)
    )
    ends = time.monotonic() + 300
    while not stats(server)["requests"]:
        assert run.poll() is None and time.monotonic() < ends
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    assert run.stderr and "the same command goes on" in run.stderr.read()
    assert run.wait() == 130 and not (tmp_path / "run" / "rows.jsonl").exists()


def test_help_loads_nothing_of_it() -> None:
    code = (
        "import sys; from limner.agent import cli; "
        "print([m for m in sys.modules if m.startswith(('inspect_ai', 'limner.agent.evaluation', "
        "'langchain', 'numpy', 'matplotlib'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
