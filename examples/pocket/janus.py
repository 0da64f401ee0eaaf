"""The small Janus: one language model that draws pictures as tokens and reads pictures.

    python examples/pocket/janus.py --out demo/pocket --total 60

Half of a step's samples are drawn: a caption, then the 64 tokens that `janus_vq` makes of its
picture; one caption in ten says nothing, for guidance. The other half are read: a picture with
four questions, which share its tokens and do not see each other, so that each is laid out as if it
were asked alone. Only picture tokens and answers are learnt. Needs the trained autoencoder of
`janus_vq` and the eyes of `janus_eyes`; what is exported is transformers' own folder in half
precision.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from limner.examples.pocket.emoji import Split
from limner.examples.pocket.janus_drawn import Drawings
from limner.examples.pocket.janus_eyes import WIDTH, Eyes, EyesStage, seen, started, vision, whole
from limner.examples.pocket.janus_folder import NAMING, Layout, write_words
from limner.examples.pocket.janus_questions import Questions, named
from limner.examples.pocket.janus_vq import PATCH, tokens_of
from limner.examples.pocket.latents import Pool
from limner.examples.pocket.render import Renderer
from limner.examples.pocket.scenes import Scene, Scenes
from limner.examples.pocket.training import Plan, Stage, in_turn, parser, train
from limner.prompts import prompt

__all__ = ["LARGEST", "JanusStage", "Read", "laid_out", "small_janus"]

LARGEST = 18_000_000
"""Bytes that the folder may have."""

_PROMPT = 64  # tokens of a caption's turn at the most; the longest have 31
_CLOSING = 4  # tokens after a caption: its turn's end, the answer's beginning, the picture's
_DROPPED = 0.1  # of captions, for classifier-free guidance
_NOWHERE = -100  # in the place of a target
_SHARES, _JITTER = (0.62, 0.18, 0.20), 0.0  # of drawn scenes: names come first, always the same
_SEED = 9_000_000
_SEEN = 0.5  # weight of naming from the eyes alone
_EYES = 0.1  # learning rate of the eyes, which have learnt, over that of the rest


def small_janus(layout: Layout, vq: Any, eyes: Eyes, size: int) -> Any:
    """A fresh one around a trained autoencoder, which stays as it is, and eyes, which learn on.

    Args:
        layout: of its words.
        vq: transformers' ``JanusVQVAE``.
        eyes: become its own.
        size: side of a picture in pixels.
    """
    from transformers import JanusConfig, JanusForConditionalGeneration

    marks = {f"{n}_id": layout.tokens[n] for n in ("bos_token", "eos_token", "pad_token")}
    coder = vq.config.to_dict() | {"projection_dim": WIDTH, "image_token_embed_dim": WIDTH}
    coder.pop("_name_or_path", None)  # where it was trained is nobody's matter
    make: Any = JanusConfig
    config = make(
        text_config={
            "model_type": "llama", "vocab_size": len(layout), "hidden_size": WIDTH,
            "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4,
            "num_key_value_heads": 2, "max_position_embeddings": 1024,
            "initializer_range": WIDTH**-0.5, "tie_word_embeddings": True, **marks,
        },
        vision_config=vision(size),
        vq_config=coder,
        image_token_id=layout.tokens["image_token"],
        tie_word_embeddings=True,
    )  # fmt: skip
    model: Any = JanusForConditionalGeneration(config)
    _begin(model, vq, eyes)
    own = model.generation_config
    for name, value in marks.items():
        setattr(own, name, value)
    own._from_model_config = False  # else what is not known to it is dropped
    own.guidance_scale = 5
    own.generation_kwargs = {"boi_token_id": layout.tokens["boi_token"]}
    return model


@torch.no_grad()
def _begin(model: Any, vq: Any, eyes: Eyes) -> None:
    """What is trained already, codes as embeddings, and layers that let signals through."""
    own = model.model
    own.vqmodel.load_state_dict(vq.state_dict())
    own.vqmodel.requires_grad_(False)
    own.generation_embeddings.weight.copy_(vq.quantize.embedding.weight)
    own.vision_model, own.aligner = eyes.tower, eyes.aligner
    for part in (own.generation_aligner, own.generation_head):
        started(part)


class _Learner(nn.Module):
    """The model, and a map from what its eyes see to names, which is not kept."""

    def __init__(self, janus: Any, names: nn.Linear) -> None:
        super().__init__()
        self.janus, self.names = janus, names


class _Coder(nn.Module):
    """The autoencoder as `Pool` asks it: tokens in the place of latents.

    The pool keeps half precision, in which numbers up to 2,048 are exact.
    """

    def __init__(self, vq: Any) -> None:
        super().__init__()
        if vq.config.num_embeddings > 2048:
            raise SystemExit("more than 2,048 codes do not fit into the pool")
        self.vq = vq

    def encode(self, pictures: Tensor) -> SimpleNamespace:
        mean = tokens_of(self.vq, pictures).float()
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean))


@dataclass(frozen=True)
class Read:
    """Questions with their answers, as the model takes them in training after a picture.

    Attributes:
        ids: int64 ``(questions, tokens)``, padded at their ends.
        targets: at the tokens that an answer's tokens follow: these; else -100.
        first: whether a target is its answer's first token, bool.
    """

    ids: Tensor
    targets: Tensor
    first: Tensor


def laid_out(questions: Sequence[list[int]], answers: Sequence[list[int]], pad: int) -> Read:
    """Lay questions and answers out, both as ids.

    Args:
        questions: what follows a picture, up to where the answer begins.
        answers: with their ends, which are written and never read.
        pad: the token after the last.
    """
    told = [[*q, *a[:-1]] for q, a in zip(questions, answers, strict=True)]
    shape = len(told), max(map(len, told))
    ids, targets = torch.full(shape, pad), torch.full(shape, _NOWHERE)
    first = torch.zeros(shape, dtype=torch.bool)
    for row, (tokens, answer) in enumerate(zip(told, answers, strict=True)):
        begin = len(tokens) - len(answer)
        ids[row, : len(tokens)] = torch.tensor(tokens)
        targets[row, begin : len(tokens)] = torch.tensor(answer)
        first[row, begin] = True
    return Read(ids, targets, first)


class JanusStage(Stage):
    """Cross-entropy of the next token: of pictures, of names, of yes and no.

    Args:
        plan: see `Plan`; the folders of `janus_vq` and `janus_eyes` are in ``plan.out``.
        shard: samples in a shard of the pool of drawn scenes.
    """

    name = "janus"
    decay = 0.9985

    def __init__(self, plan: Plan, shard: int = 4096) -> None:
        from transformers.models.janus.modeling_janus import JanusVQVAE

        torch.manual_seed(plan.seed)
        self._plan, split = plan, Split(plan.seed)
        self._words = plan.out / self.name / "words"
        with in_turn(plan):
            if not (self._words / "chat_template.jinja").exists():  # it is written last
                write_words(self._words, split, plan.size, (plan.size // PATCH) ** 2)
        self._layout = Layout(self._words)
        kind: Any = JanusVQVAE
        vq = kind.from_pretrained(plan.out / "janus_vq" / "model").eval()
        eyes = Eyes.found(plan.size, plan.out / EyesStage.name)
        janus = small_janus(self._layout, vq, eyes, plan.size)
        self.model: Any = _Learner(janus, eyes.names).to(plan.device)
        if plan.device == "cpu":  # the fused kernels are slow backwards in bfloat16
            self.model.janus.set_attn_implementation("eager")
        self._renderer = Renderer(plan.size, plan.out, plan.device)
        self._drawings = Drawings.found(plan.out)
        self._scenes = Scenes(split)
        self._questions = Questions(self._scenes)
        self._pool = Pool(
            Scenes(split, _JITTER, shares=_SHARES),
            self._renderer,
            _Coder(vq.to(plan.device)),
            self._prompts,
            plan.out / self.name / f"pool-{plan.rank}",
            plan.seed + 1_000 * plan.rank,
            shard,
            reuse=4,
        )

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """See `Stage.groups`."""
        own = self.model.janus.model
        eyes = [*own.vision_model.parameters(), *own.aligner.parameters()]
        eyes += self.model.names.parameters()
        known = {id(parameter) for parameter in eyes}
        others = [p for p in self.model.parameters() if id(p) not in known]
        return [{"params": others, "rate": rate}, {"params": eyes, "rate": _EYES * rate}]

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """See `Stage.loss`."""
        drawn = self._draw(step)
        names, yes, from_eyes, right = self._read(step)
        figures = {"drawn": drawn, "names": names, "yes or no": yes, "seen": from_eyes}
        told = {name: float(value.detach()) for name, value in figures.items()}
        return drawn + names + yes + _SEEN * from_eyes, told | {"right": right}

    # ── Drawing ──────────────────────────────────────────────────────────────────────────────

    def _prompts(self, captions: Sequence[str]) -> Tensor:
        """Captions' turns, int64 ``(n, 64)``, with -1 after their ends."""
        made = torch.full((len(captions), _PROMPT), -1)
        for row, ids in zip(made, self._layout.drawing(captions), strict=True):
            if len(ids) > _PROMPT:  # the caption's end goes, the turn's stays
                ids = [*ids[: _PROMPT - _CLOSING], *ids[-_CLOSING:]]
            row[: len(ids)] = torch.tensor(ids)
        return made

    def drawing(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """What is drawn in a step.

        Returns:
            Turns int64 ``(n, 64)``, padded, some of them blank; their lengths ``(n,)``; the
            pictures' tokens ``(n, tokens)``.
        """
        plan, count = self._plan, self._plan.batch // 2
        tokens, ids = self._pool.batch(step // plan.ranks, count)
        random = torch.Generator().manual_seed(_SEED + plan.seed * 1_000_003 + step)
        dropped = (torch.rand(count, generator=random) < _DROPPED).to(ids.device)
        lengths = (ids >= 0).sum(1)
        places = torch.arange(_PROMPT, device=ids.device)
        inner = (places > 0) & (places < lengths[:, None] - 1)
        blank = (ids < 0) | (inner & dropped[:, None])
        return ids.masked_fill(blank, self._layout.tokens["pad_token"]), lengths, tokens.long()

    def _draw(self, step: int) -> Tensor:
        """Cross-entropy of pictures' tokens."""
        model = self.model.janus
        turns, lengths, tokens = self.drawing(step)
        count = tokens.shape[1]
        longest = int(lengths.max()) + count - 1
        ids = F.pad(turns, (0, max(0, longest - turns.shape[1])),
                    value=self._layout.tokens["pad_token"])[:, :longest]  # fmt: skip
        embedded = model.get_input_embeddings()(ids)
        painted = model.prepare_embeddings_for_image_generation(tokens[:, :-1])
        rows = torch.arange(len(ids), device=ids.device)[:, None]
        after = lengths[:, None] + torch.arange(count - 1, device=ids.device)
        embedded = embedded.index_put((rows, after), painted.to(embedded.dtype))
        # What follows a picture is padding, which nothing before it sees: no mask is needed.
        out = model.model.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        places = lengths[:, None] - 1 + torch.arange(count, device=ids.device)
        logits = model.model.generation_head(out[rows, places])
        return F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten())

    # ── Reading ──────────────────────────────────────────────────────────────────────────────

    def reading(self, step: int) -> tuple[list[Scene], list[list[tuple[str, str]]]]:
        """What is read in a step: scenes, and of each four questions with their answers.

        The first asks for a name; then one is answered by yes, one by no, and one by either.
        """
        seed = _SEED + self._plan.seed
        scenes = self._scenes.batch(seed, step, self._plan.batch - self._plan.batch // 2)
        random = np.random.default_rng((seed, 13, step))
        return scenes, [self._asked(scene, random) for scene in scenes]

    def _asked(self, scene: Scene, random: np.random.Generator) -> list[tuple[str, str]]:
        asked = [(NAMING[int(random.integers(len(NAMING)))], named(scene))]
        for right in (True, False, random.random() < 0.5):
            choose = self._questions.shown if right else self._questions.missing
            asked.append((prompt("shows", words=choose(scene, random)), "yes" if right else "no"))
        return asked

    def laid_out(self, asked: Sequence[Sequence[tuple[str, str]]]) -> Read:
        """All questions and answers, in words, as `Read`."""
        told = [pair for row in asked for pair in row]
        return laid_out(
            self._layout.questions([question for question, _ in told]),
            self._layout.answers([answer for _, answer in told]),
            self._layout.tokens["pad_token"],
        )

    def answered(self, pictures: Tensor, read: Read) -> tuple[Tensor, Tensor]:
        """What the model says to questions about pictures, as many about each.

        A picture's tokens are computed once, and every question goes on from them by itself.

        Returns:
            States at all tokens of ``read.ids``, ``(questions, tokens, width)``; what the eyes
            say, ``(n, places, width)``.
        """
        model = self.model.janus.model
        before = torch.tensor([self._layout.before] * len(pictures), device=pictures.device)
        begun = model(input_ids=before, pixel_values=whole(pictures), use_cache=True)
        begun.past_key_values.batch_repeat_interleave(len(read.ids) // len(pictures))
        out = model.language_model(
            inputs_embeds=model.get_input_embeddings()(read.ids.to(pictures.device)),
            past_key_values=begun.past_key_values,
            use_cache=True,
        )
        looks = begun.image_hidden_states.unflatten(0, (len(pictures), -1))
        return out.last_hidden_state, looks

    def _read(self, step: int) -> tuple[Tensor, Tensor, Tensor, float]:
        """Cross-entropies of names, of yes and no, of names from the eyes; the share of right."""
        scenes, asked = self.reading(step)
        read = self.laid_out(asked)
        random = np.random.default_rng((_SEED + self._plan.seed, 17, step))
        pictures = self._drawings.instead(scenes, self._renderer(scenes), random)
        states, looks = self.answered(pictures, read)
        there = read.targets != _NOWHERE
        logits = self.model.janus.lm_head(states[there.to(states.device)]).float()
        targets = read.targets[there].to(logits.device)
        each = F.cross_entropy(logits, targets, reduction="none")
        deciding = torch.arange(len(read.ids)) % len(asked[0]) > 0  # the first asks for a name
        deciding = (deciding[:, None] & read.first)[there].to(logits.device)
        right = (logits[deciding].argmax(1) == targets[deciding]).float().mean()
        from_eyes = seen(self.model.names, looks, scenes)
        return each[~deciding].mean(), each[deciding].mean(), from_eyes, float(right)

    # ── What is shipped ──────────────────────────────────────────────────────────────────────

    @torch.no_grad()
    def export(self, folder: Path) -> None:
        """Transformers' folder in half precision.

        Raises:
            SystemExit: it is larger than may be shipped.
        """
        half = folder / "model.tmp"
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(self._words, half)
        model = copy.deepcopy(self.model.janus).to("cpu", torch.float16)
        model.save_pretrained(half, max_shard_size="11MB")
        size = sum(path.stat().st_size for path in half.iterdir())
        if size > LARGEST:
            raise SystemExit(f"{size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}: {half}")
        shutil.rmtree(folder / "model", ignore_errors=True)
        half.rename(folder / "model")
        told = {"parameters": sum(p.numel() for p in model.parameters()), "bytes": size}
        (folder / "report.json").write_text(json.dumps(told, indent=1) + "\n")
        print("janus:", told, flush=True)


def main(arguments: Sequence[str] | None = None) -> bool:
    """Train, export; whether the plan is fulfilled."""
    plan = Plan.of(parser(__doc__, cpu_batch=32, gpu_batch=512, rate=9e-4).parse_args(arguments))
    return train(JanusStage(plan), plan)


if __name__ == "__main__":
    main()
