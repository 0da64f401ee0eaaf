"""Limner reads your documents and screenshots and answers in text and pictures.

The public names are imported on first use, so that ``import limner`` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .agent.agent import Agent
    from .agent.answer import Answer, Generated, Marked, Picture, Retrieved, Text
    from .agent.edits import Changes
    from .agent.evaluation.comparing import compare
    from .agent.evaluation.evaluate import evaluate
    from .errors import LimnerError
    from .index.library import Library
    from .index.passage import Passage

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "Answer",
    "Changes",
    "Generated",
    "Library",
    "LimnerError",
    "Marked",
    "Passage",
    "Picture",
    "Retrieved",
    "Text",
    "compare",
    "evaluate",
]

_HOME = {
    "Agent": "agent.agent",
    "Answer": "agent.answer",
    "Changes": "agent.edits",
    "Generated": "agent.answer",
    "Library": "index.library",
    "LimnerError": "errors",
    "Marked": "agent.answer",
    "Passage": "index.passage",
    "Picture": "agent.answer",
    "Retrieved": "agent.answer",
    "Text": "agent.answer",
    "compare": "agent.evaluation.comparing",
    "evaluate": "agent.evaluation.evaluate",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'limner' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
