"""The answers that a model writes together, one token of each at a time.

Rows join between tokens and leave when they end; each has its own sampling and draws from its own
seed, so that an answer does not depend on its neighbours. A question is read by transformers'
``generate``, alone, going on from the keys of a beginning that was read before; the tokens after it
come from the model's ``forward``. Knows tensors, and neither texts nor threads.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .eyes import Looked, Seen, seen_in
from .keys import KeptKeys, Keys, can_be_joined, static_width
from .processing import Prepared

__all__ = ["Batch", "Decoding", "Sampling", "Written"]

Decoding = Literal["plain", "static", "compiled"]
"""How tokens after the first are computed: with a cache that grows; with one of fixed width; with
one of fixed width by a compiled model."""


_SIZES = 4  # of static caches that are held; a compiled model knows a cache by its place in memory


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; see `qwen2_vl.Qwen2VL`."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None

    def settings(self) -> dict[str, Any]:
        """As transformers' ``generate`` has them."""
        if self.temperature <= 0:
            return {"do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50}
        settings = {"temperature": self.temperature, "top_p": self.top_p, "top_k": 0}
        return {"do_sample": True, **settings}


class Written:
    """One answer in the batch.

    Attributes:
        ids: of the question and of what was said, ``(1, tokens)``.
    """

    def __init__(self, ids: Any, processors: Any, sampling: Sampling) -> None:
        import torch

        self.ids = ids
        self._processors = processors
        self._dice = None
        if sampling.temperature > 0:
            self._dice = torch.Generator(ids.device)
            if sampling.seed is None:
                self._dice.seed()
            else:
                self._dice.manual_seed(sampling.seed)

    def choose(self, logits: Any, likeliest: int) -> int:
        """The next token.

        Args:
            logits: ``(1, vocabulary)``.
            likeliest: the greatest of them.
        """
        import torch

        token = likeliest
        if self._processors or self._dice:
            scores = self._processors(self.ids, logits.float())
            token = int(scores.argmax(dim=-1))
            if self._dice:
                shares = scores.softmax(dim=-1)
                token = int(torch.multinomial(shares, 1, generator=self._dice))
        self.ids = torch.cat([self.ids, self.ids.new_tensor([[token]])], dim=1)
        return token


class Batch:
    """The rows of a model.

    Args:
        model: of transformers.
        known: whether its family is one whose caches and pictures were tried here; others are
            read as they are and written one at a time.
        tokens: by kind of picture, the token that stands for a piece of it.
        decoding: see `Decoding`.
    """

    def __init__(
        self, model: Any, known: bool, tokens: dict[str, int | None], decoding: Decoding
    ) -> None:
        self.rows: list[Written] = []
        self.looked = Looked(model)
        self.kept = KeptKeys()
        self._model = model
        self._known = known and "mm_encoder_outputs" in parameters(model)
        self._tokens = tokens
        self._fixed = decoding != "plain"
        self._static: dict[tuple[int, int], Any] = {}  # caches, by rows and width
        self._spare = 0  # rows that only fill a batch of fixed size
        self._state: dict[str, Any] = {}  # the arguments of the next forward
        self._laid: list[Written] = []  # the rows that these are of
        self._read: list[tuple[Written, Keys, Any]] = []  # rows to join, their keys and places
        self._forward: Callable[..., Any] = model
        if decoding == "compiled":
            from transformers import CompileConfig

            # "max-autotune" would try kernels for minutes; the graphs of "reduce-overhead" belong
            # to the thread that made them, and each answer may have another.
            self._forward = model.get_compiled_call(CompileConfig(mode="default"))

    @property
    def joinable(self) -> bool:
        """Whether another row may join."""
        return not self.rows or self._known

    @property
    def width(self) -> int:
        """Tokens of the longest row."""
        return max((row.ids.shape[1] for row in self.rows), default=0)

    def seen(self, prepared: Prepared) -> list[Seen]:
        """The pictures of a question, for ``join``; may run in any thread."""
        return seen_in(prepared.inputs, self._model, self._tokens) if self._known else []

    def join(
        self, prepared: Prepared, seen: Sequence[Seen], sampling: Sampling, room: int
    ) -> tuple[Written, int]:
        """Read a question.

        Args:
            prepared: one question.
            seen: its pictures.
            sampling: how its tokens are chosen.
            room: tokens that fit in the window after it.

        Returns:
            Its row, and the first token of the answer.
        """
        import torch

        inputs = {
            name: self._placed(value)
            for name, value in prepared.inputs.items()
            if not (self._known and name in ("pixel_values", "pixel_values_videos"))
        }
        ids = prepared.inputs["input_ids"][0].numpy()
        pictures = [(one.start, one.digest) for one in seen]
        done = self.kept.find(ids, pictures) if self._known else None
        read = done.width if done else 0
        with torch.inference_mode():
            if done:
                inputs["past_key_values"] = done.dynamic()
            if self._known:
                new = [one for one in seen if one.start >= read]
                inputs["mm_encoder_outputs"] = self.looked.at(new)
            tokens = min(sampling.max_tokens, room)
            processors, logits, state = self._question(
                inputs, max_new_tokens=tokens, **sampling.settings()
            )
            row = Written(inputs["input_ids"], processors, sampling)
            token = row.choose(logits, int(logits.argmax(dim=-1)))
        if self._known and can_be_joined(state["past_key_values"]):
            keys = Keys.of(state["past_key_values"], [len(ids)])
            self.kept.keep(ids, pictures, keys)
            self._read.append((row, keys, state["position_ids"][..., -1:]))
        else:
            self._known, self._state, self._laid = False, state, [row]
        self.rows.append(row)
        return row, token

    def _question(self, inputs: dict[str, Any], **settings: Any) -> tuple[Any, Any, dict[str, Any]]:
        """What follows from a question: how to weigh its tokens, the first's logits, the state."""

        def reading(
            model: Any,
            input_ids: Any,
            logits_processor: Any,
            stopping_criteria: Any,
            generation_config: Any,
            **state: Any,
        ) -> tuple[Any, Any, dict[str, Any]]:
            out = model._prefill(input_ids, generation_config, state)
            state = model._update_model_kwargs_for_generation(out, state)
            return logits_processor, out.logits[:, -1], state

        # transformers takes a question that goes on from known keys for the one before it.
        getattr(self._model, "model", self._model).rope_deltas = None
        found: tuple[Any, Any, dict[str, Any]] = self._model.generate(
            **inputs, **settings, custom_generate=reading
        )
        return found

    def leave(self, row: Written) -> None:
        """Drop a row."""
        self.rows.remove(row)
        if not self.rows:
            self.clear()

    def clear(self) -> None:
        """Drop all rows."""
        self.rows, self._laid, self._read, self._state = [], [], [], {}

    def step(self) -> list[int]:
        """One more token of each row, in their order."""
        import torch

        with torch.inference_mode():
            full = self._fixed and self._laid and self.width > static_width(self.width - 2)
            if self._read or len(self._laid) != len(self.rows) or full:
                self._lay_out()
            logits = self._logits()
            likeliest = logits.argmax(dim=-1).tolist()
            return [row.choose(logits[n : n + 1], likeliest[n]) for n, row in enumerate(self.rows)]

    def _lay_out(self) -> None:
        """Put the rows that stay and those that join side by side."""
        import torch

        blocks, places = [], []
        if stay := [n for n, row in enumerate(self._laid) if row in self.rows]:
            # The last token of each was chosen, and not read yet.
            lengths = [row.ids.shape[1] - 1 for row in self._laid]
            held = self._state["past_key_values"]
            blocks.append(Keys.of(held, [*lengths, *lengths[-1:] * self._spare]).rows(stay))
            places.append(self._state["position_ids"][..., stay, -1:])
        for row, keys, place in self._read:
            if row in self.rows:
                blocks.append(keys)
                places.append(place)
        keys = Keys.joined(blocks) if len(blocks) > 1 else blocks[0]
        self._laid, self._read = list(self.rows), []
        if self._fixed:
            self._spare = 2 ** (len(self.rows) - 1).bit_length() - len(self.rows)
            every = [*range(len(self.rows)), *[len(self.rows) - 1] * self._spare]
            keys, places = keys.rows(every), [torch.cat(places, dim=-2)[..., every, :]]
        self._state = {
            "past_key_values": self._fixed_cache(keys) if self._fixed else keys.dynamic(),
            "attention_mask": keys.mask(1, always=self._fixed),
            "position_ids": torch.cat(places, dim=-2),
            "use_cache": True,
        }

    def _fixed_cache(self, keys: Keys) -> Any:
        """A static cache that holds these keys; those of the last sizes are used again."""
        size = (len(keys.lengths), static_width(keys.width))
        cache = keys.static(self._model.config, self._static.pop(size, None))
        self._static[size] = cache
        if len(self._static) > _SIZES:
            del self._static[next(iter(self._static))]
        return cache

    def _logits(self) -> Any:
        """Those of each row's next token, spare rows' at the end."""
        import torch

        rows = [*self._laid, *self._laid[-1:] * self._spare]
        # Models that were not tried may look at more than the last token.
        ids = torch.cat([row.ids[:, -1:] for row in rows]) if self._known else rows[0].ids
        inputs = self._model.prepare_inputs_for_generation(
            ids, next_sequence_length=1, **self._state
        )
        out = self._forward(**inputs, return_dict=True)
        self._state = self._model._update_model_kwargs_for_generation(out, self._state)
        return out.logits[:, -1]

    def _placed(self, value: Any) -> Any:
        if value.is_floating_point() and value.dim() > 1:  # seconds keep their precision
            return value.to(self._model.device, self._model.dtype)
        return value.to(self._model.device)


def parameters(model: Any) -> set[str]:
    """The names that a model's ``forward`` takes."""
    return set(inspect.signature(model.forward).parameters)
