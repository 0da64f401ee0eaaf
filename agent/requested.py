"""What the message of a turn asks, and what it wants drawn. Knows states and messages only."""

from __future__ import annotations

from ..tools.drawing_requests import Drawing, asks, drawings_of, parts_of, question_of
from .state import TurnState

__all__ = ["asked", "drawings", "draws_first", "only_draws", "wants_an_answer"]


def asked(state: TurnState) -> str:
    """What is asked beside the drawings; the whole message where nothing is."""
    return question_of(state["question"], _before(state)) or state["question"]


def drawings(state: TurnState) -> tuple[Drawing, ...]:
    """What is to be drawn, in order."""
    return drawings_of(state["question"], _before(state))


def only_draws(state: TurnState) -> bool:
    """Whether the message asks nothing beside its drawings."""
    return not question_of(state["question"], _before(state))


def wants_an_answer(state: TurnState) -> bool:
    """Whether what stands beside the drawings asks something, and is not just said."""
    return not only_draws(state) and asks(asked(state))


def draws_first(state: TurnState) -> bool:
    """Whether the message begins with something to be drawn."""
    return isinstance(parts_of(state["question"], _before(state))[0], Drawing)


def _before(state: TurnState) -> str:
    return state["history"][-1].question if state["history"] else ""
