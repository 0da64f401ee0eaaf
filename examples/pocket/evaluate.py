"""How well the assembled model draws: figures with intervals, and sheets to look at.

    python examples/pocket/evaluate.py --out demo/pocket

Where nothing was trained there, the model that is shipped is evaluated. Prompts come from
`emoji.Split`; pictures are held against all pictures of the font and shown to the judge, which was
trained before. Knows nothing of training.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limner.examples.pocket.classifier import judged, looked_closely
from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.measures import Share, edges, evaluated, hits, nearest, share
from limner.examples.pocket.render import Renderer, references
from limner.examples.pocket.scenes import COLOURS, Background, Placed, Scene
from limner.examples.pocket.sheets import sheet
from limner.tools.image_models.schedulers import SCHEDULERS, scheduler_of
from limner.tools.model_files import SHIPPED

__all__ = ["Artist", "main"]

_STEPS, _GUIDANCE, _BATCH = 20, 2.0, 16
_ONE = r"""
import json, re, sys, time
from pathlib import Path
started = time.perf_counter()
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.diffusion import Diffusion
model = Diffusion.load(sys.argv[1])
seconds = []
for seed in range(4):
    request = ImageRequest("a red house", seed=seed, steps=20, guidance=2.0)
    seconds.append(model.generate(request, lambda done, steps, preview: None).seconds)
    if not seed:
        first = time.perf_counter() - started
# Of this program: getrusage would count what the one that started it held.
peak = int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({"seconds": min(seconds[1:]), "first_use_s": first, "peak_bytes": peak}))
"""


class Artist:
    """Draws many prompts at once with diffusers' own pipeline.

    Args:
        folder: as `assemble` writes it.
    """

    def __init__(self, folder: Path) -> None:
        import diffusers

        kind: Any = diffusers.StableDiffusionXLPipeline
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._pipeline = kind.from_pretrained(folder, add_watermarker=False).to(device)
        self._pipeline.set_progress_bar_config(disable=True)
        self._config = dict(self._pipeline.scheduler.config)

    def __call__(
        self,
        prompts: Sequence[str],
        steps: int = _STEPS,
        guidance: float = _GUIDANCE,
        scheduler: str = "euler",
        negative: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Pictures ``(n, 3, side, side)`` from -1 to 1; the n-th has seed ``seed + n``."""
        made = []
        for at in range(0, len(prompts), _BATCH):
            part = list(prompts[at : at + _BATCH])
            self._pipeline.scheduler = scheduler_of(scheduler, self._config)
            noise = [torch.Generator().manual_seed(seed + at + i) for i in range(len(part))]
            drawn = self._pipeline(
                prompt=part,
                negative_prompt=list(negative[at : at + _BATCH]) if negative else None,
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=noise,
                output_type="pt",
            ).images
            made.append(drawn.float().cpu() * 2 - 1)
        return torch.cat(made)


class Evaluation:
    """All figures of one model.

    Args:
        out: folder of the recipe.
        count: names, and as many synonyms; half as many pairs.
        seed: of the split and of what is picked.
    """

    def __init__(self, out: Path, count: int, seed: int) -> None:
        self.out, self.count, self.seed = out, count, seed
        trained = out / "model"
        self.folder = trained if trained.is_dir() else SHIPPED["pocket-sdxl"]
        self.draw = Artist(self.folder)
        own = out / "classifier" / "judge.safetensors"
        self.judge = judged(own.parent if own.exists() else Path(__file__).parent)
        self.split = Split(seed)
        side = int(self.draw._pipeline.unet.config.sample_size) * 4
        self.known = references(side, out)
        self._paint = Renderer(side, out)
        self._random = random.Random(seed)
        self.numbers = [i for i, emoji in enumerate(load()) if emoji.drawn]

    def names(self) -> dict[str, Share]:
        """Known names: the nearest picture, and what the judge sees."""
        picked = self._picked(self.count)
        prompts = [load()[i].name for i in picked]
        drawn = self.draw(prompts)
        sheet(drawn[:64], prompts[:64], self.out / "known.png")
        return self._told(drawn, [{i} for i in picked])

    def synonyms(self) -> dict[str, Share]:
        """Words that no caption used."""
        words = sorted(self.split.synonyms)
        words = self._random.sample(words, min(self.count, len(words)))
        drawn = self.draw(words, seed=10_000)
        sheet(drawn[:32], words[:32], self.out / "held-out.png")
        return self._told(drawn, [self.split.synonyms[word] for word in words])

    def _told(self, drawn: Tensor, meant: Sequence[Any]) -> dict[str, Share]:
        apart = nearest(drawn, self.known)
        found = hits(apart.argsort(1)[:, :5], meant)
        seen = hits(self._judged(drawn), meant)
        return {
            "nearest": share(found[0]),
            "among the nearest five": share(found[1]),
            "judge": share(seen[0]),
            "judge, among five": share(seen[1]),
        }

    @torch.no_grad()
    def _judged(self, pictures: Tensor) -> Tensor:
        parts = [self.judge(part).topk(5).indices for part in torch.split(pictures, 64)]
        return torch.cat(parts)

    def pairs(self) -> dict[str, Share]:
        """Two things that were never seen together: does the judge see both?"""
        wanted: list[tuple[int, int]] = []
        while len(wanted) < max(16, self.count // 2):
            a, b = self._random.sample(self.numbers, 2)
            if self.split.keeps_pair(a, b):
                wanted.append((a, b))
        prompts = [f"a {load()[a].name} and a {load()[b].name}" for a, b in wanted]
        drawn = self.draw(prompts, seed=20_000)
        sheet(drawn[:16], prompts[:16], self.out / "composed.png", columns=4)
        scenes = [
            Scene((Placed(a, 0.26, 0.5, 0.46), Placed(b, 0.74, 0.5, 0.46)), Background(), ())
            for a, b in wanted
        ]
        told = {}
        for what, pictures in (("drawn", drawn), ("painted", self._paint(scenes))):
            looks = [looked_closely(self.judge, part) for part in torch.split(pictures, 64)]
            best = torch.cat(looks).topk(5).indices.tolist()
            for name, places in (("the two highest", 2), ("among five", 5)):
                both = [{a, b} <= set(r[:places]) for r, (a, b) in zip(best, wanted, strict=True)]
                told[f"{what}: both {name}"] = share(both)
        return told

    def settings(self) -> dict[str, dict[str, dict[str, float]]]:
        """What steps, guidance and schedulers change, on the same names and seeds."""
        picked = self._picked(max(16, self.count // 6))
        tables: dict[str, dict[str, dict[str, float]]] = {}
        for what, values in (
            ("steps", (2, 4, 8, 12, 20, 30, 50)),
            ("guidance", (1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 15.0)),
            ("scheduler", tuple(SCHEDULERS)),
        ):
            rows, tiles = {}, []
            for value in values:
                drawn = self.draw([load()[i].name for i in picked], **{what: value})  # type: ignore[arg-type]
                rows[str(value)] = self._quality(drawn, picked)
                tiles.append(drawn[:8])
            captions = [f"{what} {value}" for value in values for _ in range(len(tiles[0]))]
            sheet(torch.cat(tiles), captions, self.out / f"{what}.png")
            tables[what] = rows
        return tables

    def _quality(self, drawn: Tensor, picked: Sequence[int]) -> dict[str, float]:
        apart = nearest(drawn, self.known)
        right = [int(row) == i for row, i in zip(apart.argmin(1), picked, strict=True)]
        own = apart[torch.arange(len(picked)), torch.tensor(picked)]
        clipped = (drawn.abs() > 0.999) & (drawn < 0.999)  # black, not white
        return {
            "nearest": round(sum(right) / len(right), 3),
            "distance": round(float(own.mean()), 4),
            "edges": edges(drawn),
            "black": round(float(clipped.float().mean()), 4),
        }

    def negative(self) -> dict[str, float]:
        """How far a background's colour goes away when the negative prompt names it."""
        colours = ["red", "blue", "green", "yellow"]
        picked = self._picked(len(colours) * 4)
        of = [colours[i % 4] for i in range(len(picked))]
        prompts = [f"{load()[i].name} on a {c} background" for i, c in zip(picked, of, strict=True)]
        target = torch.tensor([COLOURS[colour] for colour in of]) / 127.5 - 1
        made = {}
        for what, words in (("without", None), ("with", [f"a {c} background" for c in of])):
            drawn = self.draw(prompts, negative=words, seed=30_000)
            corners = drawn[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].median(2).values
            made[what] = round(float((corners - target).norm(dim=1).mean()), 3)
        return made

    def cost(self) -> dict[str, float]:
        """Seconds and memory of a picture in a fresh process, by Limner's loader."""
        command = [sys.executable, "-c", _ONE, str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        told["threads"] = torch.get_num_threads()
        return told

    def _picked(self, count: int) -> list[int]:
        return self._random.sample(self.numbers, min(count, len(self.numbers)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, measure, print, write ``evaluation.json`` and the sheets."""
    parts = ("names", "synonyms", "pairs", "settings", "negative", "cost")
    kept = {"steps": _STEPS, "guidance": _GUIDANCE}
    evaluated(__doc__, arguments, Evaluation, parts, kept, "evaluation.json")


if __name__ == "__main__":
    main()
