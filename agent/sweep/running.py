"""Draws what a grid asks for, picture by picture, and goes on where it was stopped.

A picture's file is flushed to the disk before its row, and a row before the next picture is begun:
whatever happens, at most the picture at hand is lost. Knows grids, models and journals; what
people see of it is `reporting`'s matter.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image

from ...errors import LimnerError, SourceError, UserError
from ...index.durable import write_file
from ...tools.image_models.base import GeneratedImage, ImageModel, ImageRequest
from ...tools.image_models.cache import PictureCache, Remembering, key_of
from ...tools.image_models.provenance import signed_png
from ...tools.media import decode_image
from ...tools.model_files import sha256_of
from ...tools.safety import drawing_refusal
from .grid import Grid, Settings
from .journal import Row, Rows
from .measures import measured_peak, sharpness

__all__ = ["Open", "Plan", "Score", "Task", "check_folder", "plan", "run"]

Open = Callable[[str], ImageModel]
"""From a name or folder to an image model."""

Score = Callable[[Image.Image, str], float]
"""How well a picture agrees with a prompt, −1 to 1."""

Tell = Callable[[int, int, str], None]
"""Told how many of how many are done, and what is at hand."""


@dataclass(frozen=True, slots=True)
class Task:
    """A picture to come.

    Attributes:
        settings: of the grid.
        key: which picture it is.
        fault: why it cannot be drawn, as far as that is known.
        seconds: that it is expected to take; None where that is not known.
    """

    settings: Settings
    key: str
    fault: LimnerError | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is there and what is to do.

    Attributes:
        tasks: every picture of the grid, in the order of drawing.
        rows: those of earlier runs that hold for this grid, by key.
    """

    tasks: tuple[Task, ...]
    rows: Mapping[str, Row]

    @property
    def todo(self) -> tuple[Task, ...]:
        """Pictures without a row, each once."""
        left = {task.key: task for task in reversed(self.tasks) if task.key not in self.rows}
        return tuple(reversed(left.values()))

    @property
    def seconds(self) -> float | None:
        """What they are expected to take; None where that is not known of all."""
        left = [task.seconds for task in self.todo if not task.fault]
        known = [seconds for seconds in left if seconds is not None]
        return sum(known) if len(known) == len(left) else None


def check_folder(out: Path) -> None:
    """See that a sweep may write into a folder.

    Args:
        out: not there, empty, or of an earlier run.

    Raises:
        UserError: it is a file, or holds other things.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not any((out / name).is_file() for name in ("rows.jsonl", ".lock")):
        what = "it holds other things than a sweep" if out.is_dir() else "it is no folder"
        raise UserError(f"{out}: {what}", "--out another-folder")


def plan(grid: Grid, out: Path, open_model: Open) -> Plan:
    """Look at what a grid asks for and what earlier runs have done of it. Loads no weights.

    Args:
        grid: what is asked for.
        out: the sweep's folder.
        open_model: from the name in the settings to a model.
    """
    tasks: list[Task] = []
    model: ImageModel | LimnerError | None = None
    at_hand: str | None = None
    known: dict[Settings, float | None] = {}
    for settings in grid.settings():
        if settings.model != at_hand:
            at_hand, model = settings.model, _opened(open_model, settings.model)
        if model is None or isinstance(model, LimnerError):
            tasks.append(Task(settings, _failing(settings), model))
            continue
        try:
            request = _request(settings)
            key = key_of(model, request)
            alike = replace(settings, prompt="", negative="", seed=0)
            if alike not in known:
                known[alike] = model.estimate(request).seconds
            tasks.append(Task(settings, key, seconds=known[alike]))
        except LimnerError as error:
            tasks.append(Task(settings, _failing(settings), error))
    keys = {task.key for task in tasks}
    rows = {k: row for k, row in Rows(out / "rows.jsonl").by_key().items() if k in keys}
    return Plan(tuple(tasks), {k: row for k, row in rows.items() if _stands(row, out)})


def _opened(open_model: Open, name: str) -> ImageModel | LimnerError:
    """A model, or why there is none."""
    try:
        return open_model(name)
    except LimnerError as error:
        return error


def _stands(row: Row, out: Path) -> bool:
    """Whether a row need not be made again: its picture is there, as it was written.

    What failed is tried again.
    """
    path = out / row.file
    return not row.failed and path.is_file() and sha256_of(path) == row.digest


def _failing(settings: Settings) -> str:
    return hashlib.sha256(repr(settings).encode("utf-8", "replace")).hexdigest()[:32]


def _request(settings: Settings) -> ImageRequest:
    if rule := drawing_refusal(settings.prompt):
        raise UserError(rule.message)
    return ImageRequest(
        prompt=settings.prompt,
        negative_prompt=settings.negative,
        size=settings.size,
        steps=settings.steps,
        guidance=settings.guidance,
        scheduler=settings.scheduler,
        seed=settings.seed,
        reference=_picture(settings.reference, "RGB"),
        mask=_picture(settings.mask, "L"),
        strength=settings.strength,
        lora=((settings.lora, settings.lora_weight),) if settings.lora else (),
    )


@lru_cache(maxsize=4)
def _picture(path: str, mode: str) -> Image.Image | None:
    if not path:
        return None
    if not Path(path).is_file():
        raise SourceError(f"{path}: no such file")
    return decode_image(Path(path)).convert(mode)


def run(
    todo: Plan,
    out: Path,
    open_model: Open,
    tell: Tell,
    *,
    limit: int | None = None,
    cache: PictureCache | None = None,
    score: Score | None = None,
) -> dict[str, Row]:
    """Draw what is to do.

    Args:
        todo: what `plan` found.
        out: the sweep's folder; made where missing.
        open_model: from the name in the settings to a model.
        tell: told after every picture.
        limit: the most pictures to draw now.
        cache: of pictures that were drawn before, by whatever command.
        score: how well a picture agrees with its prompt.

    Returns:
        Every row there is now, by key.

    Raises:
        UserError: another process sweeps into this folder, or it cannot be written; what was
            finished is safe, and the next run goes on from there.
    """
    rows, tasks = dict(todo.rows), todo.todo[:limit]
    unscored = [task for task in todo.tasks if score and _unscored(rows.get(task.key))]
    if not tasks and not unscored:
        return rows
    with _writing(out, rows, len(todo.tasks)), _alone(out):
        journal, model = Rows(out / "rows.jsonl"), None
        at_hand: str | None = None
        for number, task in enumerate(tasks):
            tell(number, len(tasks), task.settings.prompt)
            if task.settings.model != at_hand and not task.fault:
                model = None  # the last one goes before the next one comes
                gc.collect()
                at_hand = task.settings.model
                model = Remembering(open_model(at_hand), cache)
            row = _row(task, model, out, score)
            journal.append(row)
            rows[row.key] = row
        tell(len(tasks), len(tasks), "")
        for task in unscored:
            row = rows[task.key]
            row = replace(row, agreement=_agreement(row, task, out, score))
            journal.append(row)
            rows[row.key] = row
    return rows


def _unscored(row: Row | None) -> bool:
    return row is not None and row.agreement is None


def _agreement(row: Row, task: Task, out: Path, score: Score | None) -> float | None:
    return score and score(decode_image(out / row.file), task.settings.prompt)


def _row(task: Task, model: Remembering | None, out: Path, score: Score | None) -> Row:
    """Of one picture, whose file is on the disk then; of one that failed, the reason."""
    if task.fault or model is None:
        return Row(task.key, failed=str(task.fault))
    own = PictureCache(out / "pictures", None)
    try:
        drawn, before, peak = _drawn(task, model, own)
    except LimnerError as error:
        return Row(task.key, failed=str(error))
    except Exception as error:  # a night of drawing does not end with one picture
        return Row(task.key, failed=f"{type(error).__name__}: {error}"[:500])
    path = own.path(task.key)
    write_file(path, signed_png(drawn))
    return Row(
        key=task.key,
        file=path.relative_to(out).as_posix(),
        digest=sha256_of(path),
        width=drawn.size[0],
        height=drawn.size[1],
        steps=drawn.steps,
        guidance=drawn.guidance,
        scheduler=drawn.scheduler,
        model=drawn.model,
        revision=drawn.revision,
        device=drawn.device,
        checked=drawn.checked,
        seconds=drawn.seconds,
        before=before,
        peak_memory=peak,
        sharpness=sharpness(drawn.image),
        agreement=None if score is None else score(drawn.image, drawn.prompt),
    )


def _drawn(
    task: Task, model: Remembering, own: PictureCache
) -> tuple[GeneratedImage, bool, int | None]:
    """The picture, whether it was drawn before the sweep, and the memory that it took."""
    request = _request(task.settings)
    if (found := own.get(task.key)) is not None:  # of a run that ended before it wrote the row
        return replace(found, lora=request.lora), False, None
    if (found := model.known(request)) is not None:
        return found, True, None
    with measured_peak() as peak:
        drawn = model.generate(request, lambda step, steps, preview: None)
    return drawn, False, peak.bytes


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise UserError(f"{out}: another sweep writes there now", "--out another-folder") from None


@contextmanager
def _writing(out: Path, rows: Mapping[str, Row], count: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"{out}: cannot be written ({reason}); {len(rows)} of {count} are done and safe",
            "make room, then the same command goes on",
        ) from error
