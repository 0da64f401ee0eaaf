"""Means with intervals, and whether two runs differ. Knows numbers and clusters, no questions.

One method throughout, exact where it can be:

- An interval is the 95 % percentile bootstrap over clusters: whole clusters are drawn, 2,000 times,
  with the quantiles moved outwards for few clusters (Hesterberg, *What Teachers Should Know About
  the Bootstrap*, The American Statistician 69, 2015, section 4.1). Fewer than two clusters have no
  interval. Where every score is 0, or every one 1, resampling sees no spread; the exact bound of
  Clopper and Pearson (Biometrika 26, 1934) over the clusters stands in.
- Two runs are compared by flipping the signs of the paired differences, cluster by cluster. Where
  all differences that are not 0 are equally large this is a binomial count, so for 0/1 scores it is
  McNemar's exact test (Psychometrika 12, 1947). The mean is flipped rather than ranks or signs
  because what makes a run worse is mostly a few rows that fall from right to wrong among many that
  wobble a little; ``benchmarks/comparison.py`` prints the power of each.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["RESAMPLES", "Estimate", "estimate", "flip_test", "holm", "mcnemar", "quantile"]

RESAMPLES = 2_000
"""Bootstrap samples of an interval."""

_FLIPS = 9_999  # random sign flips where there are too many to try all
_ALL = 12  # clusters whose 2**n sign flips are all tried
_BLOCK = 100_000  # numbers held at once
_FEW = 16  # kinds of clusters that are counted instead of drawn one by one
_TAIL = 0.025

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and what is known of it.

    Attributes:
        mean: of the values.
        low: lower end of the 95 % interval; None where fewer than two clusters leave it unknown.
        high: upper end, likewise.
        n: values.
        clusters: groups that vary on their own.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    clusters: int

    def to_dict(self) -> dict[str, float | None]:
        """A JSON-ready mapping of every field."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "n": self.n,
                "clusters": self.clusters}  # fmt: skip


def estimate(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    of: Literal["scores", "differences", "times"] = "scores",
) -> Estimate:
    """The mean of some values, with its interval.

    Args:
        values: at least one.
        clusters: of each value its group; None where every value stands for itself.
        seed: of the resampling. The interval does not depend on the values' order.
        of: what the values are: scores from 0 to 1, differences of scores, or anything else. It
            says what an interval can be where all of them are the same.

    Raises:
        ValueError: there are no values, or not as many clusters.
    """
    table = _by_cluster(values, clusters)
    count = len(table)
    total, n = table.sum(axis=0)
    bound = _exact_bound(table, of)
    low, high = (None, None) if count < 2 else bound or _interval(table, seed)
    return Estimate(float(total / n), low, high, int(n), count)


def _by_cluster(values: Sequence[float], clusters: Sequence[Hashable] | None) -> Floats:
    """Sum and count of each cluster, one a row, in an order that is the values' own."""
    if not len(values):
        raise ValueError("there are no values")
    sums: dict[Hashable, list[float]] = {}
    labels = range(len(values)) if clusters is None else clusters
    for label, value in zip(labels, values, strict=True):
        sums.setdefault(label, []).append(float(value))
    rows = sorted((math.fsum(group), float(len(group))) for group in sums.values())
    return np.array(rows, dtype=np.float64)


def _interval(table: Floats, seed: int) -> tuple[float, float]:
    drawn = np.concatenate(list(_resampled(table, np.random.default_rng(seed))))
    tail = _expanded_tail(len(table))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _resampled(table: Floats, random: np.random.Generator) -> Iterator[Floats]:
    """Means of samples of whole clusters, as many as ``RESAMPLES``, a block at a time."""
    count = len(table)
    kinds, often = np.unique(table, axis=0, return_counts=True)
    if len(kinds) <= _FEW:  # how often each kind is drawn says the same, far faster
        sums, sizes = (random.multinomial(count, often / count, size=RESAMPLES) @ kinds).T
        yield sums / sizes
        return
    sums, sizes = table.T.copy()
    at_once = max(1, min(RESAMPLES, _BLOCK // count))
    for start in range(0, RESAMPLES, at_once):
        drawn = random.integers(count, size=(min(at_once, RESAMPLES - start), count))
        held = count * sizes[0] if np.ptp(sizes) == 0 else sizes.take(drawn).sum(axis=1)
        yield sums.take(drawn).sum(axis=1) / held


def _expanded_tail(count: int) -> float:
    """The share cut off at either end; less than 2.5 % where there are few clusters."""
    from scipy.special import ndtr, stdtrit  # type: ignore[import-untyped]

    reach = -stdtrit(count - 1, _TAIL) * math.sqrt(count / (count - 1))
    return float(ndtr(-reach))


def _exact_bound(table: Floats, of: str) -> tuple[float, float] | None:
    """Where all scores are 0, all are 1, or all differences 0; None elsewhere."""
    means = table[:, 0] / table[:, 1]
    others = 1 - _TAIL ** (1 / len(table))  # so large a share may be otherwise, and unseen
    if of == "scores" and np.all(means == 1):
        return 1 - others, 1.0
    if of != "times" and np.all(means == 0):
        return (0.0 if of == "scores" else -others), others
    return None


def flip_test(
    differences: Sequence[float], clusters: Sequence[Hashable] | None = None, seed: int = 0
) -> float:
    """The two-sided p-value of paired differences under "neither run is better".

    Args:
        differences: one a question; 0 where nothing changed.
        clusters: of each difference its group, whose signs flip together; None where every one
            stands for itself.
        seed: of the flips, where there are too many to try all of them.

    Returns:
        From above 0 to 1; 1 where nothing differs. Exact for 0/1 scores and up to twelve clusters
        that differ, else from 9,999 flips (Phipson and Smyth, 2010: the run itself is counted too).
    """
    if not len(differences):
        return 1.0
    sums = _by_cluster(differences, clusters)[:, 0]
    sums = sums[np.abs(sums) > 1e-12]  # what rounding leaves of equal scores
    if not len(sums):
        return 1.0
    sizes = np.abs(sums)
    if np.allclose(sizes, sizes[0], rtol=1e-9, atol=0):
        return mcnemar(int((sums > 0).sum()), int((sums < 0).sum()))
    seen = abs(float(sums.sum())) * (1 - 1e-9)
    if len(sums) <= _ALL:
        every = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1
        return float((np.abs(_flipped(every, sizes)) >= seen).mean())
    reached = sum(
        int((np.abs(_flipped(kept, sizes)) >= seen).sum()) for kept in _drawn(len(sums), seed)
    )
    return (reached + 1) / (_FLIPS + 1)


def _flipped(kept: NDArray[np.integer[Any]], sizes: Floats) -> Floats:
    """Sums of the sizes, row by row, with the sign + where ``kept`` is 1, else -."""
    sums: Floats = kept.astype(np.float64) @ (2 * sizes)
    return sums - float(sizes.sum())


def _drawn(count: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Rows of random bits, ``_FLIPS`` of them, a block at a time."""
    random = np.random.default_rng(seed)
    at_once = max(1, min(_FLIPS, _BLOCK // count))
    for start in range(0, _FLIPS, at_once):
        rows = min(at_once, _FLIPS - start)
        octets = random.integers(256, size=(rows, (count + 7) // 8), dtype=np.uint8)
        yield np.unpackbits(octets, axis=1, count=count)


def mcnemar(wins: int, losses: int) -> float:
    """McNemar's exact two-sided p-value: a binomial count of the rows that changed.

    Args:
        wins: rows that went from wrong to right.
        losses: rows that went from right to wrong.
    """
    from scipy.special import bdtr

    changed = wins + losses
    return min(1.0, 2 * float(bdtr(min(wins, losses), changed, 0.5))) if changed else 1.0


def holm(ps: Sequence[float], counted: Sequence[bool] | None = None) -> list[float]:
    """P-values adjusted for their number (Holm, Scandinavian Journal of Statistics 6, 1979).

    Args:
        ps: as tested.
        counted: which of them could have come out small at all. A test that could not costs the
            others nothing (Tarone, Biometrics 46, 1990); its p-value is 1. None: all.

    Returns:
        In the same order; the share of runs without any change in which one is below alpha is
        at most alpha.
    """
    kept = [True] * len(ps) if counted is None else list(counted)
    order = sorted((p, n) for n, (p, keep) in enumerate(zip(ps, kept, strict=True)) if keep)
    adjusted, highest = [1.0] * len(ps), 0.0
    for rank, (p, n) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        adjusted[n] = highest
    return adjusted


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which a share of them lies, interpolated; None where there are none."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), share)) if values else None
