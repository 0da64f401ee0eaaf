"""What drawing with Janus costs beside transformers itself.

The model is made from its configuration, a few hundred thousand random weights, so that what is
ours shows; both draw the same picture, which is checked first. Claim: a
picture, told token by token, takes at most 1.1 times what transformers' ``generate`` and
``decode_image_tokens`` take. Without a mark, since a tiny model says little of it: four pictures
together over four alone, and a preview.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common  # first: pins the threads

from limner.tests.tiny_janus import janus
from limner.tools.image_models.base import ImageRequest, Preview
from limner.tools.image_models.janus import Janus

WORDS = "A cozy wooden cabin in snowy mountains at sunset, warm lights"
MARK = 1.1


def silent(k: int, n: int, preview: Preview) -> None:
    pass


class Direct:
    """Transformers as its documentation calls it."""

    def __init__(self, folder: Path) -> None:
        from transformers import JanusForConditionalGeneration, JanusProcessor

        self.model: Any = JanusForConditionalGeneration.from_pretrained(folder).eval()
        self.processor: Any = JanusProcessor.from_pretrained(folder)

    def draw(self, seed: int) -> Any:
        """A picture, called as documented."""
        import torch

        turns = [{"role": "user", "content": [{"type": "text", "text": WORDS}]}]
        text = self.processor.apply_chat_template(turns, add_generation_prompt=True)
        inputs = self.processor(text=text, generation_mode="image", return_tensors="pt")
        torch.manual_seed(seed)
        tokens = self.model.generate(
            **inputs, generation_mode="image", do_sample=True, top_k=0, use_cache=True
        )
        with torch.no_grad():
            pixels = self.model.decode_image_tokens(tokens).permute(0, 3, 1, 2)
        return self.processor.postprocess(list(pixels), return_tensors="PIL.Image.Image")


def previewed(k: int, n: int, preview: Preview) -> None:
    if k == n // 2:
        preview()


def measured(folder: Path, rounds: int) -> dict[str, list[float]]:
    ours, direct = Janus.load(str(folder)), Direct(folder)
    request = ImageRequest(WORDS, seed=1)
    theirs = direct.draw(1)["pixel_values"][0].tobytes()
    if ours.generate(request, silent).image.tobytes() != theirs:
        raise SystemExit("the pictures differ: there is nothing to compare")
    runs: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours.generate(request, silent),
        "transformers": lambda: direct.draw(1),
        "ours, one preview": lambda: ours.generate(request, previewed),
        "ours, four together": lambda: ours.draw_several(request, 4, silent),
    }
    timed = {name: lambda draw=draw: common.seconds(draw) for name, draw in runs.items()}
    return common.interleaved(timed, rounds, 3)


def main() -> None:
    parser: argparse.ArgumentParser = common.arguments(__doc__ or "", "drawing_janus")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = measured(janus(Path(place) / "tiny"), options.rounds)
    over = {
        "ours over transformers": common.ratios(found["ours"], found["transformers"]),
        "with one preview over without": common.ratios(found["ours, one preview"], found["ours"]),
        "four together over four alone": [
            ratio / 4 for ratio in common.ratios(found["ours, four together"], found["ours"])
        ],
    }
    common.show(
        f"A picture of 64 tokens, a tiny model, random weights, {options.rounds} rounds",
        ("", "seconds"),
        [(name, common.spread_text(values)) for name, values in found.items()],
    )
    common.show(
        "Ratios, round by round",
        ("", "median (least–most)", "mark"),
        [
            (name, common.spread_text(values), f"{MARK}" if name.startswith("ours over") else "–")
            for name, values in over.items()
        ],
    )
    common.write(
        options.out,
        {
            "weights": "tiny, random",
            "mark": MARK,
            "seconds": {name: common.spread(values) for name, values in found.items()},
            "ratios": {name: common.spread(values) for name, values in over.items()},
        },
    )


if __name__ == "__main__":
    main()
