"""Qwen2-VL, and any other image-text-to-text model of transformers, as a LangChain chat model.

The model runs in this process (`engine`), inputs come from `processing`, tokens become text in
`decoding`, calls are split off in `calling`; here they are put together. `invoke`, `stream` and
`batch`, in any number of threads, share the passes of the model.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import ChatPromptValue, PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import run_in_executor
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr, ValidationError, field_validator

from ...errors import DeveloperError, LimnerError, QuestionError
from ..calling import CallParser, Piece, stops, tools_prompt
from .batch import Decoding, Sampling
from .engine import Asked, Engine
from .families import Family
from .options import (
    check_loading,
    check_names,
    check_room,
    check_values,
    formed_as_asked,
    stop_words,
    wanted_tool,
)
from .pictured import Conversation, conversation_of, kinds_given
from .processing import Prepared

__all__ = ["Qwen2VL"]

_SAMPLING = ("max_tokens", "temperature", "top_p", "seed")
_OPTIONS = (*_SAMPLING, "image_tokens")


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

    @field_validator("stop", mode="before")
    @classmethod
    def _one_word(cls, stop: Any) -> Any:
        return stop_words(stop)

    @classmethod
    def load(
        cls,
        name: str,
        *,
        device: str = "",
        dtype: str = "",
        bits: int = 0,
        decoding: Decoding | None = None,
        **settings: Any,
    ) -> Self:
        """Load a model.

        Args:
            name: a folder, or a name on the hub that was downloaded before.
            device: ``cuda`` where there is one, else ``cpu``.
            dtype: ``bfloat16`` on a GPU, ``float32`` on a CPU.
            bits: 4 or 8 loads it smaller; needs a GPU and bitsandbytes.
            decoding: see `batch.Decoding`; ``compiled`` on a GPU and ``plain`` on a CPU.
            **settings: the class's attributes.

        Raises:
            ModelMissing: not there, or not in a form that is loaded.
            ModelError: it does not fit into the memory that is free, or its files are damaged.
            DeveloperError: a setting that does not exist, or has another form.
        """
        check_names(settings, [field for field in cls.model_fields if field != "model_name"])
        check_values(settings)
        check_loading(device, dtype, bits, decoding)
        try:
            model = cls(model_name=name, **settings)
        except ValidationError as error:
            raise DeveloperError(f"a setting of the chat model: {error}") from error
        engine = Engine.load(name, device, dtype, bits, decoding)
        check_room(model.max_tokens, engine.window)
        model.profile = ModelProfile(
            max_input_tokens=engine.window - model.max_tokens,
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
        self,
        tools: Sequence[Any],
        *,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools that it may call.

        Args:
            tools: LangChain tools, functions with docstrings, or schemas.
            tool_choice: ``any`` or a tool's name asks for a call; nothing forces one.
            **kwargs: the class's attributes.

        Raises:
            DeveloperError: ``tool_choice`` names a tool that is not among them.
        """
        schemas = [convert_to_openai_tool(tool) for tool in tools]
        wanted_tool(tool_choice, schemas)
        return self.bind(tools=schemas, tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self, schema: Any, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """The model with answers of a certain form, see LangChain.

        Args:
            schema: the form, as a class of pydantic or a JSON schema.
            include_raw: whether the message is given along, and no error raised.
            **kwargs: LangChain's.

        Raises:
            ModelOutputError: when it is asked: the model answered in words instead.
        """
        formed = super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        return formed if include_raw else formed | formed_as_asked

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        """With a kind for each picture: LangChain asks for one, decoding finds it out itself."""
        given = super()._convert_input(model_input).to_messages()
        return ChatPromptValue(messages=list(map(kinds_given, given)))

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

    def _prepared(
        self, conversations: Sequence[Conversation], image_tokens: int | None = None
    ) -> Prepared:
        preparer, budget = self._engine.preparer, image_tokens or self.image_tokens
        limits = [preparer.limit(c, budget) for c in conversations]
        return preparer.prepare(conversations, max(limits))

    def _ask(
        self,
        messages: list[BaseMessage],
        stop: str | Sequence[str] | None,
        kwargs: dict[str, Any],
    ) -> Asked:
        """Put a question to the engine."""
        check_names(kwargs, _OPTIONS)
        check_values(kwargs)
        check_room(kwargs.get("max_tokens", 1), self._engine.window)
        sampling = self._sampling(kwargs)
        prepared = self._prepared(
            [self._conversation(messages, kwargs)], kwargs.get("image_tokens")
        )
        calls = stops(self.family.calls) if kwargs.get("tools") else ()
        return self._engine.ask(prepared, sampling, [*self.stop, *stop_words(stop), *calls])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        parser, asked = self._parser(messages, kwargs), self._ask(messages, stop, kwargs)
        called = False
        for text in self._engine.texts(asked):
            for piece in parser.feed(text) if parser else [text]:
                called |= not isinstance(piece, str)
                yield _told(piece, run_manager)
        for piece in parser.close() if parser else []:
            called |= not isinstance(piece, str)
            yield _told(piece, run_manager)
        last = AIMessageChunk(
            content="",
            usage_metadata=_usage(asked),
            response_metadata=self._metadata(asked, called),
        )
        yield ChatGenerationChunk(message=last)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._result(self._ask(messages, stop, kwargs), messages, kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """As ``_generate``, in a thread; the answer ends with the task that awaits it."""
        held, cancelled = list[Asked](), threading.Event()

        def answer() -> ChatResult:
            held.append(self._ask(messages, stop, kwargs))
            if cancelled.is_set():  # while the question was prepared
                self._engine.give_up(held)
            return self._result(held[0], messages, kwargs)

        try:
            return await run_in_executor(None, answer)
        except asyncio.CancelledError:
            cancelled.set()
            self._engine.give_up(held)
            raise

    def _result(
        self, asked: Asked, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> ChatResult:
        """The answer, waited for."""
        self._engine.wait([asked])
        answer = ChatGeneration(message=self._message(asked, messages, kwargs))
        return ChatResult(generations=[answer])

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer many questions, as many together as keep to ``engine.BATCH_TOKENS``.

        Args:
            inputs: as for ``invoke``.
            config: for each, or for all; tags and callbacks are not told of a batch.
            return_exceptions: whether a question that fails gives its error in its place.
            **kwargs: the class's attributes, for this batch.
        """
        stop, found = kwargs.pop("stop", None), dict[int, Any]()
        asked: dict[int, Asked] = {}
        messages = [self._convert_input(one).to_messages() for one in inputs]
        try:
            for n, one in enumerate(messages):
                try:
                    asked[n] = self._ask(one, stop, kwargs)
                except LimnerError as error:
                    if not return_exceptions:
                        raise
                    found[n] = error
            self._engine.wait(list(asked.values()))
        finally:
            self._engine.leave(list(asked.values()))
        for n, answered in asked.items():
            try:
                found[n] = self._message(answered, messages[n], kwargs)
            except LimnerError as error:
                if not return_exceptions:
                    raise
                found[n] = error
        return [found[n] for n in range(len(inputs))]

    def _message(
        self, asked: Asked, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> AIMessage:
        """The answer as a message; its error is raised."""
        if asked.error:
            raise asked.error
        text, parser = "".join(asked.texts), self._parser(messages, kwargs)
        pieces = [*parser.feed(text), *parser.close()] if parser else [text]
        calls = [piece for piece in pieces if not isinstance(piece, str)]
        return AIMessage(
            "".join(piece for piece in pieces if isinstance(piece, str)),
            tool_calls=[call for call in calls if call["type"] == "tool_call"],
            invalid_tool_calls=[call for call in calls if call["type"] == "invalid_tool_call"],
            usage_metadata=_usage(asked),
            response_metadata=self._metadata(asked, bool(calls)),
        )

    def _metadata(self, asked: Asked, called: bool) -> dict[str, Any]:
        """What LangChain's readers look for, and the sizes in which the pictures were seen."""
        return {
            "model_name": self.model_name,
            "finish_reason": "tool_calls" if called else asked.row.ended,
            "seen": [list(size) for size in asked.prepared.seen],
        }

    def _conversation(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> Conversation:
        if not messages:
            raise QuestionError("there is no message to answer")
        tools = kwargs.get("tools") or ()
        told = tools_prompt(tools, self.family.calls)
        wanted = wanted_tool(kwargs.get("tool_choice"), [convert_to_openai_tool(t) for t in tools])
        if told and wanted:
            told += f"\nUse {wanted} now." if wanted != "any" else "\nUse one of them now."
        return conversation_of(messages, self.family.calls, told)

    def _parser(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> CallParser | None:
        """What splits words from calls; None where no tools are offered."""
        if not kwargs.get("tools"):
            return None
        before = [message for message in messages if isinstance(message, AIMessage)]
        count = sum(len(m.tool_calls) + len(m.invalid_tool_calls) for m in before)
        return CallParser(self.family.calls, count)

    def _sampling(self, given: dict[str, Any]) -> Sampling:
        return Sampling(**{name: given.get(name, getattr(self, name)) for name in _SAMPLING})


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


def _usage(asked: Asked) -> UsageMetadata:
    (tokens,), (seen,) = asked.prepared.tokens, asked.prepared.image_tokens
    output = asked.row.tokens
    return UsageMetadata(
        input_tokens=tokens,
        output_tokens=output,
        total_tokens=tokens + output,
        input_token_details={"image": seen},  # type: ignore[typeddict-unknown-key]
    )
