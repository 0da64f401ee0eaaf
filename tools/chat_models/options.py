"""What a caller may ask of the chat model in this process, beside the question. Knows no model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import DeveloperError

__all__ = ["check_names", "stop_words", "wanted_tool"]

_LANGCHAINS = frozenset(
    {"tools", "tool_choice", "stop", "ls_structured_output_format", "structured_output_format"}
)
_ANY = ("any", "required", True)
_NONE = (None, "", "auto", False)


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


def stop_words(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    """Words before which an answer ends; a single one may stand alone."""
    return (stop,) if isinstance(stop, str) else tuple(stop or ())


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
