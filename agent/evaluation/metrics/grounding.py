"""Whether the boxes that an answer marks are around what the question points at. Knows boxes only.

Both scores look from the question's boxes: a mark too many costs nothing here (it does in a picture
too many), a box that nothing marks costs its share.
"""

from __future__ import annotations

from collections.abc import Sequence

from ....index.passage import Box
from ....tools.grounding import overlap
from ...answer import Answer, Marked
from ..questions import Place, Question
from .base import Scores
from .places import overlap_at, resolves

__all__ = ["grounding", "holds_centre"]


def grounding(question: Question, answer: Answer) -> Scores:
    """``box_iou`` and ``point_in_box``, each 0 to 1.

    ``box_iou`` is the mean, over the question's boxes, of the best IoU of a box marked on the same
    picture; ``point_in_box`` the share of them that hold the centre of one (edges included), as
    ScreenSpot counts a click (Cheng et al., *SeeClick*, 2024). A place without a box is left out;
    None where none has one.
    """
    pairs = [(place.box, _marks(answer, place)) for place in question.boxes if place.box]
    if not pairs:
        return {"box_iou": None, "point_in_box": None}
    best = [max((overlap(box, mark) for mark in marks), default=0.0) for box, marks in pairs]
    held = [any(holds_centre(box, mark) for mark in marks) for box, marks in pairs]
    return {"box_iou": sum(best) / len(pairs), "point_in_box": sum(held) / len(pairs)}


def holds_centre(box: Box, mark: Box) -> bool:
    """Whether the centre of a mark lies within a box or on its edge."""
    x, y = (mark[0] + mark[2]) / 2, (mark[1] + mark[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _marks(answer: Answer, place: Place) -> Sequence[Box]:
    """The boxes marked on the picture of a place; on a copy whose file is gone nobody sees any."""
    shown = [p.origin for p in answer.pictures if resolves(p, answer.folder)]
    marked = [origin for origin in shown if isinstance(origin, Marked)]
    return [box for o in marked if overlap_at(o.passage, place) is not None for box in o.boxes]
