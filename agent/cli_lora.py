"""The commands about LoRA adapters: training one, which there are, deleting one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_common import JsonOption, print_json, screen

if TYPE_CHECKING:
    from ..tools.image_models.training import Step
    from ..tools.image_models.training_data import Describe

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Give an application these commands."""
    lora = typer.Typer(
        help="Adapters of image models: training one on pictures, and which there are.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    for command in (train, ls, rm):
        lora.command()(command)
    app.add_typer(lora, name="lora")


def train(
    images: Annotated[Path, typer.Argument(help="A folder of pictures.", show_default=False)],
    base: Annotated[
        str, typer.Option(help="SDXL or SD 1.5: a folder, a name of the hub, or pocket-sdxl.")
    ],
    out: Annotated[str, typer.Option("-o", "--out", help="A name, or FILE.safetensors.")],
    rank: Annotated[int, typer.Option(help="Of the adapter: more learns more.")] = 8,
    alpha: Annotated[
        float | None, typer.Option(help="It works with alpha/rank; the rank if left out.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Of the optimizer.")] = 1000,
    resolution: Annotated[
        int | None, typer.Option(help="Pixels of a side; the base's own if left out.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Pictures in a step.")] = 1,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW.")] = 1e-4,
    schedule: Annotated[str, typer.Option(help="constant or cosine.")] = "constant",
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 0,
    captions: Annotated[
        Path | None,
        typer.Option(help="A folder of .txt files or metadata.jsonl; beside the pictures if not."),
    ] = None,
    captioner: Annotated[
        str | None, typer.Option(help="A Janus that captions what nothing is written about.")
    ] = None,
    trigger: Annotated[str, typer.Option(help="Words to call the adapter by.")] = "",
    prompts: Annotated[
        list[str] | None, typer.Option(help="To sample; may be repeated. Else two captions.")
    ] = None,
    every: Annotated[int, typer.Option(help="Steps from checkpoint to checkpoint.")] = 200,
    json: JsonOption = False,
) -> None:
    """Train an adapter; the same command goes on with one that was cut short."""
    from ..tools.image_models.training import Stopped
    from ..tools.image_models.training import train as run
    from ..tools.image_models.training_settings import Settings
    from ..tools.paths import typed_path

    settings = Settings(
        rank=rank,
        alpha=alpha,
        steps=steps,
        resolution=resolution,
        batch=batch,
        learning_rate=learning_rate,
        schedule=schedule,
        seed=seed,
        trigger=trigger,
        prompts=tuple(prompts or ()),
        every=every,
    )
    taken: list[int] = []
    with _ctrl_c(lambda: bool(taken)) as stopping, _bar(taken) as on_step:
        try:
            done = run(
                typed_path(images),
                base,
                out,
                settings,
                captions=typed_path(captions) if captions else None,
                describe=_describe(captioner) if captioner else None,
                say=lambda words: screen().say(words, wrap=False),
                on_step=on_step,
                stopping=stopping,
            )
        except Stopped as stopped:
            screen().say(f"{stopped}; the same command goes on from there")
            raise KeyboardInterrupt from None
    if json:
        told = {"path": str(done.path), "training": str(done.folder), "pictures": done.examples}
        told |= {"loss_before": done.before, "loss_after": done.after}
        print_json(told | {"skipped": [{"path": str(p), "reason": r} for p, r in done.skipped]})
        return
    screen().say(f"loss on fixed noise: {done.before:.4f} before, {done.after:.4f} after")
    screen().write(f"{done.path}\n")


def ls(json: JsonOption = False) -> None:
    """List the adapters that were trained under a name."""
    from ..tools.image_models.lora import user_folder
    from ..tools.image_models.lora_kept import kept

    found = kept()
    if json:
        print_json(
            [
                {"name": k.name, "path": str(k.path), "base": k.base, "trigger": k.trigger,
                 "steps": k.steps}
                for k in found
            ]
        )  # fmt: skip
        return
    if not found:
        screen().say(f"none yet in {user_folder()}; limner lora train … trains one")
        return
    rows = [(k.name, k.base, k.trigger, str(k.steps or "")) for k in found]
    screen().print_table(("adapter", "base", "trigger", "steps"), rows)
    screen().say(f"in {user_folder()}; limner draw … --lora NAME:WEIGHT draws with one")


def rm(name: Annotated[str, typer.Argument(help="Of an adapter.", show_default=False)]) -> None:
    """Delete an adapter, with the checkpoint and samples of its training."""
    from ..tools.image_models.lora_kept import remove

    remove(name)


# ── What train needs ─────────────────────────────────────────────────────────────────────────


def _describe(name: str) -> Describe:
    from ..tools.image_models.janus_reading import JanusReader

    return JanusReader.load(name).describe


@contextmanager
def _ctrl_c(began: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; pressed once more it stops at once, without a checkpoint.

    Args:
        began: whether a step was taken; before it there is nothing to keep, and one press ends it.
    """
    pressed: list[int] = []

    def heard(number: int, frame: Any) -> None:
        pressed.append(number)
        if len(pressed) > 1 or not began():
            raise KeyboardInterrupt
        screen().say("stopping after this step, with a checkpoint; once more stops at once")

    before = signal.signal(signal.SIGINT, heard)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(taken: list[int]) -> Iterator[Callable[[Step], None]]:
    """Steps on stderr; how long they take is said once, when it can be told.

    Args:
        taken: the numbers of the steps are added to it.
    """
    from .cli_drawing import counting_bar
    from .drawn import duration

    told: list[float] = []
    with counting_bar("loading the base", "steps") as tell:

        def on_step(step: Step) -> None:
            taken.append(step.number)
            tell(step.number, step.steps, f"loss {step.loss:.4f}")
            if step.left is not None and not told:
                told.append(step.left)
                each = f"{step.seconds:.2f} s a step"
                screen().say(f"time: {each}, about {duration(step.left)} left", wrap=False)

        yield on_step
