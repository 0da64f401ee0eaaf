"""The command that has a chat model judge runs: eval judge. Parses, calls, prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DeveloperError, UserError
from .cli_common import JsonOption, TimeoutOption, print_json, screen
from .cli_drawing import counting_bar
from .profiles import TIMEOUT, Choice

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from .evaluation.judging.panel import Judged
    from .evaluation.statistics import Estimate

__all__ = ["register"]

_AT_ONCE = 4  # of a server; a model on this machine answers one at a time
_FAULTS = 3  # reasons that are named


def register(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command()(judge)


def judge(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="Folders of runs.", show_default=False)
    ],
    judge_model: Annotated[
        str | None,
        typer.Option(
            envvar="LIMNER_JUDGE_MODEL",
            help="A folder, a name of the hub, or a name that the server knows.",
        ),
    ] = None,
    judge_endpoint: Annotated[
        str | None,
        typer.Option(
            envvar="LIMNER_JUDGE_ENDPOINT",
            help="http://HOST:PORT/v1 of a chat server; its key goes into LIMNER_CHAT_KEY.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="fulfilment, pictures or pairwise; all that can be asked if left out."),
    ] = None,
    max_connections: Annotated[
        int | None, typer.Option(min=1, help="Ask a server so much at a time; 4 if left out.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Judge the first so many questions only.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the journals; the runs' own if left out.")
    ] = None,
    timeout: TimeoutOption = TIMEOUT,
    json: JsonOption = False,
) -> None:
    """Have a chat model judge answers: fulfilment, pictures, and of two runs which is better.

    Pairs of answers are asked in both orders; where the orders disagree it is a tie. What the judge
    says is kept in judgements.jsonl and votes.jsonl, so the same command goes on where it was
    stopped and asks nothing twice.
    """
    from .evaluation.judging.judge import Judge
    from .evaluation.judging.panel import judge_runs, named
    from .evaluation.runs import Run

    opened = named([Run.open(folder) for folder in runs])
    metrics = _metrics(metric, len(opened))
    choice = _choice(judge_model, judge_endpoint)
    judging = Judge(_chat_model(choice, timeout))
    at_once = max_connections or (_AT_ONCE if choice.endpoint else 1)
    with counting_bar("asking the judge", "verdicts") as tell:
        try:
            found = judge_runs(opened, judging, metrics, out, limit, at_once, tell)
        except KeyboardInterrupt:
            screen().say("stopped; the same command goes on from here")
            raise
    if json:
        print_json(_to_dict(found))
    else:
        _print(found)
    _say(found)
    if found.failure:
        raise found.failure


def _metrics(asked: Sequence[str] | None, runs: int) -> list[str]:
    from .evaluation.judging.pairwise import NAME
    from .evaluation.judging.panel import METRICS

    for name in asked or ():
        if name not in METRICS:
            raise typer.BadParameter(f"no metric {name!r}; one of: {', '.join(METRICS)}.")
    if NAME in (asked or ()) and runs < 2:
        raise UserError("pairs of answers need two runs", "limner eval judge RUN_A RUN_B")
    return [name for name in METRICS if (name in asked if asked else name != NAME or runs > 1)]


def _choice(model: str | None, endpoint: str | None) -> Choice:
    from ..tools.chat_models.server import base_of

    if not (model or endpoint):
        raise UserError(
            "no judge is named", "--judge-model FOLDER, or --judge-endpoint http://HOST:PORT/v1"
        )
    if model == "embedded":
        raise UserError(
            "the chat model 'embedded' quotes and cannot judge", "--judge-model FOLDER or a server"
        )
    if endpoint:
        try:
            base_of(endpoint)
        except DeveloperError as error:
            raise UserError(str(error), f"--judge-endpoint: {error.hint}") from None
    return Choice(chat_model=model, endpoint=endpoint or None)


def _chat_model(choice: Choice, timeout: float) -> BaseChatModel:
    if choice.endpoint:
        from ..tools.chat_models.server import connect

        return connect(choice.endpoint, choice.chat_model or "", timeout=timeout)
    from ..tools.chat_models.qwen2_vl import Qwen2VL

    return Qwen2VL.load(choice.chat_model or "")


# ── what is printed ──────────────────────────────────────────────────────────────────────────


_SCORES = ("run", "score", "mean", "95 %", "rows", "unjudged")
_PAIRS = ("first", "second", "wins", "ties", "losses", "flip rate", "unjudged")
_RANKING = ("group", "run", "rating", "95 %", "wins", "ties", "losses", "note")


def _print(found: Judged) -> None:
    if found.runs:
        rows = [
            (run.name, score, *_mean(mean), str(run.unjudged[_metric(score)]))
            for run in found.runs
            for score, mean in run.scores.items()
        ]
        _table("scores", _SCORES, rows)
    if found.tallies:
        pairs = [
            (t.first, t.second, str(t.wins), str(t.ties), str(t.losses), _share(t.flip_rate),
             str(t.unjudged))
            for t in found.tallies
        ]  # fmt: skip
        _table("pairs", _PAIRS, pairs)
        ranking = [
            (str(s.group), s.name, f"{s.rating:.0f}", _range(s.low, s.high, ".0f"), str(s.wins),
             str(s.ties), str(s.losses), "held finite" if s.bounded else "")
            for s in found.ranking
        ]  # fmt: skip
        _table("ranking", _RANKING, ranking)


def _table(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    screen().print(f"{title}:")
    if not screen().out.is_terminal:  # where a table is lines alone
        screen().print("\t".join(names))
    screen().print_table(names, rows)
    screen().print("")


def _metric(score: str) -> str:
    from .evaluation.judging.criteria import CRITERIA

    return next(name for name, criterion in CRITERIA.items() if score in criterion.names)


def _mean(mean: Estimate | None) -> tuple[str, str, str]:
    if mean is None:
        return "–", "–", "0"
    return f"{mean.mean:.3f}", _range(mean.low, mean.high, ".3f"), str(mean.n)


def _range(low: float | None, high: float | None, form: str) -> str:
    return "–" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _say(found: Judged) -> None:
    """Remarks on stderr: who judged, how it leaned, what is missing."""
    say, session = screen().say, found.session
    unjudged = sum(count for run in found.runs for count in run.unjudged.values())
    unjudged += sum(tally.unjudged for tally in found.tallies)
    say(
        f"judged by {found.judge}: {session.asked} asked now, {session.kept} kept from before, "
        f"{unjudged} unjudged"
    )
    for fault, count in found.faults[:_FAULTS]:
        say(f"no verdict, {count} times: {fault}")
    if session.left:
        say(f"the judge was given up; {session.left} are left: the same command goes on from here")
    if found.unmatched:
        say(f"{found.unmatched} rows have no counterpart in every run")
    leaning = found.leaning
    if leaning and leaning.judged:
        say(
            f"flip rate {_share(leaning.flip_rate)} of {leaning.judged}; the answer shown first "
            f"won {_share(leaning.first)} of the verdicts; the longer one won "
            f"{_share(leaning.longer)} of the pairs"
        )
        if leaning.winners is not None and leaning.losers is not None:
            lengths = f"{leaning.winners:.0f} and {leaning.losers:.0f} characters"
            say(f"winners and losers have {lengths} on average")
    if any(standing.bounded for standing in found.ranking):
        say(
            "held finite: some runs never scored against others, so that their ratings are what "
            "one more tie between every two leaves"
        )
    if len({standing.group for standing in found.ranking}) > 1:
        say("runs of different groups never met; their ratings cannot be compared")


def _to_dict(found: Judged) -> dict[str, Any]:
    return {
        "judge": found.judge,
        "runs": [
            {
                **{"run": run.name, "rows": run.rows, "failed": run.failed},
                "scores": {name: mean and mean.to_dict() for name, mean in run.scores.items()},
                **{"unjudged": dict(run.unjudged), "journal": str(run.journal)},
            }
            for run in found.runs
        ],
        "pairs": [{**asdict(tally), "flip_rate": tally.flip_rate} for tally in found.tallies],
        "leaning": found.leaning
        and {**asdict(found.leaning), "flip_rate": found.leaning.flip_rate},
        "ranking": [asdict(standing) for standing in found.ranking],
        "unmatched": found.unmatched,
        "votes": found.votes and str(found.votes),
        "asked": found.session.asked,
        "kept": found.session.kept,
        "left": found.session.left,
        "faults": [{"fault": fault, "count": count} for fault, count in found.faults],
    }
