"""The commands that fill a library and look into it: add, sync, rm, ls, search, migrate."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import QuestionError, UserError
from .cli_common import (
    HERE,
    JsonOption,
    LibraryOption,
    ModelOption,
    Paths,
    RerankerOption,
    existing_library,
    opened_library,
    patiently,
    print_json,
    print_report,
    progress_bar,
    screen,
)
from .questions import sendable

if TYPE_CHECKING:
    from ..index.filters import Filter
    from ..index.library import Library
    from ..index.report import Report

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Give an application these commands."""
    for command in (add, sync, rm, ls, search, migrate):
        app.command()(command)


def add(
    paths: Paths,
    library: LibraryOption = HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """Add files and folders to the library.

    What is unchanged is not read again. A file that cannot be read is named, and the exit code is
    1. One inside a folder is an error once: as long as it does not change, later runs pass it
    over and say so.
    """
    with opened_library(library, embedding_model) as opened:
        with progress_bar("files") as tell:
            report = patiently(lambda: opened.add(list(paths), tell))
        print_report(report, json)


def sync(
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on: sync again whenever a file changes.")
    ] = False,
    library: LibraryOption = HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """Bring the library in step with all that was ever added.

    A file that cannot be read makes the exit code 1 once, until it changes again.
    """
    with existing_library(library, embedding_model) as opened:
        if watch:
            _watch(opened)
            return
        with progress_bar("files") as tell:
            report = patiently(lambda: opened.sync(tell))
        print_report(report, json)


def _watch(library: Library) -> None:
    from ..index.watching import watch

    def tell(report: Report) -> None:
        for problem in report.failed:
            screen().print_problem(problem.path, problem.reason)
        for name, paths in (("+", report.added), ("~", report.changed), ("-", report.removed)):
            for path in paths:
                screen().say(f"{datetime.now():%H:%M:%S} {name} {path}")

    screen().say("watching; Ctrl-C ends it")
    watch(library, tell, lambda error: screen().print_error(error))


def rm(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders, or names as `ls` gives them.")
    ],
    library: LibraryOption = HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """Remove files from the library.

    Their passages, vectors and pictures are deleted, too.
    """
    from .housekeeping import collect

    with existing_library(library, embedding_model) as opened:
        report = patiently(lambda: opened.remove(list(paths)))
        patiently(lambda: collect(opened))
        print_report(report, json)


def ls(
    library: LibraryOption = HERE,
    embedding_model: ModelOption = "embedded",
    json: JsonOption = False,
) -> None:
    """List what the library holds, and how it is searched."""
    from dataclasses import asdict

    with existing_library(library, embedding_model) as opened:
        stats, sources = opened.stats(), opened.sources()
    if json:
        print_json({**asdict(stats), "sources": sources})
        return
    out = screen()
    out.print_table(("file", "passages"), [(s, str(n)) for s, n in sources.items()])
    out.say(
        f"{stats.files} files, {stats.passages} passages ({stats.figures} figures, "
        f"{stats.screenshots} from screenshots); {stats.embedding_model}; "
        f"{stats.search or 'nothing to search yet'}"
    )


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many passages.")] = 5,
    why: Annotated[bool, typer.Option("--why", help="Say how each score came about.")] = False,
    source: Annotated[list[str] | None, typer.Option(help="Only in this file; repeatable.")] = None,
    folder: Annotated[str, typer.Option(help="Only in this folder.")] = "",
    page: Annotated[str, typer.Option(help="Only on this page, or these: 3-9.")] = "",
    kind: Annotated[str, typer.Option(help="Only text, figure or screenshot.")] = "",
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only files changed on this day or later."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only files changed on this day or earlier."),
    ] = None,
    around: Annotated[
        int, typer.Option(min=0, max=20, help="Show so many passages before and after, too.")
    ] = 0,
    library: LibraryOption = HERE,
    embedding_model: ModelOption = "embedded",
    reranker: RerankerOption = None,
    json: JsonOption = False,
) -> None:
    """Find passages by meaning and by words."""
    if not query.strip():
        raise QuestionError("there is nothing to search for", 'limner search "paper jam"')
    query = sendable(query)
    where = _filter(source, folder, page, kind, since, until)
    with existing_library(library, embedding_model, reranker) as opened:
        found = opened.why(query, k, where)
        near = {e.passage.id: opened.neighbours(e.passage, around) for e in found if around}
    if json:
        from .render import passage_dict

        rows = []
        for e in found:
            row = passage_dict(e.passage)
            row |= {"id": e.passage.id, "place": e.passage.place, "kind": e.passage.modality}
            rows.append(row | ({"why": str(e)} if why else {}))
        for row, e in zip(rows, found, strict=True):
            if around:
                row["around"] = [passage_dict(passage) for passage in near[e.passage.id]]
        print_json(rows)
    elif found:
        notes = {e.passage.id: str(e) for e in found} if why else {}
        screen().print_found([e.passage for e in found], notes, near)
    else:
        screen().say("nothing found")


def _filter(
    source: list[str] | None,
    folder: str,
    page: str,
    kind: str,
    since: datetime | None,
    until: datetime | None,
) -> Filter:
    from ..index.filters import Filter

    return Filter(
        tuple(source or ()),
        folder,
        _pages(page),
        kind or None,  # type: ignore[arg-type]  # Filter says which kinds there are
        since.date() if since else None,
        until.date() if until else None,
    )


def _pages(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    first, _, last = text.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()):
        raise UserError(f"{text!r} is no page and no range of pages", "--page 3, or --page 3-9")
    return int(first), int(last or first)


def migrate(
    store: Annotated[
        str, typer.Option(help="faiss, chroma, or http://HOST:PORT of a Chroma server.")
    ] = "",
    to_embedding_model: Annotated[
        str, typer.Option(help="Embed every passage anew with this model.")
    ] = "",
    library: LibraryOption = HERE,
) -> None:
    """Move to another vector store or embedding model."""
    from ..index.library import Library

    if not store and not to_embedding_model:
        raise UserError("nothing to move to", "limner migrate --store chroma")
    with progress_bar("passages") as tell:
        Library.migrate(Path(library), store, to_embedding_model, tell)
    to = " and ".join(filter(None, (store, to_embedding_model)))
    screen().say(f"{library}: moved to {to}")
