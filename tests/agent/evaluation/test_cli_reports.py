"""The commands eval compare and eval report, in this process, with their exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from limner.agent import cli_eval_reports
from limner.errors import UserError

from .planted import question, row, rows_of, run_on_disk

QUESTIONS = [question(n, category="ab"[n % 2]) for n in range(30)]
Limner = Callable[..., Result]


@pytest.fixture
def limner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Limner:
    """The commands in a folder with three runs: good, worse, and one of other questions."""
    monkeypatch.chdir(tmp_path)
    run_on_disk(Path("good"), rows_of([1.0] * 30, QUESTIONS))
    run_on_disk(Path("worse"), rows_of([0.0] * 9 + [1.0] * 21, QUESTIONS))
    others = [question(n) for n in range(50, 53)]
    run_on_disk(Path("other"), rows_of([1.0] * 3, others))
    app = typer.Typer(rich_markup_mode=None)
    cli_eval_reports.register(app)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


def test_a_regression_ends_in_4_and_is_listed(limner: Limner) -> None:
    found = limner("compare", "good", "worse", "--category")
    assert found.exit_code == 4
    lines = [line.split("\t") for line in found.stdout.splitlines()]
    assert (
        lines[1][:5] == ["contains", "30", "1.000", "0.700", "-0.300"] and lines[1][-1] == "worse"
    )
    assert lines[1][6] == "0.0039"
    listed = [line for line in lines if line[-1] == "contains 1.00 > 0.00"]
    assert [line[0] for line in listed] == [q.id for q in QUESTIONS[:9]]
    assert {line[0] for line in lines} >= {"category", "a", "b", "end to end"}
    assert "regression: contains" in found.stderr and "30 questions of both" in found.stderr
    assert limner("compare", "good", "worse", "--alpha", "0.001").exit_code == 0
    assert limner("compare", "good", "worse", "--metric", "quality").exit_code == 4


def test_equal_and_better_runs_end_in_0(limner: Limner) -> None:
    assert limner("compare", "good", "good").exit_code == 0
    better = limner("compare", "worse", "good", "--json")
    assert better.exit_code == 0
    read = json.loads(better.stdout)
    assert (read["a"], read["b"], read["metrics"][0]["verdict"]) == ("worse", "good", "better")
    worse = limner("compare", "good", "worse", "--json")
    assert worse.exit_code == 4 and json.loads(worse.stdout)["has_regression"] is True


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (("compare", "good", "other"), "good and other share no question", "same question set"),
        (("compare", "good", "none"), "none: no run of a question set", "limner eval run"),
        (("compare", "good", "good", "--metric", "x"), "'x' was not scored", "contains"),
        (("report", "good", "none"), "none: no run", "limner eval run"),
    ],
)
def test_what_is_wrong_is_a_users_error(
    limner: Limner, words: tuple[str, ...], said: str, hint: str
) -> None:
    found = limner(*words)
    assert isinstance(found.exception, UserError) and found.exception.exit_code == 1
    assert said in str(found.exception) and hint in found.exception.hint


def test_names_are_cleaned(limner: Limner) -> None:
    bad = [question(n, category="\x1b[2J\u202ex") for n in range(9)]
    for name, value in (("before", 1.0), ("after", 0.0)):
        run_on_disk(Path(name), [row(q, {"m\x1b[31m": value}) for q in bad])
    found = limner("compare", "before", "after", "--category")
    assert found.exit_code == 4
    assert "\x1b" not in found.output and "\u202e" not in found.output


def test_a_report_is_written_where_it_is_expected(
    limner: Limner, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: shown.append(url) or True)
    one = limner("report", "good", "--open")
    assert one.exit_code == 0
    names = ["results.csv", "summary.json", "report.html", "report.md"]
    assert one.stdout.splitlines() == [f"good/{name}" for name in names]
    assert shown == [Path("good/report.html").resolve().as_uri()]
    both = limner("report", "good", "worse", "--json")
    assert json.loads(both.stdout) == [f"report/{name}" for name in names]
    limner("report", "good", "--out", "deep/er")
    assert all(Path("deep/er", name).stat().st_size for name in names)
