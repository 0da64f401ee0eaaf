"""The judge: a small network that says which emoji a picture shows, trained before the generator.

    python examples/pocket/classifier.py --out demo/pocket --total 25

It sees its own rendering (another seed, more jitter) of all the font's pictures, alone and in
pairs, degraded as drawings are. Knows nothing of prompts and of the models that draw.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.render import Renderer
from limner.examples.pocket.scenes import Scenes
from limner.examples.pocket.training import Plan, Stage, parser, train

__all__ = ["Judge", "JudgeStage", "judged", "looked_closely"]

_REPORTED = 16  # batches
_SEED = 9_000_000  # far from the generator's: no scene is shared


class Judge(nn.Module):
    """Convolutions, then the mean and the maximum over places, so that two things may be seen.

    Args:
        classes: pictures of the font.
    """

    def __init__(self, classes: int, width: int = 48) -> None:
        super().__init__()
        w = width
        self.stem = nn.Conv2d(3, w, 5, 2, 2)
        self.blocks = nn.Sequential(
            _Residual(w), _Down(w, 2 * w), _Residual(2 * w), _Residual(2 * w),
            _Down(2 * w, 4 * w), _Residual(4 * w, 4),
        )  # fmt: skip
        self.norm = nn.GroupNorm(8, 4 * w)
        self.squeeze = nn.Linear(8 * w, 4 * w)
        self.classes = nn.Linear(4 * w, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of pictures ``(n, 3, side, side)`` from -1 to 1."""
        if pictures.shape[-1] != 64:
            pictures = F.interpolate(pictures, (64, 64), mode="area")
        seen = F.silu(self.norm(self.blocks(self.stem(pictures))))
        both = torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1)
        logits: Tensor = self.classes(F.silu(self.squeeze(both))).float()
        return logits


class _Residual(nn.Module):
    def __init__(self, width: int, groups: int = 1) -> None:
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, 1, 1, groups=groups)
        self.two = nn.Conv2d(width, width, 3, 1, 1, groups=groups)
        self.norms = nn.ModuleList([nn.GroupNorm(8, width), nn.GroupNorm(8, width)])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.one(F.silu(self.norms[0](x)))
        y = self.two(F.silu(self.norms[1](y)))
        return x + y


class _Down(nn.Conv2d):
    def __init__(self, width: int, wider: int) -> None:
        super().__init__(width, wider, 3, 2, 1)


class JudgeStage(Stage):
    """Cross-entropy against the pictures that are there, each with an equal share."""

    name = "classifier"

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.model = Judge(len(load())).to(plan.device)
        self._scenes = Scenes(Split(plan.seed), jitter=2.0, every=True)
        self._renderer = Renderer(plan.size, plan.out, plan.device)
        self._plan = plan

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        pictures, wanted = self.sample(step, self._plan.batch)
        random = torch.Generator().manual_seed(_SEED + step)
        logits = self.model(_degraded(pictures, random))
        hit = wanted.gather(1, logits.argmax(1, keepdim=True)).gt(0).float().mean()
        loss = F.cross_entropy(logits, wanted, label_smoothing=0.02)
        return loss, {"right": float(hit)}

    def sample(self, number: int, count: int) -> tuple[Tensor, Tensor]:
        """Pictures, and the share of each class in them ``(count, classes)``."""
        scenes = self._scenes.batch(_SEED + self._plan.seed, number, count)
        wanted = torch.zeros(count, len(load()))
        for row, scene in enumerate(scenes):
            shown = {placed.number for placed in scene.objects}
            wanted[row, list(shown)] = 1 / len(shown)
        return self._renderer(scenes), wanted.to(self._plan.device)

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """Weights in half precision, and how often they are right on scenes never trained on."""
        self.model.half().float()
        save_file({n: p.half().contiguous().cpu() for n, p in self.model.state_dict().items()},
                  folder / "judge.safetensors")  # fmt: skip
        hits: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for number in range(_REPORTED):
            pictures, wanted = self.sample(100_000_000 + number, 128)
            best = self.model(pictures).topk(5).indices
            right = wanted.gather(1, best).gt(0)
            for row, kinds in enumerate((wanted > 0).sum(1).tolist()):
                hits[kinds].append((float(right[row, :kinds].all()),
                                    float(right[row].sum() == kinds)))  # fmt: skip
        told = {
            f"{what}, {where}": round(sum(hit[k] for hit in hits[kinds]) / len(hits[kinds]), 4)
            for kinds, what in ((1, "one thing"), (2, "both of two"))
            for k, where in enumerate(("highest", "among five"))
        }
        told |= {"scenes": sum(map(len, hits.values()))}
        (folder / "report.json").write_text(json.dumps(told, indent=1) + "\n")
        print("classifier:", told, flush=True)


def _degraded(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Some a little blurred, all a little noisy and of another tone, as drawn pictures are."""
    count = len(pictures)
    blur = torch.rand(count, generator=random).to(pictures.device) < 0.3
    pictures = pictures.clone()
    pictures[blur] = F.avg_pool2d(F.pad(pictures[blur], (1, 1, 1, 1), "replicate"), 3, 1)
    tone = 0.08 * torch.randn(count, 3, 1, 1, generator=random)
    noise = torch.randn(pictures.shape, generator=random)
    amount = 0.12 * torch.rand(count, 1, 1, 1, generator=random)
    return pictures + (tone + amount * noise).to(pictures.device)


@torch.no_grad()
def looked_closely(judge: Judge, pictures: Tensor) -> Tensor:
    """What a judge sees in a picture or in the middle of one of its halves.

    Trained on few pairs, it sees one of two things in a whole; each alone it knows.

    Args:
        judge: that looks.
        pictures: ``(n, 3, side, side)`` from -1 to 1.

    Returns:
        Log-probabilities ``(n, classes)``: of each class the highest of five looks.
    """
    half = pictures.shape[-1] // 2
    near, middle, far = (slice(at, at + half) for at in (0, half // 2, half))
    crops = [pictures[:, :, y, x] for y, x in
             ((middle, near), (middle, far), (near, middle), (far, middle))]  # fmt: skip
    looks = [pictures, *(F.interpolate(crop, (64, 64), mode="bilinear") for crop in crops)]
    return torch.stack([judge(look).log_softmax(1) for look in looks]).amax(0)


def judged(folder: Path) -> Judge:
    """The trained judge.

    Args:
        folder: holds ``judge.safetensors``.
    """
    weights = load_file(folder / "judge.safetensors")
    judge = Judge(len(weights["classes.bias"]))
    judge.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return judge.eval()


def main(arguments: Sequence[str] | None = None) -> bool:
    """Train, export, report; whether the plan is fulfilled."""
    plan = Plan.of(parser(__doc__, cpu_batch=64, gpu_batch=512, rate=1.5e-3).parse_args(arguments))
    return train(JudgeStage(plan), plan)


if __name__ == "__main__":
    main()
