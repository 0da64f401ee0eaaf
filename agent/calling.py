"""Tools that a chat model may use while it drafts: what is offered, and what a call comes to.

Whatever a model asks for is checked here: the tool must be one of those offered, its arguments
must fit, and one that acts runs only where the caller's ``approve`` says so. A call never raises;
what went wrong is told to the model. Knows no chat model.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from PIL import Image

from ..errors import UserError
from ..index.passage import Passage
from ..prompts import prompt
from ..tools.figures import crop
from ..tools.grounding import best_line
from ..tools.layout import entries
from ..tools.media import png_bytes
from ..tools.ocr import Line, read_lines
from ..tools.safety import drawing_refusal
from .state import Attachment
from .workbench import Workbench

__all__ = ["CALLS", "OFFERED", "ROUNDS", "Toolbox", "offered", "uses_tools"]

ROUNDS = 4
"""Times that a draft may be interrupted by calls; then the model is told to answer."""

CALLS = 12
"""Calls in a turn; further ones are refused."""

OFFERED = ("search_library", "zoom", "draw")
"""The names of our own tools."""

_FOUND = 4  # passages of a search
_MOST = 24  # passages in a turn
_LONGEST = 8_000  # characters of a caller's tool's result
_ZOOM = 1_200  # pixels of the longer side of what is looked at closely
_MARGIN = 24


def uses_tools(work: Workbench) -> bool:
    """Whether the chat model is offered tools: it says that it can, or the caller gave it some."""
    profile = work.chat_model.profile or {}
    return bool(work.tools) or bool(profile.get("tool_calling"))


def offered(label: str, passage: Passage) -> dict[str, Any]:
    """A passage as a prompt shows it, under its number."""
    return {
        "label": label,
        "text": passage.text,
        "context": passage.above,
        "modality": passage.modality,
        "source": passage.source,
        "page": passage.page,
        "place": passage.place,
        "score": passage.score,
        "pictured": passage.image is not None,
    }


class Toolbox:
    """The tools of one turn.

    Args:
        work: of the turn.
        passages: those that the model has been shown, in the order of their numbers.
        attachments: the pictures that came with the question.
    """

    def __init__(
        self, work: Workbench, passages: Sequence[Passage], attachments: Sequence[Attachment]
    ) -> None:
        self._work = work
        self._attachments = attachments
        self.passages = list(passages)
        self.tools: tuple[BaseTool, ...] = (*self._own(), *work.tools)
        self._by_name = {tool.name: tool for tool in self.tools}
        self._left = CALLS

    def answer(self, message: AIMessage, tell: Callable[[ToolCall], None]) -> list[ToolMessage]:
        """The results of every call in a message, malformed ones too.

        Args:
            message: what the model wrote.
            tell: is told of each call before it runs.
        """
        results = []
        for call in message.tool_calls:
            tell(call)
            content = self._result(call)
            results.append(ToolMessage(content, tool_call_id=call["id"] or "", name=call["name"]))
        return results + [_refused(call) for call in message.invalid_tool_calls]

    def _result(self, call: ToolCall) -> Any:
        tool = self._by_name.get(call["name"])
        if tool is None:
            return f"There is no tool {call['name']!r}. There are: {', '.join(self._by_name)}."
        if self._left <= 0:
            return "No more calls are possible. Answer with what you have."
        self._left -= 1
        acts = (tool.metadata or {}).get("acts", tool in self._work.tools)
        if acts and not self._allowed(call):
            return "The person did not allow this. Nothing was done."
        try:
            result = tool.invoke(call["args"])
        except Exception as error:  # a tool may raise whatever it likes; the turn goes on
            return f"{tool.name} failed: {str(error)[:500]}"
        return result if isinstance(result, list) else str(result)[:_LONGEST]

    def _allowed(self, call: ToolCall) -> bool:
        """Whether the caller said yes: not maybe, not a word, and not by breaking down."""
        try:
            return self._work.approve(call["name"], call["args"]) is True
        except Exception:
            return False

    # ── our own ──────────────────────────────────────────────────────────────────────────────

    def _own(self) -> list[BaseTool]:
        def search_library(query: str) -> str:
            """Search the user's library for passages in other words, one thing at a time."""
            return self._search(query)

        def zoom(picture: str, words: str) -> list[dict[str, Any]]:
            """Look closely at the place of a picture where some words stand.

            Args:
                picture: a1 for the first attached picture, or a passage's number.
                words: what is written there.
            """
            return self._zoom(picture, words)

        def draw(prompt: str) -> str:
            """Have a new picture drawn, where none at hand can serve."""
            return self._draw(prompt)

        functions: list[Callable[..., Any]] = [search_library, zoom]
        if self._work.image_model is not None:
            functions.append(draw)
        return [StructuredTool.from_function(f, parse_docstring=f is zoom) for f in functions]

    def _search(self, query: str) -> str:
        known = {passage.id: n for n, passage in enumerate(self.passages, 1)}
        shown = []
        for passage in self._work.library.search(query, k=_FOUND):
            if passage.id not in known and len(self.passages) < _MOST:
                self.passages.append(passage)
                known[passage.id] = len(self.passages)
            if passage.id in known:
                shown.append(offered(str(known[passage.id]), passage))
        return prompt("passages", passages=shown) if shown else "Nothing was found."

    def _zoom(self, label: str, words: str) -> list[dict[str, Any]]:
        image, lines = self._picture(label)
        line = best_line(words, lines)
        if line is None:
            raise UserError(f"“{words}” is not written on {label}; it says: {_said(lines)}")
        part = crop(image, line.box, _MARGIN + round(4 * (line.box[3] - line.box[1])))
        scale = min(4.0, _ZOOM / max(part.size))
        if scale > 1:
            size = (round(part.width * scale), round(part.height * scale))
            part = part.resize(size, Image.Resampling.LANCZOS)
        data = base64.b64encode(png_bytes(part)).decode("ascii")
        said = _said(entries(read_lines(part)))
        return [
            {"type": "text", "text": f"Around “{line.text}” it says: {said}"},
            {"type": "image", "base64": data, "mime_type": "image/png"},
        ]

    def _picture(self, label: str) -> tuple[Image.Image, Sequence[Line]]:
        number = int(label.removeprefix("a")) if label.removeprefix("a").isdecimal() else 0
        if label.startswith("a") and 0 < number <= len(self._attachments):
            attachment = self._attachments[number - 1]
            return self._work.media.open(attachment.media), attachment.lines
        if 0 < number <= len(self.passages) and (media := self.passages[number - 1].image):
            return self._work.media.open(media), self._work.library.lines(media)
        raise UserError(f"there is no picture {label!r}")

    def _draw(self, words: str) -> str:
        if rule := drawing_refusal(words):
            return rule.message
        line = " ".join(words.split()).replace("]]", "")
        return f"Put this alone on a line where the picture is to stand: [[draw: {line}]]"


def _said(lines: Sequence[Line]) -> str:
    return "; ".join(line.text for line in lines)[:2_000] or "nothing"


def _refused(call: InvalidToolCall) -> ToolMessage:
    error = call.get("error") or "The call is malformed. Nothing was done. Write it again."
    name = call.get("name") or "unknown"
    return ToolMessage(error, tool_call_id=call.get("id") or "", name=name)
