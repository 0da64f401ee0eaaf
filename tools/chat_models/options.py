"""What a caller may ask of the chat model in this process, beside the question. Knows no model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, get_args

from ...errors import DeveloperError, ModelOutputError
from .batch import Decoding

__all__ = [
    "check_loading",
    "check_names",
    "check_room",
    "check_values",
    "formed_as_asked",
    "stop_words",
    "wanted_tool",
]

_LANGCHAINS = frozenset(
    {"tools", "tool_choice", "stop", "ls_structured_output_format", "structured_output_format"}
)
_ANY = ("any", "required", True)
_NONE = (None, "", "auto", False)


def _whole(value: Any, least: int, most: float = math.inf) -> bool:
    right = isinstance(value, Integral) and not isinstance(value, bool)
    return right and least <= int(value) <= most


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "max_tokens": (lambda value: _whole(value, 1), "a whole number from 1 up"),
    "temperature": (lambda value: _number(value) and value >= 0, "a number from 0 up"),
    "top_p": (lambda value: _number(value) and 0 < value <= 1, "a number above 0, up to 1"),
    "seed": (
        lambda value: value is None or _whole(value, 0, 2**64 - 1),
        "None or a whole number from 0 to 2**64 - 1",
    ),
    "image_tokens": (lambda value: _whole(value, 1), "a whole number from 1 up"),
}
_BITS = (0, 4, 8)
_DTYPES = ("", "float32", "bfloat16", "float16")
_DECODINGS = (None, *get_args(Decoding))


def check_values(given: Mapping[str, Any]) -> None:
    """Refuse values that no answer could follow.

    Args:
        given: options of an answer by their names; others than those known here pass.

    Raises:
        DeveloperError: a value is not among those that can be; it says which are.
    """
    for name in given.keys() & _VALUES:
        right, words = _VALUES[name]
        if not right(given[name]):
            raise _wrong(name, given[name], words)


def check_loading(device: str, dtype: str, bits: int, decoding: str | None) -> None:
    """Refuse ways of loading that there are not, or not on this machine.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``; empty for the usual one, as ``dtype``.
        dtype: of the weights.
        bits: of a quantized load; 0 for none.
        decoding: see `batch.Decoding`; None for the usual one.

    Raises:
        DeveloperError: one cannot be; it says which can.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = ["cpu", *["cuda"][:count], *(f"cuda:{n}" for n in range(count))]
    for name, value, known in (
        ("device", device, ("", *devices)),
        ("dtype", dtype, _DTYPES),
        ("bits", bits, _BITS),
        ("decoding", decoding, _DECODINGS),
    ):
        if value not in known:
            words = f"one of {', '.join(str(one) for one in known if one not in ('', None))}"
            raise _wrong(name, value, words + " on this machine" * (name == "device"))


def _wrong(name: str, value: Any, words: str) -> DeveloperError:
    return DeveloperError(
        f"a setting of the chat model: {name} cannot be {value!r:.80}; it is {words}",
        f"give another {name}, or leave it out",
    )


def check_names(given: Iterable[str], known: Sequence[str]) -> None:
    """Refuse an option that nobody would follow.

    Args:
        given: names of options.
        known: the ones there are; LangChain's own pass too.

    Raises:
        DeveloperError: one is unknown; the hint names the known ones.
    """
    if unknown := sorted(set(given) - set(known) - _LANGCHAINS):
        raise DeveloperError(
            f"there is no option {unknown[0]!r} of this chat model", f"known: {', '.join(known)}"
        )


def check_room(max_tokens: int, window: int) -> None:
    """Refuse an answer of which no token would be left for a question.

    Raises:
        DeveloperError: as many tokens as the model takes, or more.
    """
    if max_tokens >= window:
        raise DeveloperError(
            f"max_tokens={max_tokens} leaves no room for a question: the model takes {window} "
            "tokens, the answer's among them",
            f"max_tokens: a whole number from 1 to {window - 1}",
        )


def formed_as_asked(formed: Any) -> Any:
    """An answer in a form that was asked for.

    Raises:
        ModelOutputError: there is none.
    """
    if formed is None:
        raise ModelOutputError(
            "the model answered in words, not in the form it was asked for",
            "ask again, more plainly, or take include_raw=True",
        )
    return formed


def stop_words(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """Words before which an answer ends; a single one may stand alone.

    Raises:
        DeveloperError: something else than words.
    """
    words = (stop,) if isinstance(stop, str) else stop or ()
    if not (isinstance(words, Sequence) and all(isinstance(word, str) for word in words)):
        raise _wrong("stop", stop, "a word or a list of words")
    return tuple(words)


def wanted_tool(
    choice: str | bool | Mapping[str, Any] | None, schemas: Sequence[Mapping[str, Any]]
) -> str:
    """The name of the tool that is asked for, ``any``, or nothing.

    Args:
        choice: as LangChain's ``bind_tools`` takes it: ``any``, ``auto``, a name, or
            ``{"type": "function", "function": {"name": …}}``.
        schemas: of the tools that are bound, as OpenAI has them.

    Raises:
        DeveloperError: no tool of that name is bound.
    """
    if isinstance(choice, Mapping):
        choice = str(choice.get("function", {}).get("name"))
    if choice in _NONE:
        return ""
    if choice in _ANY:
        return "any"
    names = [str(schema["function"]["name"]) for schema in schemas]
    if choice not in names:
        raise DeveloperError(
            f"tool_choice names {choice!r}, which is not bound",
            f"known: any, auto, {', '.join(names)}",
        )
    return str(choice)
