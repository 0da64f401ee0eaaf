"""A chat model at work: ``generate``, one question or one batch at a time.

The keys of the beginning that a question shares with the one before it are kept. Knows tokens, and
nothing of messages.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ...errors import ModelError, QuestionError
from ..model_files import fingerprint
from .decoding import Row
from .families import Family, family_of
from .processing import Prepared, Preparer

__all__ = ["BATCH_TOKENS", "Engine", "Sampling"]

BATCH_TOKENS = 16_384
"""Tokens of the questions, padding counted, that go through the model together."""

_SHARED = 32  # tokens; a shorter common beginning is not worth keeping
_GROUNDING = (
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<|quad_start|>", "<|quad_end|>"),
)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; see `qwen2_vl.Qwen2VL`."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None


@dataclass
class Engine:
    """A loaded model. Made by ``load``.

    Attributes:
        model: of transformers.
        preparer: makes its inputs.
        family: what is peculiar to its kind.
        revision: the hub's commit, or twelve digits made of the files.
        window: tokens that it takes, the answer's among them.
    """

    model: Any
    preparer: Preparer
    family: Family
    revision: str
    window: int
    _ends: frozenset[int]
    _unsaid: frozenset[int]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: tuple[list[int], Any] = ([], None)

    @classmethod
    def load(cls, name: str, device: str, dtype: str, bits: int) -> Self:
        """See `qwen2_vl.Qwen2VL.load`."""
        import torch
        from transformers import AutoConfig
        from transformers.utils import logging

        from .loading import find_folder, load_model

        quiet: Callable[[], None] = logging.disable_progress_bar
        quiet()
        folder, revision = find_folder(name)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            family = family_of(config.model_type)
            preparer = Preparer(folder, family)
        except (OSError, ValueError, KeyError, TypeError) as error:
            words = str(error).strip().split("\n")[0][:200]
            raise ModelError(
                f"{folder}: its settings, tokenizer or image processor cannot be read ({words})",
                "download the model's files again",
            ) from error
        model = load_model(folder, device, dtype, bits)
        preparer.accepts_types = "mm_token_type_ids" in _parameters(model)
        ends = model.generation_config.eos_token_id
        said = preparer.tokenizer.convert_tokens_to_ids(list(_GROUNDING))
        return cls(
            model,
            preparer,
            family,
            revision or fingerprint(folder),
            int(config.get_text_config().max_position_embeddings),
            frozenset(ends if isinstance(ends, list) else [ends] if ends is not None else []),
            frozenset(preparer.tokenizer.all_special_ids) - frozenset(said),
        )

    def text_of(self, tokens: list[int]) -> str:
        """Tokens as text: without special ones but those that mark a place in a picture."""
        said = [token for token in tokens if token not in self._unsaid]
        return str(self.preparer.tokenizer.decode(said, clean_up_tokenization_spaces=False))

    def generate(
        self,
        prepared: Prepared,
        rows: Sequence[Row],
        put: Callable[[int, str], None],
        stopped: Callable[[], bool],
        sampling: Sampling,
    ) -> None:
        """Answer the questions of a batch.

        Args:
            prepared: their inputs.
            rows: take the tokens of each.
            put: is told a row's number and the text that is certain.
            stopped: asked after each token.
            sampling: how tokens are chosen.

        Raises:
            QuestionError: a question is longer than the model's window.
            ModelError: out of memory, or the model fails.
        """
        if (longest := max(prepared.tokens)) >= self.window:
            raise QuestionError(
                f"the question with its passages and pictures is {longest:,} tokens long; the "
                f"model takes {self.window - 1:,}",
                "attach fewer pictures, or ask more shortly",
            )
        try:
            with self._lock:
                self._generate(prepared, rows, put, stopped, sampling)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "memory" in str(error).lower():
                raise ModelError(
                    f"{self.family.name}: out of memory ({str(error)[:200]})",
                    "attach fewer pictures, or take a smaller model",
                ) from error
            raise ModelError(f"{self.family.name} failed: {str(error)[:300]}") from error
        for number, row in enumerate(rows):
            put(number, row.close())

    def _generate(
        self,
        prepared: Prepared,
        rows: Sequence[Row],
        put: Callable[[int, str], None],
        stopped: Callable[[], bool],
        sampling: Sampling,
    ) -> None:
        import torch

        def watch(ids: Any, scores: Any, **_: Any) -> Any:
            for number, (row, token) in enumerate(zip(rows, ids[:, -1].tolist(), strict=True)):
                put(number, row.feed(token, token in self._ends))
            done = stopped()
            return torch.tensor([done or row.ended for row in rows], device=ids.device)

        inputs = {name: self._placed(value) for name, value in prepared.inputs.items()}
        room = self.window - inputs["input_ids"].shape[1]
        inputs |= self._beginning(inputs, alone=len(rows) == 1)
        # transformers takes a question that goes on from known keys for the one before it.
        getattr(self.model, "model", self.model).rope_deltas = None
        with torch.inference_mode(), _seeded(sampling.seed, self.model.device):
            out = self.model.generate(
                **inputs,
                **_choice(sampling),
                max_new_tokens=min(sampling.max_tokens, room),
                stopping_criteria=[watch],
                return_dict_in_generate=True,
            )
        if len(rows) == 1:
            self._remember(inputs["input_ids"][0].tolist(), out.past_key_values)

    def _placed(self, value: Any) -> Any:
        if value.is_floating_point() and value.dim() > 1:  # seconds keep their precision
            return value.to(self.model.device, self.model.dtype)
        return value.to(self.model.device)

    def _beginning(self, inputs: dict[str, Any], alone: bool) -> dict[str, Any]:
        """The keys of what this question shares with the last one, if that is enough."""
        known, cache = self._known
        self._known = ([], None)  # generate changes it; whatever happens, it is not used twice
        if cache is None or not alone:
            return {}
        asked = inputs["input_ids"][0].tolist()
        shared = 0
        for a, b in zip(known, asked[:-1], strict=False):
            if a != b:
                break
            shared += 1
        if shared < _SHARED:
            return {}
        _crop(cache, shared)
        return {"past_key_values": cache}

    def _remember(self, asked: list[int], cache: Any) -> None:
        """Keep the keys of a question up to its first picture or video."""
        from transformers import DynamicCache

        if type(cache) is not DynamicCache or any(cache.is_sliding):
            return
        shown = (self.preparer.picture_token, self.preparer.video_token)
        text = next((n for n, token in enumerate(asked) if token in shown), len(asked))
        if text >= _SHARED:
            _crop(cache, text)
            self._known = (asked[:text], cache)


def _crop(cache: Any, tokens: int) -> None:
    """Keep the keys of the first tokens."""
    if (more := cache.get_seq_length() - tokens) > 0:
        cache.crop(-more)


def _parameters(model: Any) -> set[str]:
    return set(inspect.signature(model.forward).parameters)


def _choice(sampling: Sampling) -> dict[str, Any]:
    if sampling.temperature <= 0:
        return {"do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50}
    return {
        "do_sample": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": 0,
    }


@contextlib.contextmanager
def _seeded(seed: int | None, device: Any) -> Iterator[None]:
    """Draw from a seed, and leave the drawing of others as it was."""
    import torch

    if seed is None:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
