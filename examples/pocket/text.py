"""Two small CLIP text encoders that have learnt from MiniLM what words mean, and how things look.

    python examples/pocket/text.py --out demo/pocket --total 25

The pooled embedding of the second encoder is MiniLM's sentence embedding, and a linear map of both
encoders' token states (the layer that SDXL reads) is MiniLM's state of each word: so "puppy" lies
near "dog" though no picture was ever called so. From the same embedding, from the last state and
from that of a name's last word linear maps tell the latents of the picture that is named: what CLIP
learns of pictures, and what spares the U-Net, which costs ten times as much a sample, most of
learning names by heart. Of two things each is told where it is named.
Texts are training captions and general words; a general word stands for the picture whose caption
the teacher finds nearest, if near enough. Nobody but the teacher says what a word means that
`emoji.Split` keeps back. Needs the trained autoencoder.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.scenes import Scenes
from limner.examples.pocket.teacher import NEAR, WIDTH, Teacher, general_words, near_words
from limner.examples.pocket.tokens import TOKENS, small_tokenizer
from limner.examples.pocket.training import Plan, Stage, attention, in_turn, parser, train

__all__ = ["Reader", "TextStage", "encoded", "encoders", "ending", "pictured"]

_CODES = 256
"""Directions in which pictures differ most; they hold 94 % of the variance of their latents."""
_WEIGHTS = {"pooled": 1.0, "sentence": 1.0, "state": 1.0, "between": 20.0, "look": 2.0}
_FAR = 0.3  # how often a word that is near no picture is read, against one that is
_NONE = -1  # in place of a picture's number
_SEED = 3_000_000


def encoders(tokens: int, end: int) -> tuple[Any, Any]:
    """Two fresh encoders, as SDXL has them: 96 and 160 dimensions, the second with a projection.

    Args:
        tokens: in the vocabulary.
        end: the token that ends a text, whose state is the pooled embedding.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    def config(width: int, layers: int) -> Any:
        return CLIPTextConfig(
            vocab_size=tokens, hidden_size=width, intermediate_size=4 * width,
            num_hidden_layers=layers, num_attention_heads=width // 32,
            max_position_embeddings=TOKENS, projection_dim=WIDTH, hidden_act="gelu",
            bos_token_id=end - 1, eos_token_id=end, pad_token_id=end,
        )  # fmt: skip

    return CLIPTextModel(config(96, 2)), CLIPTextModelWithProjection(config(160, 3))


def encoded(one: nn.Module, two: nn.Module, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Token states ``(n, TOKENS, 256)`` and pooled embeddings ``(n, 384)``, as SDXL takes them."""
    first = one(ids, output_hidden_states=True)
    second = two(ids, output_hidden_states=True)
    states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
    return states, second.text_embeds


class Reader(nn.Module):
    """Both encoders, and maps to the teacher's word states and to pictures, which are not kept."""

    def __init__(self, tokens: int, end: int) -> None:
        super().__init__()
        one, two = encoders(tokens, end)
        self.one, self.two = one, two
        self.words = nn.Linear(96 + 160, WIDTH)
        looks = [nn.Linear(96 + 160, _CODES), nn.Linear(WIDTH, _CODES)]
        for look in looks:  # at random they would be eighty times as wrong as no guess
            nn.init.zeros_(look.weight)
            nn.init.zeros_(look.bias)
        self.looks = nn.ModuleList(looks)

    @torch.no_grad()
    def start_from(self, numbers: Sequence[int], meanings: Tensor) -> None:
        """Let tokens that are words begin as what the teacher takes them for.

        Args:
            numbers: of tokens.
            meanings: the teacher's embedding of each, ``(n, 384)``.
        """
        meanings = meanings - meanings.mean(0)
        for encoder in (self.one, self.two):
            table = encoder.get_input_embeddings().weight
            torch.manual_seed(_SEED)
            main = torch.pca_lowrank(meanings, table.shape[1], center=False)[2]
            found = meanings @ main
            table[list(numbers)] = (found * table.std() / found.std()).to(table)


@torch.no_grad()
def pictured(out: Path, size: int) -> Tensor:
    """How each picture of the font looks: its latents' main components, ``(n, 256)``.

    Scaled so that guessing the mean of all costs one.
    """
    import diffusers

    from limner.examples.pocket.render import references

    kind: Any = diffusers.AutoencoderKL
    vae = kind.from_pretrained(out / "vae" / "model").eval()
    parts = torch.split(references(size, out), 64)
    latents = torch.cat([vae.encode(part).latent_dist.mean.flatten(1) for part in parts])
    drawn = torch.tensor([emoji.drawn for emoji in load()])
    latents -= latents[drawn].mean(0)
    torch.manual_seed(_SEED)
    codes: Tensor = latents @ torch.pca_lowrank(latents[drawn], _CODES, center=False)[2]
    return codes / codes[drawn].square().sum(1).mean().sqrt()


def _only(numbers: frozenset[int]) -> int:
    return next(iter(numbers)) if len(numbers) == 1 else _NONE


def ending(words: Sequence[str], names: Sequence[str]) -> int:
    """The place of the last word of a name in a text, the longest name first; -1 for none."""
    for name in sorted(names, key=len, reverse=True):
        parts = name.replace(",", " ,").split()
        for at in range(len(words) - len(parts) + 1):
            last = at + len(parts) - 1
            if words[at:last] == parts[:-1] and words[last] in (parts[-1], f"{parts[-1]}s"):
                return last
    return -1


class TextStage(Stage):
    """Distance to the teacher: of sentences, of words, and between sentences."""

    name = "text"

    def __init__(self, plan: Plan, captions: int = 40_000, words: int = 20_000) -> None:
        torch.manual_seed(plan.seed)
        self._split = Split(plan.seed)
        self._teacher = Teacher(plan.device)
        general = general_words()[:words]
        with in_turn(plan):
            near = self._near(plan.out / self.name / "near.txt", general)
            folder = plan.out / self.name / "tokenizer"
            if not (folder / "tokenizer_config.json").exists():
                small_tokenizer(self._split, near).save_pretrained(folder)
        self.tokenizer = _read_tokenizer(folder)
        self.model: Any = Reader(len(self.tokenizer), self.tokenizer.eos_token_id).to(plan.device)
        self._scenes = Scenes(self._split)
        order = np.random.default_rng(_SEED).permutation(len(general))
        self._kept = [general[i] for i in order[:300] if len(general[i]) > 3]
        self._words = sorted({*general, *near[: 2 * words]} - set(self._kept))
        self._articled = sorted(set(near[: 2 * words]) - set(self._kept))
        self._plan = plan
        told = self._corpus(captions)
        self._texts = [text.replace(",", " ,").split() for text, _ in told]
        self._spots = [self._named(*row) for row in zip(self._texts, told, strict=True)]
        with in_turn(plan):
            self._taught = self._asked()
        owners = torch.tensor([_only(numbers) for _, numbers in told])
        self._captions = np.flatnonzero([bool(numbers) for _, numbers in told])
        self._others = np.flatnonzero([not numbers for _, numbers in told])
        self._owners = self._with_the_teachers(owners)
        often = np.where(self._owners[self._others].numpy() == _NONE, _FAR, 1.0)
        self._often = often / often.sum()
        self._codes = pictured(plan.out, plan.size).to(plan.device)
        self.model.start_from(*self._whole_words())

    def _near(self, path: Path, general: Sequence[str]) -> list[str]:
        """Words near a picture's name by the teacher, kept in a file."""
        if not path.exists():
            names = [word for emoji in load() if emoji.drawn
                     for word in (emoji.name, *self._split.words(emoji))]  # fmt: skip
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(near_words(self._teacher, names, general)), "utf-8")
        return path.read_text("utf-8").split()

    def _corpus(self, captions: int) -> list[tuple[str, frozenset[int]]]:
        """Captions, names, keywords, with the pictures they name; words, alone and in pairs."""
        random = np.random.default_rng((_SEED, self._plan.seed))
        scenes = self._scenes.batch(_SEED + self._plan.seed, 0, captions)
        told = [(scene.captions[0], frozenset(o.number for o in scene.objects)) for scene in scenes]
        for number, emoji in enumerate(load()):
            owner = frozenset({number} if emoji.drawn else ())
            told += [(word, owner) for word in (emoji.name, *self._split.words(emoji))]
        told += [(word, frozenset()) for word in self._words]
        told += [(f"{'an' if word[0] in 'aeiou' else 'a'} {word}", frozenset())
                 for word in self._articled]  # fmt: skip
        for a, b in random.choice(self._words, (len(self._words) // 4, 2)):
            told.append((f"{'a ' if random.random() < 0.5 else ''}{a} {b}", frozenset()))
        return told

    def _named(self, words: list[str], told: tuple[str, frozenset[int]]) -> list[tuple[int, int]]:
        """Where each picture's name ends in a text, and the picture."""
        called = {n: (load()[n].name, *self._split.words(load()[n])) for n in told[1]}
        found = ((ending(words, names), number) for number, names in sorted(called.items()))
        return [(at, number) for at, number in found if at >= 0]

    def _with_the_teachers(self, owners: Tensor) -> Tensor:
        """Owners; of general words that of the caption or name that the teacher finds nearest."""
        sentences = self._taught["sentences"].float()
        known, asked = ((owners >= 0).nonzero()[:, 0], torch.from_numpy(self._others))
        found = owners.clone()
        for part in torch.split(asked, 1024):
            alike, nearest = (sentences[part] @ sentences[known].T).max(1)
            found[part] = torch.where(alike >= NEAR, owners[known[nearest]], _NONE)
        return found

    def _whole_words(self) -> tuple[list[int], Tensor]:
        """Tokens that are words of their own, and the teacher's embeddings of them."""
        found = {
            token.removesuffix("</w>"): number
            for token, number in self.tokenizer.get_vocab().items()
            if re.fullmatch(r"[a-z]{2,}</w>", token)
        } | {w: n for w, n in self.tokenizer.get_added_vocab().items() if w.isalpha()}
        words = sorted(found)
        parts = [self._teacher([[word] for word in words[at : at + 256]])[0]
                 for at in range(0, len(words), 256)]  # fmt: skip
        return [found[word] for word in words], torch.cat(parts).cpu()

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        random = np.random.default_rng((_SEED + self._plan.seed, step))
        captions = random.choice(self._captions, 3 * self._plan.batch // 8)
        # Words are short, and there are more of them; with captions they would be padded.
        others = random.choice(self._others, 2 * self._plan.batch, p=self._often)
        parts = [self._apart(rows) for rows in (captions, others)]
        loss = sum(sum(_WEIGHTS[what] * value for what, value in part.items()) for part in parts)
        figures = {
            f"{what} {kind}": float(part[what].detach())
            for kind, part in zip(("told", "words"), parts, strict=True)
            for what in ("sentence", "state", "look")
        }
        return cast("Tensor", loss) / 2, figures

    def _apart(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """How far texts are from the teacher's, by `_WEIGHTS`' names, and from pictures."""
        wanted, of_words = self._answers(rows)
        ids, ends = self._read([self._texts[row] for row in rows])
        with attention():
            states, pooled = encoded(self.model.one, self.model.two, ids)
        pooled = pooled.float()
        texts = torch.tensor([row for row, places in enumerate(ends) for _ in places])
        places = torch.tensor([place for found in ends for place in found])
        targets = torch.cat([w[: len(e)] for w, e in zip(of_words, ends, strict=True)])
        mapped = self.model.words(states[texts, places]).float()
        made = F.normalize(pooled, dim=-1)
        return {
            "pooled": (pooled - math.sqrt(WIDTH) * wanted).square().mean(),
            "sentence": 1 - F.cosine_similarity(pooled, wanted).mean(),
            "state": 1 - F.cosine_similarity(mapped, targets).mean(),
            "between": (made @ made.T - wanted @ wanted.T).square().mean(),
            "look": self._unlike(rows, ends, states, made),
        }

    def _unlike(
        self, rows: Any, ends: Sequence[Sequence[int]], states: Tensor, pooled: Tensor
    ) -> Tensor:
        """How far from the named pictures' codes the two maps lead; 2 where both know nothing."""
        owners = self._owners[torch.from_numpy(rows)]
        single = (owners >= 0).nonzero()[:, 0]
        spots = [(row, ends[row][at], number) for row, of in enumerate(rows)
                 for at, number in self._spots[of] if at < len(ends[row])]  # fmt: skip
        spots += [(row, (ends[row] or [0])[-1] + 1, int(owners[row])) for row in single.tolist()]
        texts, places, numbers = torch.tensor(spots, dtype=torch.long).reshape(-1, 3).T
        told = self.model.looks[0](states[texts, places]).float() - self._codes[numbers]
        whole = self.model.looks[1](math.sqrt(WIDTH) * pooled[single]).float()
        whole -= self._codes[owners[single]]
        return sum((part.square().sum() / max(1, len(part)) for part in (told, whole)),
                   start=torch.zeros(()))  # fmt: skip

    def _asked(self) -> dict[str, Tensor]:
        """The teacher's answers to all texts, asked once and kept on disk in half precision."""
        told = repr((self._texts, self._plan.dtype)).encode()
        path = self._plan.out / self.name / f"teacher-{hashlib.sha256(told).hexdigest()[:8]}"
        path = path.with_suffix(".safetensors")
        if not path.exists():
            print(f"text: the teacher reads {len(self._texts)} texts", flush=True)
            sentences, words = [], []
            # Texts of one length together: nothing is padded.
            order = sorted(range(len(self._texts)), key=lambda row: len(self._texts[row]))
            for at in range(0, len(order), 256):
                part = [self._texts[row] for row in order[at : at + 256]]
                pooled, states = self._teacher(part)
                sentences.append(pooled.half().cpu())
                words += [state.half().cpu() for state in states]
            back = torch.tensor(order).argsort()
            made = {
                "sentences": torch.cat(sentences)[back],
                "words": torch.cat([words[row] for row in back.tolist()]),
            }
            save_file(made, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)
        lengths = torch.tensor([0, *(len(text) for text in self._texts)])
        return load_file(path) | {"starts": lengths.cumsum(0)}

    def _answers(self, rows: Any) -> tuple[Tensor, list[Tensor]]:
        """Of texts: the sentence ``(n, 384)``, the state of each word ``(k, 384)``."""
        kept, device = self._taught, self._plan.device
        starts = kept["starts"].tolist()
        sentences = kept["sentences"][torch.from_numpy(rows)].float().to(device)
        words = [kept["words"][starts[row] : starts[row + 1]].float().to(device) for row in rows]
        return sentences, words

    def _read(self, texts: Sequence[Sequence[str]]) -> tuple[Tensor, list[list[int]]]:
        """Ids, and the place of the last token of each word that is read."""
        ids, ends = [], []
        end = self.tokenizer.eos_token_id
        for words in texts:
            row, places = [self.tokenizer.bos_token_id], []
            for word in words:
                pieces = self._pieces(word)
                if len(row) + len(pieces) >= TOKENS:
                    break
                row += pieces
                places.append(len(row) - 1)
            ids.append([*row, end])
            ends.append(places)
        # Later tokens change no earlier state: only as much padding as the batch needs.
        longest = max(map(len, ids))
        ids = [row + [end] * (longest - len(row)) for row in ids]
        return torch.tensor(ids, device=self._plan.device), ends

    def _pieces(self, word: str) -> list[int]:
        if word not in self._seen:
            self._seen[word] = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        return self._seen[word]

    _seen: dict[str, list[int]] = {}  # noqa: RUF012 - a cache of a function of the word

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """Both encoders, and how well words that were kept back are placed."""
        self.model.one.save_pretrained(folder / "text_encoder")
        self.model.two.save_pretrained(folder / "text_encoder_2")
        told = {"parameters": [sum(p.numel() for p in m.parameters())
                               for m in (self.model.one, self.model.two)],
                "vocabulary": len(self.tokenizer), **self._agreement()}  # fmt: skip
        (folder / "report.json").write_text(json.dumps(told, indent=1) + "\n")
        print("text:", told, flush=True)

    def _agreement(self) -> dict[str, Any]:
        """For unseen words: the teacher's nearest name of a picture among the student's nearest."""
        drawn = [emoji.name for emoji in load() if emoji.drawn]
        synonyms = list(self._split.synonyms)
        made: dict[str, Any] = {}
        student, teacher = self._pooled(drawn)
        for what, words in (("words", self._kept), ("synonyms", synonyms)):
            ours, theirs = self._pooled(words)
            near = (theirs @ teacher.T).argmax(1, keepdim=True)
            best = (ours @ student.T).topk(5).indices
            made[f"nearest name of unseen {what}"] = {
                "same": round(float((best[:, :1] == near).float().mean()), 3),
                "among five": round(float((best == near).any(1).float().mean()), 3),
                "cosine": round(float((ours * theirs).sum(1).mean()), 3),
            }
            if what == "synonyms":
                meant = [{load()[i].name for i in self._split.synonyms[word]} for word in words]
                for who, order in (("teacher", (theirs @ teacher.T).topk(5).indices),
                                   ("student", best)):  # fmt: skip
                    hits = [[drawn[i] in m for i in row]
                            for row, m in zip(order.tolist(), meant, strict=True)]  # fmt: skip
                    made[f"{who}: nearest name is what is meant"] = [
                        round(sum(hit[0] for hit in hits) / len(hits), 3),
                        round(sum(any(hit) for hit in hits) / len(hits), 3),
                    ]
        return made

    def _pooled(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        words = [text.split() for text in texts]
        mine, theirs = [], []
        for at in range(0, len(words), 128):
            part = words[at : at + 128]
            pooled = encoded(self.model.one, self.model.two, self._read(part)[0])[1]
            mine.append(F.normalize(pooled.float(), dim=-1))
            theirs.append(self._teacher(part)[0])
        return torch.cat(mine), torch.cat(theirs)


def _read_tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)


def main(arguments: Sequence[str] | None = None) -> bool:
    """Train the tokenizer and both encoders, export, report; whether the plan is fulfilled."""
    plan = Plan.of(
        parser(__doc__, cpu_batch=128, gpu_batch=1024, rate=1.5e-3).parse_args(arguments)
    )
    return train(TextStage(plan), plan)


if __name__ == "__main__":
    main()
