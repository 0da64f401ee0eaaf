"""What a judge can be asked of one answer: fulfilment, and three marks for each picture.

A criterion says what is asked and what the verdicts come to. Knows no journal.

The picture questions follow M2RAG (Ma et al., *Multi-modal Retrieval Augmented Multi-modal
Generation: Datasets, Evaluation Metrics and Strong Baselines*, 2024): coherence of picture and
text, helpfulness, reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...answer import Answer
from ..metrics.base import Metric, Scores
from ..questions import Question
from ..rows import Row
from .asking import Case, verdict_of
from .forms import Form, Fulfilment, PictureMarks
from .judge import Judge, prompt_version
from .material import Block, answer_shown, blocks, digest_of, opens, question_shown
from .records import Key, Records

__all__ = ["CRITERIA", "FULFILMENT", "PICTURES", "Criterion", "cases_of", "metric_of", "scores_of"]

Verdicts = Mapping[int, Form]
"""By item; an item without a verdict is not in it."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """Something that a judge is asked of an answer.

    Attributes:
        name: as people choose it.
        template: the prompt.
        form: of its verdicts.
        names: of the scores.
        items: what is asked one by one: 0 for the whole answer, else numbers of pictures from 1;
            none where there is nothing to ask.
        content: what the judge is shown for an item.
        score: what the verdicts come to, by the same names always; None where nothing is known.
    """

    name: str
    template: str
    form: type[Form]
    names: tuple[str, ...]
    items: Callable[[Answer], Sequence[int]]
    content: Callable[[Question, Answer, int], list[Block]]
    score: Callable[[Answer, Verdicts], Scores]


def metric_of(criterion: Criterion, judge: Judge) -> Metric:
    """A metric that asks the judge, each time that it is called."""

    def metric(question: Question, answer: Answer) -> Scores:
        verdicts: dict[int, Form] = {}
        for item in criterion.items(answer):
            content = criterion.content(question, answer, item)
            found = judge.ask(criterion.template, content, criterion.form).verdict
            if found is not None:
                verdicts[item] = found
        return criterion.score(answer, verdicts)

    return metric


def cases_of(row: Row, criterion: Criterion, judge: Judge) -> Iterator[Case]:
    """What is to be asked about a row; nothing about one that failed."""
    question, answer = row.question, row.answer
    if answer is None:
        return
    version, digest = prompt_version(criterion.template), digest_of(answer)
    for item in criterion.items(answer):
        key = Key(*row.key, criterion.name, item, (digest,), version, judge.label)
        yield Case(
            key,
            criterion.template,
            criterion.form,
            lambda item=item: criterion.content(question, answer, item),  # type: ignore[misc]
        )


def scores_of(row: Row, criterion: Criterion, judge: Judge, records: Records) -> Scores:
    """What was said about a row comes to; a row that failed scores 0 where anything is scored."""
    cases = list(cases_of(row, criterion, judge))
    found = {case.key.item: verdict_of(records, case) for case in cases}
    verdicts = {item: verdict for item, verdict in found.items() if verdict is not None}
    return criterion.score(row.answer or Answer(()), verdicts)


# ── fulfilment ───────────────────────────────────────────────────────────────────────────────

_DEGREES = {"fully": 1.0, "partly": 0.5, "not": 0.0}


def _whole(answer: Answer) -> Sequence[int]:
    return (0,) if answer.text.strip() or answer.pictures else ()


def _answered(question: Question, answer: Answer, item: int) -> list[Block]:
    return blocks([*question_shown(question), answer_shown(answer, "The answer")])


def _fulfilled(answer: Answer, verdicts: Verdicts) -> Scores:
    """0 for an answer that says and shows nothing; nobody need be asked."""
    verdict = verdicts.get(0)
    if isinstance(verdict, Fulfilment):
        return {"fulfilment": _DEGREES[verdict.verdict]}
    return {"fulfilment": None if _whole(answer) else 0.0}


FULFILMENT = Criterion(
    "fulfilment", "judge_fulfilment", Fulfilment, ("fulfilment",), _whole, _answered, _fulfilled
)
"""Whether the answer does what was asked: fully 1, partly 0.5, not 0."""

# ── pictures ─────────────────────────────────────────────────────────────────────────────────

_MARKS = ("coherence", "helpfulness", "reference")


def _pictures(answer: Answer) -> Sequence[int]:
    return [number for number in range(1, len(answer.pictures) + 1) if opens(answer, number)]


def _pictured(question: Question, answer: Answer, item: int) -> list[Block]:
    shown = answer_shown(answer, "The answer", only=item)
    notes = [f"The picture to be judged is picture {item} of the answer."]
    return blocks([*question_shown(question), shown], notes)


def _marked(answer: Answer, verdicts: Verdicts) -> Scores:
    """The mean over the pictures; one that is not there has no merit, and 0 is known of it."""
    there = set(_pictures(answer))
    gone = len(answer.pictures) - len(there)
    marks = [verdict for verdict in verdicts.values() if isinstance(verdict, PictureMarks)]
    count = len(marks) + gone
    return {
        f"picture_{name}": sum(getattr(m, name) for m in marks) / (10 * count) if count else None
        for name in _MARKS
    }


PICTURES = Criterion(
    "pictures",
    "judge_pictures",
    PictureMarks,
    tuple(f"picture_{name}" for name in _MARKS),
    _pictures,
    _pictured,
    _marked,
)
"""What each picture does for its answer, from 0 to 1, averaged; None without pictures."""

CRITERIA = {criterion.name: criterion for criterion in (FULFILMENT, PICTURES)}
"""Every criterion by its name."""
