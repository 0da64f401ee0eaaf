"""Whether a comparison of two runs finds what became worse, and nothing where nothing did.

600 questions at a mean of 0.8. A regression of two points is planted: twelve answers fall from
right to wrong, or graded scores lose 0.02 on average. Noise is the share of questions on which two
runs of the same system disagree, up as often as down. Claims: power of at least 0.8 up to a noise
of 1 % with one epoch and 4 % with three; false alarms of at most 6 %, also over ten metrics with
Holm and where documents vary as a whole.

    python benchmarks/comparison.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from common import arguments, show, write

# isort: split
from scipy import stats

from limner.agent.evaluation.statistics import estimate, flip_test, holm

ROWS, FALLEN, POINTS, ALPHA = 600, 12, 0.02, 0.05
NOISES = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04)
Floats = np.ndarray
Random = np.random.Generator


def flips(right: Floats, share: float, random: Random) -> Floats:
    """Scores of 0 and 1, of which a share is another one; no direction is likelier."""
    after, count = right.copy(), random.binomial(len(right), share)
    up = random.binomial(count, 0.5)
    for value, number in ((0, up), (1, count - up)):
        after[random.choice(np.flatnonzero(right == value), number, replace=False)] = 1 - value
    return after


def zero_one(noise: float, epochs: int, planted: bool, random: Random) -> Floats:
    """Differences of a question's mean over epochs, run by run the noise of its own."""
    right = (random.random(ROWS) < 0.8).astype(float)
    system = right.copy()
    if planted:
        system[random.choice(np.flatnonzero(right == 1), FALLEN, replace=False)] = 0
    # Half of the disagreement of two runs is each one's own.
    before = np.mean([flips(right, noise / 2, random) for _ in range(epochs)], axis=0)
    after = np.mean([flips(system, noise / 2, random) for _ in range(epochs)], axis=0)
    return after - before


def graded(kind: str, noise: float, planted: bool, random: Random) -> Floats:
    """Differences of scores from 0 to 1: half at 1, the others anywhere, a share wobbles."""
    system = np.where(random.random(ROWS) < 0.5, 1.0, random.beta(3, 2, ROWS))
    moved = random.random(ROWS) < noise
    before, after = (np.clip(system + moved * random.normal(0, 0.15, ROWS), 0, 1) for _ in range(2))
    if planted and kind == "a few fall to 0":
        order = random.permutation(ROWS)
        after[order[: np.searchsorted(np.cumsum(after[order]), POINTS * ROWS)]] = 0
    elif planted:
        after = np.clip(after - POINTS * random.uniform(0, 2, ROWS), 0, 1)
    return after - before


def found(p: float, differences: Floats) -> bool:
    return bool(p <= ALPHA and differences.sum() < 0)


def wilcoxon(differences: Floats) -> float:
    return float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0


def signs(differences: Floats) -> float:
    up, down = int((differences > 0).sum()), int((differences < 0).sum())
    return float(stats.binomtest(up, up + down).pvalue) if up + down else 1.0


Test = Callable[[Floats], float]
TESTS: dict[str, Test] = {"flip the mean": flip_test, "Wilcoxon": wilcoxon, "signs": signs}


def power(draw: Callable[[], Floats], runs: int, tests: Sequence[Test]) -> list[float]:
    """Of so many drawn comparisons the share in which each test finds the regression."""
    drawn = [draw() for _ in range(runs)]
    return [sum(found(test(one), one) for one in drawn) / runs for test in tests]


def power_zero_one(runs: int, random: Random) -> Iterator[list[Any]]:
    for noise in NOISES:
        cells = []
        for epochs in (1, 3, 5):
            cells += power(
                lambda n=noise, e=epochs: zero_one(n, e, True, random), runs, [flip_test]
            )
        yield [f"{noise:.1%}", *cells, power_of_ten(noise, runs, random)]


def power_of_ten(noise: float, runs: int, random: Random) -> float:
    """The same where nine other metrics, which only have noise, are compared as well."""
    hits = 0
    for _ in range(runs):
        one = zero_one(noise, 1, True, random)
        others = [zero_one(noise, 1, False, random) for _ in range(9)]
        ps = [flip_test(each) for each in (one, *others)]
        hits += found(holm(ps, [bool(each.any()) for each in (one, *others)])[0], one)
    return hits / runs


def power_graded(runs: int, random: Random) -> Iterator[list[Any]]:
    for kind in ("a few fall to 0", "all fall a little"):
        for noise in (0.0, 0.1, 0.3, 1.0):
            draw = lambda k=kind, n=noise: graded(k, n, True, random)  # noqa: E731
            yield [f"{kind}, {noise:.0%} wobble", *power(draw, runs, list(TESTS.values()))]


def alarms(runs: int, random: Random) -> Iterator[list[Any]]:
    """Any verdict, better or worse, where nothing was planted."""
    for noise in (0.01, 0.02, 0.04):
        single = many = 0
        for _ in range(runs):
            each = [zero_one(noise, 1, False, random) for _ in range(10)]
            ps = [flip_test(one) for one in each]
            single += ps[0] <= ALPHA
            many += min(holm(ps, [bool(one.any()) for one in each])) <= ALPHA
        yield [f"0/1, {noise:.0%} noise", single / runs, many / runs]
    for wobble in (0.1, 1.0):
        single = many = 0
        for _ in range(runs):
            each = [graded("", wobble, False, random) for _ in range(5)]
            ps = [flip_test(one) for one in each]
            single += ps[0] <= ALPHA
            many += min(holm(ps)) <= ALPHA
        yield [f"graded, {wobble:.0%} wobble", single / runs, many / runs]


def documents(runs: int, random: Random) -> list[float]:
    """False alarms where the 20 questions of a document rise and fall together."""
    labels, by_document, blind = [n // 20 for n in range(ROWS)], 0, 0
    for _ in range(runs):
        common = np.repeat(random.normal(0, 0.05, ROWS // 20), 20)
        differences = common + random.normal(0, 0.05, ROWS)
        by_document += flip_test(differences, labels) <= ALPHA
        blind += flip_test(differences) <= ALPHA
    return [by_document / runs, blind / runs]


def coverage(runs: int, random: Random) -> Iterator[list[Any]]:
    """How often an interval holds the true mean, and how often a plain percentile one does."""
    for clusters, each in ((5, 8), (10, 8), (30, 8), (600, 1)):
        held = plain = 0
        for _ in range(runs):
            truth = np.repeat(random.beta(8, 2, clusters), each)
            values = (random.random(clusters * each) < truth).astype(float)
            labels = np.repeat(np.arange(clusters), each)
            one = estimate(list(values), list(labels), seed=int(random.integers(1 << 30)))
            means = values.reshape(clusters, each).mean(axis=1)
            drawn = means[random.integers(clusters, size=(500, clusters))].mean(axis=1)
            low, high = np.quantile(drawn, [0.025, 0.975])
            held += bool(
                one.low is not None and one.high is not None and one.low <= 0.8 <= one.high
            )
            plain += bool(low <= 0.8 <= high)
        yield [f"{clusters} documents of {each}", held / runs, plain / runs]


def speeds(random: Random) -> Iterator[list[Any]]:
    values, labels = list(random.random(ROWS)), [n // 4 for n in range(ROWS)]
    for name, work in {
        "interval, 600 graded rows": lambda: estimate(values),
        "interval, 150 documents of 4": lambda: estimate(values, labels),
        "interval, 600 rows of 0/1": lambda: estimate([float(v > 0.2) for v in values]),
        "test, 600 graded rows": lambda: flip_test([v - 0.5 for v in values]),
    }.items():
        work()
        times = sorted(_cpu(work) for _ in range(15))
        yield [name, times[0], times[7]]


def _cpu(work: Callable[[], object]) -> float:
    """Milliseconds of the processor, whatever else it is busy with."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


def main() -> None:
    parser = arguments(__doc__ or "", "comparison")
    parser.add_argument("--runs", type=int, default=200, help="simulated comparisons of each kind")
    args = parser.parse_args()
    random, body = np.random.default_rng(0), {}

    def told(name: str, title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        show(title, head, rows)
        body[name] = {"columns": list(head), "rows": [list(row) for row in rows]}

    told("zero_one", "Power, 0/1: 12 of 600 fall, noise flips both ways",
         ["noise", "1 epoch", "3 epochs", "5 epochs", "1 epoch, of 10 metrics"],
         list(power_zero_one(args.runs, random)))  # fmt: skip
    told("graded", "Power, graded: 0.02 lost on average",
         ["what falls", *TESTS], list(power_graded(args.runs, random)))  # fmt: skip
    told("alarms", "False alarms, any verdict where nothing changed",
         ["", "one metric", "ten or five, Holm"], list(alarms(args.runs, random)))  # fmt: skip
    told("documents", "False alarms where documents vary as a whole",
         ["", "by document", "blind to documents"],
         [["30 documents of 20", *documents(args.runs, random)]])  # fmt: skip
    told("coverage", "Share of 95 % intervals that hold the truth",
         ["", "ours", "plain percentile"], list(coverage(2 * args.runs, random)))  # fmt: skip
    told("speed", "Milliseconds of one core", ["", "best", "median"], list(speeds(random)))
    write(args.out, {"runs": args.runs, **body})


if __name__ == "__main__":
    main()
