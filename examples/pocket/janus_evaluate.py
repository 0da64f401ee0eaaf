"""How well the small Janus reads and draws: figures with intervals, and a sheet to look at.

    python examples/pocket/janus_evaluate.py --out demo/pocket

All is done by Limner's own `Janus` and `JanusReader`, one picture at a time: what is shipped is
what is measured. Pictures to be read are renderings that training did not see; groups of pictures
are CLDR's (see `janus_questions`). As the eye of the check step it looks at what the small SDXL
draws. Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from limner.examples.pocket.classifier import judged, looked_closely
from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.janus_folder import NAMING
from limner.examples.pocket.janus_questions import Questions, groups, named
from limner.examples.pocket.measures import Share, evaluated, hits, nearest, share
from limner.examples.pocket.render import Renderer, references
from limner.examples.pocket.scenes import Scene, Scenes
from limner.examples.pocket.sheets import image, sheet
from limner.tools.image_models.base import ImageModel, ImageRequest
from limner.tools.image_models.janus import Janus
from limner.tools.image_models.janus_reading import JanusReader
from limner.tools.image_models.opening import open_model
from limner.tools.pocket_checker import PocketChecker

__all__ = ["Evaluation", "main"]

_SEED = 11_000_000  # of scenes; training's begin at other millions
_SHEET = 64  # pictures
_LONGEST = 24  # tokens of an answer
_GUIDANCE = (1.0, 2.0, 3.0, 5.0, 8.0)


class Evaluation:
    """All figures of one model.

    Args:
        out: folder of the recipe; the model is in ``janus/model``.
        count: pictures that are named, asked about and drawn, each.
        seed: of the split and of what is picked.
    """

    def __init__(self, out: Path, count: int, seed: int) -> None:
        self.out, self.count, self.seed = out, count, seed
        self.artist = Janus.load(str(out / "janus" / "model"))
        self.reader = JanusReader(self.artist.weights)
        self._side = self.artist.capabilities.sizes.own[0]
        self._scenes = Scenes(Split(seed))
        self._paint = Renderer(self._side, out)

    def naming(self) -> dict[str, Share]:
        """Things alone on white, and on backgrounds, at places and in sizes: what are they?"""
        told: dict[str, Share] = {}
        for kind, make in (("on white", self._scenes.bare), ("anywhere", self._scenes.styled)):
            random = np.random.default_rng((_SEED, self.seed, len(told)))
            numbers = self._picked(random)
            scenes = [make(number, random) for number in numbers]
            answers = [
                self.reader.answer(picture, NAMING[i % len(NAMING)], _LONGEST)
                for i, picture in enumerate(self._painted(scenes))
            ]
            exact = [a == named(s) for a, s in zip(answers, scenes, strict=True)]
            told[f"{kind}: name"] = share(exact)
            known = [(a, n) for a, n in zip(answers, numbers, strict=True) if groups()[n][0]]
            told[f"{kind}: group"] = share([_group(a) == groups()[n][0] for a, n in known])
        return told

    def shows(self) -> dict[str, Share]:
        """Whether scenes of all kinds show what words say; half of them do."""
        random = np.random.default_rng((_SEED, self.seed, 9))
        scenes = self._scenes.batch(_SEED + self.seed, 0, self.count)
        questions = Questions(self._scenes)
        right: dict[bool, list[bool]] = {True: [], False: []}
        for i, (scene, picture) in enumerate(zip(scenes, self._painted(scenes), strict=True)):
            wanted = i % 2 == 0
            words = (questions.shown if wanted else questions.missing)(scene, random)
            right[wanted].append(self.reader.shows(picture, words) is wanted)
        return {
            "all": share([*right[True], *right[False]]),
            "of what is shown": share(right[True]),
            "of what is not": share(right[False]),
        }

    def drawing(self) -> dict[str, Share]:
        """Names: is the nearest of all pictures of the font the one that was meant?"""
        numbers = self._picked(np.random.default_rng((_SEED, self.seed, 17)))
        drawn = self._drawn(numbers)
        names = [load()[n].name for n in numbers]
        sheet(drawn[:_SHEET], names[:_SHEET], self.out / "janus.png")
        order = nearest(drawn, references(self._side, self.out)).argsort(1)[:, :5]
        first, five = hits(order, [{n} for n in numbers])
        kin = [groups()[r[0]] == groups()[n] for r, n in zip(order.tolist(), numbers, strict=True)]
        return {
            "nearest": share(first),
            "among the nearest five": share(five),
            "nearest is of the same subgroup": share(kin),
        }

    def checking(self) -> dict[str, Share]:
        """What the small SDXL drew: does the check step know that it shows its name, and no other?

        What it draws of words that were kept back is right or wrong as the nearest picture says.
        """
        random = np.random.default_rng((_SEED, self.seed, 23))
        numbers, synonyms = self._picked(random), Split(self.seed).synonyms
        kept = sorted(synonyms)
        words = [kept[i] for i in random.permutation(len(kept))[: self.count]]
        others = np.roll(numbers, 1).tolist()
        checker, artist = (
            PocketChecker(str(self.out / "janus" / "model")),
            open_model("pocket-sdxl"),
        )
        known, unknown = (
            [_one(artist, word, seed) for seed, word in enumerate(said)]
            for said in ([load()[n].name for n in numbers], words)
        )
        pairs = list(zip(known, numbers, others, strict=True))
        own = [checker.shows(picture, load()[n].name) for picture, n, _ in pairs]
        foils = [checker.shows(picture, load()[m].name) for picture, _, m in pairs]
        first = nearest(_pixels(unknown), references(self._side, self.out)).argmin(1).tolist()
        told = [checker.shows(*row) for row in zip(unknown, words, strict=True)]
        right = [n in synonyms[w] for n, w in zip(first, words, strict=True)]
        return {
            "its name: yes": share([answer is True for answer in own]),
            "its name: no": share([answer is False for answer in own]),
            "another name: yes": share([answer is True for answer in foils]),
            "another name: no": share([answer is False for answer in foils]),
            **_said(told, right, ("words kept back, drawn right", "words kept back, drawn wrong")),
        }

    def pairs(self) -> dict[str, Share]:
        """Two things that the small SDXL drew: what the check step says, as the judge sees both."""
        random = np.random.default_rng((_SEED, self.seed, 29))
        numbers = self._picked(random)
        couples = list(zip(numbers, np.roll(numbers, 1).tolist(), strict=True))
        words = [f"a {load()[a].name} and a {load()[b].name}" for a, b in couples]
        artist = open_model("pocket-sdxl")
        checker = PocketChecker(str(self.out / "janus" / "model"))
        drawn = [_one(artist, told, seed) for seed, told in enumerate(words)]
        judge = judged(Path(__file__).parent)
        best = looked_closely(judge, _pixels(drawn)).topk(5).indices.tolist()
        both = [{*couple} <= set(row) for row, couple in zip(best, couples, strict=True)]
        told = [checker.shows(*row) for row in zip(drawn, words, strict=True)]
        return _said(told, both, ("the judge sees both", "the judge does not"))

    def guidance(self) -> dict[str, float]:
        """The share of nearest pictures that were meant, for a few names at some guidances."""
        numbers = self._picked(np.random.default_rng((_SEED, self.seed, 19)))
        numbers = numbers[: max(2, self.count // 8)]
        known, told = references(self._side, self.out), {}
        for value in _GUIDANCE:
            found = nearest(self._drawn(numbers, value), known).argmin(1).tolist()
            right = [a == b for a, b in zip(found, numbers, strict=True)]
            told[f"{value:g}"] = round(sum(right) / len(right), 3)
        return told

    def _drawn(self, numbers: Sequence[int], guidance: float | None = None) -> Tensor:
        """Pictures ``(n, 3, side, side)`` from -1 to 1; the n-th has seed n."""
        made = [
            _one(self.artist, load()[number].name, seed, guidance)
            for seed, number in enumerate(numbers)
        ]
        return _pixels(made)

    def _painted(self, scenes: Sequence[Scene]) -> list[Image.Image]:
        return [image(pixels) for pixels in self._paint(scenes)]

    def _picked(self, random: np.random.Generator) -> list[int]:
        drawn = [i for i, emoji in enumerate(load()) if emoji.drawn]
        picked: list[int] = random.permutation(drawn)[: self.count].tolist()
        return picked


def _said(
    told: Sequence[bool | None], right: Sequence[bool], names: tuple[str, str]
) -> dict[str, Share]:
    """How often yes and no were said of what is right, and of what is not, under these names."""
    return {
        f"{name}: {said}": share([t is answer for t, r in zip(told, right, strict=True) if r is ok])
        for name, ok in zip(names, (True, False), strict=True)
        for said, answer in (("yes", True), ("no", False))
        if ok in right
    }


def _one(artist: ImageModel, words: str, seed: int, guidance: float | None = None) -> Image.Image:
    request = ImageRequest(words, seed=seed, guidance=guidance)
    return artist.generate(request, lambda done, steps, preview: None).image


def _pixels(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures ``(n, 3, side, side)`` from -1 to 1."""
    pixels = np.stack([np.asarray(each.convert("RGB")) for each in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


def _group(answer: str) -> str:
    """Of the thing that an answer names; of the first one where it names two."""
    known = {emoji.name: group for emoji, (group, _) in zip(load(), groups(), strict=True)}
    return known.get(answer, known.get(answer.partition(" and ")[0], "none"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, draw, measure, print, write ``janus.json`` and ``janus.png``."""
    parts = ("naming", "shows", "checking", "pairs", "drawing", "guidance")
    evaluated(__doc__, arguments, Evaluation, parts, {}, "janus.json")


if __name__ == "__main__":
    main()
