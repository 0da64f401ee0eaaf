"""The command line: parses, calls, prints, and ends with the right code. Decides nothing else.

Answers go to stdout, progress and errors to stderr. Heavy modules are imported inside the commands
that need them, so that ``limner --help`` is instant.

Exit codes: 0 answered, abstained or refused; 1 user error; 2 usage; 3 model or set-up error;
4 regression found; 130 interrupted.
"""

from __future__ import annotations

import errno
import gc
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import LimnerError, SourceError, UserError
from .cli_common import (
    HERE,
    ChatModelOption,
    EndpointOption,
    JsonOption,
    LibraryOption,
    ModelOption,
    ProfileOption,
    RerankerOption,
    TimeoutOption,
    chosen,
    existing_library,
    opened_agent,
    opened_library,
    patiently,
    print_json,
    progress_bar,
    screen,
)
from .cli_drawing import ImageModelOption, NothingDraws
from .cli_drawing import register as register_drawing
from .cli_eval import register as register_eval
from .cli_library import register as register_library
from .cli_lora import register as register_lora
from .cli_models import register as register_models
from .cli_sweep import register as register_sweep
from .profiles import TIMEOUT, image_model_of
from .questions import checked_question

if TYPE_CHECKING:
    from .agent import Agent
    from .answer import Answer

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


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"limner {version('limner')}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            is_eager=True,
            callback=_version,
            allow_from_autoenv=False,
        ),
    ] = False,
) -> None:
    """Ask your own documents and screenshots; get answers in text and pictures."""


register_library(app)
register_models(app)
register_drawing(app)
register_lora(app)
register_sweep(app)
register_eval(app)


_HINTS = {
    errno.EACCES: "make it readable for you, or name another",
    errno.ENOSPC: "make room, then the same command",
}


def main() -> None:
    """Run the command line; every error that was foreseen ends in one line and a code."""
    try:
        app()
    except LimnerError as error:
        screen().print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        screen().print_error(UserError(f"{place}{reason}", _HINTS.get(error.errno or 0, "")))
        sys.exit(UserError.exit_code)
    finally:
        gc.freeze()  # the models' objects need not be collected one by one on the way out


@app.command()
def ask(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="In plain words.")],
    attach: Annotated[
        list[str] | None,
        typer.Option("-a", "--attach", help="A screenshot, picture or video; - is stdin."),
    ] = None,
    library: LibraryOption = HERE,
    profile: ProfileOption = None,
    chat_model: ChatModelOption = None,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = TIMEOUT,
    image_model: ImageModelOption = None,
    embedding_model: ModelOption = "embedded",
    reranker: RerankerOption = None,
    session: Annotated[str | None, typer.Option(help="Go on with this conversation.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write FILE.md, .html or .json.")] = None,
    json: JsonOption = False,
) -> None:
    """Answer a question in text and pictures."""
    from .render import save, to_be_saved, to_json_dict

    choice, question = chosen(context), checked_question(question)
    if export is not None:
        to_be_saved(export)
    images = [_attachment(name) for name in attach or []]
    for image in images:
        _check(image)
    draws, drawing = image_model_of(choice.amounts_to(), image_model), _to_be_drawn(question)
    missing = NothingDraws() if drawing and not draws else None
    needs_none = attach or (draws and drawing)
    place = opened_library if needs_none else partial(existing_library, missing=missing)
    with (
        place(library, embedding_model, reranker) as opened,
        opened_agent(opened, choice, timeout, image_model, session) as agent,
    ):
        answer, error = _answer(agent, question, images)
        if json and (answer.parts or error is None):
            print_json({**to_json_dict(answer), "model": agent.model})
        elif answer.parts:
            screen().print_answer(answer)
        if error is not None:
            raise error
        by_model = agent.profile.name != "embedded" and not (answer.abstained or answer.refused)
        if by_model and not json:
            screen().say(f"answered by {agent.model}")
        if export is not None:
            save(answer, export, question)
            screen().say(f"written: {export}")


def _to_be_drawn(question: str) -> bool:
    from ..tools.drawing_requests import drawings_of

    return bool(drawings_of(question))


@app.command()
def chat(
    context: typer.Context,
    library: LibraryOption = HERE,
    profile: ProfileOption = None,
    chat_model: ChatModelOption = None,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = TIMEOUT,
    image_model: ImageModelOption = None,
    embedding_model: ModelOption = "embedded",
    reranker: RerankerOption = None,
    session: Annotated[str | None, typer.Option(help="Go on with this conversation.")] = None,
) -> None:
    """Talk in the terminal; /help inside tells the rest."""
    from .repl import Repl

    choice = chosen(context)
    with opened_library(library, embedding_model, reranker) as opened:
        talk = Repl(
            opened,
            choice.profile,
            session,
            screen(),
            chat_model=choice.chat_model,
            endpoint=choice.endpoint,
            timeout=timeout,
            image_model=image_model or None,
        )
        talk.run()


@sessions_app.command("ls")
def sessions_ls(library: LibraryOption = HERE, json: JsonOption = False) -> None:
    """List the conversations, the latest first."""
    from dataclasses import asdict

    from .sessions import Sessions

    found = Sessions(library).ls()
    if json:
        print_json([asdict(summary) for summary in found])
    else:
        rows = [(s.name, str(s.turns), s.last) for s in found]
        screen().print_table(("session", "turns", "last"), rows)


@sessions_app.command("rm")
def sessions_rm(
    name: str, library: LibraryOption = HERE, embedding_model: ModelOption = "embedded"
) -> None:
    """Delete a conversation and the pictures that only it shows."""
    from .housekeeping import collect
    from .sessions import Sessions

    if not Sessions(library).rm(name):
        raise UserError(f"no session {name!r}", "limner sessions ls")
    (library / "history").unlink(missing_ok=True)  # what was typed, kept for the arrow keys
    with opened_library(library, embedding_model) as opened:
        patiently(lambda: collect(opened))


@app.command("gc")
def collect_garbage(
    library: LibraryOption = HERE, embedding_model: ModelOption = "embedded"
) -> None:
    """Delete pictures that nothing refers to any more.

    What the index still holds of removed files goes, too.
    """
    from .housekeeping import collect

    with existing_library(library, embedding_model) as opened:
        screen().say(f"{patiently(lambda: collect(opened))} pictures deleted")


@app.command()
def doctor(
    context: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild from the sources what is damaged.")
    ] = False,
    profile: ProfileOption = None,
    chat_model: ChatModelOption = None,
    endpoint: EndpointOption = None,
    timeout: TimeoutOption = TIMEOUT,
    library: LibraryOption = HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """Look for what is missing or damaged; say what to type.

    The installation, the embedding model, the library, its conversations, and the chat model that
    would answer: a server is asked, weights are looked for.
    """
    from dataclasses import asdict

    from .doctor import examine, rebuild

    choice = chosen(context)
    if repair:
        with progress_bar("files") as tell:
            findings = rebuild(library, embedding_model, tell)
    else:
        findings = examine(library, embedding_model, choice, timeout)
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            screen().print(f"{finding.status:>5}  {finding.what}: {finding.detail}")
            if finding.hint:
                screen().print(f"       try: {finding.hint}")
    if any(finding.status == "error" for finding in findings):
        raise typer.Exit(3)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the demo's library and page go.")] = Path("demo"),
) -> None:
    """Index a small handbook and ask it four questions.

    The answers go into demo/answer.html.
    """
    from .demo import run

    with progress_bar("files") as tell:
        run(out, screen(), tell)


# ── what ask needs ───────────────────────────────────────────────────────────────────────────


def _attachment(name: str) -> str | bytes:
    return sys.stdin.buffer.read() if name == "-" else name


def _check(image: str | bytes) -> None:
    """Decode what is attached before a model is loaded, which may take minutes.

    Raises:
        SourceError: it cannot be read.
    """
    from ..tools.media import decode_image
    from ..tools.paths import typed_path
    from ..tools.video import check_video, is_video

    source = image if isinstance(image, bytes) else typed_path(image)
    if isinstance(source, Path) and not source.is_file():
        reason = "not a file" if source.exists() else "no such file"
        raise SourceError(f"{source}: {reason}", "attach a picture file")
    check = check_video if is_video(source) else decode_image
    check(source)


def _answer(
    agent: Agent, question: str, images: list[str | bytes]
) -> tuple[Answer, LimnerError | None]:
    """The answer; or what had come of it, labelled, and the error that cut it short."""
    from .events import AnswerReady, Failed, StepStarted

    with screen().working("loading") as tell:
        for event in agent.stream(question, images):
            if isinstance(event, StepStarted):
                tell(event.step)
            elif isinstance(event, AnswerReady):
                return event.answer, None
            elif isinstance(event, Failed):
                if event.interrupted:
                    raise KeyboardInterrupt
                return event.partial, event.error
    raise AssertionError("a stream ends in an answer or a failure")
