"""The caller's own tools, and who allows them to act: checked when an agent is made.

Knows LangChain's tools; runs none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from ..errors import DeveloperError
from .calling import OFFERED
from .workbench import Approve

__all__ = ["approver", "own_tools"]


def own_tools(given: Sequence[BaseTool | Callable[..., Any]]) -> tuple[BaseTool, ...]:
    """The caller's tools, as LangChain's.

    Raises:
        DeveloperError: one is no tool, or two go by one name, those of Limner counted.
    """
    tools = tuple(map(_as_tool, given))
    names = [*OFFERED, *(tool.name for tool in tools)]
    for tool in tools:
        if names.count(tool.name) > 1:
            other = "one of Limner's" if tool.name in OFFERED else "another one"
            raise DeveloperError(
                f"the tool {tool.name!r} is called as {other} is", "give each a name of its own"
            )
    return tools


def approver(approve: Approve) -> Approve:
    """The same, once it was seen to be a plain function.

    Raises:
        DeveloperError: it is none; one with ``async`` would answer with a promise to answer.
    """
    call = getattr(approve, "__call__", None)  # noqa: B004  whether that is a coroutine function
    if call is None or any(map(inspect.iscoroutinefunction, (approve, call))):
        raise DeveloperError(
            f"approve is no plain function: {approve!r}",
            "def approve(name, arguments), without async, that returns True or False",
        )
    return approve


def _as_tool(given: BaseTool | Callable[..., Any]) -> BaseTool:
    if isinstance(given, BaseTool):
        return given
    try:
        return StructuredTool.from_function(given)
    except (TypeError, ValueError, AttributeError) as error:
        raise DeveloperError(f"{given!r} is no tool: {error}", "give it a docstring") from None
