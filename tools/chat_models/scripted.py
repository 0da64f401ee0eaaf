"""A deterministic stand-in for tests: replies with what it was given. No model, no load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

__all__ = ["Scripted"]


class Scripted(BaseChatModel):
    """Gives its replies one after the other, then the last one again and again.

    Attributes:
        replies: drafts; a reply that is an exception is raised in its turn.
        piece: characters per streamed chunk.
        delay: seconds before each chunk.

    Example:
        >>> Scripted(replies=["Water boils at 100 °C. [1]"]).invoke("When?").text
        'Water boils at 100 °C. [1]'
    """

    replies: list[Any]
    piece: int = 7
    delay: float = 0.0
    _asked: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[list[BaseMessage]]:
        """The messages of every call so far."""
        return self._asked

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _reply(self, messages: list[BaseMessage]) -> str:
        self._asked.append(messages)
        reply = self.replies[min(len(self._asked), len(self.replies)) - 1]
        if isinstance(reply, BaseException):
            raise reply
        return str(reply)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = AIMessage(self._reply(messages))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self._reply(messages)
        for start in range(0, max(len(reply), 1), self.piece):
            time.sleep(self.delay)
            text = reply[start : start + self.piece]
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))
