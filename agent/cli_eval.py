"""The commands of question sets: eval run and eval score, and those of its neighbours.

Parses, calls, prints; decides nothing else.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..errors import UserError
from .cli_common import (
    ChatModelOption,
    EndpointOption,
    JsonOption,
    ModelOption,
    ProfileOption,
    RerankerOption,
    TimeoutOption,
    chosen,
    opened_agent,
    print_json,
    progress_bar,
    screen,
)
from .cli_drawing import ImageModelOption, counting_bar
from .cli_eval_judge import register as register_judge
from .cli_eval_reports import register as register_reports
from .profiles import TIMEOUT, Choice, image_model_of

if TYPE_CHECKING:
    from ..index.library import Library
    from .evaluation.formats.base import QuestionSet
    from .evaluation.rows import Row
    from .evaluation.running import Outcome, Plan
    from .evaluation.runs import Run

__all__ = ["register"]

_NAMED = 10  # failed rows, and faults of a set
_NAME = 100  # characters of a folder's name

OwnLibraryOption = Annotated[
    Path | None,
    typer.Option(
        "--library",
        envvar="LIMNER_LIBRARY",
        help="The library that is asked; if left out, one is made of what the sets bring.",
    ),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="May be repeated; all that apply if left out."),
]


def register(app: typer.Typer) -> None:
    """Give an application these commands."""
    group = typer.Typer(
        help="Ask question sets, measure the answers, compare runs.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (run, score):
        group.command()(command)
    register_reports(group)
    register_judge(group)
    app.add_typer(group, name="eval")


def run(
    context: typer.Context,
    sets: Annotated[
        list[str],
        typer.Argument(
            metavar="SET...", help="Files, or sets that come with limner.", show_default=False
        ),
    ],
    library: OwnLibraryOption = None,
    profile: ProfileOption = None,
    chat_model: ChatModelOption = None,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = TIMEOUT,
    image_model: ImageModelOption = None,
    embedding_model: ModelOption = "embedded",
    reranker: RerankerOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The first so many questions of each set.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Ask each question so often.")] = 1,
    max_connections: Annotated[
        int, typer.Option(min=1, max=1000, help="The most questions at a time.")
    ] = 1,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**31,
            help="Raises the seeds of drawings and of a chat model that draws lots; every epoch "
            "raises them by one more.",
        ),
    ] = 0,
    retries: Annotated[
        int, typer.Option(min=0, help="Ask again so often where a model failed.")
    ] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Where it all goes; runs/SET-MODEL if left out.")
    ] = None,
    metric: MetricOption = None,
    fields: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="A set's name for a field; may be repeated."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Ask every question of one or more sets and measure the answers.

    The same command goes on where it was stopped: what was answered is kept, what failed is asked
    again. A question that cannot be answered is a row with its reason, and the exit code is 1.
    """
    from .evaluation.metrics.table import metrics_named
    from .evaluation.reading import read_questions
    from .evaluation.running import alone, plan
    from .evaluation.running import run as run_plan
    from .evaluation.settings import Settings

    choice = chosen(context)
    metrics_named(metric or ())
    read = [read_questions(name, _renamed(fields)) for name in dict.fromkeys(sets)]
    _say_faults(read)
    folder = out or Path("runs") / _named(read, choice)
    settings = Settings(limit, epochs, max_connections, seed, retries, tuple(metric or ()))
    with ExitStack() as stack:
        stack.enter_context(alone(folder))
        place, faults = stack.enter_context(
            _library(read, folder, library, embedding_model, reranker)
        )
        agent = stack.enter_context(opened_agent(place, choice, timeout, image_model))
        _say_empty(read, place)
        drawing = image_model_of(agent.profile, image_model or None)
        names = {"image_model": drawing, "reranker": reranker or ""}
        todo = plan(agent, read, folder, settings, faults=faults, **names)
        _say_plan(todo)
        gc.freeze()  # what is loaded by now need not be gone through again and again
        try:
            with _counting(todo) as tell:
                done = run_plan(agent, todo, settings, tell)
        except KeyboardInterrupt:
            screen().say("stopped; the same command goes on from here")
            _leave()
        written = _reported(done.run)
    _print(done, todo, written, json)
    if done.failed:
        raise typer.Exit(1)


def score(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)
    ],
    metric: MetricOption = None,
    json: JsonOption = False,
) -> None:
    """Measure the answers of a run anew; nothing is asked.

    Scores of other metrics stay, and so do the earlier ones in the run's journal.
    """
    from .evaluation.running import alone
    from .evaluation.runs import Run
    from .evaluation.scoring import rescore

    Run.open(folder)
    with alone(folder):
        done, changed = rescore(Run.open(folder), tuple(metric or ()))
        written = _reported(done)
    counts = {"rows": len(done.rows), "changed": changed}
    if json:
        print_json({**counts, "failed": sum(r.failed for r in done.rows)} | _told(done, written))
        return
    _print_scores(done)
    screen().write(f"{_page(written)}\n")
    screen().say(f"{counts['rows']} rows measured, the scores of {changed} are others now")


def _leave() -> NoReturn:
    """End now: a thread may wait minutes for a silent server, and every finished row is safe."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(130)


# ── what run needs ───────────────────────────────────────────────────────────────────────────


def _renamed(fields: Sequence[str] | None) -> dict[str, str]:
    """What ``--fields`` says.

    Raises:
        UserError: no two names with ``=`` between.
    """
    told: dict[str, str] = {}
    for field in fields or ():
        ours, equals, theirs = field.partition("=")
        if not (ours.strip() and equals and theirs.strip()):
            raise UserError(f"--fields {field!r}: two names are needed", "--fields OURS=THEIRS")
        told[ours.strip()] = theirs.strip()
    return told


def _named(sets: Sequence[QuestionSet], choice: Choice) -> str:
    """The name of a run's folder: what is asked, and what answers."""
    profile = choice.amounts_to().name
    model = choice.chat_model or (choice.endpoint if profile == "server" else None) or profile
    model = re.sub(r"^\w+://|/v1/?$", "", model).rstrip("/").rpartition("/")[2]
    words = "-".join([*(one.name for one in sets), model])
    return re.sub(r"[^\w.+-]+", "-", words).strip("-.")[:_NAME] or "run"


@contextmanager
def _library(
    sets: Sequence[QuestionSet],
    folder: Path,
    named: Path | None,
    embedding_model: str,
    reranker: str | None,
) -> Iterator[tuple[Library, tuple[str, ...]]]:
    """The library that is asked, and what of the sets did not get into it."""
    from .evaluation.indexing import made_for, named_library, needs_library
    from .evaluation.running import writing
    from .evaluation.runs import Manifest

    if named is not None:
        with named_library(named, embedding_model, reranker) as library:
            yield library, ()
        return
    before = Manifest.read(folder) if (folder / "run.json").exists() else None
    if needs_library(sets) and before is None:
        screen().say(f"a library is made in {folder / 'library'}")
    with ExitStack() as stack:
        with writing(folder), progress_bar("files") as tell:
            made = made_for(sets, folder, embedding_model, reranker, before, tell)
            library, faults = stack.enter_context(made)
        _say_some("not in the library", faults)
        yield library, faults


@contextmanager
def _counting(todo: Plan) -> Iterator[Callable[[Row], None]]:
    """Rows done and failed on stderr."""
    done = failed = 0
    with counting_bar("asking", "questions") as bar:

        def tell(row: Row) -> None:
            nonlocal done, failed
            done += 1
            failed += row.failed
            bar(done, todo.todo, f"{failed} failed" if failed else "")

        yield tell


def _reported(run: Run) -> tuple[Path, ...]:
    """The files of a run's report."""
    from .evaluation.reporting import write_report

    return write_report([run], run.folder)


# ── what is said ─────────────────────────────────────────────────────────────────────────────


def _say_faults(sets: Sequence[QuestionSet]) -> None:
    _say_some("set", [str(fault) for one in sets for fault in one.faults])


def _say_empty(sets: Sequence[QuestionSet], library: Library) -> None:
    """Where documents are asked about, and there are none."""
    asked = any(q.answerable and not q.images for one in sets for q in one.questions)
    if asked and not library.exists:
        screen().say(
            "no library is named and the sets bring no documents: an empty library is asked "
            '(try: --library DIR, or documents = ["FOLDER"] in NAME.toml beside the set)'
        )


def _say_some(words: str, reasons: Sequence[str]) -> None:
    from .plain_text import clean_line

    for reason in reasons[:_NAMED]:
        screen().say(f"{words}: {clean_line(reason)}")
    if len(reasons) > _NAMED:
        screen().say(f"{words}: and {len(reasons) - _NAMED} more, see run.json")


def _say_plan(todo: Plan) -> None:
    from .drawn import counted

    words = [counted(len(todo.questions), "question")]
    if todo.manifest.epochs > 1:
        words.append(f"each {todo.manifest.epochs} times")
    words.append(f"asked of {todo.manifest.model}")
    screen().say(" ".join(words))
    if todo.reused or todo.failed:
        kept = f"{len(todo.reused)} answered before and kept"
        again = f", {todo.failed} failed before and asked again" if todo.failed else ""
        screen().say(f"{kept}{again}, {todo.todo} to ask")
    if todo.left_out:
        rows = counted(todo.left_out, "row")
        screen().say(f"{rows} of before not asked for now: kept on disk, out of the report")


def _say_failed(failed: Sequence[Row]) -> None:
    from .plain_text import clean_line

    for row in failed[:_NAMED]:
        screen().print_problem(clean_line(row.question.id), clean_line(row.error))
    if len(failed) > _NAMED:
        screen().say(f"and {len(failed) - _NAMED} more failed, see results.csv")


def _print(done: Outcome, todo: Plan, written: Sequence[Path], json: bool) -> None:
    from .drawn import counted

    counts = {
        "rows": len(done.run.rows),
        "reused": done.reused,
        "asked": done.asked,
        "failed": len(done.failed),
    }
    if json:
        print_json(counts | _told(done.run, written))
        return
    _say_failed(done.failed)
    _print_scores(done.run)
    screen().write(f"{_page(written)}\n")
    words = [counted(counts["rows"], "row")]
    words += [f"{counts[name]} {name}" for name in ("reused", "asked", "failed") if counts[name]]
    screen().say(", ".join(words))


def _told(run: Run, written: Sequence[Path]) -> dict[str, object]:
    from .evaluation.summary import summarize

    told = {"run": str(run.folder), "faults": list(run.faults), "files": [str(p) for p in written]}
    return {**told, "summary": summarize(run.rows).to_dict()}


def _print_scores(run: Run) -> None:
    from .evaluation.summary import summarize

    lines, summary = [], summarize(run.rows)
    for one in (*filter(None, [summary.quality]), *summary.scores):
        known = one.low is not None and one.high is not None
        span = f"{one.low:.3f} to {one.high:.3f}" if known else ""
        lines.append((one.name, f"{one.mean:.3f}", span, str(one.n)))
    screen().print_table(("score", "mean", "95 % interval", "rows"), lines)


def _page(written: Sequence[Path]) -> Path:
    return next((path for path in written if path.suffix == ".html"), written[0])
