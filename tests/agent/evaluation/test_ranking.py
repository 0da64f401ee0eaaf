"""Bradley–Terry: strengths of greatest likelihood, groups, undefeated runs, intervals."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from limner.agent.evaluation.judging.ranking import Points, Standing, rank, strengths


def by_name(meetings: list[Points], **options: object) -> dict[str, Standing]:
    return {s.name: s for s in rank(meetings, **{"resamples": 50, **options})}  # type: ignore[arg-type]


def games(first: str, second: str, scores: list[float], start: int = 0) -> list[Points]:
    return [Points(first, second, score, f"q{n}") for n, score in enumerate(scores, start)]


@st.composite
def tournaments(draw: st.DrawFn) -> np.ndarray:
    """Wins of up to six runs, halves among them, none without a point in either direction."""
    size = draw(st.integers(2, 6))
    halves = draw(st.lists(st.integers(0, 40), min_size=size**2, max_size=size**2))
    wins = np.array(halves, dtype=float).reshape(size, size) / 2
    np.fill_diagonal(wins, 0)
    reach = (wins > 0) | np.eye(size, dtype=bool)
    for _ in range(size):
        reach = reach @ reach
    assume(reach.all())
    return wins


def by_scipy(wins: np.ndarray) -> np.ndarray:
    """The same likelihood given to an optimiser that knows nothing of it but values and slopes."""
    from scipy.optimize import minimize

    rows, columns = np.nonzero(wins)

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        found = np.concatenate([[0.0], free])
        margin = found[rows] - found[columns]
        weights = wins[rows, columns]
        value = (weights * np.log1p(np.exp(-margin))).sum()
        slope = np.zeros(len(wins))
        np.add.at(slope, rows, -weights / (1 + np.exp(margin)))
        np.add.at(slope, columns, weights / (1 + np.exp(margin)))
        return value, slope[1:]

    done = minimize(loss, np.zeros(len(wins) - 1), jac=True, method="BFGS",
                    options={"gtol": 1e-9, "maxiter": 10_000})  # fmt: skip
    found = np.concatenate([[0.0], done.x])
    return found - found.mean()


@settings(max_examples=25, deadline=None)
@given(tournaments())
def test_strengths_are_those_of_an_independent_optimiser(wins: np.ndarray) -> None:
    np.testing.assert_allclose(strengths(wins), by_scipy(wins), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(tournaments())
def test_at_the_greatest_likelihood_points_are_as_expected(wins: np.ndarray) -> None:
    found = strengths(wins)
    chance = 1 / (1 + np.exp(found[None, :] - found[:, None]))
    np.testing.assert_allclose(((wins + wins.T) * chance).sum(1), wins.sum(1), atol=1e-8)


def test_two_runs_stand_as_far_apart_as_their_odds() -> None:
    found = by_name(games("a", "b", [1, 1, 1, 0]))
    assert found["a"].strength - found["b"].strength == pytest.approx(math.log(3))
    assert found["a"].rating - found["b"].rating == pytest.approx(400 * math.log10(3))
    assert found["a"].rating + found["b"].rating == pytest.approx(2000)
    assert (found["a"].wins, found["a"].ties, found["a"].losses) == (3, 0, 1)


def test_a_tie_is_half_a_win_for_either() -> None:
    tied = by_name(games("a", "b", [1, 1, 0.5, 0.5, 0]))
    whole = by_name(games("a", "b", [1, 1, 1, 0, 0]))
    assert tied["a"].strength == pytest.approx(whole["a"].strength)
    assert (tied["b"].wins, tied["b"].ties, tied["b"].losses) == (1, 2, 2)


def test_planted_strengths_are_recovered() -> None:
    planted = {"a": 1.2, "b": 0.3, "c": -0.4, "d": -1.1}
    drawn = random.Random(3)
    meetings = []
    for n in range(1500):
        first, second = drawn.sample(sorted(planted), 2)
        chance = 1 / (1 + math.exp(planted[second] - planted[first]))
        meetings.append(Points(first, second, float(drawn.random() < chance), f"q{n}"))
    found = by_name(meetings, resamples=300)
    for name, strength in planted.items():
        assert found[name].strength == pytest.approx(strength, abs=0.2)
        low, high = found[name].low, found[name].high
        assert low is not None and high is not None
        assert low < 1000 + 400 / math.log(10) * strength < high
        assert 20 < high - low < 150
    assert [s.name for s in rank(meetings, resamples=10)] == ["a", "b", "c", "d"]


meetings = st.lists(
    st.builds(
        Points,
        st.sampled_from("abc"),
        st.sampled_from("def"),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.sampled_from(["q1", "q2", "q3"]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=20, deadline=None)
@given(meetings, st.randoms())
def test_the_order_of_meetings_and_of_their_sides_changes_nothing(
    found: list[Points], shuffler: random.Random
) -> None:
    other = [
        Points(m.second, m.first, 1 - m.score, m.cluster) if shuffler.random() < 0.5 else m
        for m in found
    ]
    shuffler.shuffle(other)
    for one, two in zip(
        sorted(rank(found, resamples=20), key=lambda s: s.name),
        sorted(rank(other, resamples=20), key=lambda s: s.name),
        strict=True,
    ):
        assert (one.name, one.group, one.wins, one.bounded) == (
            two.name, two.group, two.wins, two.bounded,
        )  # fmt: skip
        numbers = [(s.strength, s.low or 0.0, s.high or 0.0) for s in (one, two)]
        assert numbers[0] == pytest.approx(numbers[1], abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(meetings)
def test_names_carry_nothing(found: list[Points]) -> None:
    swap = dict(zip("abcdef", "fedcba", strict=True))
    other = [Points(swap[m.first], swap[m.second], m.score, m.cluster) for m in found]
    plain, renamed = by_name(found, resamples=2), by_name(other, resamples=2)
    for name, standing in plain.items():
        assert renamed[swap[name]].strength == pytest.approx(standing.strength, abs=1e-8)


def test_runs_that_never_met_are_ranked_apart() -> None:
    found = rank([*games("a", "b", [1, 1, 0]), *games("c", "d", [0, 1])], ["e"], resamples=20)
    assert [(s.name, s.group) for s in found] == [("a", 1), ("b", 1), ("c", 2), ("d", 2), ("e", 3)]
    assert found[0].strength == pytest.approx(math.log(2) / 2)
    assert found[4].rating == 1000 and found[4].low is None and found[4].wins == 0


def test_an_undefeated_run_stays_finite_and_is_stated() -> None:
    found = by_name(games("a", "b", [1] * 10))
    assert found["a"].bounded and found["b"].bounded
    assert found["a"].strength - found["b"].strength == pytest.approx(math.log(10.5 / 0.5))
    more = by_name(games("a", "b", [1] * 100))
    assert more["a"].strength > found["a"].strength
    assert not by_name(games("a", "b", [1] * 9 + [0]))["a"].bounded


def test_an_undefeated_run_among_others_leaves_their_order() -> None:
    others = games("b", "c", [1, 1, 1, 0])
    found = rank([*games("a", "b", [1, 1, 1]), *games("a", "c", [1, 1, 1]), *others], resamples=20)
    assert [s.name for s in found] == ["a", "b", "c"]
    assert all(s.bounded and math.isfinite(s.rating) for s in found)


def test_a_resample_without_a_defeat_stays_finite() -> None:
    found = by_name(games("a", "b", [1] * 7 + [0]), resamples=400)
    assert not found["a"].bounded
    assert found["a"].high is not None
    assert found["a"].high - found["b"].low <= 400 * math.log10(8.5 / 0.5) + 1e-6  # type: ignore[operator]


def test_meetings_of_one_question_are_drawn_together() -> None:
    scores = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    alone = by_name(games("a", "b", scores * 8), resamples=400)["a"]
    together = [Points("a", "b", s, f"q{n}") for n, s in enumerate(scores) for _ in range(8)]
    clustered = by_name(together, resamples=400)["a"]
    assert clustered.strength == pytest.approx(alone.strength)
    assert clustered.high - clustered.low > 1.8 * (alone.high - alone.low)  # type: ignore[operator]


def test_one_question_has_no_interval() -> None:
    found = by_name([Points("a", "b", 1, "q"), Points("a", "b", 0, "q")])
    assert found["a"].low is None and found["a"].high is None and found["a"].rating == 1000


def test_the_interval_depends_on_the_seed_alone() -> None:
    meetings = games("a", "b", [1, 0.5, 0, 1, 1])
    assert rank(meetings, resamples=30) == rank(meetings, resamples=30)
    other = rank(meetings, resamples=30, seed=1)
    assert [s.low for s in rank(meetings, resamples=30)] != [s.low for s in other]


def test_nobody_is_ranked_out_of_nothing() -> None:
    assert rank([]) == []
    assert [s.name for s in rank([], ["b", "a"])] == ["a", "b"]
