"""Two LangGraph graphs shaped like a turn, without any of the product's wrapping.

``bare`` does the same work in its nodes (the product's step functions as they are), ``idle`` does
none. Both have eight nodes, the same edges, and one branch per picture.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from limner.agent import steps
from limner.agent.state import TurnState
from limner.agent.workbench import Workbench

__all__ = ["bare", "idle"]

_NAMES = ("guard", "look", "retrieve", "grade", "reason", "illustrate", "check", "compose")


def bare() -> Any:
    """The turn's nodes are the step functions themselves."""

    def drawn(state: TurnState) -> Any:
        shared = {"attachments": state["attachments"], "passages": state["passages"]}
        branches = [Send("illustrate", {"slot": slot, **shared}) for slot in steps.slots(state)]
        return branches or "check"

    return _shaped({name: getattr(steps, name) for name in _NAMES}, drawn)


def idle(branches: int) -> Any:
    """The turn's nodes do nothing; the first writes one field, as a node must."""

    def drawn(state: TurnState) -> Any:
        return [Send("illustrate", state) for _ in range(branches)] or "check"

    def nothing(state: Any) -> dict[str, Any]:
        return {"made": []}

    return _shaped(dict.fromkeys(_NAMES, nothing), drawn)


def _shaped(nodes: dict[str, Any], drawn: Any) -> Any:
    graph = StateGraph(TurnState, context_schema=Workbench)
    for name, node in nodes.items():
        graph.add_node(name, node)
    graph.add_edge(START, "guard")
    graph.add_conditional_edges("guard", _look, ["look", "compose"])
    graph.add_edge("look", "retrieve")
    graph.add_edge("retrieve", "grade")
    graph.add_conditional_edges("grade", _reason, ["retrieve", "reason", "compose"])
    graph.add_conditional_edges("reason", drawn, ["illustrate", "check", "compose"])
    graph.add_edge("illustrate", "check")
    graph.add_edge("check", "compose")
    graph.add_edge("compose", END)
    return graph.compile()


def _look(state: TurnState) -> str:
    return "look"


def _reason(state: TurnState) -> str:
    return "reason"
