from __future__ import annotations

import asyncio
import errno
import json
import logging
import math
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from limner.agent.answer import Generated
from limner.agent.evaluation.driving import as_they_were
from limner.agent.evaluation.evaluate import evaluate
from limner.agent.evaluation.formats.base import Fault, QuestionSet
from limner.agent.evaluation.indexing import content_of, made_for, needs_library
from limner.agent.evaluation.questions import Place, Question
from limner.agent.evaluation.running import Outcome, alone, metrics_for, plan, run
from limner.agent.evaluation.runs import Manifest, Run, SetRecord
from limner.agent.evaluation.scoring import rescore
from limner.agent.evaluation.settings import Settings
from limner.agent.journal import Journal
from limner.errors import UserError
from limner.index.library import Library
from limner.tests.agent.evaluation.parrot import Parrot, questions, seaside
from limner.tools.image_models.fake import HashPainter
from limner.tools.media import is_reference

TEXT = Settings(metrics=("text",))


def a_set(asked: Sequence[Question], name: str = "tides", **more: Any) -> QuestionSet:
    return QuestionSet(name, Path(name), name * 8, tuple(asked), **more)


def done(agent: Any, sets: Sequence[QuestionSet], out: Path, settings: Settings = TEXT) -> Outcome:
    with alone(out):
        return run(agent, plan(agent, sets, out, settings), settings)


def lines(out: Path) -> list[dict[str, Any]]:
    return list(Journal(out / "rows.jsonl"))


def told(row: Any) -> dict[str, Any]:
    """A row without its times."""
    values = row.to_dict()
    for name in ("seconds", "first_text", "peak_memory"):
        del values[name]
    if values["answer"]:
        del values["answer"]["timings"]
    return values  # type: ignore[no-any-return]


# ── a run ────────────────────────────────────────────────────────────────────────────────────


def test_every_question_is_a_row_in_order_with_scores(tmp_path: Path) -> None:
    agent = seaside(tmp_path, Parrot(failures={4: 9}))
    out = tmp_path / "run"
    outcome = done(agent, [a_set(questions(6))], out)
    rows = outcome.run.rows
    assert [row.question.id for row in rows] == [f"q{n}" for n in range(6)]
    assert rows[3].answer and rows[3].answer.text == "High water 3 is at noon. [1]"
    assert rows[3].scores and rows[3].scores["contains"] == 1.0
    assert rows[1].scores and rows[1].scores["contains"] == 0.0
    assert 0 < (rows[0].first_text or 0) <= rows[0].seconds and (rows[0].peak_memory or 0) > 2**20
    assert rows[0].model == "Parrot" and rows[0].answer and rows[0].answer.passages
    # What failed has its reason and scores 0 where an answer would have been scored.
    assert outcome.failed == (rows[4],)
    assert rows[4].error == "the parrot has no word for 4 (ask again)"
    assert rows[4].scores == dict.fromkeys(rows[3].scores, 0.0)
    assert (outcome.reused, outcome.asked, outcome.run.missing) == (0, 6, 0)
    assert outcome.run.manifest.sets[0].count == 6 and outcome.run.manifest.profile == "embedded"


def test_inspect_reads_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from inspect_ai import score
    from inspect_ai.log import list_eval_logs, read_eval_log

    from limner.agent.evaluation.task import limner_scores

    Image.new("RGB", (8, 8)).save(tmp_path / "shot.png")
    asked = [replace(q, images=(str(tmp_path / "shot.png"),)) for q in questions(2)]
    asked += questions(3, start=2)
    out = tmp_path / "run"
    rows = done(seaside(tmp_path, Parrot(failures={2: 9})), [a_set(asked)], out).run.rows
    assert capfd.readouterr() == ("", "")  # inspect says nothing
    (found,) = list_eval_logs(str(out / "logs"))
    log = read_eval_log(found)
    assert log.status == "success" and log.samples and log.results
    assert [sample.id for sample in log.samples] == [f"q{n}" for n in range(5)]
    for sample, row in zip(log.samples, rows, strict=True):
        assert sample.scores and row.scores
        value = sample.scores["limner_scores"].value
        known = {k: math.nan if v is None else v for k, v in row.scores.items()}
        assert value == pytest.approx(known, nan_ok=True)
        assert sample.metadata["digest"] == row.question.digest
        assert json.loads(sample.store["row"])["seconds"] == row.seconds
    assert log.samples[2].error and "no word for 2" in log.samples[2].error.message
    assert log.samples[0].output.completion == "High water 0 is at noon. [1]"
    (scores,) = log.results.scores
    means = {found.name: found.value for found in scores.metrics.values()}
    assert means["contains"] == pytest.approx(2 / 5) and "picture_f1" not in means
    again = score(log, limner_scores(["text"]), action="overwrite", display="log")
    assert again.samples and again.samples[1].scores
    assert again.samples[1].scores["limner_scores"].value == pytest.approx(
        dict(rows[1].scores or {}), nan_ok=True
    )
    text = json.dumps(log.model_dump(mode="json", exclude={"samples": {"__all__": {"uuid"}}}))
    assert "base64," not in text.replace("base64,<", "")  # pictures by name, never their bytes


def test_nothing_is_sent_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, lambda _, address: tried.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *address, **_: tried.append(address))
    done(seaside(tmp_path), [a_set(questions(2))], tmp_path / "run")
    assert not tried


def test_a_program_keeps_its_log_and_its_last_words() -> None:
    root, hook = logging.getLogger(), sys.excepthook
    before = root.level, list(root.handlers)
    with as_they_were():
        root.setLevel(logging.CRITICAL)
        root.addHandler(logging.NullHandler())
        sys.excepthook = print
    assert (root.level, root.handlers) == before and sys.excepthook is hook


def test_pictures_of_answers_are_kept_with_the_run(
    tmp_path: Path, library: Library, number_of: Any
) -> None:
    from limner.agent.agent import Agent

    slot = number_of("Q0: when is high water?", "tide table")
    shown = Parrot(said=f"See this.\n\n[[show {slot}: the tide table of the harbour]]\n")
    (row,) = done(
        Agent(library, chat_model=shown), [a_set(questions(1))], tmp_path / "run"
    ).run.rows
    assert row.answer and row.answer.pictures
    media = row.answer.pictures[0].media
    assert is_reference(media) and (tmp_path / "run" / "media" / media).is_file()
    assert row.answer.folder == str(tmp_path / "run" / "media")
    assert not (library.folder / "answers").exists()  # the library stays as it was


def test_every_epoch_draws_with_a_seed_of_its_own(tmp_path: Path) -> None:
    parrot = Parrot(said="Here it is.\n\n[[draw: a boat]]\n")
    agent = seaside(tmp_path, parrot, image_model=HashPainter())
    settings = replace(TEXT, seed=5, epochs=3)
    rows = done(agent, [a_set(questions(1))], tmp_path / "run", settings).run.rows
    pictures = [row.answer.pictures[0] for row in rows if row.answer]
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert [p.origin.seed for p in pictures if isinstance(p.origin, Generated)] == [5, 6, 7]
    assert len({picture.media for picture in pictures}) == 3
    assert all(len(row.picture_seconds) == 1 for row in rows)


# ── going on ─────────────────────────────────────────────────────────────────────────────────


def test_the_same_command_keeps_what_was_answered_and_asks_what_failed(tmp_path: Path) -> None:
    parrot = Parrot(failures={1: 1, 3: 1})
    agent, out, sets = seaside(tmp_path, parrot), tmp_path / "run", [a_set(questions(5))]
    assert len(done(agent, sets, out).failed) == 2
    todo = plan(agent, sets, out, TEXT)
    assert (len(todo.reused), todo.failed, todo.todo) == (3, 2, 2)
    again = done(agent, sets, out)
    assert (again.reused, again.asked, again.failed) == (3, 2, ())
    assert parrot.heard == [0, 1, 2, 3, 4, 1, 3]
    assert len(lines(out)) == 7  # what failed stays readable
    # More epochs, other sets and another limit only add; a limit hides what is there.
    more = replace(TEXT, epochs=2, limit=2)
    wider = [*sets, a_set(questions(3, start=10), "more")]
    grown = done(agent, wider, out, more)
    assert [(r.question.id, r.epoch) for r in grown.run.rows] == [
        (name, epoch) for name in ("q0", "q1", "q10", "q11") for epoch in (1, 2)
    ]
    assert (grown.reused, grown.asked) == (2, 6)
    assert len(done(agent, wider, out).run.rows) == 8


@pytest.mark.parametrize("change", ["seed", "model", "library", "painter", "sets"])
def test_a_run_of_something_else_is_refused(tmp_path: Path, change: str) -> None:
    agent, out, sets = seaside(tmp_path), tmp_path / "run", [a_set(questions(1))]
    done(agent, sets, out)
    before = (out / "run.json").read_bytes()
    settings, words = TEXT, change
    if change == "seed":
        settings, words = replace(TEXT, seed=1), "the seed differs: 0 there, 1 now"
    elif change == "model":

        class Other(Parrot):
            pass

        agent, words = seaside(tmp_path, Other()), "Parrot there, Other now"
    elif change == "library":
        (tmp_path / "more.md").write_text("# More\n\nWater is wet.\n")
        agent.library.add(tmp_path / "more.md")
        words = "what the library holds"
    elif change == "painter":
        agent = seaside(tmp_path, image_model=HashPainter())
        words = "none there, hash-painter now"
    else:
        sets, words = [a_set(questions(1), "others")], "also asks tides"
    with pytest.raises(UserError, match=words) as refused:
        plan(agent, sets, out, settings)
    assert "--out" in refused.value.hint
    assert (out / "run.json").read_bytes() == before


def test_a_folder_has_one_writer_and_nothing_else_in_it(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with alone(out), pytest.raises(UserError, match="another process"), alone(out):
        pass
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("Dear")
    for place in (tmp_path / "other", tmp_path / "other" / "letter.txt"):
        with pytest.raises(UserError, match=r"other things|no folder"), alone(place):
            pass


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (None, "no run.json"),
        ("{", "cannot be read"),
        ("[]", "another program's"),
        ('{"form": 9}', "form 9, this version of Limner reads form 1"),
        ('{"form": 1}', "damaged"),
    ],
)
def test_a_folder_that_is_no_run(tmp_path: Path, written: str | None, words: str) -> None:
    if written is not None:
        (tmp_path / "run.json").write_text(written)
    with pytest.raises(UserError, match=words) as refused:
        Run.open(tmp_path)
    assert refused.value.hint
    with pytest.raises(UserError, match="no such folder"):
        Run.open(tmp_path / "nowhere")


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────


def test_only_what_may_pass_is_asked_again(tmp_path: Path) -> None:
    parrot = Parrot(failures={0: 2, 1: 3})
    bad = Question("bad", "Q2: what is this?", images=(str(tmp_path / "gone.png"),))
    settings = replace(TEXT, retries=2)
    rows = done(
        seaside(tmp_path, parrot), [a_set([*questions(2), bad])], tmp_path / "run", settings
    ).run.rows
    assert [row.attempts for row in rows] == [3, 3, 1]
    assert [row.failed for row in rows] == [False, True, True]
    assert "gone.png" in rows[2].error and parrot.heard.count(2) == 0


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, out, sets = seaside(tmp_path), tmp_path / "run", [a_set(questions(6))]
    append, room = Journal.append, [3]

    def write(journal: Journal, values: Any) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(journal, values)

    monkeypatch.setattr(Journal, "append", write)
    with pytest.raises(UserError, match="no space left on device") as stopped:
        done(agent, sets, out)
    assert "the same command" in stopped.value.hint
    monkeypatch.undo()
    kept = Run.open(out)
    assert (len(kept.rows), kept.missing) == (3, 3)
    assert done(agent, sets, out).reused == 3


def test_a_metric_that_stumbles_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.agent.evaluation.metrics import table

    def stumbles(question: Question, answer: Any) -> Any:
        raise ZeroDivisionError("no length")

    monkeypatch.setattr(table, "METRICS", {**table.METRICS, "text": stumbles})
    (row,) = done(seaside(tmp_path), [a_set(questions(1))], tmp_path / "run").run.rows
    assert row.answer and row.scores is None and "ZeroDivisionError" in row.error


# ── side by side ─────────────────────────────────────────────────────────────────────────────


def test_many_at_a_time_give_the_same_rows(tmp_path: Path) -> None:
    one, four = Parrot(), Parrot(delay=0.02)
    sets = [a_set(questions(12))]
    alike = done(seaside(tmp_path, one), sets, tmp_path / "one").run.rows
    settings = replace(TEXT, connections=4)
    beside = done(seaside(tmp_path, four), sets, tmp_path / "four", settings).run.rows
    assert one.most == 1 and 1 < four.most <= 4
    assert [told(row) | {"answer": None} for row in beside] == [
        told(row) | {"answer": None} for row in alike
    ]
    assert [row.answer and row.answer.text for row in beside] == [
        row.answer and row.answer.text for row in alike
    ]


def test_evaluate_works_where_a_loop_runs(tmp_path: Path) -> None:
    agent = seaside(tmp_path)

    async def notebook() -> Any:
        return evaluate(agent, questions(2), ["text"], out=tmp_path / "run")

    report = asyncio.run(notebook())
    assert len(report.rows) == 2 and report.summary.rows == 2
    written = report.save(tmp_path / "report")
    assert {"results.csv", "summary.json", "report.html"} <= {path.name for path in written}
    assert len(evaluate(agent, questions(2), ["text"], out=tmp_path / "run").rows) == 2
    with pytest.raises(UserError, match="no questions"):
        evaluate(agent, [])


# ── measuring anew ───────────────────────────────────────────────────────────────────────────


def test_scores_are_taken_anew_and_the_old_ones_stay_readable(tmp_path: Path) -> None:
    out, agent, sets = tmp_path / "run", seaside(tmp_path), [a_set(questions(3))]
    before = done(agent, sets, out).run
    had = before.rows[0].scores or {}
    after, changed = rescore(before, ["citing"])
    now = after.rows[0].scores or {}
    assert changed == 3 and set(had) < set(now) and now["sentences_cited"] == 1.0
    assert lines(out)[0]["row"]["scores"] == had and len(lines(out)) == 4
    assert rescore(after, ["citing", "text"])[1] == 0 and len(lines(out)) == 4
    with pytest.raises(UserError, match="no metric 'beauty'"):
        rescore(after, ["beauty"])
    # A row that is asked again loses the scores of the answer that it had.
    again = Run.open(out).rows[1]
    Journal(out / "rows.jsonl").append({"row": again.with_scores({"contains": 0.5}).to_dict()})
    assert Run.open(out).rows[1].scores == {"contains": 0.5}


def test_a_metric_that_comes_later_is_measured_on_what_is_kept(tmp_path: Path) -> None:
    out, agent, sets = tmp_path / "run", seaside(tmp_path), [a_set(questions(2))]
    done(agent, sets, out)
    later = done(agent, sets, out, Settings(metrics=("citing",)))
    assert later.reused == 2 and later.run.manifest.metrics == ("text", "citing")
    assert all({"contains", "sentences_cited"} <= set(row.scores or {}) for row in later.run.rows)


def test_placement_is_measured_where_a_whole_answer_is_known() -> None:
    whole = Question("q", "?", reference_parts=("words", Place("a.png")))
    assert "placement" in metrics_for([whole]) and "placement" not in metrics_for(questions(2))


# ── libraries ────────────────────────────────────────────────────────────────────────────────


def test_a_library_is_made_of_what_the_sets_bring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from limner.index import library as module
    from limner.index.embeddings import HashEmbeddings

    monkeypatch.setattr(module, "find_embeddings", lambda name: HashEmbeddings())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pier.md").write_text("# Pier\n\nThe pier is closed in winter.\n")
    (tmp_path / "docs" / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    documents = (("1.txt", "The harbour was built in 1871."), ("../../out.txt", "A lighthouse."))
    one = a_set(questions(1), documents=documents, folders=(tmp_path / "docs",))
    out = tmp_path / "run"
    assert needs_library([one]) and not needs_library([a_set(questions(1))])
    with made_for([one], out, "hash", None, None) as (library, faults):
        sources = library.sources()
        content = content_of(library)
    assert {Path(source).name for source in sources} == {"1.txt", "_.._out.txt", "pier.md"}
    assert len(faults) == 1 and "bad.pdf" in faults[0]
    assert not (tmp_path / "out.txt").exists() and not (out.parent.parent / "out.txt").exists()
    (tmp_path / "docs" / "late.md").write_text("# Late\n\nToo late.\n")
    record = SetRecord(one.name, one.digest, 1)
    begun = Manifest("run", (record,), (), "Parrot")
    with made_for([one], out, "hash", None, begun) as (library, faults):
        assert content_of(library) == content and not faults
    late = a_set((), "late", documents=(("2.txt", "Too late."),))
    with (
        pytest.raises(UserError, match="late brings documents"),
        made_for([one, late], out, "hash", None, begun),
    ):
        pass
    with made_for([a_set(())], tmp_path / "none", "hash", None, None) as (library, _):
        assert not library.exists and content_of(library) != content
    other = a_set((), "other", documents=(("1.txt", "Something else."),))
    with (
        pytest.raises(UserError, match=r"different documents named 1\.txt"),
        made_for([one, other], tmp_path / "both", "hash", None, None),
    ):
        pass


def test_what_is_wrong_with_a_set_is_kept_with_the_run(tmp_path: Path) -> None:
    fault = Fault("tides.jsonl", 3, "no question in it")
    kept = done(seaside(tmp_path), [a_set(questions(1), faults=(fault,))], tmp_path / "run").run
    assert kept.faults == ("tides.jsonl:3: no question in it",)
