"""Our metrics beside the published scorers: do they agree, and how long do they take?

Claims: on 1,000 seeded cases each, exact match and token F1 are those of SQuAD's script (in
torchmetrics), ANLS that of the anls package, ROUGE-L that of rouge_score, recall, MRR and nDCG
those of trec_eval, τ-b that of scipy; none differs by more than 1e-6.

    python benchmarks/metrics.py [--cases 1000]

Relaxed accuracy has no package small enough to install; its published definition is written anew
here. Cases that a published scorer is known to get wrong are left out and pinned in
``tests/agent/evaluation/test_metrics_parity.py``: what is nothing but articles or punctuation,
texts without a word, a reference of 0. Times are the processor's, the median of five interleaved
rounds; ours of recall, MRR and nDCG are of all eleven retrieval scores from question and answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from common import arguments, interleaved, show, spread, write

# isort: split
import pytrec_eval
from anls import anls_score
from rouge_score.rouge_scorer import RougeScorer
from scipy.stats import kendalltau
from torchmetrics.functional.text import squad

from limner.agent.answer import Answer
from limner.agent.evaluation.metrics import text
from limner.agent.evaluation.metrics.alignment import kendall_tau_b
from limner.agent.evaluation.metrics.retrieval import retrieval
from limner.agent.evaluation.questions import Question
from limner.index.passage import Passage

_ROUNDS = 5
_TIDES = (
    *("tide", "Tide's", "high-water", "noon", "(noon)", "12:40", "at,", "of.", "keeper's", "7"),
    *("lamp", "U.S.", "lighthouse"),
)
_WORDS = [*_TIDES, "the", "a", "An"]
_FILES = [f"d{n}.md" for n in range(30)]
_TREC = {"recall@1": "recall_1", "recall@5": "recall_5", "recall@10": "recall_10",
         "mrr@10": "recip_rank", "ndcg@10": "ndcg_cut_10"}  # fmt: skip

Values = Sequence[float]


@dataclass(frozen=True)
class Pair:
    """A metric of ours and the scorer that it is compared with.

    Attributes:
        name: of the metric.
        scorer: the published one.
        ours: every case's score.
        theirs: likewise.
    """

    name: str
    scorer: str
    ours: Callable[[], Values]
    theirs: Callable[[], Values]


def texts(count: int, rng: random.Random) -> list[tuple[str, str]]:
    """What was said and a reference; most share words, all have some besides articles."""

    def some() -> list[str]:
        return [rng.choice(_TIDES), *rng.choices(_WORDS, k=rng.randint(0, 9))]

    cases = []
    for _ in range(count):
        said = some()
        near = [word for word in said if rng.random() < 0.8] + some()[:1]
        reference = rng.choice([near, near, some(), ["the", *said]])
        cases.append((" ".join(said), " ".join(reference)))
    return cases


def numbers(count: int, rng: random.Random) -> list[tuple[str, str]]:
    """Two numbers, half of them close to each other, with and without a percent sign."""
    cases = []
    for _ in range(count):
        unit = rng.choice(["", "%"])
        wanted = rng.choice([rng.randint(1, 400), rng.uniform(-9, -1), rng.uniform(1e5, 1e9)])
        said = wanted * rng.choice([1, rng.uniform(0.9, 1.1), rng.uniform(-2, 2)])
        cases.append((f"{said:.9g}{unit}", f"{wanted:.9g}{unit}"))
    return cases


def relaxed(said: str, reference: str) -> float:
    """As pix2struct words it: |p − t| / |t| ≤ 0.05 of two numbers, else equal in lower case."""

    def value(text: str) -> float | None:
        try:
            return float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            return None

    p, t = value(said), value(reference)
    if p is not None and t:
        return float(abs(p - t) / abs(t) <= 0.05)
    return float(said.lower() == reference.lower())


def squad_score(said: str, reference: str, name: str) -> float:
    answers = {"answer_start": [0], "text": [reference]}
    found = squad({"prediction_text": said, "id": "1"}, {"answers": answers, "id": "1"})
    return float(found[name]) / 100


def text_pairs(count: int) -> list[Pair]:
    cases, figures = texts(count, random.Random(1)), numbers(count, random.Random(2))
    rouge = RougeScorer(["rougeL"], use_stemmer=False)

    def each(measure: Callable[[str, str], float], of: Sequence[tuple[str, str]] = cases) -> Any:
        return lambda: [measure(said, reference) for said, reference in of]

    return [
        Pair("exact match", "torchmetrics squad", each(text.exact_match),
             each(lambda a, b: squad_score(a, b, "exact_match"))),
        Pair("token F1", "torchmetrics squad", each(text.token_f1),
             each(lambda a, b: squad_score(a, b, "f1"))),
        Pair("ANLS", "anls", each(text.anls), each(lambda a, b: anls_score(a, [b]))),
        Pair("ROUGE-L", "rouge_score", each(text.rouge_l),
             each(lambda a, b: rouge.score(b, a)["rougeL"].fmeasure)),
        Pair("relaxed accuracy", "the definition", each(text.relaxed_accuracy, figures),
             each(relaxed, figures)),
    ]  # fmt: skip


def retrieval_pairs(count: int) -> list[Pair]:
    """Every ranking and what was relevant, scored at once, as trec_eval does."""
    rng = random.Random(3)
    found = [rng.sample(_FILES, rng.randint(1, 10)) for _ in range(count)]
    relevant = [rng.sample(_FILES, rng.randint(1, 14)) for _ in range(count)]
    questions = [Question(str(n), "?", relevant=tuple(names)) for n, names in enumerate(relevant)]
    answers = [Answer((), tuple(Passage("1", "", name) for name in names)) for names in found]
    runs = {str(n): {f: -float(at) for at, f in enumerate(names)} for n, names in enumerate(found)}
    wanted = {str(n): dict.fromkeys(names, 1) for n, names in enumerate(relevant)}

    def ours(name: str) -> Values:
        scores = [retrieval(q, a)[name] for q, a in zip(questions, answers, strict=True)]
        return [float("nan") if score is None else score for score in scores]

    def theirs(name: str) -> Values:
        measures = {"recall.1,5,10", "recip_rank", "ndcg_cut.10"}
        scores = pytrec_eval.RelevanceEvaluator(wanted, measures).evaluate(runs)
        return [scores[str(n)][name] for n in range(count)]

    return [Pair(name, "pytrec_eval", lambda name=name: ours(name), lambda name=other: theirs(name))
            for name, other in _TREC.items()]  # fmt: skip


def order_pair(count: int) -> Pair:
    rng = random.Random(4)
    cases: list[tuple[list[int], list[int]]] = []
    while len(cases) < count:
        n = rng.randint(2, 8)
        x, y = rng.choices(range(6), k=n), rng.choices(range(6), k=n)
        if len(set(x)) > 1 and len(set(y)) > 1:
            cases.append((x, y))
    return Pair("Kendall's τ-b", "scipy",
                lambda: [float(kendall_tau_b(x, y) or 0.0) for x, y in cases],
                lambda: [float(kendalltau(x, y).statistic) for x, y in cases])  # fmt: skip


def compared(pair: Pair) -> dict[str, Any]:
    """How far apart the two are, and what each takes."""
    ours, theirs = list(pair.ours()), list(pair.theirs())
    apart = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    taken = interleaved(
        {"ours": lambda: _taken(pair.ours), "theirs": lambda: _taken(pair.theirs)}, _ROUNDS
    )
    scale = 1_000 * 1_000 / len(ours)  # milliseconds of a thousand cases
    times = {name: spread([value * scale for value in values]) for name, values in taken.items()}
    return {"scorer": pair.scorer, "cases": len(ours), "largest difference": max(apart),
            "mean": sum(ours) / len(ours), "ms per 1000": times}  # fmt: skip


def _taken(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    parser = arguments(__doc__ or "", "metrics")
    parser.add_argument("--cases", type=int, default=1_000)
    args = parser.parse_args()
    pairs = [*text_pairs(args.cases), *retrieval_pairs(args.cases), order_pair(args.cases)]
    found = {pair.name: compared(pair) for pair in pairs}
    head = ["metric", "beside", "cases", "mean", "largest difference", "ours", "theirs"]
    rows = [
        [name, f["scorer"], f["cases"], f["mean"], f"{f['largest difference']:.1e}",
         *(f"{f['ms per 1000'][who]['median']:.1f} ms" for who in ("ours", "theirs"))]
        for name, f in found.items()
    ]  # fmt: skip
    show("Our metrics beside published ones (time per 1,000)", head, rows)
    write(args.out, {"metrics": found})


if __name__ == "__main__":
    main()
