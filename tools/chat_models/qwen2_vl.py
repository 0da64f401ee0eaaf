"""Qwen2-VL, and any other image-text-to-text model of transformers, as a LangChain chat model.

The model runs in this process. Inputs come from `processing`, tokens become text in `decoding`;
here is what lies between: ``generate``, one question or many at a time, with the keys of the
beginning that two questions share kept from one to the next.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from pydantic import PrivateAttr

from ...errors import LimnerError, ModelError, QuestionError
from ..model_files import fingerprint
from .decoding import Row, in_background
from .families import Family, family_of
from .pictured import Conversation, conversation_of
from .processing import Prepared, Preparer

__all__ = ["Qwen2VL"]

_SHARED = 32  # tokens; a shorter common beginning is not worth keeping
_GROUNDING = (
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<|quad_start|>", "<|quad_end|>"),
)


class Qwen2VL(BaseChatModel):
    """A chat model that reads text and pictures, on this machine. Made by ``load``.

    Attributes:
        model_name: the folder's name or the hub's.
        max_tokens: of an answer, at the most.
        temperature: 0 takes the likeliest token each time (greedy).
        top_p: with a temperature, the share of the likeliest tokens to draw from.
        seed: of the drawing; None draws anew each time.
        image_tokens: for all pictures of a question together; they share them fairly.
        stop: words before which every answer ends.

    Example:
        >>> model = Qwen2VL.load("Qwen/Qwen2-VL-2B-Instruct")
        >>> model.invoke("What is a limner?").text
    """

    model_name: str
    max_tokens: int = 1024
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    image_tokens: int = 4096
    stop: tuple[str, ...] = ()
    _engine: _Engine = PrivateAttr()

    @classmethod
    def load(
        cls, name: str, *, device: str = "", dtype: str = "", bits: int = 0, **settings: Any
    ) -> Self:
        """Load a model.

        Args:
            name: a folder, or a name on the hub that was downloaded before.
            device: ``cuda`` where there is one, else ``cpu``.
            dtype: ``bfloat16`` on a GPU, ``float32`` on a CPU.
            bits: 4 or 8 loads it smaller; needs a GPU and bitsandbytes.
            **settings: the class's attributes.

        Raises:
            ModelMissing: not there, or not in a form that is loaded.
            ModelError: it does not fit into the memory that is free, or its files are damaged.
        """
        engine = _Engine.load(name, device, dtype, bits)
        window = engine.window
        model = cls(model_name=name, **settings)
        model.profile = ModelProfile(
            max_input_tokens=window - model.max_tokens,
            max_output_tokens=model.max_tokens,
            image_inputs=True,
            tool_calling=True,
        )
        model._engine = engine
        return model

    @property
    def _llm_type(self) -> str:
        return self._engine.family.model_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model_name, "revision": self.revision, "seed": self.seed}

    @property
    def family(self) -> Family:
        """What is peculiar to its kind."""
        return self._engine.family

    @property
    def revision(self) -> str:
        """The hub's commit, or twelve digits made of the files."""
        return self._engine.revision

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Tokens of a question with its pictures, counted by preparing it."""
        return self._prepared([conversation_of(messages)]).tokens[0]

    def _prepared(self, conversations: Sequence[Conversation]) -> Prepared:
        preparer = self._engine.preparer
        limits = [preparer.limit(c, self.image_tokens) for c in conversations]
        return preparer.prepare(conversations, max(limits))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        prepared = self._prepared([conversation_of(messages)])
        row = self._row(stop)

        def work(put: Callable[[str], None], stopped: Callable[[], bool]) -> None:
            self._engine.generate(
                prepared, [row], lambda _, text: put(text), stopped, self._sampling(kwargs)
            )

        for text in in_background(work):
            if text:
                chunk = ChatGenerationChunk(message=AIMessageChunk(content=text))
                if run_manager:
                    run_manager.on_llm_new_token(text, chunk=chunk)
                yield chunk
        yield ChatGenerationChunk(
            message=AIMessageChunk(content="", usage_metadata=_usage(prepared, 0, row.tokens))
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prepared = self._prepared([conversation_of(messages)])
        return self._answers(prepared, stop, kwargs)[0]

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer many questions, several in one pass of the model.

        Questions of like length go together; so many that with padding they keep to
        ``_Engine.BATCH_TOKENS``.

        Args:
            inputs: as for ``invoke``.
            config: for each, or for all; tags and callbacks are not told of a batch.
            return_exceptions: whether a question that fails gives its error in its place.
            **kwargs: the class's attributes, for this batch.
        """
        stop, found = kwargs.pop("stop", None), dict[int, Any]()
        asked: dict[int, Conversation] = {}
        for n, one in enumerate(inputs):
            try:
                asked[n] = conversation_of(self._convert_input(one).to_messages())
            except LimnerError as error:
                if not return_exceptions:
                    raise
                found[n] = error
        for group in self._groups(asked):
            try:
                prepared = self._prepared([asked[n] for n in group])
                results = self._answers(prepared, stop, kwargs)
                found |= {n: r.generations[0].message for n, r in zip(group, results, strict=True)}
            except LimnerError as error:
                if not return_exceptions:
                    raise
                found |= dict.fromkeys(group, error)
        return [found[n] for n in range(len(inputs))]

    def _groups(self, asked: dict[int, Conversation]) -> list[list[int]]:
        """Questions that go through the model together: of one picture size limit, by length."""
        preparer, most = self._engine.preparer, self._engine.BATCH_TOKENS
        keyed = []
        for n, conversation in asked.items():
            limit = preparer.limit(conversation, self.image_tokens)
            keyed.append((limit, preparer.prepare([conversation], limit).tokens[0], n))
        groups: list[list[int]] = []
        room, current = 0, None
        for limit, tokens, n in sorted(keyed, reverse=True):
            if limit != current or room < tokens:
                groups.append([])
                # The first of a group is the longest, so all are padded to it.
                current, room, width = limit, most, tokens
            groups[-1].append(n)
            room -= width
        return groups

    def _answers(
        self, prepared: Prepared, stop: Sequence[str] | None, kwargs: dict[str, Any]
    ) -> list[ChatResult]:
        rows = [self._row(stop) for _ in prepared.tokens]
        texts = [""] * len(rows)

        def put(number: int, text: str) -> None:
            texts[number] += text

        self._engine.generate(prepared, rows, put, lambda: False, self._sampling(kwargs))
        return [
            ChatResult(
                generations=[
                    ChatGeneration(
                        message=AIMessage(text, usage_metadata=_usage(prepared, n, row.tokens))
                    )
                ]
            )
            for n, (text, row) in enumerate(zip(texts, rows, strict=True))
        ]

    def _row(self, stop: Sequence[str] | None) -> Row:
        return Row(self._engine.text_of, [*self.stop, *(stop or ())])

    def _sampling(self, given: dict[str, Any]) -> Sampling:
        names = ("max_tokens", "temperature", "top_p", "seed")
        return Sampling(**{name: given.get(name, getattr(self, name)) for name in names})


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen; see `Qwen2VL`."""

    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None


def _usage(prepared: Prepared, number: int, output: int) -> UsageMetadata:
    tokens, seen = prepared.tokens[number], prepared.image_tokens[number]
    return UsageMetadata(
        input_tokens=tokens,
        output_tokens=output,
        total_tokens=tokens + output,
        input_token_details={"image": seen},  # type: ignore[typeddict-unknown-key]
    )


@dataclass
class _Engine:
    """A loaded model: one question, or one batch, at a time."""

    BATCH_TOKENS = 16_384

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
        import torch
        from transformers import AutoConfig
        from transformers.utils import logging

        from .loading import find_folder, load_model

        quiet: Callable[[], None] = logging.disable_progress_bar
        quiet()
        folder, revision = find_folder(name)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = dtype or ("float32" if device == "cpu" else "bfloat16")
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        family = family_of(config.model_type)
        model = load_model(folder, device, dtype, bits)
        takes = "mm_token_type_ids" in _parameters(model)
        preparer = Preparer(Path(folder), family, takes)
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
        if value.is_floating_point():
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
        """Keep the keys of a question up to its first picture."""
        from transformers import DynamicCache

        if type(cache) is not DynamicCache or any(cache.is_sliding):
            return
        picture = self.preparer.picture_token
        text = asked.index(picture) if picture in asked else len(asked)
        if text >= _SHARED:
            _crop(cache, text)
            self._known = (asked[:text], cache)


def _crop(cache: Any, tokens: int) -> None:
    """Keep the keys of the first tokens."""
    if (more := cache.get_seq_length() - tokens) > 0:
        cache.crop(-more)


def _parameters(model: Any) -> set[str]:
    import inspect

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
