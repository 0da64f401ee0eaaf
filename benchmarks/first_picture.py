"""How long a fresh process takes to its first picture, beside a script with diffusers alone.

Claim: ``limner draw`` with the shipped model takes at most as long as a bare process that imports
diffusers, loads the same folder and draws the same pixels; most of both is importing, which
is measured by itself. The mark of 3 s to the first picture is printed beside it, for a fresh
process, which misses it where importing the libraries alone takes longer, and for one that has
imported them and has to load the weights and draw.

    LIMNER_THREADS=2 python benchmarks/first_picture.py [--rounds 10]

Runs are interleaved (A B A B …). Where other programs use the processors, wall time says little:
processor time is given too, and tells the same on a busy machine.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import common  # first: pins the threads
from PIL import Image, ImageChops

from limner.tools.model_files import SHIPPED

MARK = 3.0  # seconds
PROMPT = "a fox"

_TORCH = "import torch"
_LIBRARIES = """
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
"""
_BARE = """
import sys, torch
from diffusers import StableDiffusionXLPipeline
pipeline = StableDiffusionXLPipeline.from_pretrained(
    sys.argv[1], torch_dtype=torch.float32, local_files_only=True, add_watermarker=False
)
noise = torch.Generator("cpu").manual_seed(0)
drawn = pipeline(sys.argv[2], num_inference_steps=20, guidance_scale=2.0, generator=noise)
drawn.images[0].save(sys.argv[3])
"""
_IMPORTED = f"""{_LIBRARIES}
import sys, time, torch
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.opening import open_model
started = time.perf_counter()
open_model("pocket-sdxl").generate(ImageRequest(sys.argv[1], seed=0), lambda *step: None)
print(time.perf_counter() - started)
"""

Times = tuple[float, float]
"""Seconds of wall and of processor time."""


def process(*words: str | Path) -> Callable[[], Times]:
    """Runs Python to its end; an error ends the benchmark."""

    def run() -> Times:
        started, before = time.perf_counter(), _processor()
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{command}: {done.stderr}")
        return time.perf_counter() - started, _processor() - before

    return run


def loaded_and_drawn() -> float:
    """Seconds to the first picture of a process that has imported the libraries."""
    command = [sys.executable, "-c", _IMPORTED, PROMPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measured(runs: dict[str, Callable[[], Times]], rounds: int) -> dict[str, list[Times]]:
    """Interleaved; the first round fills the system's caches and does not count."""
    found: dict[str, list[Times]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            times = run()
            if number:
                found[name].append(times)
    return found


def same_pixels(one: Path, other: Path) -> bool:
    with Image.open(one) as ours, Image.open(other) as theirs:
        return ImageChops.difference(ours.convert("RGB"), theirs.convert("RGB")).getbbox() is None


def main() -> None:
    parser = common.arguments(__doc__ or "", "first_picture")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    os.environ["LIMNER_CACHE"] = "off"
    with tempfile.TemporaryDirectory() as scratch:
        ours, theirs = Path(scratch) / "ours.png", Path(scratch) / "theirs.png"
        draw = ("draw", PROMPT, "-o", ours, "--image-model", "pocket-sdxl")
        runs = {
            "limner draw": process("-m", "limner", *draw),
            "diffusers alone": process("-c", _BARE, SHIPPED["pocket-sdxl"], PROMPT, theirs),
            "importing torch, transformers, diffusers": process("-c", _LIBRARIES),
            "importing torch": process("-c", _TORCH),
        }
        found = measured(runs, given.rounds)
        first = [loaded_and_drawn() for _ in range(given.rounds)]
        same = same_pixels(ours, theirs)
    wall = {name: [time for time, _ in times] for name, times in found.items()}
    used = {name: [time for _, time in times] for name, times in found.items()}
    common.show(
        "To the first picture, from a fresh start",
        ["process", "wall", "processor"],
        [[n, *(common.spread_text(t[n], "s", 2) for t in (wall, used))] for n in found],
    )
    ratio = median(common.ratios(used["limner draw"], used["diffusers alone"]))
    common.show(
        "limner draw",
        ["what", "found", "as claimed"],
        [
            ["processor time over diffusers alone", ratio, ratio <= 1],
            ["seconds of wall time, at most 3", median(wall["limner draw"]),
             median(wall["limner draw"]) <= MARK],
            ["– the libraries imported before", median(first), median(first) <= MARK],
            ["the same pixels", "", same],
        ],
    )  # fmt: skip
    spreads = {"wall": wall, "processor": used}
    body = {kind: {n: common.spread(t) for n, t in by.items()} for kind, by in spreads.items()}
    common.write(
        given.out,
        {
            "seconds": body,
            "imported_before": common.spread(first),
            "ours_over_bare": ratio,
            "same_pixels": same,
        },
    )


if __name__ == "__main__":
    main()
