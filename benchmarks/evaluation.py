"""What running a question set costs around the agent, and what survives.

Claims: a run costs at most 10 ms a row of processor time beyond the agent itself; eight questions
at a time are at least 7 times as fast as one where a server takes 0.25 s to answer; a run of 500
rows that is killed five times has every row in the end, none twice, with the scores of one that
was not.

    python benchmarks/evaluation.py [--part overhead|connections|kills|all] [--rows N]

Overhead is interleaved, in one warm process, with an agent that answers at once: what inspect-ai
costs with its defaults and as it is told here stands beside it. Connections and kills are real: a
server in a process of its own, and SIGKILL at random moments.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from common import arguments, interleaved, show, spread, spread_text, write

# isort: split
from limner.agent.agent import Agent
from limner.agent.answer import Answer, Text, Usage
from limner.agent.evaluation.evaluate import evaluate
from limner.agent.evaluation.questions import Question
from limner.agent.evaluation.runs import Run
from limner.agent.events import AnswerReady, Event, TextDelta
from limner.agent.journal import Journal
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.index.passage import Passage
from limner.tools.chat_models.scripted import Scripted

_SECONDS = 0.25  # that the server takes
_KILLS = 5
_WORDS = "High water at the harbour is at noon on Friday. [1]"
_TIDES = "# Tides\n\nHigh water at the harbour is at noon on Friday.\n"
_PASSAGES = tuple(
    Passage(str(n), f"{_TIDES} {'and so on ' * 60}", "tides.md", score=0.5) for n in range(6)
)


class Instant(Agent):
    """Answers at once, with as many passages as a real turn has."""

    def stream(self, question: str, images: Sequence[Any] = ()) -> Iterator[Event]:
        """One word, then the answer."""
        yield TextDelta("High")
        yield AnswerReady(Answer((Text(_WORDS, (1,)),), _PASSAGES, Usage(900, 12)))


def questions(rows: int) -> tuple[Question, ...]:
    """Questions with a reference and a relevant place, in sixty groups."""
    return tuple(
        Question(
            f"q{n}",
            f"When is high water at pier {n}?",
            references=("noon on Friday",),
            relevant=("tides.md",),
            category=f"group {n % 60}",
        )
        for n in range(rows)
    )


def agent_of(folder: Path, kind: type[Agent] = Agent, **options: Any) -> Agent:
    """An agent over a library of one file."""
    library = Library.open(folder / "library", HashEmbeddings())
    if not library.exists:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tides.md").write_text(_TIDES)
        library.add(folder / "tides.md")
    return kind(library, **(options or {"chat_model": Scripted(replies=[_WORDS])}))


# ── overhead ─────────────────────────────────────────────────────────────────────────────────


def overhead(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Processor time per row of a run, and of what it consists of."""
    agent, asked, number = agent_of(folder, Instant), questions(rows), count()

    def alone() -> None:
        for question in asked:
            list(agent.stream(question.question))

    def whole() -> None:
        evaluate(agent, asked, out=folder / f"run{next(number)}")

    def again() -> None:
        evaluate(agent, asked, out=folder / "run0")

    runs: dict[str, Callable[[], float]] = {
        "agent alone": lambda: _processor(alone, rows),
        "limner eval run": lambda: _processor(whole, rows),
        "the same, every row reused": lambda: _processor(again, rows),
        "inspect-ai alone, told as here": lambda: _processor(_bare(asked, folder, True), rows),
        "inspect-ai alone, its defaults": lambda: _processor(_bare(asked, folder, False), rows),
    }
    found = interleaved(runs, rounds)
    title = f"processor time per row, {rows} rows, {rounds} rounds (ms)"
    show(title, ("", "median (least–most)"), [(n, spread_text(v, "", 2)) for n, v in found.items()])
    cost = [a - b for a, b in zip(found["limner eval run"], found["agent alone"], strict=True)]
    print(f"  a run beyond the agent: {spread_text(cost, 'ms a row', 2)}; at most 10 claimed")
    return {name: spread(values) for name, values in found.items()} | {"beyond": spread(cost)}


def _processor(work: Callable[[], object], rows: int) -> float:
    gc.collect()
    gc.freeze()  # as the command does
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started) / rows


def _bare(asked: Sequence[Question], folder: Path, told: bool) -> Callable[[], object]:
    """inspect-ai with a solver and a scorer that do nothing."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
    from inspect_ai.solver import Generate, Solver, TaskState, solver

    @solver
    def nothing() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            state.output = ModelOutput.from_content("none", _WORDS)
            return state

        return solve

    @scorer(metrics=[mean()])
    def one() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            return Score(value=1.0)

        return score

    options: dict[str, Any] = {"display": "none", "log_dir": str(folder / "bare")}
    if told:
        options |= {"log_realtime": False, "score_display": False, "ctl_server": False}
        options |= {"log_header_only": True, "log_images": False}
    samples = [Sample(id=q.id, input=q.question, target=list(q.references)) for q in asked]

    def run() -> None:
        dataset = MemoryDataset(list(samples))
        task = Task(dataset=dataset, solver=nothing(), scorer=one(), name="bare")
        eval(task, model=None, max_samples=1, **options)

    return run


# ── connections ──────────────────────────────────────────────────────────────────────────────


class _Slow(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send("application/json", json.dumps({"data": [{"id": "slow"}]}).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(_SECONDS)
        delta = {"role": "assistant", "content": _WORDS}
        known = {"id": "1", "object": "chat.completion.chunk", "model": "slow"}
        first = {**known, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        last = {**known, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in (first, last))
        self._send("text/event-stream", f"{text}data: [DONE]\n\n".encode())

    def _send(self, kind: str, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


def serve() -> None:
    """The slow server, in this process; prints its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def connections(folder: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Wall time of a run with one and with eight questions at a time."""
    command = [sys.executable, __file__, "--serve"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        agent, asked, number = agent_of(folder, endpoint=endpoint), questions(rows), count()
        answers: dict[int, list[str]] = {}

        def run(at_once: int) -> float:
            out, started = folder / f"run{next(number)}", time.perf_counter()
            report = evaluate(agent, asked, ["text"], out=out, max_connections=at_once)
            answers[at_once] = [row.answer.text if row.answer else "" for row in report.rows]
            return time.perf_counter() - started

        found = interleaved({"one": lambda: run(1), "eight": lambda: run(8)}, rounds)
    finally:
        server.kill()
        server.communicate()
    times = [a / b for a, b in zip(found["one"], found["eight"], strict=True)]
    show(
        f"{rows} questions, {_SECONDS} s each (seconds)",
        ("at a time", "median (least–most)"),
        [(name, spread_text(values)) for name, values in found.items()],
    )
    print(f"  eight at a time: {spread_text(times, 'times as fast', 2)}; at least 7 claimed")
    same = answers[1] == answers[8]
    print(f"  the same answers: {same}")
    return {name: spread(v) for name, v in found.items()} | {"ratio": spread(times), "same": same}


# ── kills ────────────────────────────────────────────────────────────────────────────────────


def kills(folder: Path, rows: int) -> dict[str, Any]:
    """A run killed at random moments against one that was not."""
    whole, out, dice = folder / "whole", folder / "killed", random.Random()
    _child(whole, rows).wait()
    for number in range(1, _KILLS + 1):
        child = _child(out, rows)
        goal = rows * number // (_KILLS + 1)
        while child.poll() is None and _written(out) < goal:
            time.sleep(0.002)
        time.sleep(dice.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
        print(f"  killed with {_written(out)} rows written")
    _child(out, rows).wait()
    done, unbroken = Run.open(out), Run.open(whole)
    lines = Counter(line["row"]["question"]["id"] for line in Journal(out / "rows.jsonl"))
    facts = {
        "rows": len(done.rows),
        "missing": done.missing,
        "asked twice": sum(many > 1 for many in lines.values()),
        "same scores": [r.scores for r in done.rows] == [r.scores for r in unbroken.rows],
    }
    show(f"{rows} rows, killed {_KILLS} times", ("", ""), list(facts.items()))
    return facts


def _child(out: Path, rows: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "--child", str(out), "--rows", str(rows)])


def _written(out: Path) -> int:
    path = out / "rows.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main() -> None:
    parser = arguments(__doc__ or "", "evaluation")
    parts = ("overhead", "connections", "kills", "all")
    parser.add_argument("--part", choices=parts, default="all")
    parser.add_argument("--rows", type=int, default=0, help="other than 200, 48 and 500")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help="be the slow server")
    parser.add_argument("--child", type=Path, help="be a run that is killed")
    given = parser.parse_args()
    if given.serve:
        serve()
    if given.child:
        evaluate(agent_of(given.child.parent / "seaside"), questions(given.rows), out=given.child)
        os._exit(0)
    body: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if given.part in ("overhead", "all"):
            body["overhead"] = overhead(folder / "o", given.rows or 200, given.rounds)
        if given.part in ("connections", "all"):
            body["connections"] = connections(folder / "c", given.rows or 48, given.rounds)
        if given.part in ("kills", "all"):
            body["kills"] = kills(folder / "k", given.rows or 500)
    write(given.out, body)


if __name__ == "__main__":
    main()
