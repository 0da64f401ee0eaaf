"""LangChain messages as a chat template wants them, with their pictures and videos decoded.

Only bytes that came with a message are decoded: a URL or a path in one is refused, whoever wrote
it. Knows no model.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image

from ...errors import SourceError, UserError
from ..calling import Format, as_text
from ..media import decode_image
from ..video import Video, clock, read_video, thinned

__all__ = ["Conversation", "conversation_of", "kinds_given"]

_ROLES = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant"}
_NAMES = {"image": "picture", "video": "video"}
_FORMS = (
    'known: {"type": "image", "base64": "…"} and '
    '{"type": "image_url", "image_url": {"url": "data:image/png;base64,…"}}; no addresses'
)
_LONGEST_SIDES = 100
"""A longer side than so many shorter ones is filled up with white: the families' own resizing
fails at 200."""


@dataclass(slots=True)
class Conversation:
    """What a model is asked.

    Attributes:
        turns: ``role`` and ``content`` of each; content is a list of parts, of which each of type
            ``image`` or ``video`` stands for the next picture or video.
        pictures: RGB, in the order in which the turns hold them.
        videos: in the order in which the turns hold them.
    """

    turns: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)
    videos: list[Video] = field(default_factory=list)

    def filled(self, videos: Sequence[Any]) -> list[dict[str, Any]]:
        """The turns with the pictures, and with what is given for the videos, in their places."""
        left = {"image": iter(self.pictures), "video": iter(videos)}
        return [
            turn
            | {
                "content": [
                    part | {kind: next(left[kind])} if (kind := part["type"]) in left else part
                    for part in turn["content"]
                ]
            }
            for turn in self.turns
        ]

    def in_pictures(self, most: int) -> Conversation:
        """The same for a model that reads no videos: their frames, each after its time.

        Args:
            most: frames of each video.
        """
        made = Conversation()
        pictures, videos = iter(self.pictures), iter(self.videos)
        for turn in self.turns:
            parts: list[dict[str, Any]] = []
            for part in turn["content"]:
                if part["type"] == "video":
                    video = thinned(next(videos), most)
                    made.pictures += video.frames
                    for seconds in video.times:
                        parts.append({"type": "text", "text": f"Frame at {clock(seconds)}: "})
                        parts.append({"type": "image"})
                    continue
                if part["type"] == "image":
                    made.pictures.append(next(pictures))
                parts.append(part)
            made.turns.append(turn | {"content": parts})
        return made


def conversation_of(
    messages: Sequence[BaseMessage], calls: Format = "hermes", instructions: str = ""
) -> Conversation:
    """Messages with text, pictures and videos in any order; several of a kind are counted.

    Args:
        messages: of LangChain; picture blocks hold base64 (``{"type": "image", "base64": …}``) or
            a data URL (``{"type": "image_url", "image_url": {"url": "data:…"}}``), and so do
            those of videos (``video``, ``video_url``).
        calls: how the model writes function calls, and is told of their results.
        instructions: how to use tools; put at the end of the system's text.

    Raises:
        SourceError: a picture or a video cannot be decoded.
        UserError: a block of another kind, or one that would have to be fetched.
        ModelMissing: a video, and PyAV is not installed.
    """
    made = Conversation()
    if instructions:
        messages = _instructed(messages, instructions)
    blocks = [_blocks(message, calls) for message in messages]
    kinds = Counter(_kind(block) for some in blocks for block in some)
    for message, some in zip(messages, blocks, strict=True):
        parts: list[dict[str, Any]] = []
        for block in some:
            kind = _kind(block)
            if not kind:
                parts.append({"type": "text", "text": _text(block)})
                continue
            number = _add(block, made)
            if kinds[kind] > 1:
                parts.append({"type": "text", "text": f"{_NAMES[kind].capitalize()} {number}: "})
            parts.append({"type": kind})
        _append(made.turns, _role(message, calls), parts)
    return made


def kinds_given(message: BaseMessage) -> BaseMessage:
    """The message with a media type for each picture and video that came without one."""
    if isinstance(message.content, str):
        return message
    content = [
        {"mime_type": "application/octet-stream", **block}
        if isinstance(block, dict) and _kind(block)
        else block
        for block in message.content
    ]
    return message.model_copy(update={"content": content})


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
        return [as_text(message, calls), *filter(_kind, blocks)]
    return blocks


def _role(message: BaseMessage, calls: Format) -> str:
    if isinstance(message, ToolMessage):
        return "assistant" if calls == "qwen_agent" else "user"
    for kind, role in _ROLES.items():
        if isinstance(message, kind):
            return role
    raise UserError(f"a message of kind {message.type!r} is not understood")


def _kind(block: Any) -> str:
    """``image`` or ``video``; empty for what is neither."""
    kind = str(block.get("type")).removesuffix("_url") if isinstance(block, dict) else ""
    return kind if kind in _NAMES else ""


def _text(block: Any) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, dict) and block.get("type") == "text":
        return str(block.get("text", ""))
    kind = block.get("type") if isinstance(block, dict) else type(block).__name__
    raise UserError(f"a block of kind {kind!r} is not understood", "give text, pictures and videos")


def _add(block: dict[str, Any], made: Conversation) -> int:
    """Decode a picture or a video into a conversation; its number among its kind."""
    if _kind(block) == "image":
        name = f"picture {len(made.pictures) + 1}"
        made.pictures.append(_filled_up(decode_image(_bytes(block, name), name)))
        return len(made.pictures)
    name = f"video {len(made.videos) + 1}"
    video = read_video(_bytes(block, name), name)
    made.videos.append(replace(video, frames=tuple(map(_filled_up, video.frames))))
    return len(made.videos)


def _bytes(block: dict[str, Any], name: str) -> bytes:
    data = block.get("base64", block.get("data"))
    if (form := block["type"]).endswith("_url"):
        url = block.get(form)
        url = str(url.get("url", "") if isinstance(url, dict) else url)
        head, comma, data = url.partition(",")
        if not (head.startswith("data:") and head.endswith(";base64") and comma):
            raise UserError(f"{name}: only what comes with the message is read", _FORMS)
    elif block.keys() & {"url", "path", "file_id"}:
        raise UserError(f"{name}: only what comes with the message is read", _FORMS)
    if not isinstance(data, str):
        found = ", ".join(sorted(map(str, block.keys() - {"type", "mime_type"}))) or "nothing"
        raise UserError(f"{name}: of an unknown form (it holds {found[:100]})", _FORMS)
    if not data.strip():
        raise SourceError(f"{name}: is empty", "give the bytes of the file as base64")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceError(f"{name}: not base64 ({error})") from None


def _filled_up(picture: Image.Image) -> Image.Image:
    """A very long or high picture with white at its right or below; its pixels keep their place."""
    width, height = picture.size
    size = (max(width, -(-height // _LONGEST_SIDES)), max(height, -(-width // _LONGEST_SIDES)))
    if size == picture.size:
        return picture
    whole = Image.new("RGB", size, "white")
    whole.paste(picture)
    return whole
