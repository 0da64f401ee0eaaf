"""What drawing costs beside diffusers itself: our ``generate`` over the bare pipeline, 20 steps.

The models are SDXL and SD 1.5 made from configurations, a few thousand random weights, so that
what is ours shows: the request checked, memory planned, the prompt read, every step told, the
picture decoded, looked at and described. Claim: at most 3 % over the bare pipeline, which gives
the same pixels. Without a mark: with a preview made after every step.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import common  # first: pins the threads
import numpy as np

from limner.tests.tiny_image_models import image_model
from limner.tools.image_models.base import ImageRequest, Preview
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.schedulers import scheduler_of

STEPS = 20
PROMPT = "A cozy wooden cabin in snowy mountains at sunset, warm lights"


def bare(folder: Path, model: Diffusion) -> Callable[[], Any]:
    """Diffusers' own pipeline, warm, called as documented."""
    import diffusers
    import torch

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    own = model.capabilities
    pipeline.scheduler = scheduler_of(own.schedulers[0], pipeline.scheduler.config)

    def draw() -> Any:
        return pipeline(
            PROMPT,
            num_inference_steps=STEPS,
            guidance_scale=own.guidance.own,
            generator=torch.Generator("cpu").manual_seed(0),
        ).images[0]

    return draw


def measured(folder: Path, rounds: int) -> dict[str, list[float]]:
    model = Diffusion.load(str(folder))
    theirs = bare(folder, model)
    request = ImageRequest(PROMPT, steps=STEPS)

    def ours() -> Any:
        return model.generate(request, lambda k, n, preview: None).image

    def previewed() -> Any:
        def look(k: int, n: int, preview: Preview) -> None:
            assert preview() is not None

        return model.generate(request, look).image

    assert np.array_equal(np.asarray(ours()), np.asarray(theirs()))
    runs = {"ours": ours, "bare pipeline": theirs, "ours, a preview each step": previewed}
    return common.interleaved(
        {name: lambda draw=draw: common.seconds(draw) for name, draw in runs.items()}, rounds, 3
    )


def main() -> None:
    parser = common.arguments(__doc__ or "", "drawing")
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="limner-bench-"))
    os.environ["LIMNER_CACHE"] = str(folder / "cache")
    seconds: dict[str, dict[str, list[float]]] = {}
    figures: dict[str, dict[str, float]] = {}
    for family in ("sdxl", "sd15"):
        seconds[family] = found = measured(image_model(folder / family, family), given.rounds)
        common.show(
            f"{family}, {STEPS} steps of 64×64",
            ["what", "median (min–max)"],
            [
                [n, common.spread_text([t * 1e3 for t in times], "ms", 1)]
                for n, times in found.items()
            ],
        )
        figures[family] = common.spread(common.ratios(found["ours"], found["bare pipeline"]))
    common.show(
        "ours over the bare pipeline",
        ["model", "median", "least", "most", "at most 1.03"],
        [[n, s["median"], s["min"], s["max"], s["median"] <= 1.03] for n, s in figures.items()],
    )
    body = {"weights": "random", "diffusers": version("diffusers"), "ours_over_bare": figures}
    common.write(given.out, body | {"seconds": seconds})


if __name__ == "__main__":
    main()
