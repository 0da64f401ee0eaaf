"""Which of two answers is better, asked in both orders. Knows pairs of rows, ranks nothing.

A judge that likes what comes first, or last, says the same letter in both orders: its verdicts
disagree, and that is a tie. Where nobody need be asked, nobody is: answers that are alike are a
tie, and an answer beats none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from ...answer import Answer
from ..questions import Question
from ..rows import Row
from .asking import Case, verdict_of
from .forms import Preference
from .judge import Judge, prompt_version
from .material import Block, answer_shown, blocks, digest_of, question_shown
from .records import Key, Records

__all__ = ["NAME", "Bout", "Meeting", "bout_of", "cases_of", "meetings"]

NAME = "pairwise"
"""What records call it."""

_TEMPLATE = "judge_pairwise"
_POINTS = {"A": 1.0, "tie": 0.5, "B": 0.0}


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two runs' rows of one question and epoch.

    Attributes:
        first: name of the one run.
        second: name of the other.
        one: row of the first.
        other: row of the second.
    """

    first: str
    second: str
    one: Row
    other: Row

    @property
    def cluster(self) -> str:
        """What varies together: the question's document, else the question."""
        question = self.one.question
        return f"document {question.document}" if question.document else self.one.key[0]

    @property
    def alike(self) -> bool:
        """Whether a judge would see no difference."""
        one, other = self.one.answer, self.other.answer
        return one is not None and other is not None and digest_of(one) == digest_of(other)


@dataclass(frozen=True, slots=True)
class Bout:
    """What came of a meeting.

    Attributes:
        meeting: who met.
        points: of the first: 1 it is better, 0.5 a tie, 0 the second is better; None where the
            judge gave no verdict.
        said: the judge's words in the order first–second, then second–first; empty where it was
            not asked or gave fewer than two verdicts.
    """

    meeting: Meeting
    points: float | None
    said: tuple[str, ...] = ()

    @property
    def flipped(self) -> bool:
        """Whether the two orders came to different ends."""
        return bool(self.said) and _POINTS[self.said[0]] != 1 - _POINTS[self.said[1]]


def meetings(runs: Mapping[str, Sequence[Row]]) -> list[Meeting]:
    """Every two runs at every question and epoch that both asked and at least one answered.

    Args:
        runs: their rows by their names.
    """
    found = []
    for (first, ones), (second, others) in combinations(runs.items(), 2):
        theirs = {row.key: row for row in others}
        pairs = [(row, theirs[row.key]) for row in ones if row.key in theirs]
        found += [
            Meeting(first, second, one, other)
            for one, other in pairs
            if not (one.failed and other.failed)
        ]
    return found


def cases_of(meeting: Meeting, judge: Judge) -> Iterator[Case]:
    """The two questions to the judge, one for each order; none where nobody need be asked."""
    one, other = meeting.one.answer, meeting.other.answer
    if one is None or other is None or meeting.alike:
        return
    question, epoch = meeting.one.key
    version = prompt_version(_TEMPLATE)
    for pair in ((one, other), (other, one)):
        digests = (digest_of(pair[0]), digest_of(pair[1]))
        key = Key(question, epoch, NAME, 0, digests, version, judge.label)
        yield Case(key, _TEMPLATE, Preference, _content(meeting.one.question, *pair))


def _content(question: Question, a: Answer, b: Answer) -> Callable[[], list[Block]]:
    def content() -> list[Block]:
        shown = [answer_shown(a, "Answer A"), answer_shown(b, "Answer B")]
        return blocks([*question_shown(question), *shown])

    return content


def bout_of(meeting: Meeting, judge: Judge, records: Records) -> Bout:
    """What the judge's verdicts come to: what both orders agree on, else a tie."""
    cases = list(cases_of(meeting, judge))
    if not cases:
        lone = 0.0 if meeting.one.failed else 1.0
        return Bout(meeting, 0.5 if meeting.alike else lone)
    verdicts = [verdict_of(records, case) for case in cases]
    said = tuple(v.better for v in verdicts if isinstance(v, Preference))
    if len(said) < 2:
        return Bout(meeting, None)
    straight, turned = _POINTS[said[0]], 1 - _POINTS[said[1]]
    return Bout(meeting, straight if straight == turned else 0.5, said)
