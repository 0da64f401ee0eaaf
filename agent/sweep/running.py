"""Draws what a grid asks for, batch by batch, and goes on where it was stopped.

A picture's file is flushed to the disk before its row, and every row of a batch before the next one
is begun: whatever happens, at most the batch at hand is lost, which is one picture unless the model
draws several in a pass. Knows grids, models and journals; what people see of it is `reporting`'s
matter.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from .batches import batches, but_words_and_seed
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
        together: how many like it go into one batch.
    """

    settings: Settings
    key: str
    fault: LimnerError | None = None
    seconds: float | None = None
    together: int = 1


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


def plan(grid: Grid, out: Path, open_model: Open, most: int | None = None) -> Plan:
    """Look at what a grid asks for and what earlier runs have done of it. Loads no weights.

    Args:
        grid: what is asked for.
        out: the sweep's folder.
        open_model: from the name in the settings to a model.
        most: pictures of a batch; as many as pay and fit where left out.
    """
    tasks: list[Task] = []
    model: Remembering | LimnerError | None = None
    at_hand: str | None = None
    known: dict[Settings, tuple[int, float | None]] = {}
    for settings in grid.settings():
        if settings.model != at_hand:
            at_hand, model = settings.model, _opened(open_model, settings.model)
        if model is None or isinstance(model, LimnerError):
            tasks.append(Task(settings, _failing(settings), model))
            continue
        try:
            request = _request(settings)
            key = key_of(model, request)
            alike = but_words_and_seed(settings)
            if alike not in known:
                known[alike] = _expected(model, request, most)
            together, seconds = known[alike]
            tasks.append(Task(settings, key, seconds=seconds, together=together))
        except LimnerError as error:
            tasks.append(Task(settings, _failing(settings), error))
    keys = {task.key for task in tasks}
    rows = {k: row for k, row in Rows(out / "rows.jsonl").by_key().items() if k in keys}
    return Plan(tuple(tasks), {k: row for k, row in rows.items() if _stands(row, out)})


def _expected(
    model: Remembering, request: ImageRequest, most: int | None
) -> tuple[int, float | None]:
    """How many pictures like this one go together, and the seconds of each."""
    together = model.most_together(request, most)
    seconds = model.estimate(request, together).seconds
    return together, seconds and seconds / together


def _opened(open_model: Open, name: str) -> Remembering | LimnerError:
    """A model, or why there is none."""
    try:
        return Remembering(open_model(name), None)
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
        done = 0
        for batch in batches(tasks):
            tell(done, len(tasks), batch[0].settings.prompt)
            if batch[0].settings.model != at_hand and not batch[0].fault:
                model = None  # the last one goes before the next one comes
                gc.collect()
                at_hand = batch[0].settings.model
                model = Remembering(open_model(at_hand), cache)
            for row in _rows(batch, model, out, score):
                journal.append(row)
                rows[row.key] = row
            done += len(batch)
        tell(done, len(tasks), "")
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


def _rows(
    batch: Sequence[Task], model: Remembering | None, out: Path, score: Score | None
) -> Iterator[Row]:
    """Of each picture, whose file is on the disk then; of one that failed, the reason."""
    if model is None or batch[0].fault:
        yield from (Row(task.key, failed=str(task.fault)) for task in batch)
        return
    own = PictureCache(out / "pictures", None)
    for task, found in zip(batch, _found(batch, model, own), strict=True):
        yield found if isinstance(found, Row) else _written(task.key, found, own, score)


def _written(key: str, found: _Found, own: PictureCache, score: Score | None) -> Row:
    drawn, path = found.drawn, own.path(key)
    write_file(path, signed_png(drawn))
    return Row(
        key=key,
        file=path.relative_to(own.folder.parent).as_posix(),
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
        batch=drawn.batch,
        before=found.before,
        peak_memory=found.peak,
        sharpness=sharpness(drawn.image),
        agreement=None if score is None else score(drawn.image, drawn.prompt),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """A picture, whether it was drawn before the sweep, and the memory that its pass took."""

    drawn: GeneratedImage
    before: bool = False
    peak: int | None = None


def _found(batch: Sequence[Task], model: Remembering, own: PictureCache) -> list[_Found | Row]:
    """Of each picture what there is of it, or a row that says why there is none."""
    there = [_there(task, model, own) for task in batch]
    drawn = iter(_drawn([t for t, found in zip(batch, there, strict=True) if not found], model))
    return [next(drawn) if found is None else found for found in there]


def _there(task: Task, model: Remembering, own: PictureCache) -> _Found | Row | None:
    """A picture that need not be drawn."""
    try:
        request = _request(task.settings)
        if (found := own.get(task.key)) is not None:  # of a run that ended before it wrote the row
            return _Found(replace(found, lora=request.lora))
        known = model.known(request)
        return _Found(known, before=True) if known else None
    except Exception as error:
        return _failed(task, error)


def _drawn(batch: Sequence[Task], model: Remembering) -> list[_Found | Row]:
    """Pictures drawn in one pass; each by itself where something fails that is not one's own."""
    if not batch:
        return []
    try:
        with measured_peak() as peak:
            made = model.generate_many(
                [_request(task.settings) for task in batch], lambda step, steps, preview: None
            )
    except Exception as error:  # a night of drawing does not end with one picture
        if len(batch) == 1:
            return [_failed(batch[0], error)]
        return [found for task in batch for found in _drawn([task], model)]
    return [
        _failed(task, one) if isinstance(one, LimnerError) else _Found(one, peak=peak.bytes)
        for task, one in zip(batch, made, strict=True)
    ]


def _failed(task: Task, error: Exception) -> Row:
    known = isinstance(error, LimnerError)
    return Row(task.key, failed=str(error) if known else f"{type(error).__name__}: {error}"[:500])


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
