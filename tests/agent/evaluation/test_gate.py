"""What CI holds against the product's own answers: a small set, a baseline, the exit code.

``baseline`` was written by ``limner eval run handbook --limit 18 --library …`` with the metrics
below, over the four papers of the handbook. Where answers are meant to change, it is made anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.tests.forked import limner

BASELINE = Path(__file__).parent / "baseline"
PAPERS = [
    Path(__file__).parents[3] / "examples" / "handbook" / name
    for name in ("machines.pdf", "membership.html", "safety.docx", "network.md")
]
METRICS = [
    word
    for name in ("contains", "token_f1", "page_recall", "ndcg@10")
    for word in ("--metric", name)
]


def asked(place: Path, name: str, papers: list[Path]) -> Path:
    """A run of the first 18 questions of the handbook, asked of some of its papers."""
    library = place / f"{name}-library"
    assert limner("add", *papers, "--library", library, cwd=place).returncode == 0
    words = ("handbook", "--limit", "18", "--library", library, "--out", name, *METRICS)
    run = limner("eval", "run", *words, cwd=place)
    assert run.returncode == 0, run.stderr
    return place / name


@pytest.mark.slow
def test_answers_are_no_worse_than_the_baseline(tmp_path: Path) -> None:
    now = asked(tmp_path, "now", PAPERS)
    compared = limner("eval", "compare", BASELINE, now, cwd=tmp_path)
    assert compared.returncode == 0, compared.stdout
    assert "18 questions of both" in compared.stderr


@pytest.mark.slow
def test_a_planted_regression_fails(tmp_path: Path) -> None:
    """The paper that six of the questions are about is missing."""
    worse = asked(tmp_path, "worse", PAPERS[1:])
    compared = limner("eval", "compare", BASELINE, worse, cwd=tmp_path)
    assert compared.returncode == 4, compared.stdout
    assert "regression: " in compared.stderr
    assert "cutting 3 mm birch ply" in compared.stdout
