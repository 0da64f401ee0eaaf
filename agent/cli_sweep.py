"""The command that draws a grid of pictures: sweep. Parses, calls, prints; decides nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UserError
from .cli_common import JsonOption, print_json, screen
from .cli_drawing import counting_bar, opened_model

if TYPE_CHECKING:
    from ..tools.image_models.base import ImageModel
    from .sweep.grid import Grid
    from .sweep.journal import Row
    from .sweep.reporting import Report
    from .sweep.results import Result
    from .sweep.running import Plan

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command()(sweep)


def sweep(
    context: typer.Context,
    grid: Annotated[Path, typer.Argument(help="A TOML file, see examples/sweeps.")],
    out: Annotated[
        Path | None, typer.Option(help="Where it all goes; GRID-sweep if left out.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Draw at most so many now.")] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most pictures in one pass of the model; if left out what fits, at most 8 on a "
            "GPU and 4 on a CPU.",
        ),
    ] = None,
    image_model: Annotated[
        str | None,
        typer.Option(
            envvar="LIMNER_IMAGE_MODEL",
            help="Draws in place of every model that the grid names; the variable only where it "
            "names none.",
        ),
    ] = None,
    scorer: Annotated[
        str | None, typer.Option(help="Folder or hub name of a CLIP model: agreement with prompts.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Draw every picture of a grid and compare them.

    The same command goes on where it was stopped. What cannot be drawn is a row with its reason,
    and the exit code is 1.
    """
    from ..tools.image_models.cache import PictureCache
    from .sweep.grid import read_grid, with_model
    from .sweep.reporting import report
    from .sweep.results import results_of
    from .sweep.running import check_folder, plan, run
    from .sweep.scoring import ClipScorer

    def open_model(name: str) -> ImageModel:
        return opened_model(name or image_model)

    asked, folder = read_grid(grid), out or Path(f"{grid.stem}-sweep")
    check_folder(folder)
    if image_model and _typed(context, "image_model"):
        _say_replaced(asked, image_model)
        asked = with_model(asked, image_model)
    todo = plan(asked, folder, open_model, batch)
    _check(todo)
    _say_plan(todo, limit)
    score = ClipScorer.load(scorer) if scorer else None
    with counting_bar("loading the model", "pictures") as tell:
        try:
            cache = PictureCache.of_user()
            rows = run(todo, folder, open_model, tell, limit=limit, cache=cache, score=score)
        except KeyboardInterrupt:
            screen().say("stopped; the same command goes on from here")
            raise
    results = results_of(todo.tasks, rows)
    try:
        written = report(asked, results, folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"{folder}: the tables cannot be written ({reason}); every picture is safe",
            "make room, then the same command",
        ) from error
    _print(todo, rows, results, written, json)
    if any(not result.done for result in results):
        raise typer.Exit(1)


def _typed(context: typer.Context, option: str) -> bool:
    """Whether an option stands on the command line, not in a variable."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _say_replaced(asked: Grid, model: str) -> None:
    named = dict.fromkeys(settings.model for settings in asked.settings() if settings.model)
    named.pop(model, None)
    if named:
        screen().say(f"{model} draws in place of {', '.join(named)}")


def _check(todo: Plan) -> None:
    """Say what is wrong with a grid of which nothing can be drawn.

    Raises:
        LimnerError: the first reason.
    """
    faults = [task.fault for task in todo.tasks if task.fault]
    if faults and len(faults) == len(todo.tasks):
        raise faults[0]


def _say_plan(todo: Plan, limit: int | None) -> None:
    from .drawn import counted, duration

    left = [task for task in todo.todo if not task.fault][:limit]
    faults = [task for task in todo.todo if task.fault]
    words = [counted(len(todo.tasks), "picture")]
    if todo.rows:
        words.append(f"{len(todo.rows)} done in earlier runs")
    if left:
        known = [task.seconds for task in left if task.seconds is not None]
        expected = f"about {duration(sum(known))}" if len(known) == len(left) else ""
        words.append(f"{len(left)} to draw")
        words.append(expected or "how long that takes is known after the first ones")
    screen().say(", ".join(words))
    if faults:
        screen().say(f"{len(faults)} cannot be drawn, as: {faults[0].fault}")


def _print(
    todo: Plan, rows: Mapping[str, Row], results: Sequence[Result], written: Report, json: bool
) -> None:
    from .drawn import counted
    from .sweep.results import fastest, largest

    drawn = [row for key, row in rows.items() if key not in todo.rows and not row.failed]
    failed = sum(not result.done for result in results)
    counts = {
        "pictures": len(todo.tasks),
        "reused": len(todo.rows),
        "drawn": sum(not row.before for row in drawn),
        "drawn_before": sum(row.before for row in drawn),
        "failed": failed,
        "left": len(todo.tasks) - len(results),
    }
    if json:
        print_json({**counts, "results": str(written.table), "page": str(written.page)})
        return
    for title, found in (
        ("fastest by prompt", fastest(results)),
        ("highest steps & size by prompt", largest(results)),
    ):
        screen().print(f"{title}:")
        if not screen().out.is_terminal:  # where a table is lines alone
            screen().print("\t".join(_HEADINGS))
        screen().print_table(_HEADINGS, [_line(result) for result in found])
        screen().print("")
    screen().write(f"{written.page}\n")
    told = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    told[0] = counted(len(todo.tasks), "picture")
    screen().say(", ".join(told))


_HEADINGS = ("prompt", "size", "steps", "guidance", "scheduler", "seconds")


def _line(result: Result) -> tuple[str, ...]:
    row = result.row
    size, seconds = f"{row.width}×{row.height}", f"{row.seconds:.2f}"
    prompt = result.settings.prompt
    return prompt, size, str(row.steps), f"{row.guidance:g}", row.scheduler, seconds
