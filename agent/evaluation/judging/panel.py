"""Runs put before a judge: each by itself, every two against each other, all in a ranking.

Writes journals of what the judge said and nothing else. Knows runs; prints nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....errors import LimnerError, ModelError, ModelMissing, UserError
from ..rows import Row
from ..runs import Run
from ..statistics import Estimate, estimate
from . import pairwise
from .asking import Case, Progress, Session, ask_all, verdict_of
from .criteria import CRITERIA, Criterion, cases_of, scores_of
from .judge import Judge
from .pairwise import Bout, bout_of, meetings
from .ranking import Points, Standing, rank
from .records import Records
from .tally import Leaning, Tally, leaning_of, tallies

__all__ = ["METRICS", "Judged", "RunJudged", "judge_runs", "named"]

METRICS = (*CRITERIA, pairwise.NAME)
"""What a judge can be asked."""


@dataclass(frozen=True, slots=True)
class RunJudged:
    """What the judge said of one run.

    Attributes:
        name: of the run.
        rows: of it that were judged.
        failed: those among them without an answer, which score 0.
        scores: means by score; None where it applies to no row.
        unjudged: by metric, things that the judge was to be asked and gave no verdict on.
        journal: where its words are kept.
    """

    name: str
    rows: int
    failed: int
    scores: Mapping[str, Estimate | None]
    unjudged: Mapping[str, int]
    journal: Path


@dataclass(frozen=True, slots=True)
class Judged:
    """What the judge said of all.

    Attributes:
        judge: its label.
        runs: each by itself; empty where only pairs were asked for.
        tallies: of every two runs that met; empty where pairs were not asked for, as below.
        leaning: how the judge leaned between two answers; None.
        ranking: of all the runs.
        unmatched: questions, each epoch counted, that some of the runs have no row of.
        votes: where the votes between two are kept; None.
        session: what was asked now and what kept from earlier.
        faults: why there is no verdict, and how often, the most frequent first.
    """

    judge: str
    runs: tuple[RunJudged, ...]
    tallies: tuple[Tally, ...]
    leaning: Leaning | None
    ranking: tuple[Standing, ...]
    unmatched: int
    votes: Path | None
    session: Session
    faults: tuple[tuple[str, int], ...]

    @property
    def failure(self) -> LimnerError | None:
        """Why the judge could not be asked everything, or said nothing; None where all is well."""
        errors = self.session.errors
        gone = [error for error in errors if isinstance(error, ModelMissing)]
        if gone or (self.session.left and errors):
            return gone[-1] if gone else errors[-1]
        means = [mean for run in self.runs for mean in run.scores.values() if mean]
        if self.faults and not means and not (self.leaning and self.leaning.judged):
            return ModelError("the judge gave no verdict at all", "another judge")
        return None


def named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by what they are called; those of one name by their folders.

    Raises:
        UserError: one stands there twice.
    """
    often = Counter(run.name for run in runs)
    names = [run.name if often[run.name] == 1 else str(run.folder) for run in runs]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{twice[0]}: this run is named twice", "name each run once")
    return dict(zip(names, runs, strict=True))


def judge_runs(
    runs: Mapping[str, Run],
    judge: Judge,
    metrics: Sequence[str],
    out: Path | None = None,
    limit: int | None = None,
    at_once: int = 1,
    tell: Progress = lambda done, total, words: None,
) -> Judged:
    """Judge runs; what was judged before is not asked again.

    Args:
        runs: by their names, see `named`.
        judge: is asked.
        metrics: of `METRICS`.
        out: folder of the journals; each run's own, and for pairs the first run's, if left out.
        limit: the most questions; those that come first in the runs.
        at_once: the most that are asked at a time.
        tell: progress.

    Raises:
        UserError: two runs have no question in common, or a journal cannot be read or written.
    """
    rows = _rows(runs, limit)
    desk = _Desk(judge, at_once, tell)
    criteria = [CRITERIA[name] for name in metrics if name in CRITERIA]
    each = []
    for name, run in runs.items() if criteria else ():
        places = [folder / "judgements.jsonl" for folder in (out or run.folder, run.folder)]
        records = Records(places[0], places)
        unjudged = {c.name: desk.ask(_cases(rows[name], c, judge), records) for c in criteria}
        each.append(_run(name, rows[name], criteria, judge, records, unjudged, places[0]))
    bouts, votes = [], None
    if pairwise.NAME in metrics:
        votes = (out or next(iter(runs.values())).folder) / "votes.jsonl"
        records = Records(votes, [run.folder / "votes.jsonl" for run in runs.values()])
        bouts = _bouts(rows, judge, desk, records)
    points = [
        Points(b.meeting.first, b.meeting.second, b.points, b.meeting.cluster)
        for b in bouts
        if b.points is not None
    ]
    return Judged(
        judge=judge.label,
        runs=tuple(each),
        tallies=tuple(tallies(bouts)),
        leaning=leaning_of(bouts) if votes else None,
        ranking=tuple(rank(points, list(runs))) if votes else (),
        unmatched=_unmatched(rows),
        votes=votes,
        session=desk.session,
        faults=tuple(desk.faults.most_common()),
    )


class _Desk:
    """Where cases are put before the judge: counts, and stops once it is given up."""

    def __init__(self, judge: Judge, at_once: int, tell: Progress) -> None:
        self.session = Session(0, 0)
        self.faults: Counter[str] = Counter()
        self._judge, self._at_once, self._tell = judge, at_once, tell

    def ask(self, cases: Sequence[Case], records: Records) -> int:
        """Ask what was not asked before.

        Returns:
            Cases without a verdict.
        """
        if self.session.left:  # it was given up
            new = Session(0, 0, (), sum(records.get(case.key) is None for case in cases))
        else:
            new = ask_all(cases, self._judge, records, self._at_once, self._tell)
        self.session = Session(
            self.session.asked + new.asked,
            self.session.kept + new.kept,
            self.session.errors + new.errors,
            self.session.left + new.left,
        )
        self.faults.update(str(error) for error in new.errors)
        said = [record for case in cases if (record := records.get(case.key))]
        self.faults.update(record.fault for record in said if record.verdict is None)
        return sum(verdict_of(records, case) is None for case in cases)


def _rows(runs: Mapping[str, Run], limit: int | None) -> dict[str, list[Row]]:
    asked = (question for run in runs.values() for question in run.manifest.questions)
    wanted = set(list(dict.fromkeys(asked))[:limit])
    return {
        name: [row for row in run.rows if row.question.digest in wanted]
        for name, run in runs.items()
    }


def _cases(rows: Sequence[Row], criterion: Criterion, judge: Judge) -> list[Case]:
    return [case for row in rows for case in cases_of(row, criterion, judge)]


def _run(
    name: str,
    rows: Sequence[Row],
    criteria: Sequence[Criterion],
    judge: Judge,
    records: Records,
    unjudged: Mapping[str, int],
    journal: Path,
) -> RunJudged:
    scores: dict[str, Estimate | None] = {}
    for criterion in criteria:
        found = [(row, scores_of(row, criterion, judge, records)) for row in rows]
        for score in criterion.names:
            known = [(row, s) for row, of in found if (s := of[score]) is not None]
            values = [value for _, value in known]
            clusters = [row.question.document or row.question.digest for row, _ in known]
            scores[score] = estimate(values, clusters) if values else None
    failed = sum(row.failed for row in rows)
    return RunJudged(name, len(rows), failed, scores, unjudged, journal)


def _bouts(
    rows: Mapping[str, Sequence[Row]], judge: Judge, desk: _Desk, records: Records
) -> list[Bout]:
    found = meetings(rows)
    if not found:
        raise UserError(
            "the runs have no answered question in common", "name runs of one question set"
        )
    desk.ask([case for meeting in found for case in pairwise.cases_of(meeting, judge)], records)
    return [bout_of(meeting, judge, records) for meeting in found]


def _unmatched(rows: Mapping[str, Sequence[Row]]) -> int:
    often = Counter(row.key for found in rows.values() for row in found)
    return sum(count < len(rows) for count in often.values())
