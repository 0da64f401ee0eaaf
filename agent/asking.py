"""Small questions to a chat model that reads: what a follow-up means, what answers, what shows.

A model that quotes is not asked. One that rambles has said nothing: the turn goes on with what is
known without it. One that fails ends the turn, as it would when it came to write the draft.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from langchain_core.messages import HumanMessage
from PIL import Image

from ..errors import LimnerError, ModelError
from ..prompts import prompt
from ..tools.media import png_bytes
from .state import Exchange
from .workbench import Workbench

__all__ = ["answers", "shows", "standalone"]

_LONGEST = 300  # characters of a question that is worded anew
_EXCERPT = 500  # characters of an earlier answer
_EXCHANGES = 3
_TOKENS = 96


def standalone(question: str, history: Sequence[Exchange], work: Workbench) -> str:
    """A follow-up as it is understood without the conversation; empty where nothing came of it."""
    if not history:
        return ""
    earlier = [
        {"question": e.question, "answer": e.answer[:_EXCERPT]} for e in history[-_EXCHANGES:]
    ]
    said = _said(prompt("standalone", history=earlier, question=question), None, work)
    line = said.strip().strip('"“”').strip()
    return line if "\n" not in line and 0 < len(line) <= _LONGEST else ""


def answers(question: str, passages: str, work: Workbench) -> bool | None:
    """Whether passages, as a prompt shows them, answer a question; None where it cannot tell."""
    return _yes_or_no(prompt("answers", passages=passages, question=question), None, work)


def shows(words: str, image: Image.Image, work: Workbench) -> bool | None:
    """Whether a picture shows what words say; None where the model cannot tell."""
    return _yes_or_no(prompt("shows", words=words), image, work)


def _yes_or_no(text: str, image: Image.Image | None, work: Workbench) -> bool | None:
    said = _said(text, image, work).strip().lower().rstrip(".!")
    return {"yes": True, "no": False}.get(said)


def _said(text: str, image: Image.Image | None, work: Workbench) -> str:
    if not work.reads:
        return ""
    content: list[str | dict[str, str]] = [{"type": "text", "text": text}]
    if image is not None:
        data = base64.b64encode(png_bytes(image)).decode("ascii")
        content.append({"type": "image", "base64": data, "mime_type": "image/png"})
    try:
        model = work.chat_model.bind(max_tokens=_TOKENS)
        return str(model.invoke([HumanMessage(content)]).text)
    except LimnerError:
        raise
    except Exception as error:  # whatever a chat model raises, the turn ends in one typed error
        raise ModelError(f"the chat model failed: {type(error).__name__}: {error}") from error
