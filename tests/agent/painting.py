"""The command line with a painter in place of image models: ``python painting.py ARGUMENTS``.

The painter takes ``PAINTER_DELAY`` seconds a picture and notes in ``PAINTER_LOG`` which it begins
and which it ends. A prompt that holds the word FAIL fails.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from limner.errors import ModelError
from limner.tools.image_models import opening
from limner.tools.image_models.base import GeneratedImage, ImageModel, ImageRequest, OnStep, Range
from limner.tools.image_models.fake import HashPainter


class Painter(HashPainter):
    """Knows guidance, schedulers and a negative prompt beside, and says how long it took."""

    capabilities = replace(
        HashPainter.capabilities,
        guidance=Range(5, 0, 20),
        schedulers=("euler", "dpm"),
        negative_prompt=True,
        lora=True,
    )

    def __init__(self, name: str = "painter") -> None:
        self.name = name

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        note("begun", request)
        if "FAIL" in request.prompt:
            raise ModelError("the paint has run out", "buy paint")
        delay = float(os.environ.get("PAINTER_DELAY", "0"))
        steps = request.steps or 2

        def slowly(step: int, of: int, preview: object) -> None:
            time.sleep(delay / steps)
            on_step(step, of, lambda: None)

        begun = time.perf_counter()
        drawn = super().generate(replace(request, guidance=None, scheduler=None,
                                         negative_prompt="", lora=()), slowly)  # fmt: skip
        note("ended", request)
        return replace(
            drawn,
            negative_prompt=request.negative_prompt,
            guidance=5.0 if request.guidance is None else request.guidance,
            scheduler=request.scheduler or "euler",
            lora=request.lora,
            seconds=time.perf_counter() - begun,
        )


def note(word: str, request: ImageRequest) -> None:
    if path := os.environ.get("PAINTER_LOG"):
        with Path(path).open("a") as log:
            log.write(f"{word} {request.prompt} {request.steps} {request.seed}\n")


def open_painter(name: str) -> ImageModel:
    return Painter(name)


if __name__ == "__main__":
    from limner.agent.cli import main

    opening.open_model = open_painter
    main()
