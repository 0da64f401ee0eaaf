"""Figures of a run and of two: what is planted is found, what is not is not, nothing is dropped."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from limner.agent.answer import Answer, Text, Usage
from limner.agent.evaluation.averages import headlines, quality
from limner.agent.evaluation.comparing import compare
from limner.agent.evaluation.rows import Row
from limner.agent.evaluation.summary import summarize
from limner.errors import UserError

from .planted import flipped, in_documents, question, row, rows_of

QUESTIONS = [question(n, category="ab"[n % 2]) for n in range(120)]
PART = QUESTIONS[:40]


def test_a_summary_counts_failed_rows_and_averages_epochs_first() -> None:
    a, b = question(1, category="x", task="qa"), question(2, category="y", task="qa")
    rows = [
        row(a, {"m": 1.0, "n": None}, epoch=1, seconds=1.0, peak_memory=5),
        row(a, {"m": 0.0, "n": 0.5}, epoch=2, seconds=3.0, peak_memory=9),
        row(b, {"m": 0.0, "n": None}, error="broke", seconds=50.0),
        row(b, {"m": 1.0, "n": None}, epoch=2, picture_seconds=(2.0, 4.0), first_text=None),
    ]
    found = summarize(rows)
    assert (found.rows, found.questions, found.failed, found.unscored) == (4, 2, 1, 0)
    m, n = found.scores
    assert (m.name, m.mean, m.n, m.questions, m.failed) == ("m", 0.5, 4, 2, 1)
    assert (n.mean, n.n, n.questions, n.failed, n.low) == (0.5, 1, 1, 0, None)
    assert [(g.name, g.rows, g.failed) for g in found.categories] == [("x", 2, 0), ("y", 2, 1)]
    assert [g.name for g in found.tasks] == ["qa"]
    speed = {one.name: one for one in found.speed}
    assert speed["end to end"].n == 3 and speed["end to end"].p50 == 1.0  # 50 s is of a failed row
    assert (speed["first text"].n, speed["per picture"].p50) == (2, 3.0)
    assert speed["per token"].p50 == pytest.approx((0.8 / 20 + 2.8 / 20) / 2)
    assert (found.input_tokens, found.output_tokens, found.peak_memory) == (300, 60, 9)
    assert json.loads(json.dumps(found.to_dict()))["scores"][0]["mean"] == 0.5


def test_intervals_of_a_summary_are_by_document() -> None:
    values = [float(n // 6 % 2) for n in range(120)]
    alone = summarize(rows_of(values, QUESTIONS)).scores[0]
    together = summarize(rows_of(values, in_documents(QUESTIONS, 6))).scores[0]
    assert alone.mean == together.mean == 0.5
    width = [one.high - one.low for one in (alone, together)]  # type: ignore[operator]
    assert width[1] > 2 * width[0]


def test_quality_is_the_mean_of_headlines() -> None:
    scores = {"contains": 0.0, "token_f1": 0.4, "picture_f1": 1.0, "right_no_picture": None}
    one = row(PART[0], scores)
    assert headlines(one) == {"text": 0.4, "pictures": 1.0} and quality(one) == pytest.approx(0.7)
    unwanted = one.with_scores({**scores, "right_no_picture": 1.0})
    assert quality(unwanted) == pytest.approx(0.4)  # that none is shown is no merit of its own
    assert quality(one.with_scores({"picture_f1": 1.0, "right_no_picture": 1.0})) == 1.0
    assert quality(one.with_scores({"rouge_l": 0.3})) is None and quality(row(PART[0])) is None


def test_a_difference_is_paired_and_counted() -> None:
    a = [1.0] * 30 + [0.0] * 10
    b = [0.0] * 9 + [1.0] * 22 + [0.0] * 9
    found = compare(rows_of(a, PART), rows_of(b, PART))
    (one,) = found.metrics
    assert (one.n, one.wins, one.losses, one.ties) == (40, 1, 9, 30)
    assert one.difference == pytest.approx(-0.2) == one.mean_b - one.mean_a
    assert one.low is not None and one.high is not None and one.low < -0.2 < one.high < 0
    assert one.p == one.adjusted == pytest.approx(0.0215, abs=1e-4)  # 1 of 10, exactly
    assert one.verdict == "worse" and found.has_regression
    assert {change.question.id for change in found.regressions} == {q.id for q in PART[:9]}
    back = compare(rows_of(b, PART), rows_of(a, PART))
    assert back.metrics[0].verdict == "better" and not back.has_regression
    assert {c.category for c in found.categories} == {"a", "b"}
    assert sum(c.n for c in found.categories) == 40
    assert all(c.p is None and not c.verdict for c in found.categories)


def test_equal_runs_are_not_different() -> None:
    rows = rows_of([n / 39 for n in range(40)], PART)
    found = compare(rows, rows)
    one = found.metrics[0]
    assert (one.p, one.verdict, found.changes) == (1.0, "no difference seen", ())
    assert one.low == -one.high and 0 < one.high < 0.1  # type: ignore[operator]
    assert [pace.ratio for pace in found.paces] == [1.0] * len(found.paces)
    assert found.paces[0].low == found.paces[0].high == 1.0


@pytest.mark.parametrize(("count", "few"), [(5, True), (6, False)])
def test_a_set_too_small_to_show_a_regression_says_so(count: int, few: bool) -> None:
    """Of five signs all alike p is 2 / 2^5, of six 2 / 2^6."""
    found = compare(rows_of([1.0] * count, PART[:count]), rows_of([0.0] * count, PART[:count]))
    assert found.too_few is few and found.has_regression is not few


def test_regressions_are_listed_the_worst_first_with_their_error() -> None:
    a = rows_of([1.0, 1.0, 0.5, 0.2], PART[:4])
    b = rows_of([0.9, 0.0, 0.1, 0.9], PART[:4])
    b[1] = row(PART[1], {"contains": 0.0}, error="the model fell over")
    found = compare(a, b)
    assert [(c.question.id, c.a, c.b) for c in found.regressions] == [
        ("q-001", 1.0, 0.0), ("q-002", 0.5, 0.1), ("q-000", 1.0, 0.9)]  # fmt: skip
    assert found.regressions[0].error == "the model fell over"
    assert (found.failed_a, found.failed_b) == (0, 1)
    assert found.changes[-1].question.id == "q-003" and len(found.changes) == 4
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["changes"][0]["id"] == "q-001" and plain["has_regression"] is False


def test_what_is_in_one_run_only_is_said() -> None:
    a = rows_of([1.0] * 30, QUESTIONS[:30])
    b = rows_of([1.0] * 30, QUESTIONS[10:40])
    b[0] = b[0].with_scores({"contains": None, "other": 1.0})
    found = compare(a, b)
    assert (found.shared, len(found.only_a), len(found.only_b)) == (20, 10, 10)
    assert found.only_a[0] == "q-000" and found.only_b[-1] == "q-039"
    assert (found.metrics[0].n, found.metrics[0].unpaired) == (19, 1)
    assert found.metrics_b == ("other",) and found.metrics_a == ()


def test_epochs_are_averaged_and_documents_tested_together() -> None:
    def twice(values: list[float], of: int) -> list[Row]:
        asked = in_documents(PART, of)
        return [replace(r, epoch=e) for e in (1, 2) for r in rows_of(values, asked)]

    good, bad = [1.0] * 40, [0.0] * 8 + [1.0] * 32
    alone = compare(twice(good, 1), twice(bad, 1)).metrics[0]
    assert alone.n == 40 and alone.p == pytest.approx(2 * 0.5**8)
    assert compare(twice(good, 8), twice(bad, 8)).metrics[0].p == 1.0  # one document changed


def test_holm_counts_the_metrics_that_differ() -> None:
    def both(first: float, second: float) -> list[Row]:
        return [row(q, {"x": first if n < 7 else 1.0, "y": second if n < 6 else 1.0, "same": 1.0})
                for n, q in enumerate(PART)]  # fmt: skip

    found = compare(both(1, 1), both(0, 0))
    ps = {one.metric: (one.p, one.adjusted) for one in found.metrics}
    assert ps["x"] == pytest.approx((2 * 0.5**7, 2 * 2 * 0.5**7))
    assert ps["y"] == pytest.approx((2 * 0.5**6, 2 * 0.5**6)) and ps["same"] == (1.0, 1.0)
    only = compare(both(1, 1), both(0, 0), ["y"])
    assert [one.metric for one in only.metrics] == ["y"]


def test_speed_is_a_ratio_of_the_same_questions() -> None:
    a = [row(q, {"m": 1.0}, seconds=1.0 + n) for n, q in enumerate(PART)]
    b = [replace(r, seconds=r.seconds * 1.5) for r in a]
    pace = next(p for p in compare(a, b).paces if p.name == "end to end")
    assert (pace.n, pace.ratio) == (40, pytest.approx(1.5)) and pace.b == pytest.approx(
        1.5 * pace.a
    )
    assert (pace.low, pace.high) == (pytest.approx(1.5), pytest.approx(1.5))


def test_runs_that_cannot_be_compared_say_why() -> None:
    a, b = rows_of([1.0] * 3, QUESTIONS[:3]), rows_of([1.0] * 3, QUESTIONS[3:6])
    with pytest.raises(UserError, match=r"a and b share no question$"):
        compare(a, b)
    edited = [replace(r, question=replace(r.question, question="Else?")) for r in a]
    with pytest.raises(UserError, match="3 ids are the same"):
        compare(a, edited)
    with pytest.raises(UserError, match="b: there are no rows"):
        compare(a, [])
    with pytest.raises(UserError, match="share no score"):
        compare(a, [replace(r, scores=None) for r in a])
    with pytest.raises(UserError, match="'nope' was not scored in both"):
        compare(a, a, ["nope"])


def test_a_table_of_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(rows_of([1.0] * 4, PART[:4]), rows_of([0.0] * 4, PART[:4]))
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(UserError) as error:
        found.to_frame()
    assert error.value.hint == "pip install 'limner[eval]'"
    monkeypatch.undo()
    pandas = pytest.importorskip("pandas")
    frame = found.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["metric"]) == ["contains"] * 3 and frame["difference"][0] == -1.0


@pytest.mark.parametrize(("noise", "runs"), [(0.0, 4), (0.01, 12)])
def test_a_fall_of_two_points_is_found_among_600(noise: float, runs: int) -> None:
    """Twelve rows fall from right to wrong while others flip both ways at random."""
    questions = [question(n) for n in range(600)]
    random, found = np.random.default_rng(11), 0
    for _ in range(runs):
        right = (random.random(600) < 0.8).astype(float)
        after = flipped(right, noise, random)
        fallen = random.choice(np.flatnonzero(after == 1), 12, replace=False)
        after[fallen] = 0
        a, b = rows_of(right, questions), rows_of(after, questions)
        found += compare(a, b, ["contains"]).has_regression
    assert found >= 0.8 * runs


def test_noise_alone_is_no_regression() -> None:
    random, alarms, runs = np.random.default_rng(12), 0, 15
    questions = [question(n) for n in range(200)]
    for _ in range(runs):
        right = (random.random(200) < 0.8).astype(float)
        after = [flipped(right, 0.04, random) for _ in range(4)]
        a = [row(q, dict.fromkeys("wxyz", v)) for q, v in zip(questions, right, strict=True)]
        b = [row(q, dict(zip("wxyz", map(float, v), strict=True)))
             for q, v in zip(questions, zip(*after, strict=True), strict=True)]  # fmt: skip
        alarms += any(one.verdict != "no difference seen" for one in compare(a, b).metrics)
    assert alarms <= 1


def test_per_token_time_needs_tokens() -> None:
    silent = row(PART[0], answer=Answer((Text("x"),), usage=Usage(5, 0, 0)))
    assert "per token" not in {one.name for one in summarize([silent]).speed}
