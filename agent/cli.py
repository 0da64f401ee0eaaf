"""The command line: parses, calls, prints, and ends with the right code. Decides nothing else.

Answers go to stdout, progress and errors to stderr. Heavy modules are imported inside the commands
that need them, so that ``limner --help`` is instant.

Exit codes: 0 answered, abstained or refused; 1 user error; 2 usage; 3 model or set-up error;
4 regression found; 130 interrupted.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import LimnerError, UserError

if TYPE_CHECKING:
    from ..index.library import Library, Report
    from .agent import Agent
    from .answer import Answer
    from .terminal import Screen

__all__ = ["app", "main"]

app = typer.Typer(
    name="limner",
    help="Ask your own documents and screenshots; get answers in text and pictures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help is twice as fast
    context_settings={"auto_envvar_prefix": "LIMNER", "help_option_names": ["-h", "--help"]},
)
sessions_app = typer.Typer(
    help="Conversations that were kept.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(sessions_app, name="sessions")

LibraryOption = Annotated[
    Path, typer.Option("--library", envvar="LIMNER_LIBRARY", help="The library's folder.")
]
ProfileOption = Annotated[
    str,
    typer.Option("--profile", envvar="LIMNER_PROFILE", help="Which models: embedded."),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--embedding-model",
        envvar="LIMNER_EMBEDDING_MODEL",
        help="embedded, or a sentence-transformers folder.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Paths = Annotated[list[Path], typer.Argument(help="Files and folders.", show_default=False)]

_HERE = Path(".limner")


def main() -> None:
    """Run the command line; every error that was foreseen ends in one line and a code."""
    try:
        app()
    except LimnerError as error:
        _screen().print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()  # the models' objects need not be collected one by one on the way out


@app.command()
def add(
    paths: Paths,
    library: LibraryOption = _HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """Add files and folders to the library; what is unchanged is not read again."""
    with _library(library, embedding_model) as opened:
        with _progress() as tell:
            report = opened.add(list(paths), tell)
        _print_report(report, json)


@app.command()
def sync(
    library: LibraryOption = _HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """Bring the library in step with all that was ever added."""
    with _existing(library, embedding_model) as opened:
        with _progress() as tell:
            report = opened.sync(tell)
        _print_report(report, json)


@app.command()
def rm(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, or names as `ls` gives them.")
    ],
    library: LibraryOption = _HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """Remove files from the library, with their passages, vectors and pictures."""
    from .housekeeping import collect

    with _existing(library, embedding_model) as opened:
        report = opened.remove(list(paths))
        collect(opened)
        _print_report(report, json)


@app.command()
def ls(
    library: LibraryOption = _HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """List what the library holds."""
    from dataclasses import asdict

    with _existing(library, embedding_model) as opened:
        stats, sources = opened.stats(), opened.sources()
    if json:
        _print_json({**asdict(stats), "sources": sources})
        return
    screen = _screen()
    screen.print_table(("file", "passages"), [(s, str(n)) for s, n in sources.items()])
    screen.say(
        f"{stats.files} files, {stats.passages} passages ({stats.figures} figures, "
        f"{stats.screenshots} from screenshots); {stats.embedding_model}; {stats.search}"
    )


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many passages.")] = 5,
    library: LibraryOption = _HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """Find passages by meaning and by words."""
    from .render import passage_dict

    with _existing(library, embedding_model) as opened:
        found = opened.search(query, k)
    if json:
        _print_json([passage_dict(passage) for passage in found])
    elif found:
        _screen().print_found(found)
    else:
        _screen().say("nothing found")


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="In plain words.")],
    attach: Annotated[
        list[str] | None,
        typer.Option("-a", "--attach", help="A screenshot or picture; - reads one from stdin."),
    ] = None,
    library: LibraryOption = _HERE,
    profile: ProfileOption = "embedded",
    embedding_model: ModelOption = "embedded",
    session: Annotated[str | None, typer.Option(help="Go on with this conversation.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write FILE.md, .html or .json.")] = None,
    json: JsonOption = False,
) -> None:
    """Answer a question in text and pictures."""
    from .render import save, to_json_dict

    with (
        (_library if attach else _existing)(library, embedding_model) as opened,
        _agent(opened, profile, session) as agent,
    ):
        answer = _answer(agent, question, [_attachment(name) for name in attach or []])
        if json:
            _print_json(to_json_dict(answer))
        else:
            _screen().print_answer(answer)
        if export is not None:
            save(answer, export, question)
            _screen().say(f"written: {export}")


@app.command()
def chat(
    library: LibraryOption = _HERE,
    profile: ProfileOption = "embedded",
    embedding_model: ModelOption = "embedded",
    session: Annotated[str | None, typer.Option(help="Go on with this conversation.")] = None,
) -> None:
    """Talk in the terminal; /help inside tells the rest."""
    from .repl import Repl

    with _library(library, embedding_model) as opened:
        Repl(opened, profile, session, _screen()).run()


@sessions_app.command("ls")
def sessions_ls(library: LibraryOption = _HERE, json: JsonOption = False) -> None:
    """List the conversations, the latest first."""
    from dataclasses import asdict

    from .sessions import Sessions

    found = Sessions(library).ls()
    if json:
        _print_json([asdict(summary) for summary in found])
    else:
        rows = [(s.name, str(s.turns), s.last) for s in found]
        _screen().print_table(("session", "turns", "last"), rows)


@sessions_app.command("rm")
def sessions_rm(name: str, library: LibraryOption = _HERE) -> None:
    """Delete a conversation and the pictures that only it shows."""
    from .housekeeping import collect
    from .sessions import Sessions

    if not Sessions(library).rm(name):
        raise UserError(f"no session {name!r}", "limner sessions ls")
    (library / "history").unlink(missing_ok=True)  # what was typed, kept for the arrow keys
    collect(_open(library, "embedded"))


@app.command("gc")
def collect_garbage(library: LibraryOption = _HERE) -> None:
    """Delete pictures that no passage and no conversation refers to."""
    from .housekeeping import collect

    with _existing(library, "embedded") as opened:
        _screen().say(f"{collect(opened)} pictures deleted")


@app.command()
def doctor(
    library: LibraryOption = _HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """Look for what is missing, damaged or at odds, and say what to type."""
    from dataclasses import asdict

    from .doctor import examine

    findings = examine(library, embedding_model)
    if json:
        _print_json([asdict(finding) for finding in findings])
    else:
        screen = _screen()
        for finding in findings:
            screen.print(f"{finding.status:>5}  {finding.what}: {finding.detail}")
            if finding.hint:
                screen.print(f"       try: {finding.hint}")
    if any(finding.status == "error" for finding in findings):
        raise typer.Exit(3)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the demo's library and page go.")] = Path("demo"),
) -> None:
    """Index a small handbook, ask it three questions, and write demo/answer.html."""
    from .demo import run

    with _progress() as tell:
        run(out, _screen(), tell)


# ── what the commands share ──────────────────────────────────────────────────────────────────


def _screen() -> Screen:
    from .terminal import Screen

    return Screen()


def _open(folder: Path, embedding_model: str) -> Library:
    from ..index.library import Library

    return Library.open(folder, embedding_model)


@contextmanager
def _library(folder: Path, embedding_model: str) -> Iterator[Library]:
    with _open(folder, embedding_model) as library:
        yield library


@contextmanager
def _existing(folder: Path, embedding_model: str) -> Iterator[Library]:
    with _open(folder, embedding_model) as library:
        if not library.exists:
            raise UserError(f"{folder}: no library here yet", "limner add PATH")
        yield library


@contextmanager
def _agent(library: Library, profile: str, session: str | None) -> Iterator[Agent]:
    from .agent import Agent

    with Agent(library, profile, session=session) as agent:
        yield agent


def _attachment(name: str) -> str | bytes:
    return sys.stdin.buffer.read() if name == "-" else name


def _answer(agent: Agent, question: str, images: list[str | bytes]) -> Answer:
    from .events import AnswerReady, Failed, StepStarted

    with _screen().working("loading") as tell:
        for event in agent.stream(question, images):
            if isinstance(event, StepStarted):
                tell(event.step)
            elif isinstance(event, AnswerReady):
                return event.answer
            elif isinstance(event, Failed):
                if event.interrupted:
                    raise KeyboardInterrupt
                raise event.error
    raise AssertionError("a stream ends in an answer or a failure")


def _print_json(value: Any) -> None:
    from .render import to_json

    sys.stdout.write(to_json(value))


def _print_report(report: Report, json: bool) -> None:
    """Print what was done; files that failed make the exit code 1."""
    if json:
        _print_json(report.to_dict())
    else:
        screen = _screen()
        for problem in report.failed:
            screen.print_problem(problem.path, problem.reason)
        counts = {
            "added": report.added,
            "changed": report.changed,
            "unchanged": report.unchanged,
            "removed": report.removed,
            "failed": report.failed,
            "skipped": report.skipped,
        }
        screen.say(", ".join(f"{len(v)} {k}" for k, v in counts.items() if v) or "nothing to do")
    if report.failed:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on stderr while files are read; nothing without a terminal."""
    screen = _screen()
    if not screen.err.is_terminal:
        yield None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from .terminal import clean_line

    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=screen.err, transient=True) as bar:
        task = bar.add_task("loading the embedding model", total=None)

        def tell(progress: Any) -> None:
            words = clean_line(Path(progress.path).name)
            bar.update(task, completed=progress.done, total=progress.total, description=words)

        yield tell
