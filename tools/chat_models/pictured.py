"""LangChain messages as a chat template wants them, with their pictures decoded.

Only bytes that came with a message are decoded: a URL or a path in one is refused, whoever wrote
it. Knows no model.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image

from ...errors import SourceError, UserError
from ..calling import Format, as_text
from ..media import decode_image

__all__ = ["Conversation", "conversation_of"]

_ROLES = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant"}
_LONGEST_SIDES = 100
"""A longer side than so many shorter ones is filled up with white: the families' own resizing
fails at 200."""


@dataclass(slots=True)
class Conversation:
    """What a model is asked.

    Attributes:
        turns: ``role`` and ``content`` of each; content is a list of parts.
        pictures: RGB, in the order in which the turns hold them.
    """

    turns: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)

    def with_pictures(self, pictures: Sequence[Image.Image]) -> list[dict[str, Any]]:
        """The turns with other pictures in the places of theirs."""
        left = iter(pictures)
        return [
            turn
            | {
                "content": [
                    part | {"image": next(left)} if part["type"] == "image" else part
                    for part in turn["content"]
                ]
            }
            for turn in self.turns
        ]


def conversation_of(
    messages: Sequence[BaseMessage], calls: Format = "hermes", instructions: str = ""
) -> Conversation:
    """Messages with text and picture blocks, in any order; several pictures are counted.

    Args:
        messages: of LangChain; picture blocks hold base64 (``{"type": "image", "base64": …}``) or
            a data URL (``{"type": "image_url", "image_url": {"url": "data:…"}}``).
        calls: how the model writes function calls, and is told of their results.
        instructions: how to use tools; put at the end of the system's text.

    Raises:
        SourceError: a picture cannot be decoded.
        UserError: a block of another kind, or a picture that would have to be fetched.
    """
    made = Conversation()
    if instructions:
        messages = _instructed(messages, instructions)
    blocks = [_blocks(message, calls) for message in messages]
    counted = sum(_is_picture(block) for some in blocks for block in some) > 1
    for message, some in zip(messages, blocks, strict=True):
        parts: list[dict[str, Any]] = []
        for block in some:
            if _is_picture(block):
                made.pictures.append(_decoded(block, len(made.pictures) + 1))
                if counted:
                    parts.append({"type": "text", "text": f"Picture {len(made.pictures)}: "})
                parts.append({"type": "image"})
            else:
                parts.append({"type": "text", "text": _text(block)})
        _append(made.turns, _role(message, calls), parts)
    return made


def _instructed(messages: Sequence[BaseMessage], instructions: str) -> list[BaseMessage]:
    """The messages with the instructions in the system's text, added where there is none."""
    first, *rest = messages
    if not isinstance(first, SystemMessage):
        return [SystemMessage(instructions), *messages]
    return [SystemMessage(f"{first.text}\n\n{instructions}"), *rest]


def _append(turns: list[dict[str, Any]], role: str, parts: list[dict[str, Any]]) -> None:
    """Add a turn; what goes on in the turn before, as calls and their results do, joins it."""
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += [{"type": "text", "text": "\n"}, *parts]
    else:
        turns.append({"role": role, "content": parts})


def _blocks(message: BaseMessage, calls: Format) -> list[Any]:
    blocks = [message.content] if isinstance(message.content, str) else list(message.content)
    calling = isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls)
    if isinstance(message, ToolMessage) or calling:
        assert isinstance(message, AIMessage | ToolMessage)
        return [as_text(message, calls), *filter(_is_picture, blocks)]
    return blocks


def _role(message: BaseMessage, calls: Format) -> str:
    if isinstance(message, ToolMessage):
        return "assistant" if calls == "qwen_agent" else "user"
    for kind, role in _ROLES.items():
        if isinstance(message, kind):
            return role
    raise UserError(f"a message of kind {message.type!r} is not understood")


def _is_picture(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in ("image", "image_url")


def _text(block: Any) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, dict) and block.get("type") == "text":
        return str(block.get("text", ""))
    kind = block.get("type") if isinstance(block, dict) else type(block).__name__
    raise UserError(f"a block of kind {kind!r} is not understood", "give text and pictures")


def _decoded(block: dict[str, Any], number: int) -> Image.Image:
    name = f"picture {number}"
    data = block.get("base64") or block.get("data")
    if block["type"] == "image_url":
        url = block["image_url"]
        url = str(url.get("url", "") if isinstance(url, dict) else url)
        head, comma, data = url.partition(",")
        if not (head.startswith("data:") and head.endswith(";base64") and comma):
            data = None
    if not isinstance(data, str):
        raise UserError(f"{name}: only pictures that come with the message are read", "no URLs")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceError(f"{name}: not base64 ({error})") from None
    return _filled_up(decode_image(raw, name))


def _filled_up(picture: Image.Image) -> Image.Image:
    """A very long or high picture with white at its right or below; its pixels keep their place."""
    width, height = picture.size
    size = (max(width, -(-height // _LONGEST_SIDES)), max(height, -(-width // _LONGEST_SIDES)))
    if size == picture.size:
        return picture
    whole = Image.new("RGB", size, "white")
    whole.paste(picture)
    return whole
