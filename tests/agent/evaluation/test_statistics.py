"""Intervals and tests against scipy's, against definitions, and in simulations."""

from __future__ import annotations

import math
import random
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from limner.agent.evaluation.statistics import (
    _expanded_tail,
    estimate,
    flip_test,
    holm,
    mcnemar,
    quantile,
)

scores = st.lists(st.floats(0, 1), min_size=2, max_size=40)


@pytest.mark.parametrize("kind", ["graded", "zero-one"])
def test_the_interval_is_scipys(kind: str) -> None:
    random = np.random.default_rng(3)
    values = (
        random.beta(3, 1, 400) if kind == "graded" else (random.random(400) < 0.7).astype(float)
    )
    found = estimate(list(values))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4_000, method="percentile",
                             vectorized=True, batch=500, rng=1).confidence_interval  # fmt: skip
    width = theirs.high - theirs.low
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.06 * width)
    assert (found.n, found.clusters) == (400, 400)


def test_whole_clusters_are_drawn() -> None:
    """Ten copies of each value say no more than one: the interval is that of the clusters."""
    random = np.random.default_rng(4)
    base = list(random.random(60))
    alone = estimate(base)
    copied = estimate(base * 10, [n % 60 for n in range(600)])
    blind = estimate(base * 10)
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=0.01)
    assert copied.clusters == 60 and copied.n == 600
    assert blind.high - blind.low < 0.5 * (copied.high - copied.low)  # type: ignore[operator]


def test_clusters_of_different_sizes_weigh_as_many_as_they_hold() -> None:
    values, clusters = [1.0] * 30 + [0.0, 0.5], [0] * 30 + [1, 2]
    found = estimate(values, clusters)
    assert found.mean == pytest.approx(30.5 / 32)
    assert found.low == 0.0 and found.high == 1.0  # no large one was drawn, or nothing else


def test_the_interval_of_few_clusters_holds_the_truth_more_often_than_the_plain_one() -> None:
    random, held, plain, clusters = np.random.default_rng(5), 0, 0, 6
    for _ in range(150):
        means = random.normal(0.5, 0.1, clusters)
        found = estimate(list(means), seed=int(random.integers(1 << 30)))
        assert found.low is not None and found.high is not None
        held += found.low <= 0.5 <= found.high
        drawn = means[random.integers(clusters, size=(500, clusters))].mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        plain += low <= 0.5 <= high
    assert held >= 0.9 * 150 and held > plain + 5


@pytest.mark.parametrize(("clusters", "tail"), [(5, 0.0010), (10, 0.0086), (1_000, 0.0248)])
def test_the_tails_are_those_that_were_published(clusters: int, tail: float) -> None:
    assert _expanded_tail(clusters) == pytest.approx(tail, abs=5e-5)


@pytest.mark.parametrize(("value", "count"), [(1.0, 40), (0.0, 40), (1.0, 2)])
def test_scores_that_are_all_alike_have_the_exact_bound(value: float, count: int) -> None:
    found = estimate([value] * count)
    exact = stats.binomtest(int(value) * count, count).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def test_fewer_than_two_clusters_have_no_interval() -> None:
    assert estimate([0.4]).low is None and estimate([0.4, 0.6], ["d", "d"]).high is None
    with pytest.raises(ValueError, match="no values"):
        estimate([])


@given(scores, st.randoms())
@example([1.0, 1.0], random.Random(0))
@settings(max_examples=40)
def test_the_order_of_the_rows_does_not_matter(values: list[float], shuffle: object) -> None:
    pairs = list(zip(values, [n % 5 for n in range(len(values))], strict=True))
    first = estimate(*zip(*pairs, strict=True))
    shuffle.shuffle(pairs)  # type: ignore[attr-defined]
    again = estimate(*zip(*pairs, strict=True))
    assert first == again
    if first.low is not None and first.high is not None:
        assert first.low <= first.mean + 1e-9
        assert min(values) - 1e-9 <= first.low or set(values) == {1.0}  # one may be unseen
        assert first.mean - 1e-9 <= first.high <= max(values) + 1e-9 or set(values) <= {0.0}


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(wins: int, losses: int) -> None:
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert mcnemar(wins, losses) == pytest.approx(expected)
    differences = [1.0] * wins + [-1.0] * losses + [0.0] * 9
    assert flip_test(differences) == pytest.approx(expected)


@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=1, max_size=7))
def test_few_differences_are_flipped_in_every_way(differences: list[float]) -> None:
    seen = abs(math.fsum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in product((1, -1), repeat=len(differences))]  # fmt: skip
    expected = np.mean([total >= seen - 1e-9 for total in sums])
    assert flip_test(differences) == pytest.approx(expected)


def test_many_differences_agree_with_scipys_permutations() -> None:
    random = np.random.default_rng(6)
    differences = random.normal(0.03, 0.2, 150)
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples",
                                    n_resamples=4_000, vectorized=True, rng=2)  # fmt: skip
    assert flip_test(list(differences)) == pytest.approx(theirs.pvalue, abs=0.02)
    assert flip_test(list(differences)) == flip_test(list(differences))  # seeded


def test_differences_of_a_document_are_flipped_together() -> None:
    """Thirty rows of one document that changed are one change, not thirty."""
    differences = [-1.0] * 30
    assert flip_test(differences) < 1e-6
    assert flip_test(differences, ["d"] * 30) == 1.0
    assert flip_test([]) == 1.0 == flip_test([0.0, 1e-15])


def test_holm_is_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01, 1.0, 0.03], [True, False, True]) == pytest.approx([0.02, 1.0, 0.03])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_step_by_step(ps: list[float]) -> None:
    adjusted = holm(ps)
    order = sorted(range(len(ps)), key=lambda n: ps[n])
    rejected = set()
    for rank, n in enumerate(order):  # the procedure as published, at 5 %
        if ps[n] * (len(ps) - rank) > 0.05:
            break
        rejected.add(n)
    assert {n for n, p in enumerate(adjusted) if p <= 0.05} == rejected
    assert all(a >= p for a, p in zip(adjusted, ps, strict=True))


def test_quantiles_are_numpys() -> None:
    assert quantile([3.0, 1.0, 2.0, 10.0], 0.5) == 2.5
    assert quantile([], 0.95) is None
