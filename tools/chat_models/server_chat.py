"""The chat model on a server: langchain-openai's, with deadlines, attempts and typed errors.

Import it late: it needs the extra ``[server]``. `limner.tools.chat_models.server.connect` makes
one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import httpx  # noqa: F401  the openai package looks for it while it reads; half loaded, it fails
import openai
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr, SecretStr

from ...errors import DeveloperError, LimnerError
from .server import trust
from .server_faults import (
    Fault,
    Place,
    cut_off,
    empty,
    fault_of,
    hung,
    silent,
    unaskable,
    unreadable,
)
from .silence import Watch

__all__ = ["Limits", "ServerChat"]

_CONNECT = 5.0
_SENT = {
    *("accept", "accept-encoding", "authorization", "connection", "content-length"),
    *("content-type", "host", "user-agent"),
    "x-stainless-raw-response",  # says nothing of the user; the openai package reads it back
}

_TOOLS = ("tools", "parallel_tool_calls")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how often a server is asked; see `limner.tools.chat_models.server.connect`."""

    timeout: float
    attempts: int
    backoff: float


class ServerChat(ChatOpenAI):
    """A chat model behind an OpenAI-compatible address.

    Pictures go out as data URLs; a message that holds an address in place of one is refused, and
    nothing is fetched. Proxies, redirects and the variables of other programs are not followed.
    What is streamed before a failure stays with the caller: the words are yielded, then it raises.
    Tools that the server refuses to be offered are left out from then on.

    Raises:
        ModelMissing: no server answers, or it has no such model.
        ModelError: the server refuses, fails, hangs, or breaks off.
        ModelOutputError: the answer is empty or cannot be read.
        DeveloperError: a message holds the address of a picture.
    """

    _place: Place = PrivateAttr()
    _limits: Limits = PrivateAttr()
    _now: threading.local = PrivateAttr(default_factory=threading.local)
    _counts: bool = PrivateAttr(default=True)
    _calls: bool = PrivateAttr(default=True)

    @classmethod
    def at(cls, base: str, model: str, key: str, limits: Limits) -> Self:
        """The model of a name at an address."""
        now = threading.local()

        def watched(response: Any) -> None:
            watch = getattr(now, "watch", None)
            if watch is not None:
                watch.over(response.extensions.get("network_stream"))

        def plain(request: Any) -> None:
            """The openai package adds headers from its own variables; they are not for here."""
            for name in set(request.headers) - _SENT:
                del request.headers[name]
            if not key:
                request.headers.pop("authorization", None)

        connect = min(_CONNECT, limits.timeout)
        patience = openai.Timeout(limits.timeout, connect=connect, pool=connect)
        options: dict[str, Any] = {"timeout": patience, "follow_redirects": False}
        options |= {"trust_env": False, "verify": trust()}
        made = cls(
            model=model,
            base_url=base,
            api_key=SecretStr(key or "none"),
            http_client=openai.DefaultHttpxClient(
                **options, event_hooks={"request": [plain], "response": [watched]}
            ),
            http_async_client=openai.DefaultAsyncHttpxClient(**options),
            timeout=patience,
            max_retries=0,
            stream_usage=True,
            use_responses_api=False,
            openai_proxy=None,
            profile=ModelProfile(tool_calling=True),  # offered to all; some refuse, see `_tried`
        )
        made._place, made._limits, made._now = Place(base, model, key), limits, now
        return made

    @property
    def _llm_type(self) -> str:
        return "limner-server"

    # One implementation: the asynchronous calls run the synchronous one in a worker thread.
    _astream = BaseChatModel._astream
    _agenerate = BaseChatModel._agenerate

    def _stream(
        self, messages: list[Any], *args: Any, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        return self._tried(
            messages, lambda watch: self._pieces(watch, messages, *args, **kwargs), _offers(kwargs)
        )

    def _generate(
        self,
        messages: list[Any],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Streamed too, so that a long answer is not taken for a silent server."""
        if "response_format" not in kwargs:
            return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

        def whole(watch: Watch) -> Iterator[ChatResult]:
            yield ChatOpenAI._generate(self, messages, stop, run_manager, **kwargs)

        return next(self._tried(messages, whole))

    def _tried(
        self, messages: list[Any], ask: Callable[[Watch], Iterator[T]], offers: bool = False
    ) -> Iterator[T]:
        """What an attempt gives; further attempts as long as nothing was given and it may help."""
        limits, attempt = self._limits, 0
        place = replace(self._place, pictures=any(map(_shows, messages)))
        ends = time.monotonic() + limits.timeout
        while True:
            attempt, begun = attempt + 1, False
            with Watch(ends, limits.timeout) as watch:
                self._now.watch = watch
                try:
                    for piece in ask(watch):
                        begun = True
                        watch.pause()
                        yield piece
                        watch.resume()
                    return
                except Exception as error:  # whatever the libraries raise becomes one typed error
                    fault = self._fault(error, watch, place)
                finally:
                    self._now.watch = None
            if self._counts and not begun and "stream_options" in fault.words:
                self._counts = False  # an older server, which does not know that option
                continue
            if self._calls and offers and not begun and fault.no_tools:
                self._calls = False  # it is not asked again whether it takes them
                continue
            wait = max(limits.backoff * 2 ** (attempt - 1), fault.wait)
            late = time.monotonic() + wait > ends
            if begun or late or not fault.again or attempt >= limits.attempts:
                raise fault.error  # outside of the handler: what it came from may hold the key
            time.sleep(wait)

    def _fault(self, error: Exception, watch: Watch, place: Place) -> Fault:
        if watch.cut and watch.heard:
            return Fault(silent(place, self._limits.timeout))
        if watch.cut:
            return Fault(hung(place, self._limits.timeout))
        if not (watch.answered or isinstance(error, LimnerError | openai.OpenAIError)):
            return Fault(unaskable(place, error))
        return fault_of(error, place, self._limits.timeout)

    def _pieces(self, watch: Watch, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        """One answer as it comes, checked for having words and an end."""
        usage: UsageMetadata | None = None
        said, reason, number = False, "", -1
        kwargs["stream_usage"] = self._counts
        if _offers(kwargs) and not self._calls:
            kwargs = {name: given for name, given in kwargs.items() if name not in _TOOLS}
        with closing(self._streamed(*args, **kwargs)) as chunks:
            for number, chunk in enumerate(chunks):
                message = chunk.message
                said = said or _says(message)
                if said or number:  # the first chunk may name the role long before the first word
                    watch.word()
                reason = (chunk.generation_info or {}).get("finish_reason") or reason
                if isinstance(message, AIMessageChunk) and message.usage_metadata:
                    usage, message.usage_metadata = message.usage_metadata, None
                yield chunk
        if number < 0 and not watch.cut:
            raise unreadable(self._place, "nothing of a stream in it")
        if watch.cut or not reason:
            raise cut_off(self._place, "its end is missing")
        if not said:
            raise empty(self._place, reason)
        if usage:  # once, as it stands at the end: some servers repeat a running count
            yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=usage))

    def _streamed(self, *args: Any, **kwargs: Any) -> Any:
        return super()._stream(*args, **kwargs)

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], *args: Any, **kwargs: Any
    ) -> ChatGenerationChunk | None:
        """Keeps the tokens of images, where the server tells them."""
        made = super()._convert_chunk_to_generation_chunk(chunk, *args, **kwargs)
        details = (chunk.get("usage") or {}).get("prompt_tokens_details") or {}
        images = details.get("image_tokens")
        usage = getattr(made and made.message, "usage_metadata", None)
        if usage and isinstance(images, int):
            usage["input_token_details"] = {**usage.get("input_token_details", {}), "image": images}
        return made

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        payload = super()._get_request_payload(input_, stop=stop, **kwargs)
        for message in payload["messages"]:
            message["content"] = _sendable(message.get("content"))
        payload["messages"] = _apart(payload["messages"])
        return payload


def _says(message: Any) -> bool:
    """Whether a chunk holds a word or a call of a tool."""
    called = getattr(message, "tool_call_chunks", None) or message.additional_kwargs
    return bool(message.text or called)


def _offers(kwargs: dict[str, Any]) -> bool:
    """Whether tools are offered that the model may also leave alone."""
    return bool(kwargs.get("tools")) and not kwargs.get("tool_choice")


def _apart(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the pictures of calls behind their results, as shown by the user.

    In the protocol the result of a call is words.
    """
    sent: list[dict[str, Any]] = []
    pictures: list[Any] = []
    for message in [*messages, {"role": ""}]:
        content = message.get("content")
        if message["role"] == "tool" and isinstance(content, list):
            pictures += [block for block in content if block.get("type") != "text"]
            texts = [str(block["text"]) for block in content if block.get("type") == "text"]
            message = {**message, "content": "\n".join(texts)}
        elif pictures and message["role"] != "tool":
            sent.append({"role": "user", "content": pictures})
            pictures = []
        sent.append(message)
    return sent[:-1]


def _shows(message: Any) -> bool:
    """Whether a message holds a picture."""
    content = getattr(message, "content", None)
    blocks = [block for block in content if isinstance(block, dict)] if content else []
    return any(block.get("type") in ("image", "image_url") for block in blocks)


def _sendable(content: Any) -> Any:
    """The content of a message, as it may go out: no addresses, and valid Unicode."""
    if isinstance(content, str):
        return content.encode("utf-8", "replace").decode("utf-8")
    if not isinstance(content, list):
        return content
    return [_sendable_block(block) for block in content]


def _sendable_block(block: Any) -> Any:
    if isinstance(block, str):
        return _sendable(block)
    if block.get("type") == "text":
        return {**block, "text": _sendable(block.get("text"))}
    inner = block.get(str(block.get("type")))
    address = inner.get("url") if isinstance(inner, dict) else inner
    if isinstance(address, str) and not address.startswith("data:"):
        raise DeveloperError(
            "a message holds the address of a picture; only pictures themselves are sent",
            'give it as {"type": "image", "base64": …, "mime_type": "image/png"}',
        )
    return block
