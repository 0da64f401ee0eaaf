"""Runs ranked by who beat whom: Bradley–Terry strengths with intervals. Knows names and points.

Under the model of Bradley and Terry (Biometrika 39, 1952) run i beats run j with the probability
1 / (1 + exp(s_j - s_i)). The strengths s are those of the greatest likelihood, found by Newton's
method, which needs a few steps where the usual minorization (Hunter, The Annals of Statistics 32,
2004) needs hundreds.

- A tie is half a win for either. Davidson's model (JASA 65, 1970) gives ties a parameter of their
  own, which says how easily the judge tells answers apart; here most ties are a judge that changed
  its mind with the order, and that parameter would describe the judge, not the runs.
- Runs that never met, not even through others, cannot be compared: each such group is ranked by
  itself.
- There is no greatest likelihood where some runs of a group never scored against the rest of it
  (Ford, The American Mathematical Monthly 64, 1957): an undefeated run would be infinitely strong.
  In such a group, and in a resample that has become one, every two runs that met are given one
  more tie, which keeps the strengths finite; the standing says so.
- Intervals are the 2.5 and 97.5 % quantiles over resamples of whole clusters (questions, or the
  documents that they are about), so that what varies together is drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "Points", "Standing", "rank", "strengths"]

RESAMPLES = 1_000
"""Bootstrap samples of an interval."""

_SCALE, _MIDDLE = 400 / math.log(10), 1000.0  # Elo's: 400 points are odds of ten to one
_STEPS = 100

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Points:
    """What came of one meeting.

    Attributes:
        first: name of the one run.
        second: name of the other.
        score: of the first: 1, 0.5 for a tie, or 0.
        cluster: meetings of one cluster vary together.
    """

    first: str
    second: str
    score: float
    cluster: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands.

    Attributes:
        name: of the run.
        group: from 1; ratings of different groups cannot be compared.
        strength: natural logarithm of the odds; the mean of a group is 0.
        rating: the same on Elo's scale; the mean of a group is 1000.
        low: lower end of the rating's 95 % interval; None where fewer than two clusters leave it
            unknown.
        high: upper end, likewise.
        wins: meetings won.
        ties: meetings tied.
        losses: meetings lost.
        bounded: the group has runs that never scored against others; ratings are held finite by
            an added tie for every two runs that met.
    """

    name: str
    group: int
    strength: float
    rating: float
    low: float | None
    high: float | None
    wins: int
    ties: int
    losses: int
    bounded: bool


def rank(
    meetings: Sequence[Points],
    names: Sequence[str] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Standing]:
    """Rank runs.

    Args:
        meetings: what came of each, in any order, which changes nothing.
        names: of runs that are to be in the ranking even if they met nobody.
        resamples: for the intervals.
        seed: of the resampling.

    Returns:
        By group, the largest first, and within a group the strongest first.
    """
    known = sorted({*names, *(m.first for m in meetings), *(m.second for m in meetings)})
    table, tied = _by_cluster(meetings, known), _tied(meetings, known)
    drawn, which = _drawn(table, resamples, np.random.default_rng(seed))
    standings: list[Standing] = []
    for number, group in enumerate(_groups(table.sum(axis=0)), 1):
        within = np.ix_(group, group)
        samples = [sample[within] for sample in drawn]
        places = _places(table.sum(axis=0)[within], tied[within], samples, which)
        found = [
            Standing(known[run], number, *place) for run, place in zip(group, places, strict=True)
        ]
        standings += sorted(found, key=lambda one: (-round(one.strength, 9), one.name))
    return standings


def _places(
    wins: Floats, tied: Floats, drawn: Sequence[Floats], which: NDArray[np.intp]
) -> Iterator[tuple[Any, ...]]:
    """What a standing says of each run of a group, behind its name and group."""
    found, met, bounded = strengths(wins), _met(wins), not _connected(wins)
    known = len(drawn) > 0 and len(wins) > 1
    spread = np.array([strengths(sample, met) for sample in drawn if known])
    ends = np.quantile(spread[which], [0.025, 0.975], axis=0).T if known else None
    won = wins - tied / 2
    for run, strength in enumerate(found.tolist()):
        low, high = (None, None) if ends is None else map(_rating, ends[run].tolist())
        counts = (round(float(m.sum())) for m in (won[run], tied[run], won[:, run]))
        yield (strength, _rating(strength), low, high, *counts, bounded)


def strengths(wins: Floats, met: Flags | None = None) -> Floats:
    """The strengths of runs that are all connected by meetings.

    Args:
        wins: ``(n, n)``; what the row's run scored against the column's, ties by halves.
        met: ``(n, n)``, which runs met; None: those that scored. A resample is given those of all
            meetings, so that no run of it falls apart from the others.

    Returns:
        ``(n,)``, of mean 0.
    """
    if not _connected(wins):
        wins = wins + (_met(wins) if met is None else met) / 2
    size = len(wins)
    found = np.zeros(size)
    games, scored = wins + wins.T, wins.sum(axis=1)
    for _ in range(_STEPS):
        chance = _chances(found)
        slope = scored - (games * chance).sum(axis=1)
        if np.abs(slope).max(initial=0.0) <= 1e-11 * games.sum():
            break
        weights = games * chance * chance.T
        curve = np.diag(weights.sum(axis=1)) - weights
        step = np.linalg.solve(curve + weights.max() / size, slope)
        found = _along(found, step, wins)
    return np.asarray(found - found.mean())


def _along(found: Floats, step: Floats, wins: Floats) -> Floats:
    """A Newton step, halved until the likelihood does not fall; far out the full one overshoots."""
    before = _likelihood(found, wins)
    for _ in range(40):
        if _likelihood(found + step, wins) >= before - 1e-12 * abs(before):
            break
        step = step / 2
    return found + step


def _chances(found: Floats) -> Floats:
    """Of each run to beat each other one."""
    return np.asarray(np.exp(-np.logaddexp(0.0, found[None, :] - found[:, None])))


def _likelihood(found: Floats, wins: Floats) -> float:
    """Its logarithm."""
    return -float((wins * np.logaddexp(0.0, found[None, :] - found[:, None])).sum())


def _rating(strength: float) -> float:
    return _MIDDLE + _SCALE * strength


# ── who met whom ─────────────────────────────────────────────────────────────────────────────


def _by_cluster(meetings: Sequence[Points], names: Sequence[str]) -> Floats:
    """What each run scored against each other one, a table for each cluster."""
    place = {name: n for n, name in enumerate(names)}
    clusters = {cluster: n for n, cluster in enumerate(sorted({m.cluster for m in meetings}))}
    table = np.zeros((len(clusters), len(names), len(names)))
    for m in meetings:
        first, second, cluster = place[m.first], place[m.second], clusters[m.cluster]
        table[cluster, first, second] += m.score
        table[cluster, second, first] += 1 - m.score
    return table


def _tied(meetings: Sequence[Points], names: Sequence[str]) -> Floats:
    """How often each run tied with each other one."""
    ties = [m for m in meetings if m.score == 0.5]
    table = _by_cluster(ties, names).sum(axis=0)
    return np.asarray(table + table.T)


def _met(wins: Floats) -> Flags:
    return np.asarray(wins + wins.T > 0)


def _reach(links: Flags) -> Flags:
    """Who is reached from whom, over any number of links."""
    reach = links | np.eye(len(links), dtype=bool)
    for _ in range(max(len(links) - 1, 1).bit_length()):
        reach = reach @ reach
    return reach


def _connected(wins: Floats) -> bool:
    """Whether no part of the runs went without a point against the rest: see Ford (1957)."""
    return bool(_reach(wins > 0).all())


def _groups(wins: Floats) -> list[list[int]]:
    """Runs that can be compared, the largest group first."""
    reach = _reach(_met(wins))
    groups = {tuple(np.flatnonzero(row).tolist()) for row in reach}
    return [list(group) for group in sorted(groups, key=lambda group: (-len(group), group))]


def _drawn(
    table: Floats, resamples: int, random: np.random.Generator
) -> tuple[Floats, NDArray[np.intp]]:
    """Sums over clusters drawn with replacement: those that differ, and which one each sample is.

    Both are empty where there are fewer than two clusters. Of few clusters many samples are alike.
    """
    count, size = len(table), table.shape[1]
    if count < 2 or not size:
        return np.empty((0, size, size)), np.empty(0, dtype=np.intp)
    often = random.multinomial(count, np.full(count, 1 / count), size=resamples)
    sums = often.astype(np.float64) @ table.reshape(count, -1)
    kinds, which = np.unique(sums, axis=0, return_inverse=True)
    return kinds.reshape(-1, size, size), which.reshape(-1)
