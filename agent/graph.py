"""The LangGraph state machine: which step follows which, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send

from . import steps
from .events import StepFinished, StepStarted
from .state import SlotTask, TurnState
from .workbench import Workbench

__all__ = ["build"]

Graph = CompiledStateGraph[TurnState, Workbench, TurnState, TurnState]

_STEPS: tuple[Callable[..., dict[str, Any]], ...] = (
    steps.guard,
    steps.revise,
    steps.redraw,
    steps.look,
    steps.retrieve,
    steps.grade,
    steps.reason,
    steps.illustrate,
    steps.check,
    steps.compose,
)


def build(checkpointer: BaseCheckpointSaver[Any] | None = None) -> Graph:
    """The compiled turn.

    Args:
        checkpointer: keeps the running turn; None for a turn that lives in memory only.

    Returns:
        A graph over `TurnState` whose context is a `Workbench`.
    """
    graph = StateGraph(TurnState, context_schema=Workbench)
    for step in _STEPS:
        graph.add_node(step.__name__, _timed(step))
    graph.add_edge(START, "guard")
    graph.add_conditional_edges("guard", _after_guard, ["redraw", "revise", "look", "compose"])
    graph.add_conditional_edges("revise", _after_revise, ["redraw", "look"])
    graph.add_edge("redraw", "check")
    graph.add_edge("look", "retrieve")
    graph.add_edge("retrieve", "grade")
    graph.add_conditional_edges("grade", _after_grade, ["retrieve", "reason", "compose"])
    graph.add_conditional_edges("reason", _after_reason, ["illustrate", "check", "compose"])
    graph.add_edge("illustrate", "check")
    graph.add_edge("check", "compose")
    graph.add_edge("compose", END)
    return graph.compile(checkpointer=checkpointer)


def _after_guard(state: TurnState) -> str:
    if state["refusal"]:
        return "compose"
    if state["edit"] is not None:
        return "redraw"
    return "revise" if state["near"] else "look"


def _after_revise(state: TurnState) -> str:
    return "look" if state["edit"] is None else "redraw"


def _after_grade(state: TurnState) -> str:
    if state["retry"]:
        return "retrieve"
    return "reason" if state["answerable"] else "compose"


def _after_reason(state: TurnState) -> str | list[Send]:
    """One branch per slot; an empty list would end the graph, so no slot goes to ``check``."""
    if not state["answerable"]:
        return "compose"
    shared = {name: state[name] for name in ("attachments", "passages", "pointed")}
    tasks = [SlotTask(slot=slot, **shared) for slot in steps.slots(state)]  # type: ignore[typeddict-item]
    return [Send("illustrate", task) for task in tasks] or "check"


def _timed(step: Callable[[Any, Runtime[Workbench]], dict[str, Any]]) -> Any:
    """The step, telling when it starts and how long it took."""

    def run(state: Any, runtime: Runtime[Workbench]) -> dict[str, Any]:
        runtime.stream_writer(StepStarted(step.__name__))
        started = time.perf_counter()
        update = step(state, runtime)
        seconds = time.perf_counter() - started
        runtime.stream_writer(StepFinished(step.__name__, round(seconds, 6)))
        return update

    return run
