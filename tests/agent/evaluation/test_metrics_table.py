"""The table of metrics: every score is described, and names that there are none of say so."""

from __future__ import annotations

import pytest

from limner.agent.answer import Answer, Text
from limner.agent.evaluation.metrics.base import scored
from limner.agent.evaluation.metrics.table import DESCRIPTIONS, METRICS, metrics_named
from limner.agent.evaluation.questions import Place, Question
from limner.agent.evaluation.rows import Row
from limner.errors import UserError
from limner.index.embeddings import HashEmbeddings

ALL = [*METRICS, "placement"]

QUESTIONS = [
    Question("q", "?"),
    Question("q", "?", references=("noon",), reference_images=(), relevant=("a.md",)),
    Question("q", "?", reference_parts=("A.", Place("g.pdf", 1)), boxes=(Place("s.png"),)),
    Question("q", "?", answerable=False, refused=True),
]
ANSWERS = [None, Answer(()), Answer((Text("Noon. [1]"),)), Answer((), abstained=True)]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("answer", ANSWERS)
def test_the_scores_are_always_the_same_ones_and_described(
    question: Question, answer: Answer | None
) -> None:
    metrics = metrics_named(ALL, HashEmbeddings())
    found = scored(Row(question, answer=answer), metrics)
    assert list(found) == [name for name in DESCRIPTIONS if name in found]
    assert set(found) == set(DESCRIPTIONS)
    assert all(score is None or 0 <= score <= 1 for score in found.values())


def test_no_two_metrics_share_a_score() -> None:
    question, answer = QUESTIONS[0], Answer(())
    names = [
        name for m in metrics_named(ALL, HashEmbeddings()).values() for name in m(question, answer)
    ]
    assert len(names) == len(set(names))


def test_metrics_by_name() -> None:
    found = metrics_named(["grounding", "text", "grounding"])
    assert list(found) == ["grounding", "text"]
    assert found["text"] is METRICS["text"]
    assert metrics_named([]) == {}


def test_a_name_that_there_is_none_of() -> None:
    with pytest.raises(UserError, match="no metric 'f1'") as caught:
        metrics_named(["text", "f1"])
    assert all(name in caught.value.hint for name in ALL)


def test_descriptions_are_lines() -> None:
    assert all(text and "\n" not in text and len(text) < 90 for text in DESCRIPTIONS.values())


def test_a_score_can_be_named_alone() -> None:
    question, answer = QUESTIONS[1], ANSWERS[2]
    assert answer is not None
    for metric in METRICS.values():
        for name, score in metric(question, answer).items():
            (one,) = metrics_named([name]).values()
            assert one(question, answer) == {name: score}
