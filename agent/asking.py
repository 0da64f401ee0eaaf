"""Small questions to a chat model that reads: what is meant, what answers, what a picture shows.

A model that quotes is not asked. One that rambles has said nothing: the turn goes on with what is
known without it. One that fails ends the turn, as it would when it came to write the draft.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from langchain_core.messages import AIMessage, HumanMessage
from PIL import Image

from ..errors import LimnerError, ModelError
from ..index.passage import Box
from ..prompts import prompt
from ..tools.coordinates import regions
from ..tools.media import png_bytes
from .state import Exchange
from .workbench import Workbench

__all__ = ["answers", "is_so", "picture_questions", "said_of", "seen_at", "shows", "standalone"]

_LONGEST = 300  # characters of a question that is worded anew
_EXCERPT = 500  # characters of an earlier answer
_EXCHANGES = 3
_TOKENS = 96
_QUESTIONS = 4  # about one picture
_LONGEST_QUESTION = 160  # characters
_MARK = re.compile(r"^(?:[-*•]|\(?\d{1,2}[.):])\s*")
_BOXES = 4


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


def picture_questions(words: str, work: Workbench) -> tuple[str, ...]:
    """Questions whose answer is yes where a picture shows what words say; none if none came."""
    lines = _said(prompt("picture_questions", words=words), None, work).splitlines()
    asked = (_MARK.sub("", line.strip()) for line in lines)
    asked = (line for line in asked if line.endswith("?") and len(line) <= _LONGEST_QUESTION)
    return tuple(dict.fromkeys(asked))[:_QUESTIONS]


def is_so(question: str, image: Image.Image, work: Workbench) -> bool | None:
    """The answer to a question about a picture; None where the model cannot tell."""
    return _yes_or_no(prompt("picture_question", question=question), image, work)


def seen_at(words: str, image: Image.Image, work: Workbench) -> tuple[Box, ...]:
    """Where the chat model sees something on a picture; none where it cannot point.

    Returns:
        Boxes in pixels of the picture.
    """
    family = getattr(work.chat_model, "family", None)
    if family is None:
        return ()
    message = _asked(prompt("picture_place", words=words), image, work, _TOKENS)
    seen = message.response_metadata.get("seen", []) if message else []
    text = str(message.text) if message else ""
    found = regions(text, family.model_type, image.size, seen[0] if seen else image.size)
    return tuple(region.box for region in found if region.box is not None)[:_BOXES]


def said_of(text: str, work: Workbench, tokens: int = _TOKENS) -> str:
    """What the chat model says to a prompt of our own; empty where it only quotes."""
    return _said(text, None, work, tokens)


def _yes_or_no(text: str, image: Image.Image | None, work: Workbench) -> bool | None:
    said = _said(text, image, work).strip().lower().rstrip(".!")
    return {"yes": True, "no": False}.get(said)


def _said(text: str, image: Image.Image | None, work: Workbench, tokens: int = _TOKENS) -> str:
    message = _asked(text, image, work, tokens)
    return str(message.text) if message else ""


def _asked(text: str, image: Image.Image | None, work: Workbench, tokens: int) -> AIMessage | None:
    if not work.reads:
        return None
    content: list[str | dict[str, str]] = [{"type": "text", "text": text}]
    if image is not None:
        data = base64.b64encode(png_bytes(image)).decode("ascii")
        content.append({"type": "image", "base64": data, "mime_type": "image/png"})
    try:
        model = work.chat_model.bind(max_tokens=tokens)
        return model.invoke([HumanMessage(content)])
    except LimnerError:
        raise
    except Exception as error:  # whatever a chat model raises, the turn ends in one typed error
        raise ModelError(f"the chat model failed: {type(error).__name__}: {error}") from error
