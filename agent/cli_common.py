"""What the commands share: options, opening a library, printing. Decides nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..errors import DeveloperError, LibraryLocked, UserError
from .profiles import Choice

if TYPE_CHECKING:
    from ..index.library import Library, Progress, Report
    from ..index.report import Problem
    from .agent import Agent
    from .terminal import Screen

__all__ = [
    "HERE",
    "ChatModelOption",
    "EndpointOption",
    "JsonOption",
    "LibraryOption",
    "ModelOption",
    "Paths",
    "ProfileOption",
    "RerankerOption",
    "TimeoutOption",
    "chosen",
    "existing_library",
    "opened_agent",
    "opened_library",
    "patiently",
    "print_json",
    "print_report",
    "progress_bar",
    "screen",
]

HERE = Path(".limner")

_NAMED = 5  # files that were passed over
_PATIENCE = 5.0  # seconds for another writer to end
_PAUSE = 0.2

T = TypeVar("T")

LibraryOption = Annotated[
    Path, typer.Option("--library", envvar="LIMNER_LIBRARY", help="The library's folder.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        envvar="LIMNER_PROFILE",
        help="Which chat model answers: embedded (quotes; where nothing is named), local or "
        "server. What the command line names beats these three variables.",
    ),
]
ChatModelOption = Annotated[
    str | None,
    typer.Option(
        "--chat-model",
        envvar="LIMNER_CHAT_MODEL",
        help="embedded, a folder, Qwen/Qwen2-VL-2B-Instruct, or a name that the server knows.",
    ),
]
EndpointOption = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        envvar="LIMNER_ENDPOINT",
        help="http://HOST:PORT/v1 of a chat server, which means --profile server; its key goes "
        "into LIMNER_CHAT_KEY.",
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout",
        envvar="LIMNER_TIMEOUT",
        metavar="SECONDS",
        min=0.1,
        max=86_400,
        help="Give the chat server up after so long without a word.",
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--embedding-model",
        envvar="LIMNER_EMBEDDING_MODEL",
        help="embedded, a folder, Qwen/Qwen3-Embedding-0.6B, or http://HOST:PORT/v1 of a server.",
    ),
]
RerankerOption = Annotated[
    str | None,
    typer.Option(
        "--reranker",
        envvar="LIMNER_RERANKER",
        help="Folder of a Qwen3-Reranker that reads what was found once more.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Paths = Annotated[list[Path], typer.Argument(help="Files and folders.", show_default=False)]


def screen() -> Screen:
    """The terminal."""
    from .terminal import Screen

    return Screen()


def chosen(context: typer.Context) -> Choice:
    """The chat model that the command line and, where it leaves that open, variables name.

    Raises:
        BadParameter: they contradict each other, there is no such profile, or the address of a
            server is missing or is none.
    """
    from ..tools.chat_models.server import base_of

    given = {name: context.params[name] for name in ("profile", "chat_model", "endpoint")}
    variables = {
        name
        for name in given
        if getattr(context.get_parameter_source(name), "name", "") == "ENVIRONMENT"
    }
    said = Choice(**{name: value for name, value in given.items() if name not in variables})
    try:
        choice = said.completed(Choice(**{name: given[name] for name in variables}))
        if choice.amounts_to().name == "server":
            base_of(choice.server())
    except DeveloperError as error:
        raise typer.BadParameter(f"{error}; {error.hint}.") from None
    return choice


@contextmanager
def opened_library(
    folder: Path, embedding_model: str, reranker: str | None = None
) -> Iterator[Library]:
    """A library, there or not yet."""
    from ..index.library import Library

    with Library.open(folder, embedding_model, reranker) as library:
        yield library


@contextmanager
def existing_library(
    folder: Path,
    embedding_model: str,
    reranker: str | None = None,
    missing: UserError | None = None,
) -> Iterator[Library]:
    """A library that is there.

    Raises:
        UserError: there is none; ``missing`` where that says better what is wrong.
    """
    with opened_library(folder, embedding_model, reranker) as library:
        if not library.exists:
            raise missing or UserError(f"{folder}: no library here yet", "limner add PATH")
        yield library


def patiently(write: Callable[[], T]) -> T:
    """Write to a library; another process that does so is waited for, some seconds long.

    Raises:
        LibraryLocked: it went on for longer.
    """
    ends, told = monotonic() + _PATIENCE, False
    while True:
        try:
            return write()
        except LibraryLocked:
            if monotonic() > ends:
                raise
        if not told:
            told = True
            screen().say("another process is writing to this library; waiting for it to end")
        sleep(_PAUSE)


def print_json(value: Any) -> None:
    """Write one JSON value on stdout."""
    from .render import to_json

    text = to_json(value)
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:  # a terminal that knows few letters: JSON can spell them
        sys.stdout.write(json.dumps(json.loads(text), indent=2) + "\n")


def print_report(report: Report, as_json: bool) -> None:
    """Print what was done; files that failed make the exit code 1, those passed over do not."""
    if as_json:
        print_json(report.to_dict())
    else:
        for problem in report.failed:
            screen().print_problem(problem.path, problem.reason)
        _print_skipped(report.skipped)
        counts = {
            "added": report.added,
            "changed": report.changed,
            "unchanged": report.unchanged,
            "removed": report.removed,
            "failed": report.failed,
            "skipped": report.skipped,
        }
        line = ", ".join(f"{len(v)} {k}" for k, v in counts.items() if v)
        screen().say(line or "nothing to do")
    if report.failed:
        raise typer.Exit(1)


def _print_skipped(skipped: Sequence[Problem]) -> None:
    from .terminal import clean_line

    for problem in skipped[:_NAMED]:
        screen().say(f"skipped: {clean_line(problem.path)}: {clean_line(problem.reason)}")
    if len(skipped) > _NAMED:
        screen().say(f"skipped: and {len(skipped) - _NAMED} more, see --json")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[Any], None] | None]:
    """A bar on stderr, with rate, remaining time and failures; nothing without a terminal.

    Args:
        what: is counted: ``files`` or ``passages``.
    """
    err = screen().err
    if not err.is_terminal:
        yield None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(f"{what}, {{task.fields[rate]}}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.description}", markup=False),
    )
    with Bar(*columns, console=err, transient=True) as bar:
        task = bar.add_task("loading the embedding model", total=None, rate="")

        def tell(progress: Any) -> None:
            done, total = progress.done, progress.total
            rate, words = _rate(bar.tasks[0].elapsed or 0.0, progress, what), _at_hand(progress)
            bar.update(task, completed=done, total=total, rate=rate, description=words)

        yield tell


def _rate(elapsed: float, progress: Progress, what: str) -> str:
    passages = getattr(progress, "passages", 0)
    counted, name = (passages, "passages") if passages else (progress.done, what)
    return f"{counted / elapsed:.0f} {name}/s" if elapsed > 0.5 and counted else ""


def _at_hand(progress: Progress) -> str:
    from .terminal import clean_line

    failed = getattr(progress, "failed", 0)
    words = clean_line(Path(getattr(progress, "path", "")).name)
    return f"{words}  ({failed} failed)" if failed else words


@contextmanager
def opened_agent(
    library: Library,
    choice: Choice,
    timeout: float,
    image_model: str | None,
    session: str | None = None,
) -> Iterator[Agent]:
    """An agent of what was typed, closed in the end.

    Args:
        library: answers come from it.
        choice: of the chat model.
        timeout: seconds that its server may be silent.
        image_model: folder or name; empty for the profile's own.
        session: of the conversation; None for none.
    """
    from .agent import Agent

    with Agent(
        library,
        choice.profile,
        chat_model=choice.chat_model,
        endpoint=choice.endpoint,
        timeout=timeout,
        image_model=image_model or None,
        session=session,
    ) as agent:
        yield agent
