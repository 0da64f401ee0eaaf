"""Qwen2-VL, and any other image-text-to-text model of transformers, as a LangChain chat model.

The model runs in this process (`engine`), inputs come from `processing`, tokens become text in
`decoding`, calls are split off in `calling`; here they are put together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from ...errors import DeveloperError, LimnerError, QuestionError
from ..calling import CallParser, Piece, stops, tools_prompt
from .decoding import Row, in_background
from .engine import BATCH_TOKENS, Engine, Sampling
from .families import Family
from .pictured import Conversation, conversation_of
from .processing import Prepared

__all__ = ["Qwen2VL"]


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
    _engine: Engine = PrivateAttr()

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
        engine = Engine.load(name, device, dtype, bits)
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

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools that it may call.

        Args:
            tools: LangChain tools, functions with docstrings, or schemas.
            tool_choice: ``any`` or a tool's name asks for a call; nothing forces one.
            **kwargs: the class's attributes.
        """
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=schemas, tool_choice=tool_choice, **kwargs)

    def fits(self, messages: list[BaseMessage], tools: Sequence[Any] = ()) -> bool:
        """Whether a question with its pictures leaves room for an answer in the window."""
        tokens = self.get_num_tokens_from_messages(messages, tools)
        return tokens + self.max_tokens <= self._engine.window

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of a text by the model's own tokenizer; markup in it stays text."""
        tokenizer = self._engine.preparer.tokenizer
        found = tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(found["input_ids"])

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Tokens of a question with its pictures, counted by preparing it."""
        return self._prepared([self._conversation(messages, {"tools": tools})]).tokens[0]

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
        prepared = self._prepared([self._conversation(messages, kwargs)])
        row, parser = self._row(stop, kwargs), self._parser(messages, kwargs)

        def work(put: Callable[[str], None], stopped: Callable[[], bool]) -> None:
            self._engine.generate(
                prepared, [row], lambda _, text: put(text), stopped, self._sampling(kwargs)
            )

        for text in in_background(work):
            for piece in parser.feed(text) if parser else [text] if text else []:
                yield _told(piece, run_manager)
        for piece in parser.close() if parser else []:
            yield _told(piece, run_manager)
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata=_usage(prepared, 0, row.tokens),
                response_metadata={"seen": [list(size) for size in prepared.seen]},
            )
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prepared = self._prepared([self._conversation(messages, kwargs)])
        return self._answers(prepared, [messages], stop, kwargs)[0]

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
        ``engine.BATCH_TOKENS``.

        Args:
            inputs: as for ``invoke``.
            config: for each, or for all; tags and callbacks are not told of a batch.
            return_exceptions: whether a question that fails gives its error in its place.
            **kwargs: the class's attributes, for this batch.
        """
        stop, found = kwargs.pop("stop", None), dict[int, Any]()
        asked: dict[int, Conversation] = {}
        messages = [self._convert_input(one).to_messages() for one in inputs]
        for n, one in enumerate(messages):
            try:
                asked[n] = self._conversation(one, kwargs)
            except LimnerError as error:
                if not return_exceptions:
                    raise
                found[n] = error
        for group in self._groups(asked):
            try:
                prepared = self._prepared([asked[n] for n in group])
                results = self._answers(prepared, [messages[n] for n in group], stop, kwargs)
                found |= {n: r.generations[0].message for n, r in zip(group, results, strict=True)}
            except LimnerError as error:
                if not return_exceptions:
                    raise
                found |= dict.fromkeys(group, error)
        return [found[n] for n in range(len(inputs))]

    def _groups(self, asked: dict[int, Conversation]) -> list[list[int]]:
        """Questions that go through the model together: of one picture size limit, by length."""
        preparer = self._engine.preparer
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
                current, room, width = limit, BATCH_TOKENS, tokens
            groups[-1].append(n)
            room -= width
        return groups

    def _answers(
        self,
        prepared: Prepared,
        questions: Sequence[list[BaseMessage]],
        stop: Sequence[str] | None,
        kwargs: dict[str, Any],
    ) -> list[ChatResult]:
        rows = [self._row(stop, kwargs) for _ in prepared.tokens]
        texts = [""] * len(rows)

        def put(number: int, text: str) -> None:
            texts[number] += text

        self._engine.generate(prepared, rows, put, lambda: False, self._sampling(kwargs))
        results = []
        for n, (text, row, messages) in enumerate(zip(texts, rows, questions, strict=True)):
            parser = self._parser(messages, kwargs)
            pieces = [*parser.feed(text), *parser.close()] if parser else [text]
            message = _message(pieces, _usage(prepared, n, row.tokens))
            results.append(ChatResult(generations=[ChatGeneration(message=message)]))
        return results

    def _conversation(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> Conversation:
        if not messages:
            raise QuestionError("there is no message to answer")
        told = tools_prompt(kwargs.get("tools") or (), self.family.calls)
        if told and (wanted := kwargs.get("tool_choice")):
            told += f"\nUse {wanted} now." if wanted != "any" else "\nUse one of them now."
        return conversation_of(messages, self.family.calls, told)

    def _row(self, stop: Sequence[str] | None, kwargs: dict[str, Any]) -> Row:
        words = [*self.stop, *(stop or ())]
        return Row(
            self._engine.text_of,
            [*words, *(stops(self.family.calls) if kwargs.get("tools") else ())],
        )

    def _parser(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> CallParser | None:
        """What splits words from calls; None where no tools are offered."""
        if not kwargs.get("tools"):
            return None
        before = [message for message in messages if isinstance(message, AIMessage)]
        count = sum(len(m.tool_calls) + len(m.invalid_tool_calls) for m in before)
        return CallParser(self.family.calls, count)

    def _sampling(self, given: dict[str, Any]) -> Sampling:
        names = ("max_tokens", "temperature", "top_p", "seed")
        if given.get("max_tokens", self.max_tokens) < 1:
            raise DeveloperError("max_tokens is below 1", "give at least 1")
        return Sampling(**{name: given.get(name, getattr(self, name)) for name in names})


def _told(piece: Piece, run_manager: CallbackManagerForLLMRun | None) -> ChatGenerationChunk:
    """A piece of a streamed answer: words or a call."""
    words = piece if isinstance(piece, str) else ""
    message = AIMessageChunk(content=words)
    if not isinstance(piece, str):
        # LangChain completes arguments that were cut off; those of a malformed call are not to be.
        wrong = piece["type"] == "invalid_tool_call"
        text = f"malformed: {piece['args']}" if wrong else json.dumps(piece["args"])
        call = tool_call_chunk(name=piece["name"], args=text, id=piece["id"], index=None)
        message = AIMessageChunk(content="", tool_call_chunks=[call])
    chunk = ChatGenerationChunk(message=message)
    if run_manager:
        run_manager.on_llm_new_token(words, chunk=chunk)
    return chunk


def _message(pieces: Sequence[Piece], usage: UsageMetadata) -> AIMessage:
    calls = [piece for piece in pieces if not isinstance(piece, str)]
    return AIMessage(
        "".join(piece for piece in pieces if isinstance(piece, str)),
        tool_calls=[call for call in calls if call["type"] == "tool_call"],
        invalid_tool_calls=[call for call in calls if call["type"] == "invalid_tool_call"],
        usage_metadata=usage,
    )


def _usage(prepared: Prepared, number: int, output: int) -> UsageMetadata:
    tokens, seen = prepared.tokens[number], prepared.image_tokens[number]
    return UsageMetadata(
        input_tokens=tokens,
        output_tokens=output,
        total_tokens=tokens + output,
        input_token_details={"image": seen},  # type: ignore[typeddict-unknown-key]
    )
