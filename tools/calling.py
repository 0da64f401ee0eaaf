"""Function calls in a model's text, to and from LangChain's tool calls, in two formats.

For chat models that have no server to do it. ``hermes`` is what Qwen2.5 and later models write; the
results come back in a user turn::

    <tool_call>
    {"name": "search", "arguments": {"query": "error 809"}}
    </tool_call>
                                        <tool_response>
                                        Port 1701 is closed.
                                        </tool_response>

``qwen_agent`` is what Qwen2-VL writes, in one assistant turn; the model is stopped before a result,
which is put there for it, and goes on. The spelling of its report, ``*FUNCTION*``, is read too::

    ✿FUNCTION✿: search
    ✿ARGS✿: {"query": "error 809"}
    ✿RESULT✿: Port 1701 is closed.
    ✿RETURN✿: Open port 1701.

What a model or a tool writes is not trusted: it is read within limits, and written back so that it
cannot pass for structure. Knows text and messages, neither models nor what the tools do.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from ..prompts import prompt

__all__ = [
    "LONGEST_CALL",
    "CallParser",
    "Format",
    "Piece",
    "as_text",
    "neutral",
    "stops",
    "tools_prompt",
]

Format = Literal["hermes", "qwen_agent"]
Piece = str | ToolCall | InvalidToolCall

LONGEST_CALL = 20_000
"""Characters of a call, markers aside, above which it is refused."""

_DEEPEST = 32  # levels of nesting in arguments; deeper ones break those who store them
_EXCERPT = 1_000  # characters of a malformed call that are kept


class CallParser:
    """Splits a stream into text and calls.

    Text is given as soon as it cannot be part of a marker; a call is given when it ends. The pieces
    are the same however the stream was cut, but for where a text is divided.

    What the model writes after the point where it should have stopped, a result it made up and the
    words that rest on it, is left out.

    Args:
        format: how the model writes calls.
        count: calls that the conversation has already; the next one's id is ``call_<count>``.

    Example:
        >>> parser = CallParser("hermes")
        >>> parser.feed('Let me look.<tool_call>{"name": "look", "argu')
        ['Let me look.']
        >>> parser.feed('ments": {"at": 1}}</tool_call>')
        [{'name': 'look', 'args': {'at': 1}, 'id': 'call_0', 'type': 'tool_call'}]
    """

    def __init__(self, format: Format, count: int = 0) -> None:
        self._grammar = _GRAMMARS[format]
        self._count = count
        self._held = ""  # what may still become a marker, or a call that has not ended
        self._state: Literal["text", "call", "refused", "done"] = "text"
        self._fresh = False  # just after the marker before words: its colon is to come

    def feed(self, text: str) -> list[Piece]:
        """The pieces that are certain after this much more text.

        Returns:
            Texts, tool calls, and invalid tool calls whose ``error`` can be told to the model.
        """
        return self._pieces(text, last=False)

    def close(self) -> list[Piece]:
        """What was held back, once the stream has ended.

        A call that lacks nothing but its closing marker counts as whole.
        """
        pieces = self._pieces("", last=True)
        self._state = "done"
        return pieces

    def _pieces(self, more: str, last: bool) -> list[Piece]:
        text, at = self._held + more, 0
        pieces: list[Piece] = []
        for marker in self._grammar.pattern.finditer(text):
            pieces += self._settle(text[at : marker.start()], last=False)
            self._enter(self._grammar.markers[marker[0]])
            at = marker.end()
        rest = text[at:]
        if self._state == "call" and not last and len(rest) < LONGEST_CALL + _LONGEST_MARKER:
            self._held = rest
            return pieces
        certain = len(rest) if last else len(rest) - self._grammar.beginning(rest)
        self._held = rest[certain:]
        return pieces + self._settle(rest[:certain], last)

    def _enter(self, kind: _Kind) -> None:
        if self._state == "done":
            return
        self._fresh = kind == "words"
        if kind == "result" or (kind == "words" and self._state in ("call", "refused")):
            self._state = "done"
        else:
            self._state = "call" if kind == "call" else "text"

    def _settle(self, text: str, last: bool) -> list[Piece]:
        """The piece that a stretch without markers makes in the state the parser is in."""
        if self._state == "text":
            if self._fresh:
                text = text.lstrip(": \n")
            self._fresh = self._fresh and not text
            return [text] if text else []
        if self._state != "call":
            return []
        self._state = "refused"  # until a marker ends it; nothing more of this call is given
        return [self._call(text, last)]

    def _call(self, body: str, last: bool) -> Piece:
        name: str | None = None
        identity = f"call_{self._count}"
        self._count += 1
        try:
            if len(body) > LONGEST_CALL:
                last = False
                raise _Malformed(f"is longer than {LONGEST_CALL} characters")
            name, arguments = self._grammar.read(body)
            return tool_call(name=name, args=_checked(name, arguments), id=identity)
        except _Malformed as error:
            end = ", and may have been cut off" if last else ""
            return invalid_tool_call(
                name=name if name and _NAME.fullmatch(name) else None,
                args=body.strip()[:_EXCERPT],
                id=identity,
                error=f"The call {error}{end}. Nothing was done. Write it again, as described.",
            )


def stops(format: Format) -> tuple[str, ...]:
    """The sequences at which generation is to end: where the model would make up a result.

    They need not be removed from the text; the parser leaves them out.
    """
    markers = _GRAMMARS[format].markers
    return tuple(marker for marker, kind in markers.items() if kind == "result")


def tools_prompt(
    tools: Sequence[BaseTool | Callable[..., object] | Mapping[str, object]], format: Format
) -> str:
    """The part of the system text that tells a model of its tools; empty where there are none.

    Args:
        tools: LangChain tools, functions with docstrings, or schemas, as `bind_tools` takes them.
        format: how the model is to write calls.
    """
    functions = [convert_to_openai_tool(tool)["function"] for tool in tools]
    if not functions:
        return ""
    if format == "hermes":
        lines = [_as_json({"type": "function", "function": function}) for function in functions]
        return prompt("tools_hermes", tools=lines)
    described = [
        {
            "name": _one_line(function["name"]),
            "description": neutral(function.get("description", "")),
            "parameters": _as_json(function.get("parameters", {})),
        }
        for function in functions
    ]
    return prompt("tools_qwen_agent", tools=described)


def as_text(message: AIMessage | ToolMessage, format: Format) -> str:
    """A message of an earlier round as the model would have written or read it.

    For ``hermes``, the results of one round belong together in a user turn. For ``qwen_agent``,
    calls, results and the words after them belong together in one assistant turn. Join them with
    line breaks. A call that was malformed is written as it was, so that its error makes sense.

    Args:
        message: the model's words and calls, or a tool's result, of which the text is taken.
        format: how the model writes calls.

    Returns:
        Text in which only what this function wrote is structure.
    """
    grammar = _GRAMMARS[format]
    words = neutral(str(message.text))
    if isinstance(message, ToolMessage):
        return grammar.result.format(words)
    bodies = [grammar.write(call["name"], _as_json(call["args"])) for call in message.tool_calls]
    bodies += [grammar.rewrite(call["args"] or "") for call in message.invalid_tool_calls]
    if not bodies:
        return grammar.answer.format(words)
    calls = [grammar.call.format(body) for body in bodies]
    return "\n".join([words.rstrip(), *calls] if words.strip() else calls)


def neutral(text: str) -> str:
    """A text in which nothing can pass for a call, a result, or a special token of a chat format.

    A space after the first character of a marker breaks it up: ``< tool_call>``, ``< |im_end|>``.
    """
    return _STRUCTURE.sub(lambda match: f"{match[0]} ", text)


_STRUCTURE = re.compile(
    r"<(?=\||/?(?:tools|tool_call|tool_response|think)\b)"
    r"|[✿*](?=(?:FUNCTION|ARGS|RESULT|RETURN)[✿*])"
)


def _as_json(value: object) -> str:
    """One line of JSON that means the same, with its markers written as escapes."""
    text = json.dumps(value, ensure_ascii=False)
    return _STRUCTURE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _one_line(name: str) -> str:
    return " ".join(neutral(name).split())


class _Malformed(Exception):
    """What is wrong with a call, to follow the words "The call"."""


_NAME = re.compile(r"[\w./:-]{1,128}")


def _checked(name: str, arguments: object) -> dict[str, object]:
    if not _NAME.fullmatch(name):
        raise _Malformed("does not name a tool")
    if not isinstance(arguments, dict):
        raise _Malformed("has arguments that are not a JSON object")
    level: list[object] = [arguments]
    for _ in range(_DEEPEST):
        level = [child for value in level for child in _children(value)]
        if not level:
            return arguments
    raise _Malformed("has arguments that are nested too deeply")


def _children(value: object) -> Sequence[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]}")
    return value


def _whole_number(text: str) -> int:
    value = int(text) if len(text) <= 20 else 2**63  # as many characters as -(2**63) has
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"the number {text[:20]}…")
    return value


# Line breaks within strings are taken as they are: models write them.
_DECODER = json.JSONDecoder(
    strict=False, parse_constant=_number, parse_float=_number, parse_int=_whole_number
)


def _decoded(text: str) -> tuple[object, str]:
    """The JSON value that a text begins with, and what follows it."""
    text = text.strip()
    try:
        value, end = _DECODER.raw_decode(text)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        reason = f"{error.msg}, character {error.pos + 1}"
    except RecursionError:
        reason = "nested too deeply"
    except UnicodeEncodeError:
        reason = "half of a surrogate pair"
    except ValueError as error:
        reason = str(error)
    else:
        return value, text[end:]
    raise _Malformed(f"is not valid JSON ({reason})")


def _read_hermes(body: str) -> tuple[str, object]:
    call, rest = _decoded(body)
    if rest.strip():
        raise _Malformed("is not one JSON object alone")
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        raise _Malformed("is not a JSON object with a name and arguments")
    return call["name"], call.get("arguments", {})


_ARGUMENTS = re.compile(r"✿ARGS✿:?|\*ARGS\*:?")


def _read_qwen_agent(body: str) -> tuple[str, object]:
    """A name and JSON; no JSON means no arguments, and remarks after it are dropped."""
    name, *arguments = _ARGUMENTS.split(body, maxsplit=1)
    text = "".join(arguments).strip()
    return name.strip(), _decoded(text)[0] if text else {}


def _write_hermes(name: str, arguments: str) -> str:
    return f'{{"name": {_as_json(name)}, "arguments": {arguments}}}'


def _write_qwen_agent(name: str, arguments: str) -> str:
    return f"{_one_line(name)}\n✿ARGS✿: {arguments}"


def _rewrite_qwen_agent(body: str) -> str:
    name, *arguments = _ARGUMENTS.split(body, maxsplit=1)
    text = neutral("".join(arguments).strip())
    return f"{_one_line(name)}\n✿ARGS✿: {text}"


_Kind = Literal["call", "end", "result", "words"]


@dataclass(frozen=True, slots=True)
class _Grammar:
    """A format.

    Attributes:
        markers: what each marker begins; ``end`` is the end of a call.
        read: the body of a call to a name and what should be its arguments.
        write: a name and arguments in JSON to the body of a call.
        rewrite: the body of a malformed call to one that is no other structure.
        call: a template for a call, around its body.
        result: a template for a result.
        answer: a template for words without a call.
    """

    markers: Mapping[str, _Kind]
    read: Callable[[str], tuple[str, object]]
    write: Callable[[str, str], str]
    rewrite: Callable[[str], str]
    call: str
    result: str
    answer: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """Any of the markers."""
        return re.compile("|".join(map(re.escape, self.markers)))

    def beginning(self, text: str) -> int:
        """How many characters at the end of a text may be the beginning of a marker."""
        return max(
            size
            for size in range(min(_LONGEST_MARKER, len(text)) + 1)
            if any(marker.startswith(text[len(text) - size :]) for marker in self.markers)
        )


_GRAMMARS: Mapping[Format, _Grammar] = {
    "hermes": _Grammar(
        {"<tool_call>": "call", "</tool_call>": "end", "<tool_response>": "result"},
        _read_hermes,
        _write_hermes,
        neutral,
        "<tool_call>\n{}\n</tool_call>",
        "<tool_response>\n{}\n</tool_response>",
        "{}",
    ),
    "qwen_agent": _Grammar(
        {
            "✿FUNCTION✿:": "call",
            "*FUNCTION*:": "call",
            "✿RESULT✿": "result",
            "*RESULT*": "result",
            "✿RETURN✿": "words",
            "*RETURN*": "words",
        },
        _read_qwen_agent,
        _write_qwen_agent,
        _rewrite_qwen_agent,
        "✿FUNCTION✿: {}",
        "✿RESULT✿: {}",
        "✿RETURN✿: {}",
    ),
}
"""Sources: the chat templates of Qwen2.5 and Qwen3; ``qwen_fncall_prompt.py`` of Qwen-Agent."""

_LONGEST_MARKER = max(len(marker) for g in _GRAMMARS.values() for marker in g.markers)
