"""The commands about one picture: draw and show. Parses, calls, prints; decides nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ModelMissing, SourceError, UserError
from .cli_common import JsonOption, print_json, screen
from .profiles import PROFILES, image_model_of

if TYPE_CHECKING:
    from PIL import Image

    from ..tools.image_models.base import Estimate, GeneratedImage, ImageModel, ImageRequest, OnStep
    from ..tools.image_models.provenance import Claims, Signed

_HEAVIEST = 100  # weight of an adapter

__all__ = ["ImageModelOption", "NothingDraws", "counting_bar", "opened_model", "register"]

ImageModelOption = Annotated[
    str | None,
    typer.Option(
        "--image-model",
        envvar="LIMNER_IMAGE_MODEL",
        help="pocket-sdxl, or folder or hub name of SDXL, SDXL-Turbo, SD 1.5, LCM or Janus; "
        "'BASE + REFINER' for both of SDXL; none.",
    ),
]


def register(app: typer.Typer) -> None:
    """Give an application these commands."""
    for command in (draw, show):
        app.command()(command)


def draw(
    prompt: Annotated[str, typer.Argument(help="What the picture shows.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="The picture's file, a PNG.")],
    image_model: ImageModelOption = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="In pixels.")] = None,
    steps: Annotated[int | None, typer.Option(help="Of denoising.")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="How closely it keeps to the prompt.")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="euler, euler_a, dpm, ddim …")] = None,
    seed: Annotated[int, typer.Option(help="The same one draws the same picture.")] = 0,
    negative: Annotated[str, typer.Option(help="What the picture does not show.")] = "",
    reference: Annotated[Path | None, typer.Option(help="A picture to start from.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="White where the reference is drawn anew.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="How much of the reference is drawn over, up to 1.")
    ] = None,
    lora: Annotated[
        list[str] | None, typer.Option(metavar="PATH[:WEIGHT]", help="An adapter; may be repeated.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Draw a picture and write it, with everything that draws it again, to a PNG file."""
    from ..tools.image_models.base import ImageRequest
    from ..tools.image_models.provenance import signed_png
    from ..tools.safety import drawing_refusal
    from .plain_text import clean

    _check_target(out)
    if reference is not None and reference.exists() and out.exists() and out.samefile(reference):
        raise UserError(f"{out}: is the reference itself", "-o another.png")
    request = ImageRequest(
        prompt=clean(prompt),  # what is drawn can be shown and typed again
        negative_prompt=clean(negative),
        size=_sides(size) if size else None,
        steps=steps,
        guidance=guidance,
        scheduler=_scheduler(scheduler),
        seed=seed,
        reference=_picture(reference),
        mask=_picture(mask, "L"),
        strength=strength,
        lora=tuple(map(_weighed, lora or [])),
    )
    if rule := drawing_refusal(request.prompt):
        left = "is left as it was" if out.exists() else "is not written"
        screen().say(f"nothing was drawn, {out} {left}: {rule.message}")
        if json:
            print_json({"refused": True, "reason": rule.message})
        return
    drawn, known, unknown = _drawn(image_model, request)
    _write(out, signed_png(drawn))
    if unknown:
        screen().say(unknown)
    if json:
        told = {"path": str(out), "origin": "generated", "drawn_before": known}
        print_json(told | {"refused": False} | drawn.to_dict())
    else:
        screen().say(_label(drawn) + (", drawn before" if known else ""))
        screen().write(f"{out}\n")


def show(
    file: Annotated[Path, typer.Argument(help="A picture.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Say how a picture was drawn, and what to type to draw it again."""
    from ..tools.image_models.provenance import claims, read
    from ..tools.paths import typed_path
    from .drawn import again, claimed, facts, placeholders
    from .terminal_pictures import picture

    path = typed_path(file)
    if not path.is_file():
        raise SourceError(f"{file}: {'not a file' if path.exists() else 'no such file'}")
    signed, others = read(path), claims(path)
    if json:
        print_json(_told(signed, others))
        return
    if signed is None:
        screen().print(f"{file}: {claimed(others)}")
        return
    if (pixels := picture(signed.drawn.image, screen().out)) is not None:
        screen().out.print(pixels, end="")
    screen().print_facts(facts(signed))
    command = again(signed.drawn)
    screen().write(f"\n{command}\n")
    for name, meaning in placeholders(command):
        screen().say(f"{name} stands for {meaning}")


def _told(signed: Signed | None, others: Claims) -> dict[str, object]:
    """The JSON value of a picture; what is not known of it is null."""
    from .drawn import again

    beside = {"marked": others.marked, "parameters": others.parameters}
    if signed is None:
        return {"generated": others.generated or None, **beside, "command": "", "record": None}
    record = signed.drawn.to_dict() | {"adapters": signed.adapters}
    whole = {"by": signed.by, "untouched": signed.untouched}
    return {"generated": True, **whole, **beside, "command": again(signed.drawn), "record": record}


# ── What the commands need ───────────────────────────────────────────────────────────────────


def opened_model(name: str | None) -> ImageModel:
    """The image model that was named, else the one that is shipped.

    Raises:
        ModelMissing: it is not there.
        NothingDraws: ``none`` is to draw.
    """
    from ..tools.image_models.opening import open_model

    drawing = image_model_of(PROFILES["embedded"], name)
    if not drawing:
        raise NothingDraws
    return open_model(drawing)


class NothingDraws(UserError):
    """A picture was asked for where no image model is to draw."""

    def __init__(self) -> None:
        super().__init__(
            "nothing draws: there is no image model",
            "--image-model pocket-sdxl (LIMNER_IMAGE_MODEL counts too)",
        )


def _drawn(image_model: str | None, request: ImageRequest) -> tuple[GeneratedImage, bool, str]:
    """A picture, whether it was drawn before, and what to say of words that are not known."""
    from ..tools.image_models.assembly import collecting_later
    from ..tools.image_models.cache import PictureCache, Remembering
    from ..tools.image_models.vocabulary import remark

    with collecting_later():  # from the import of torch to the end: the process draws one picture
        model = Remembering(opened_model(image_model), PictureCache.of_user())
        _check_adapters(request)
        estimate, unknown = model.estimate(request), remark(model, request.prompt)
        if (known := model.known(request)) is not None:
            return known, True, unknown
        with _steps_bar(_expected(model, estimate)) as on_step:
            return model.generate(request, on_step), False, unknown


def _check_target(out: Path) -> None:
    """Say what is wrong with the place of a picture before anything is loaded for it.

    Raises:
        UserError: no PNG, or no place that can be written.
    """
    if out.suffix.lower() != ".png":
        raise UserError(
            f"{out}: pictures are written as PNG, which keeps how they were drawn",
            f"-o {out.with_suffix('.png') if out.name else 'picture.png'}",
        )
    if out.is_dir() or not out.parent.is_dir():
        what = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise UserError(f"{out}: {what}", "-o another.png")
    if not os.access(out.parent, os.W_OK):
        raise UserError(f"{out.parent}: the folder cannot be written", "-o another/place.png")


def _write(out: Path, data: bytes) -> None:
    from ..index.durable import write_file

    try:
        write_file(out, data)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{out}: cannot be written ({reason})", "-o another/place.png") from error


def _sides(text: str) -> tuple[int, int]:
    from .drawn import parse_size

    return parse_size(text)


def _picture(path: Path | None, mode: str = "RGB") -> Image.Image | None:
    from ..tools.media import decode_image
    from ..tools.paths import typed_path

    if path is None:
        return None
    place = typed_path(path)
    if not place.is_file():
        raise SourceError(f"{path}: {'not a file' if place.exists() else 'no such file'}")
    return decode_image(place).convert(mode)


def _weighed(text: str) -> tuple[str, float]:
    """A path and, behind the last colon, its weight; a colon may be part of the path.

    Raises:
        UserError: what stands there is neither a weight nor the end of a path.
    """
    path, colon, weight = text.rpartition(":")
    if not colon or not path or os.path.exists(text):  # noqa: PTH110, of what is no path too
        return text, 1.0
    try:
        told = float(weight)
    except ValueError:
        if set(weight) & set("./\\"):
            return text, 1.0
        raise UserError(
            f"lora {path}: its weight {weight!r} is not a number", f"--lora {path}:1"
        ) from None
    if not abs(told) <= _HEAVIEST:
        raise UserError(
            f"lora {path}: its weight is from -{_HEAVIEST} to {_HEAVIEST}, not {weight}",
            f"--lora {path}:1",
        )
    return path, told


def _check_adapters(request: ImageRequest) -> None:
    """Say what is wrong with an adapter's name before anything is loaded for it.

    Raises:
        SourceError: there is no such file.
        LimnerError: as `lora.find` tells of a repository, a folder, another format.
    """
    from ..tools.image_models import lora

    for name, _ in request.lora:
        try:
            lora.find(name)
        except ModelMissing as error:
            if name.endswith(".safetensors"):
                raise SourceError(f"lora {name}: no such file", "limner lora ls") from None
            if name.count("/") == 1:
                raise  # of the hub: to be downloaded
            raise SourceError(str(error), error.hint) from None


def _scheduler(name: str | None) -> str | None:
    if name is not None and not name.strip():
        raise UserError("scheduler: its name is empty", "--scheduler euler, or leave it out")
    return name and name.strip().lower()


def _expected(model: ImageModel, estimate: Estimate) -> str:
    """What is known beforehand; neither figure counts the libraries, which are not loaded yet."""
    from .drawn import amount, duration

    words = [f"drawing with {model.name}"]
    if estimate.seconds is not None:
        words.append(f"about {duration(estimate.seconds)} once it is loaded")
    if estimate.bytes is not None:
        words.append(f"{amount(estimate.bytes)} for its weights and work")
    return ", ".join(words)


def _label(drawn: GeneratedImage) -> str:
    from .drawn import counted, label

    width, height = drawn.size
    steps = counted(drawn.steps, "step")
    return f"{label(drawn)}, {width}×{height}, {steps}, seed {drawn.seed}"


@contextmanager
def _steps_bar(words: str) -> Iterator[OnStep]:
    """What is expected, then the steps on stderr; only the words without a terminal."""
    from ..tools.image_models.base import Preview

    screen().say(words)
    with counting_bar("loading the model", "steps") as tell:

        def on_step(step: int, steps: int, preview: Preview) -> None:
            tell(step, steps, "")

        yield on_step


@contextmanager
def counting_bar(words: str, what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr that is told how many of how many are done, and words to show beside.

    Args:
        words: until it is told something.
        what: is counted.
    """
    err = screen().err
    if not err.is_terminal:
        yield lambda done, total, words: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from .terminal import clean_line

    counted = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn(what, markup=False))
    times = (TimeElapsedColumn(), TimeRemainingColumn(compact=True))
    said = TextColumn("{task.description}", markup=False)
    with Progress(*counted, *times, said, console=err, transient=True) as bar:
        task = bar.add_task(words, total=None)
        yield lambda done, total, words: bar.update(
            task, completed=done, total=total, description=clean_line(words)
        )
