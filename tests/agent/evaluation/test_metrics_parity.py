"""Our metrics against the published scorers: a thousand cases each, and where those are wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from limner.agent.answer import Answer
from limner.agent.evaluation.metrics.alignment import kendall_tau_b
from limner.agent.evaluation.metrics.retrieval import retrieval
from limner.agent.evaluation.metrics.text import (
    anls,
    exact_match,
    relaxed_accuracy,
    rouge_l,
    token_f1,
)
from limner.agent.evaluation.questions import Question
from limner.index.passage import Passage

pytestmark = pytest.mark.slow  # the scorers take seconds to import

CASES = 1_000
WORDS = (
    *("the", "a", "An", "tide", "Tide's", "high-water", "noon", "(noon)", "12:40", "at,", "of."),
    *("keeper's", "7", "lamp", "U.S."),
)


def texts(seed: int) -> list[tuple[str, list[str]]]:
    """What was said, and one to three references, some of them close to it."""
    rng = random.Random(seed)

    def some() -> list[str]:
        return rng.choices(WORDS, k=rng.randint(0, 9))

    def spaced(words: list[str]) -> str:
        return "".join(word + rng.choice([" ", " ", "  ", "\n"]) for word in words)

    cases = []
    for _ in range(CASES):
        said = some()
        near = [word for word in said if rng.random() < 0.8]
        references = [spaced(near), *(spaced(some()) for _ in range(rng.randint(0, 2)))]
        cases.append((spaced(said), references))
    return cases


def best(measure: Callable[[str, str], float], said: str, references: list[str]) -> float:
    return max(measure(said, reference) for reference in references)


def squad_scores(said: str, references: list[str]) -> tuple[float, float]:
    from torchmetrics.functional.text import squad

    target = {"answers": {"answer_start": [0] * len(references), "text": references}, "id": "1"}
    found = squad({"prediction_text": said, "id": "1"}, target)
    return float(found["exact_match"]) / 100, float(found["f1"]) / 100


def has_content(text: str) -> bool:
    """Whether SQuAD's script leaves anything of a text."""
    return any(word.strip(".,") not in ("the", "a", "An", "") for word in text.split())


def test_squad() -> None:
    compared = 0
    for said, references in texts(1):
        if all(map(has_content, [said, *references])):
            ours = best(exact_match, said, references), best(token_f1, said, references)
            assert ours == pytest.approx(squad_scores(said, references), abs=1e-6)
            compared += 1
    assert compared > CASES // 2


@pytest.mark.parametrize(
    ("said", "reference", "theirs", "ours"),
    [
        ("", "A", (1, 1), (0, 0)),  # an option of a list is taken for no answer
        ("?", "!", (1, 1), (0, 0)),
        ("“noon”", "noon", (0, 0), (1, 1)),  # only ASCII punctuation is dropped
        ("cafe\u0301", "café", (0, 0), (1, 1)),  # one character written in two ways
        ("東京です", "東京", (0, 0), (0, 2 / 3)),  # a language without blanks is one word
    ],
)
def test_where_squads_script_goes_wrong(
    said: str, reference: str, theirs: tuple[float, float], ours: tuple[float, float]
) -> None:
    assert squad_scores(said, [reference]) == theirs
    assert (exact_match(said, reference), token_f1(said, reference)) == pytest.approx(ours)


def test_anls() -> None:
    from anls import anls_score

    for said, references in texts(2):
        assert best(anls, said, references) == pytest.approx(anls_score(said, references))


def test_where_the_anls_package_goes_wrong() -> None:
    from anls import anls_score

    assert anls_score("ßa", ["ßb"]) == pytest.approx(2 / 3)  # counts the length in upper case, SS
    assert anls("ßa", "ßb") == 0.0
    with pytest.raises(ValueError, match="empty"):
        anls_score("noon", [])


def test_rouge_l() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    for said, references in texts(3):
        theirs = scorer.score_multi(references, said)["rougeL"].fmeasure
        ours = best(rouge_l, said, references)
        if ours == 1.0 and theirs == 0.0:
            continue  # nothing in both; see below
        assert ours == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("said", "reference", "theirs", "ours"),
    [
        ("", "", 0, 1),  # both empty is right
        ("полдень", "полдень", 0, 1),  # words without a to z vanish
        ("le café", "le caf", 1, 0.5),  # and lose their other letters
    ],
)
def test_where_the_rouge_scorer_goes_wrong(
    said: str, reference: str, theirs: float, ours: float
) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    assert scorer.score(reference, said)["rougeL"].fmeasure == theirs
    assert rouge_l(said, reference) == ours


def published(said: str, reference: str) -> bool:
    """Relaxed accuracy as pix2struct words it: |p − t| / |t| ≤ 0.05, else equal in lower case.

    Written anew from the definition: no package with it is small enough to install.
    """

    def value(text: str) -> float | None:
        try:
            return float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            return None

    p, t = value(said), value(reference)
    if p is not None and t:
        return abs(p - t) / abs(t) <= 0.05
    return said.lower() == reference.lower()


def test_relaxed_accuracy() -> None:
    rng = random.Random(4)
    agreed = 0
    for _ in range(CASES):
        unit = rng.choice(["", "", "%"])
        wanted = rng.choice(
            [rng.randint(-400, 400) or 1, rng.uniform(-9, 9), rng.uniform(1e5, 1e9)]
        )
        said = wanted * rng.choice([1, rng.uniform(0.9, 1.1), rng.uniform(-2, 2)])
        ours = relaxed_accuracy(f"{said:.9g}{unit}", f"{wanted:.9g}{unit}")
        assert ours == published(f"{said:.9g}{unit}", f"{wanted:.9g}{unit}")
        agreed += bool(ours)
        word, other = rng.choices(["Blue", "blue", "Red", "dark red", "Yes", "no"], k=2)
        assert relaxed_accuracy(word, other) == published(word, other)
    assert CASES // 4 < agreed < CASES * 3 // 4


@pytest.mark.parametrize(
    ("said", "reference", "theirs", "ours"),
    [
        ("0.0", "0", False, True),  # a target of 0 is compared as text
        ("1.05", "1", False, True),  # the border is missed by a rounding error
        ("1,000", "1010", False, True),
        ("$5", "5", False, True),
        ("12", "12%", False, True),  # an axis in percent is read off without its sign
        ("Blue.", "blue", False, True),
        ("inf", "inf", False, True),
    ],
)
def test_where_the_published_definition_goes_wrong(
    said: str, reference: str, theirs: bool, ours: bool
) -> None:
    assert published(said, reference) == theirs
    assert relaxed_accuracy(said, reference) == ours


PLACES = [f"d{n}.md" for n in range(30)]
MEASURES = {"recall@1": "recall_1", "recall@5": "recall_5", "recall@10": "recall_10",
            "mrr@10": "recip_rank", "ndcg@10": "ndcg_cut_10"}  # fmt: skip


def ranked(found: list[str], relevant: list[str]) -> dict[str, float | None]:
    passages = tuple(Passage(str(n), "words", name) for n, name in enumerate(found))
    question = Question("q", "?", relevant=tuple(relevant))
    return dict(retrieval(question, Answer((), passages)))


def trec(runs: dict[str, dict[str, float]], wanted: dict[str, dict[str, int]]) -> Any:
    import pytrec_eval

    return pytrec_eval.RelevanceEvaluator(
        wanted, {"recall.1,5,10", "recip_rank", "ndcg_cut.10"}
    ).evaluate(runs)


def test_retrieval() -> None:
    rng = random.Random(5)
    found = [rng.sample(PLACES, rng.randint(1, 10)) for _ in range(CASES)]
    relevant = [rng.sample(PLACES, rng.randint(1, 14)) for _ in range(CASES)]
    theirs = trec(
        {str(n): {name: -float(at) for at, name in enumerate(f)} for n, f in enumerate(found)},
        {str(n): dict.fromkeys(names, 1) for n, names in enumerate(relevant)},
    )
    for n in range(CASES):
        ours = ranked(found[n] + found[n][:2], relevant[n])
        for name, their_name in MEASURES.items():
            assert ours[name] == pytest.approx(theirs[str(n)][their_name]), name


def test_where_trec_eval_goes_wrong() -> None:
    theirs = trec({"none": {"d1.md": 1.0}, "tie": {"d1.md": 0.0, "d2.md": 0.0}},
                  {"none": {"d2.md": 0}, "tie": {"d1.md": 1}})  # fmt: skip
    assert theirs["none"]["recall_10"] == 0.0  # nothing is relevant: nothing can be found
    assert ranked(["d1.md"], [])["recall@10"] is None
    assert theirs["tie"]["recip_rank"] == 0.5  # equals are ranked by name, last first
    assert ranked(["d1.md", "d2.md"], ["d1.md"])["mrr@10"] == 1.0
    eleven = [f"d{n}.md" for n in range(10, 21)]
    late = trec({"late": {name: -float(n) for n, name in enumerate(eleven)}},
                {"late": {"d20.md": 1}})  # fmt: skip
    assert late["late"]["recip_rank"] == 1 / 11  # knows no cut
    assert ranked(eleven, ["d20.md"])["mrr@10"] == 0.0


def test_kendalls_tau_b() -> None:
    from scipy.stats import kendalltau

    rng = random.Random(6)
    for _ in range(CASES):
        n = rng.randint(2, 8)
        x, y = rng.choices(range(6), k=n), rng.choices(range(6), k=n)
        if len(set(x)) > 1 and len(set(y)) > 1:
            theirs = kendalltau(x, y).statistic
            assert kendall_tau_b(x, y) == pytest.approx(float(theirs))
        else:
            assert kendall_tau_b(x, y) is None  # theirs: not a number


@pytest.mark.filterwarnings("ignore")
def test_where_scipy_has_no_number() -> None:
    from scipy.stats import kendalltau

    for x, y in (([], []), ([1], [1]), ([1, 1], [1, 2])):
        assert str(kendalltau(x, y).statistic) == "nan"
        assert kendall_tau_b(x, y) is None
