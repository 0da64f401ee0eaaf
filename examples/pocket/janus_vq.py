"""Pictures as tokens and back: transformers' own JanusVQVAE, small, an eighth of the side.

    python examples/pocket/janus_vq.py --out demo/pocket --total 47

Directions and codes have length one, as Janus's decoder takes them. Codes that no picture uses any
more begin anew as what the encoder says of some picture. Knows no captions and no language model.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F

from limner.examples.pocket.emoji import Split
from limner.examples.pocket.measures import edges
from limner.examples.pocket.reconstruction import apart, reported
from limner.examples.pocket.render import Renderer
from limner.examples.pocket.scenes import Scenes
from limner.examples.pocket.training import Plan, Stage, parser, train

__all__ = ["PATCH", "VqStage", "dead", "quantised", "small_vq", "tokens_of"]

PATCH = 8
"""Pixels of a side that one token stands for."""

_REPORTED = 512  # pictures
_SEED = 7_000_000
_COUNTED = 128  # pictures in a count of the codes in use: eight tokens for each code
_EARLY = 500  # steps in which the encoder still moves fast
_COMMITMENT = 0.25
_EDGES = 1.0  # twice the other autoencoder's: eight pixels in a token blur more


def small_vq(size: int, codes: int = 1024) -> Any:
    """A fresh one, 1.2 million parameters.

    Args:
        size: side of a picture in pixels.
        codes: in the book.
    """
    from transformers import JanusVQVAEConfig
    from transformers.models.janus.modeling_janus import JanusVQVAE

    make: Any = JanusVQVAEConfig
    kind: Any = JanusVQVAE
    return kind(
        make(
            embed_dim=8,
            num_embeddings=codes,
            latent_channels=64,
            base_channels=32,  # a group of each norm needs one at least
            channel_multiplier=[1, 1, 2, 2],
            num_res_blocks=1,
            num_patches=size // PATCH,
        )
    )


class VqStage(Stage):
    """Differences of pixels at three scales, of edges twice as much, and distances to codes."""

    name = "janus_vq"

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.model: Any = small_vq(plan.size).to(plan.device)
        self._scenes = Scenes(Split(plan.seed), jitter=2.0, every=True)
        self._renderer = Renderer(plan.size, plan.out, plan.device)
        self._plan, self._places = plan, (plan.size // PATCH) ** 2

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `Stage.loss`. At some steps it revives codes first."""
        plan = self._plan
        number = step // plan.ranks  # the same in all processes, which revive the same codes
        revived = 0
        if number % (25 if number < _EARLY else 100) == 0:
            revived = self._revive(number)
        pictures = self._pictures(step, plan.batch)
        found = self._directions(pictures)
        numbers, codes = quantised(found, self.model.quantize.embedding.weight)
        toward = (codes - found.detach()).square().sum(1).mean()
        back = (found - codes.detach()).square().sum(1).mean()
        through = found + (codes - found).detach()  # gradients pass as if nothing was rounded
        # Every other picture is not rounded: colours are learnt long before codes tell them.
        rounded = torch.arange(len(found), device=found.device) // self._places % 2 == 0
        drawn = self._drawn(torch.where(rounded[:, None], through, found)).float()
        return apart(drawn, pictures, _EDGES) + toward + _COMMITMENT * back, {
            "l1": float((drawn - pictures)[::2].abs().mean().detach()),
            "l1 unrounded": float((drawn - pictures)[1::2].abs().mean().detach()),
            "away": float(back.detach()),
            "used": len(set(numbers.tolist())) / len(self.model.quantize.embedding.weight),
            "revived": float(revived),
        }

    def _directions(self, pictures: Tensor) -> Tensor:
        """What the encoder says, of length one: float32 ``(tokens, 8)``."""
        said = self.model.quant_conv(self.model.encoder(pictures)).float()
        return F.normalize(said.permute(0, 2, 3, 1).flatten(0, 2), dim=-1)

    def _drawn(self, codes: Tensor) -> Tensor:
        side = self._plan.size // PATCH
        laid = codes.view(-1, side, side, codes.shape[1]).permute(0, 3, 1, 2).contiguous()
        made: Tensor = self.model.decoder(self.model.post_quant_conv(laid))
        return made

    @torch.no_grad()
    def _revive(self, number: int) -> int:
        """Codes that no token of some pictures takes become tokens of them; how many."""
        book = self.model.quantize.embedding.weight
        pictures = self._pictures(number, _COUNTED, _SEED - 1_000)
        found = torch.cat([self._directions(part) for part in torch.split(pictures, 32)])
        random = torch.Generator().manual_seed(_SEED + self._plan.seed * 1_000_003 + number)
        chosen = torch.randperm(len(found), generator=random)
        unused = dead(found, book)[: len(found)]
        book[unused] = found[chosen[: len(unused)].to(found.device)]
        if self._plan.ranks > 1:
            distributed.broadcast(book.data, 0)
        return len(unused)

    def _pictures(self, number: int, count: int, seed: int = _SEED) -> Tensor:
        return self._renderer(self._scenes.batch(seed + self._plan.seed, number, count))

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """The model with codes of length one, a sheet of reconstructions, and how good they are."""
        model = copy.deepcopy(self.model).eval()
        book = model.quantize.embedding.weight
        book.copy_(F.normalize(book, dim=-1))  # so its own `encode` finds what training found
        model.save_pretrained(folder / "model")
        pictures = self._pictures(100_000_000, _REPORTED)
        parts = torch.split(pictures, 64)
        tokens = torch.cat([tokens_of(model, part) for part in parts])
        again = torch.cat([model.decode(part) for part in torch.split(tokens, 64)]).clamp(-1, 1)
        share = tokens.flatten().bincount(minlength=len(book)) / tokens.numel()
        told = reported(folder, pictures, again, {
            "edges": round(edges(again) / edges(pictures), 3),
            "used": round(float((share > 0).float().mean()), 3),
            "perplexity": round(float(torch.special.entr(share).sum().exp()), 1),
            "codes": len(book),
            "parameters": sum(p.numel() for p in model.parameters()),
        })  # fmt: skip
        print("janus_vq:", told, flush=True)


def quantised(found: Tensor, book: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest code of each direction.

    Args:
        found: of length one, float32 ``(tokens, 8)``.
        book: ``(codes, 8)``, of any length.

    Returns:
        Numbers int64 ``(tokens,)``; codes of length one ``(tokens, 8)``, with gradients to the
        book.
    """
    with torch.autocast(found.device.type, enabled=False):  # near ones differ in a few per cent
        codes = F.normalize(book.float(), dim=-1)
        numbers = (found.detach() @ codes.detach().T).argmax(1)
        return numbers, codes[numbers]


def dead(found: Tensor, book: Tensor) -> Tensor:
    """The codes that are nearest to no direction, int64."""
    taken = quantised(found, book)[0].bincount(minlength=len(book))
    return (taken == 0).nonzero()[:, 0]


@torch.no_grad()
def tokens_of(model: Any, pictures: Tensor) -> Tensor:
    """The tokens of pictures, int64 ``(n, tokens)``.

    Args:
        model: as `VqStage` exports it.
        pictures: ``(n, 3, side, side)`` from -1 to 1.
    """
    numbers: Tensor = model.encode(pictures).image_tokens
    return numbers.view(len(pictures), -1)


def main(arguments: Sequence[str] | None = None) -> bool:
    """Train, export, report; whether the plan is fulfilled."""
    plan = Plan.of(parser(__doc__, cpu_batch=8, gpu_batch=256, rate=7e-4).parse_args(arguments))
    return train(VqStage(plan), plan)


if __name__ == "__main__":
    main()
