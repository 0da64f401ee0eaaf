"""Places on an attached picture that the chat model named itself: its coordinates become boxes.

Only where one picture was attached: a model's coordinates do not say which they belong to. Knows
drafts and pictures, no chat model.
"""

from __future__ import annotations

from ..tools.coordinates import plain, regions
from .state import Pointed, TurnState
from .workbench import Workbench

__all__ = ["pointed"]

_MOST = 12  # boxes; a model that repeats itself draws no more


def pointed(
    draft: str, seen: list[tuple[int, int]], state: TurnState, work: Workbench
) -> tuple[str, tuple[Pointed, ...]]:
    """A draft as people read it, with a slot for each place that the model marked.

    Args:
        draft: as the model wrote it.
        seen: sizes of the pictures as the model was given them, where it tells.
        state: of the turn.
        work: tells the model's family and opens the picture.

    Returns:
        The draft, coordinates taken out and slots added, and the boxes of those slots.
    """
    family = getattr(work.chat_model, "family", None)
    if family is None or len(state["attachments"]) != 1:
        return draft, ()
    size = work.media.open(state["attachments"][0].media).size
    boxes: dict[str, list[tuple[float, float, float, float]]] = {}
    found = regions(draft, family.model_type, size, seen[0] if seen else size)
    places = [(region.label, region.box) for region in found if region.box is not None]
    for name, box in places[:_MOST]:
        label = " ".join(name.replace("[", "(").replace("]", ")").split())
        boxes.setdefault(label or "the place", []).append(box)
    lines = [f"[[mark a1: {label}]]" for label in boxes]
    text = "\n".join([plain(draft, family.model_type), *lines])
    return text, tuple(Pointed("a1", label, tuple(found)) for label, found in boxes.items())
