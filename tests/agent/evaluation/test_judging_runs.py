"""Runs before a judge: journals that are gone on from, votes in both orders, and the command."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from limner.agent import cli_eval_judge
from limner.agent.answer import Answer
from limner.agent.evaluation.judging.asking import ask_all
from limner.agent.evaluation.judging.criteria import FULFILMENT, PICTURES, cases_of
from limner.agent.evaluation.judging.judge import Judge
from limner.agent.evaluation.judging.pairwise import bout_of, meetings
from limner.agent.evaluation.judging.pairwise import cases_of as pair_of
from limner.agent.evaluation.judging.panel import METRICS, judge_runs, named
from limner.agent.evaluation.judging.records import Key, Record, Records
from limner.agent.evaluation.judging.tally import leaning_of, tallies
from limner.agent.evaluation.questions import Question
from limner.agent.evaluation.rows import Row
from limner.agent.evaluation.runs import Run
from limner.agent.journal import Journal
from limner.errors import ModelError, ModelMissing, UserError
from limner.tests.agent.evaluation.judge_server import (
    FULLY,
    MARKS,
    TIE,
    A,
    B,
    asked_of,
    judging,
    lines,
    made_run,
    picture,
    said,
)
from limner.tests.tools.chat_server import nowhere
from limner.tools.chat_models.scripted import Scripted

QUESTIONS = [Question(str(n), f"Question {n}?", document=f"d{n // 2}") for n in range(6)]
KEY = Key("q", 1, "fulfilment", 0, ("a",), "v", "judge")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHAT_KEY", "JUDGE_MODEL", "JUDGE_ENDPOINT", "TIMEOUT"):
        monkeypatch.delenv(f"LIMNER_{name}", raising=False)


def run_of(folder: Path, words: str, failed: tuple[int, ...] = (), shows: str = "") -> Run:
    """A run that answers every question in the same words, each with a picture if one is named."""
    shown = [picture(folder / "media", shows)] if shows else []
    answers: dict[Question, Answer | None] = {
        question: None if n in failed else said(f"{words} {n}.", *shown)
        for n, question in enumerate(QUESTIONS)
    }
    return made_run(folder, answers)


def judge_of(reply: Callable[[str, str], Any], label: str = "judge") -> tuple[Judge, Scripted]:
    """A judge that sees the prompt and the material, and what it was asked."""

    class Replying(Scripted):
        def _reply(self, messages: Any) -> str:
            self._asked.append(messages)
            words = reply(messages[0].text, messages[1].text)
            if isinstance(words, BaseException):
                raise words
            return str(words)

    model = Replying(replies=[])
    return Judge(model, label), model


def fitting(system: str, material: str) -> str:
    """A judge that likes everything, and the first of two answers."""
    return A if "compare" in system else MARKS if "marks" in system else FULLY


def better(words: str) -> Callable[[str, str], str]:
    """A judge that prefers the answer that says something, wherever it stands."""

    def reply(system: str, material: str) -> str:
        first, second = material.index("Answer A,"), material.index("Answer B,")
        at = material.find(words)
        return TIE if at < 0 else A if first < at < second else B

    return reply


# ── records ──────────────────────────────────────────────────────────────────────────────────


def test_a_record_is_kept_and_read_again(tmp_path: Path) -> None:
    record = Record(KEY, {"reason": "", "verdict": "not"}, ("{…}",), "")
    Records(tmp_path / "deep" / "votes.jsonl").add(record)
    again = Records(tmp_path / "deep" / "votes.jsonl")
    assert again.get(KEY) == record and len(again) == 1
    assert again.get(replace(KEY, prompt="w")) is None


def test_journals_beside_are_read_and_left_alone(tmp_path: Path) -> None:
    Records(tmp_path / "a").add(Record(KEY, None, (), "prose"))
    both = Records(tmp_path / "b", [tmp_path / "a", tmp_path / "none"])
    assert both.get(KEY) is not None
    both.add(Record(replace(KEY, epoch=2), None))
    assert len(Records(tmp_path / "a")) == 1 and len(Records(tmp_path / "b")) == 1


def test_a_journal_of_something_else_is_told(tmp_path: Path) -> None:
    Journal(tmp_path / "votes.jsonl").append({"row": 1})
    with pytest.raises(UserError, match="no journal of judgements"):
        Records(tmp_path / "votes.jsonl")


def test_a_journal_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Records(tmp_path / "file" / "votes.jsonl").add(Record(KEY, None))


# ── asking ───────────────────────────────────────────────────────────────────────────────────


def cases(run: Run, judge: Judge) -> list[Any]:
    return [case for row in run.rows for case in cases_of(row, FULFILMENT, judge)]


@pytest.mark.parametrize("at_once", [1, 3])
def test_nothing_is_asked_twice(tmp_path: Path, at_once: int) -> None:
    run = run_of(tmp_path / "run", "High water")
    judge, model = judge_of(fitting)
    for asked, kept in ((6, 0), (0, 6)):
        records = Records(tmp_path / "judgements.jsonl")
        session = ask_all(cases(run, judge) * 2, judge, records, at_once)
        assert (session.asked, session.kept, session.errors) == (asked, kept, ())
    assert len(model.asked) == 6 == len(lines(tmp_path / "judgements.jsonl"))


def test_as_many_are_asked_at_once_as_may_be(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=60)
    run = run_of(tmp_path / "run", "High water")

    def reply(system: str, material: str) -> str:
        together.wait()
        return FULLY

    judge, _ = judge_of(reply)
    assert ask_all(cases(run, judge), judge, Records(tmp_path / "j"), 3).asked == 6


def test_another_prompt_judge_or_answer_is_another_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.agent.evaluation.judging import criteria

    run, other = run_of(tmp_path / "run", "High water"), run_of(tmp_path / "other", "Low water")
    judge, _ = judge_of(fitting)
    keys = {case.key for case in cases(run, judge)}
    assert keys == {case.key for case in cases(run, judge)}
    assert not keys & {case.key for case in cases(other, judge)}
    assert not keys & {case.key for case in cases(run, judge_of(fitting, "second")[0])}
    monkeypatch.setattr(criteria, "prompt_version", lambda _: "new")
    assert not keys & {case.key for case in cases(run, judge)}


def test_a_judge_that_failed_is_asked_again_and_one_of_prose_is_not(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "High water")

    def reply(system: str, material: str) -> Any:
        return ModelMissing("gone") if "Question 1" in material else \
            "Good!" if "Question 2" in material else FULLY  # fmt: skip

    judge, model = judge_of(reply)
    session = ask_all(cases(run, judge), judge, Records(tmp_path / "j"))
    assert (session.asked, len(session.errors), session.left) == (5, 1, 0)
    judge, model = judge_of(fitting)
    again = ask_all(cases(run, judge), judge, Records(tmp_path / "j"))
    assert (again.asked, again.kept) == (1, 5) and "Question 1" in model.asked[0][1].text


def test_a_judge_that_is_gone_is_given_up(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "High water")
    judge, model = judge_of(lambda *_: ModelMissing("gone"))
    session = ask_all(cases(run, judge), judge, Records(tmp_path / "j"))
    assert (session.asked, len(session.errors), session.left) == (0, 5, 1)
    assert not (tmp_path / "j").exists() and len(model.asked) == 5


def test_an_interrupt_leaves_what_was_judged(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "High water")
    judge, model = judge_of(
        lambda _, material: KeyboardInterrupt() if "Question 3" in material else FULLY
    )
    with pytest.raises(KeyboardInterrupt):
        ask_all(cases(run, judge), judge, Records(tmp_path / "j"))
    assert len(lines(tmp_path / "j")) == 3
    judge, model = judge_of(fitting)
    assert ask_all(cases(run, judge), judge, Records(tmp_path / "j")).kept == 3
    assert len(model.asked) == 3


# ── pairs ────────────────────────────────────────────────────────────────────────────────────


def bouts(runs: dict[str, Run], judge: Judge, place: Path) -> list[Any]:
    found, records = meetings({name: run.rows for name, run in runs.items()}), Records(place)
    ask_all([case for meeting in found for case in pair_of(meeting, judge)], judge, records)
    return [bout_of(meeting, judge, records) for meeting in found]


def two(tmp_path: Path, **options: Any) -> dict[str, Run]:
    return {"high": run_of(tmp_path / "high", "High", **options),
            "low": run_of(tmp_path / "low", "Low water")}  # fmt: skip


def test_what_both_orders_say_wins(tmp_path: Path) -> None:
    judge, model = judge_of(better("High"))
    found = bouts(two(tmp_path), judge, tmp_path / "votes")
    assert [bout.points for bout in found] == [1.0] * 6
    assert {bout.said for bout in found} == {("A", "B")} and not any(b.flipped for b in found)
    judge, _ = judge_of(better("Low"))
    assert [b.points for b in bouts(two(tmp_path), judge, tmp_path / "other")] == [0.0] * 6
    shown = [asked[1].text for asked in model.asked[:2]]
    assert shown[0].index("High 0.") < shown[0].index("Low water 0.")
    assert shown[1].index("Low water 0.") < shown[1].index("High 0.")


@pytest.mark.parametrize(
    ("first", "second", "points", "flipped"),
    [(A, A, 0.5, True), (B, B, 0.5, True), (A, B, 1, False), (B, A, 0, False),
     (TIE, TIE, 0.5, False), (A, TIE, 0.5, True), (TIE, B, 0.5, True),
     (A, "Both are fine.", None, False)],
)  # fmt: skip
def test_two_orders_come_to_one_end(
    tmp_path: Path, first: str, second: str, points: float | None, flipped: bool
) -> None:
    judge, _ = judge_of(lambda _, m: first if m.index("High") < m.index("Low") else second)
    found = bouts(two(tmp_path), judge, tmp_path / "votes")
    assert {(b.points, b.flipped) for b in found} == {(points, flipped)}
    (tally,) = tallies(found)
    assert tally.flip_rate == (None if points is None else float(flipped))
    assert tally.unjudged == (6 if points is None else 0)


def test_a_judge_of_places_is_told_by_its_flips(tmp_path: Path) -> None:
    judge, _ = judge_of(lambda *_: A)
    found = bouts(two(tmp_path), judge, tmp_path / "votes")
    leaning = leaning_of(found)
    assert leaning.flip_rate == 1.0 and leaning.first == 1.0 and leaning.winners is None
    assert [b.points for b in found] == [0.5] * 6


def test_lengths_of_winners_and_losers(tmp_path: Path) -> None:
    judge, _ = judge_of(better("Low"))
    leaning = leaning_of(bouts(two(tmp_path), judge, tmp_path / "votes"))
    assert (leaning.winners, leaning.losers) == (len("Low water 0."), len("High 0."))
    assert leaning.longer == 1.0 and leaning.first == 0.5 and leaning.flip_rate == 0.0


def test_nobody_is_asked_where_it_is_known(tmp_path: Path) -> None:
    judge, model = judge_of(better("High"))
    runs = two(tmp_path, failed=(0, 1))
    runs["low"] = run_of(tmp_path / "third", "High", failed=(0, 2))
    found = bouts(runs, judge, tmp_path / "votes")
    assert [bout.points for bout in found] == [0.0, 1.0, 0.5, 0.5, 0.5]
    (tally,) = tallies(found)
    assert (tally.walkovers, tally.alike, tally.judged, tally.flip_rate) == (2, 3, 0, None)
    assert not model.asked


def test_only_rows_of_one_question_and_epoch_meet() -> None:
    answer = said("x")
    ones = [Row(q, answer=answer) for q in QUESTIONS[:3]]
    others = [Row(q, epoch=epoch, answer=answer) for q in QUESTIONS[1:4] for epoch in (1, 2)]
    found = meetings({"a": ones, "b": others})
    assert (
        [m.one.key for m in found] == [row.key for row in ones[1:]] == [m.other.key for m in found]
    )
    assert [m.cluster for m in found] == ["document d0", "document d1"]


def test_votes_are_found_whichever_run_is_named_first(tmp_path: Path) -> None:
    judge, model = judge_of(better("High"))
    runs = two(tmp_path)
    found = judge_runs(runs, judge, ["pairwise"])
    turned = dict(reversed(runs.items()))
    again = judge_runs(turned, judge, ["pairwise"])
    assert len(model.asked) == 12 and again.session.kept == 12
    assert (found.tallies[0].wins, again.tallies[0].losses) == (6, 6)
    assert not (tmp_path / "low" / "votes.jsonl").exists()


# ── runs ─────────────────────────────────────────────────────────────────────────────────────


def test_one_run_is_judged_by_itself(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "High water", failed=(5,), shows="tide")
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    judge, model = judge_of(fitting)
    found = judge_runs(named([run]), judge, METRICS[:2])
    (one,) = found.runs
    means = {name: mean and mean.mean for name, mean in one.scores.items()}
    wanted = {"fulfilment": 5 / 6, **dict(zip(PICTURES.names, (1.0, 0.5, 0.0), strict=True))}
    assert means == pytest.approx(wanted)
    assert (one.rows, one.failed, dict(one.unjudged)) == (6, 1, {"fulfilment": 0, "pictures": 0})
    assert one.scores["fulfilment"].clusters == 3 and one.scores["fulfilment"].n == 6  # type: ignore[union-attr]
    assert found.ranking == () and found.votes is None and len(model.asked) == 10
    assert {path: path.read_bytes() for path in before} == before
    assert {p for p in run.folder.rglob("*") if p.is_file()} - set(before) == {one.journal}


def test_what_is_not_judged_is_counted_and_scores_nothing(tmp_path: Path) -> None:
    judge, _ = judge_of(lambda _, m: "Good." if "Question 1" in m else FULLY)
    found = judge_runs(named([run_of(tmp_path / "run", "High")]), judge, ["fulfilment"])
    (one,) = found.runs
    assert one.unjudged == {"fulfilment": 1} and found.failure is None
    assert one.scores["fulfilment"].n == 5 and one.scores["fulfilment"].mean == 1  # type: ignore[union-attr]
    ((fault, count),) = found.faults
    assert "Invalid JSON" in fault and count == 1


def test_several_runs_are_ranked_as_the_judge_prefers(tmp_path: Path) -> None:
    order = ["Best", "Good", "Fair"]
    runs = {words: run_of(tmp_path / words, words) for words in random.Random(1).sample(order, 3)}

    def reply(system: str, material: str) -> str:
        places = sorted((material.index(f"{w} "), w) for w in order if f"{w} " in material)
        (_, a), (_, b) = places
        return A if order.index(a) < order.index(b) else B

    judge, model = judge_of(reply)
    found = judge_runs(runs, judge, ["pairwise"], tmp_path / "out")
    assert [s.name for s in found.ranking] == order and all(s.bounded for s in found.ranking)
    assert len(found.tallies) == 3 and len(model.asked) == 3 * 6 * 2
    assert found.votes == tmp_path / "out" / "votes.jsonl" and found.votes.is_file()
    assert not list(tmp_path.glob("[BGF]*/votes.jsonl"))


def test_the_first_questions_alone(tmp_path: Path) -> None:
    judge, model = judge_of(fitting)
    judge_runs(two(tmp_path), judge, METRICS, limit=2)
    assert len(model.asked) == 2 * 2 + 2 * 2
    assert all("Question 0" in m[1].text or "Question 1" in m[1].text for m in model.asked)


def test_runs_without_a_common_question_are_told(tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", "High")
    other = made_run(tmp_path / "other", {Question("z", "Else?"): said("x")})
    with pytest.raises(UserError, match="in common"):
        judge_runs(named([one, other]), judge_of(fitting)[0], ["pairwise"])


def test_rows_without_a_counterpart_are_counted(tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", "High")
    other = made_run(tmp_path / "other", dict.fromkeys(QUESTIONS[:2], said("x")))
    found = judge_runs(named([one, other]), judge_of(fitting)[0], ["pairwise"])
    assert found.unmatched == 4 and found.tallies[0].judged == 2


def test_runs_of_one_name_are_called_by_their_folders(tmp_path: Path) -> None:
    one, other = run_of(tmp_path / "a" / "run", "High"), run_of(tmp_path / "b" / "run", "Low")
    assert list(named([one, other])) == [str(one.folder), str(other.folder)]
    with pytest.raises(UserError, match="twice"):
        named([one, one])


def test_a_judge_that_is_gone_leaves_the_rest_of_all_runs(tmp_path: Path) -> None:
    judge, model = judge_of(lambda *_: ModelError("broken"))
    found = judge_runs(two(tmp_path), judge, ["fulfilment", "pairwise"])
    assert len(model.asked) == 5 and found.session.left == 1 + 6 + 12
    assert str(found.failure) == "broken" and found.ranking[0].rating == 1000
    assert [run.unjudged["fulfilment"] for run in found.runs] == [6, 6]


# ── the command ──────────────────────────────────────────────────────────────────────────────


def command(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    cli_eval_judge.register(app)
    return CliRunner().invoke(app, ["judge", *map(str, arguments)])


def reply(body: dict[str, Any]) -> str:
    return fitting(*asked_of(body))


def test_the_command_judges_one_run(tmp_path: Path) -> None:
    run = run_of(tmp_path / "\x1b[31mrun", "High", shows="tide")
    with judging(reply) as server:
        done = command(run.folder, "--judge-endpoint", server.address)
        again = command(run.folder, "--judge-endpoint", server.address, "--json")
    assert done.exit_code == 0 and len(server.bodies) == 12, done.output
    assert "fulfilment\t1.000\t" in done.stdout and "picture_helpfulness\t0.500\t" in done.stdout
    assert "ranking" not in done.stdout and "\x1b" not in done.output
    assert "12 asked now, 0 kept from before, 0 unjudged" in done.stderr
    value = json.loads(again.stdout)
    assert (value["asked"], value["kept"], value["pairs"], value["leaning"]) == (0, 12, [], None)
    assert value["runs"][0]["scores"]["fulfilment"]["mean"] == 1.0
    assert value["judge"] == f"letters at {server.address}"


def test_the_command_ranks_two_runs_and_prints_the_flips(tmp_path: Path) -> None:
    high, low = two(tmp_path).values()
    with judging(reply) as server:
        chosen = ("--judge-endpoint", server.address, "--judge-model", "letters")
        done = command(high.folder, low.folder, *chosen, "--max-connections", "2")
        value = json.loads(command(high.folder, low.folder, *chosen, "--json").stdout)
    assert done.exit_code == 0 and len(server.bodies) == 12 + 12
    assert "high\tlow\t0\t6\t0\t100%\t0" in done.stdout
    assert "high\t1000\t1000 to 1000\t0\t6\t0" in done.stdout
    assert "flip rate 100% of 6; the answer shown first won 100%" in done.stderr
    assert value["pairs"][0]["flip_rate"] == 1.0 and value["asked"] == 0
    assert value["leaning"]["first"] == 1.0 and value["ranking"][0]["rating"] == 1000
    assert value["votes"] == str(high.folder / "votes.jsonl")


def test_the_command_with_a_judge_of_prose(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "High")
    with judging(lambda body: "A fine \x1b[1manswer.") as server:
        done = command(run.folder, "--judge-endpoint", server.address, "--metric", "fulfilment")
        again = command(run.folder, "--judge-endpoint", server.address, "--metric", "fulfilment")
    for told in (done, again):
        assert isinstance(told.exception, ModelError) and "no verdict at all" in str(told.exception)
    assert len(server.bodies) == 12
    assert "fulfilment\t–\t–\t0\t6" in done.stdout and "6 unjudged" in done.stderr
    assert "no verdict, 6 times: Invalid JSON" in done.stderr and "\x1b" not in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no judge is named"),
        (("--judge-model", "embedded"), "cannot judge"),
        (("--judge-endpoint", "letters"), "not the address of a server"),
        (("--judge-endpoint", "http://127.0.0.1:9", "--metric", "pairwise"), "need two runs"),
    ],
)
def test_the_command_tells_what_it_cannot_do(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = command(run_of(tmp_path / "run", "High").folder, *arguments)
    assert isinstance(done.exception, UserError) and words in str(done.exception)
    assert done.exception.hint


def test_the_command_wants_runs_and_known_metrics(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "High")
    assert isinstance(command(tmp_path, "--judge-model", "x").exception, UserError)
    assert isinstance(command(tmp_path / "none", "--judge-model", "x").exception, UserError)
    assert isinstance(command(run.folder, run.folder, "--judge-model", "x").exception, UserError)
    assert command(run.folder, "--metric", "taste").exit_code == 2


def test_a_judge_that_cannot_be_reached_ends_in_3(tmp_path: Path) -> None:
    done = command(run_of(tmp_path / "run", "High").folder, "--judge-endpoint", nowhere())
    assert isinstance(done.exception, ModelMissing) and done.exception.exit_code == 3
    assert not (tmp_path / "run" / "judgements.jsonl").exists()


def test_a_judge_that_goes_away_leaves_what_it_said(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "High")

    def reply(body: dict[str, Any]) -> str | int:
        return FULLY if len(server.bodies) <= 2 else 404

    with judging(reply) as server:
        done = command(run.folder, "--judge-endpoint", server.address, "--metric", "fulfilment",
                       "--max-connections", "1")  # fmt: skip
    assert isinstance(done.exception, ModelMissing)
    assert "fulfilment\t1.000\t" in done.stdout and "4 unjudged" in done.stderr
    assert len(lines(run.folder / "judgements.jsonl")) == 2


@pytest.mark.slow
def test_a_killed_command_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    run, here = run_of(tmp_path / "run", "High"), threading.Event()
    go_on = threading.Event()

    def reply(body: dict[str, Any]) -> str:
        if len(server.bodies) == 4:
            here.set()
            go_on.wait(60)
        return FULLY

    program = (
        "import sys, typer; from limner.agent import cli_eval_judge as c; app = typer.Typer();"
        "c.register(app); app()"
    )
    with judging(reply) as server:
        command = [sys.executable, "-c", program, str(run.folder), "--metric", "fulfilment",
                   "--judge-endpoint", server.address, "--max-connections", "1"]  # fmt: skip
        killed = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert here.wait(120)
        killed.kill()
        killed.communicate()
        go_on.set()
        assert len(lines(run.folder / "judgements.jsonl")) == 3
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "3 asked now, 3 kept from before" in done.stderr, done.stderr
    asked = [asked_of(body)[1] for body in server.bodies]
    assert asked[3] == asked[4]  # it was asked that when it was killed
    assert len(asked) == 7 and len(set(asked)) == 6
