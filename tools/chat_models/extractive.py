"""Extractive: a chat model that answers by quoting. It invents no word.

Every sentence it writes stands in a passage or an attachment; it chooses, orders and cites. It
knows the draft's format (``[n]``, ``[[show n: …]]``, ``[[mark n: …]]``, ``[[draw: …]]``) and reads
the passages from the last message's ``additional_kwargs``; it knows nothing of libraries,
retrieval or pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from ..sentences import split_rows, split_sentences

__all__ = ["Extractive", "drawing_request", "quotable"]

_DRAW = re.compile(r"\s*(?:please\s+)?(?:draw|paint|illustrate)\b(?:\s+me\b)?\s*(.+)", re.I | re.S)


def drawing_request(question: str) -> str | None:
    """What a question asks to be drawn, or None where it asks for something else."""
    found = _DRAW.match(question)
    return found.group(1).strip().rstrip(".!?").strip() if found else None


def quotable(text: str, modality: str) -> list[str]:
    """What can be quoted from a passage: the rows of a screenshot, the sentences of all else."""
    return split_rows(text) if modality == "screenshot" else split_sentences(text)


@dataclass(frozen=True, slots=True)
class _Quote:
    text: str
    label: str
    score: float


class Extractive(BaseChatModel):
    """Answers with one to three verbatim sentences, each cited.

    Attributes:
        encoder: ``encode_query`` and ``encode_document``: ``list[str]`` -> float32 ``(n, d)``,
            L2-normalised.
    """

    encoder: Any

    @property
    def _llm_type(self) -> str:
        return "extractive"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {"model": "extractive"}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        pieces = self._draft(messages)
        usage = _usage(messages, pieces)
        message = AIMessage("".join(pieces), usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        pieces = self._draft(messages)
        for piece in pieces:
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        last = AIMessageChunk(content="", usage_metadata=_usage(messages, pieces))
        yield ChatGenerationChunk(message=last)

    def _draft(self, messages: Sequence[BaseMessage]) -> list[str]:
        asked = next(m for m in reversed(messages) if isinstance(m, HumanMessage))
        question = str(asked.additional_kwargs.get("question") or asked.text)
        wish = drawing_request(question)
        if wish:
            return [f"[[draw: {wish}]]"]
        passages = asked.additional_kwargs.get("passages", [])
        queries = asked.additional_kwargs.get("queries", [])
        quotes = self._quotes([question, *queries], passages[:5])
        return [f"{' ' if n else ''}{q.text} [{q.label}]" for n, q in enumerate(quotes)]

    def _quotes(self, questions: list[str], passages: Sequence[Mapping[str, Any]]) -> list[_Quote]:
        found = [(s, str(p["label"])) for p in passages for s in quotable(p["text"], p["modality"])]
        if not found:
            return []
        vectors = self.encoder.encode_document([text for text, _ in found])
        scores = np.max(self.encoder.encode_query(questions) @ vectors.T, axis=0)
        best = np.argsort(-scores, kind="stable")[:3]
        return [_Quote(found[i][0], found[i][1], float(scores[i])) for i in best]


def _usage(messages: Sequence[BaseMessage], pieces: Sequence[str]) -> UsageMetadata:
    read = sum(len(message.text.split()) for message in messages)
    written = len("".join(pieces).split())
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
