"""Judge: a chat model that is asked for a verdict in a fixed form.

It is asked at temperature 0, where it has one. Where it, or the server behind it, can be held to a
form, it is; else the form is asked for in words. A reply that does not fit is answered once with
what is wrong with it. A judge that fails has said nothing, and its error says why. Knows no
metric.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from ....errors import LimnerError, ModelError, ModelOutputError
from ....prompts import prompt, read_file
from ...plain_text import shortened
from ...profiles import label_of
from .forms import Form, read
from .material import Block

__all__ = ["Judge", "Reply", "prompt_version"]

_SHARED = ("judge_material", "judge_reply", "judge_repair")
_NO_FORM = re.compile(
    r"response_?format|json_?schema|structured.?output|guided|grammar|\btools?\b|function.?call",
    re.IGNORECASE,
)
_LONGEST = 8_000  # characters of a reply that are kept

F = TypeVar("F", bound=Form)


@dataclass(frozen=True, slots=True)
class Reply(Generic[F]):
    """What came of asking a judge once.

    Attributes:
        verdict: None where none came.
        raw: its words, and where they did not fit, those it gave in their place.
        fault: why there is no verdict; empty where there is one.
        error: what kept the judge from saying anything; None where it did.
    """

    verdict: F | None
    raw: tuple[str, ...] = ()
    fault: str = ""
    error: LimnerError | None = None


class Judge:
    """A chat model that judges.

    Args:
        chat_model: any of LangChain's. One that only quotes gives no verdicts.
        label: what records call it; made from the model if left out.
    """

    def __init__(self, chat_model: BaseChatModel, label: str = "") -> None:
        self.label = label or label_of(chat_model)
        has = "temperature" in type(chat_model).model_fields
        self._model = chat_model.model_copy(update={"temperature": 0.0}) if has else chat_model
        self._holds = True  # until it shows that it cannot be held to a form

    def ask(self, template: str, content: Sequence[Block], form: type[F]) -> Reply[F]:
        """Ask for a verdict.

        Args:
            template: name of the prompt that says what is to be judged, and in which form.
            content: the material, see `material.blocks`.
            form: the same form.
        """
        messages = [SystemMessage(prompt(template)), HumanMessage(list(content))]
        raw: list[str] = []
        for _ in range(2):
            try:
                words, fault = self._said(messages, form), ""
            except ModelOutputError as error:  # it did answer, in a way that cannot be used
                words, fault = "", shortened(str(error), 300)
            except LimnerError as error:
                return Reply(None, tuple(raw), shortened(str(error), 300), error)
            raw.append(words[:_LONGEST])
            verdict, why = read(words, form)
            if verdict is not None:
                return Reply(verdict, tuple(raw))
            fault = fault or why
            repair = HumanMessage(prompt("judge_repair", fault=fault))
            messages = [*messages, AIMessage(words or "(nothing)"), repair]
        return Reply(None, tuple(raw), fault)

    def _said(self, messages: Sequence[BaseMessage], form: type[Form]) -> str:
        try:
            return self._held(messages, form) if self._holds else self._free(messages)
        except LimnerError:
            raise
        except Exception as error:  # whatever a chat model raises comes out as one typed error
            raise ModelError(f"the judge failed: {type(error).__name__}: {error}") from error

    def _held(self, messages: Sequence[BaseMessage], form: type[Form]) -> str:
        """The reply of a model that is held to the form; from the first refusal on, of a free one.

        The form goes out as a JSON schema, so that the words come back as they are.
        """
        try:
            asked = self._model.with_structured_output(form.model_json_schema(), include_raw=True)
            return _words(asked.invoke(list(messages)))
        except Exception as error:  # each library has a class of its own for "not here"
            if not (isinstance(error, NotImplementedError) or _NO_FORM.search(str(error))):
                raise
        self._holds = False
        return self._free(messages)

    def _free(self, messages: Sequence[BaseMessage]) -> str:
        return str(self._model.invoke(list(messages)).text)


def _words(found: Any) -> str:
    """What a model said that was held to a form: the arguments of a call, or its words."""
    message: AIMessage = found["raw"]
    if message.tool_calls:
        return json.dumps(message.tool_calls[0]["args"])
    return str(message.text)


def prompt_version(template: str) -> str:
    """Twelve digits of the SHA-256 of all that a judge is told beside the material."""
    told = "\x00".join(read_file(f"{name}.jinja") for name in (template, *_SHARED))
    return hashlib.sha256(told.encode()).hexdigest()[:12]
