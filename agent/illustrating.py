"""Pictures for slots, and whether they show what was asked for. Knows slots, passages, pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..errors import LimnerError
from ..index.passage import Box, Passage
from ..tools.figures import is_blank, mark
from ..tools.grounding import MATCH, best_line, similarity
from ..tools.image_models.base import ImageRequest
from ..tools.ocr import Line
from ..tools.sentences import stems
from .answer import Generated, Marked, Picture, Retrieved
from .asking import shows
from .draft import Slot
from .drawing import Stopped, drawn, drawn_again, labelled
from .events import PictureStarted
from .picture_check import shows_prompt
from .state import Attachment, Dropped, Made, Pointed, SlotTask, TurnState
from .workbench import Workbench

__all__ = ["checked", "illustrated"]

Result = Picture | Dropped

_SHARED = 0.6
"""Share of a slot's content words that tell of a picture by themselves."""


def illustrated(task: SlotTask, work: Workbench, tell: Callable[[Any], None]) -> Result:
    """The picture of one slot, or why there is none.

    Raises:
        Stopped: the turn was given up, and nothing else ever.
    """
    slot = task["slot"]
    tell(PictureStarted(slot.number, slot.kind, slot.words))
    try:
        if slot.kind == "draw":
            return _draw(slot, work, tell)
        target = _target(slot.target, task["passages"], task["attachments"])
        if target is None or target.image is None:
            return Dropped(f"there is no picture at [{slot.target}]")
        if slot.kind == "show":
            return _show(slot, target)
        seen = _seen(slot, task["pointed"])
        return _mark(slot, target, _lines(target, task["attachments"], work), seen, work)
    except Stopped:
        raise
    except LimnerError as error:
        return Dropped(f"{error} (try: {error.hint})" if error.hint else str(error))
    except Exception as error:  # an exception in one branch would end the whole turn
        return Dropped(f"{type(error).__name__}: {error}")


def _target(
    label: str, passages: Sequence[Passage], attachments: Sequence[Attachment]
) -> Passage | None:
    attached = label.startswith("a")
    number = int(label.removeprefix("a"))
    if attached:
        return attachments[number - 1].as_passage(number) if number <= len(attachments) else None
    return passages[number - 1] if number <= len(passages) else None


def _lines(target: Passage, attachments: Sequence[Attachment], work: Workbench) -> tuple[Line, ...]:
    """What was read off a picture, be it attached or from the library."""
    attached = next((a.lines for a in attachments if a.media == target.image), None)
    return attached or work.library.lines(target.image or "")


def _show(slot: Slot, target: Passage) -> Picture:
    assert target.image is not None
    caption = target.text if target.modality == "figure" else slot.words
    return Picture(target.image, caption, caption, Retrieved(target))


def _seen(slot: Slot, pointed: Sequence[Pointed]) -> tuple[Box, ...]:
    """Where the chat model itself saw what the slot asks for."""
    return next((p.boxes for p in pointed if (p.target, p.words) == (slot.target, slot.words)), ())


def _mark(
    slot: Slot, target: Passage, lines: Sequence[Line], seen: tuple[Box, ...], work: Workbench
) -> Result:
    """Boxes around the line that says the words, else around what the chat model pointed at."""
    line = best_line(slot.words, lines)
    boxes, words = ((line.box,), line.text) if line else (seen, slot.words)
    if not boxes or target.image is None:
        return Dropped(f"“{slot.words}” was not found on {target.source}")
    copy = mark(work.media.open(target.image), boxes)
    by = "" if line else ", as the chat model sees it"
    alt = f"{target.source} with a box around “{words}”{by}"
    return Picture(work.media.put(copy), f"{words}{by}", alt, Marked(target, boxes))


def _draw(slot: Slot, work: Workbench, tell: Callable[[Any], None]) -> Result:
    return drawn(slot.number, ImageRequest(slot.words), work, tell)


def checked(
    made: Sequence[Made], state: TurnState, work: Workbench, tell: Callable[[Any], None]
) -> tuple[Made, ...]:
    """Every slot with a picture that passed, one found or drawn in its place, or a reason.

    Args:
        made: in the order of their slots.
        state: of the turn.
        work: what to look with.
        tell: is told of the steps of what is drawn again.

    Raises:
        Stopped: the turn was given up.
    """
    settled: list[Made] = []
    for item in made:
        shown = {m.result.media for m in settled if isinstance(m.result, Picture)}
        settled.append(replace(item, result=_settled(item, shown, state, work, tell)))
    return tuple(settled)


def _settled(
    item: Made, shown: set[str], state: TurnState, work: Workbench, tell: Callable[[Any], None]
) -> Result:
    if isinstance(item.result, Dropped):
        return item.result
    if isinstance(item.result.origin, Generated):
        if state["edit"] is not None:  # just this was asked for, and nothing else in its place
            return _looked_at(item.result, work)
        return _settled_drawing(item.slot, item.result, shown, work, tell)
    fault = _fault(item.slot, item.result, state, work)
    if fault is None and item.result.media not in shown:
        return item.result
    if item.slot.kind == "show":
        for candidate in state["passages"]:
            if candidate.image is None or candidate.image in shown:
                continue
            other = _show(item.slot, candidate)
            if other.media != item.result.media and _fault(item.slot, other, state, work) is None:
                return other
    return Dropped(fault or "that picture is shown already")


def _settled_drawing(
    slot: Slot, picture: Picture, shown: set[str], work: Workbench, tell: Callable[[Any], None]
) -> Result:
    """A drawing that passed, or one with another seed that did."""
    assert isinstance(picture.origin, Generated)
    passed = _passed(picture, shown, work)
    if isinstance(passed, Picture):
        return passed
    try:
        again = _passed(drawn_again(slot.number, picture.origin, work, tell), shown, work)
    except Stopped:
        raise
    except Exception as error:  # what an image model raises costs its picture, not the turn
        return Dropped(f"{passed.reason}, and drawing it again failed: {error}")
    return again if isinstance(again, Picture) else Dropped(f"drawn twice: {again.reason}")


def _passed(picture: Picture, shown: set[str], work: Workbench) -> Result:
    """A drawing as it is labelled after a look at it, or what is wrong with it."""
    if picture.media in shown:
        return Dropped("that picture is shown already")
    looked_at = _looked_at(picture, work)
    if isinstance(looked_at, Picture) and looked_at.origin.confirmed is False:  # type: ignore[union-attr]
        return Dropped("the picture does not show that")
    return looked_at


def _looked_at(picture: Picture, work: Workbench) -> Result:
    """A drawing that says whether it shows its prompt; one that is none at all is dropped."""
    assert isinstance(picture.origin, Generated)
    try:
        image = work.media.open(picture.media)
    except LimnerError as error:
        return Dropped(str(error))
    if is_blank(image):
        return Dropped("the picture is blank")
    return labelled(picture, shows_prompt(image, picture.origin.prompt, work))


def _fault(slot: Slot, picture: Picture, state: TurnState, work: Workbench) -> str | None:
    """What is wrong with a picture; None where it shows what its slot asked for."""
    try:
        image = work.media.open(picture.media)
    except LimnerError as error:
        return str(error)
    if is_blank(image):
        return "the picture is blank"
    if isinstance(picture.origin, Marked):
        lines = _lines(picture.origin.passage, state["attachments"], work)
        return _marked_fault(slot, picture.origin, lines, _seen(slot, state["pointed"]))
    assert isinstance(picture.origin, Retrieved)
    return _shown_fault(slot, picture.origin.passage, work)


def _shown_fault(slot: Slot, passage: Passage, work: Workbench) -> str | None:
    """Its caption, what is written on it, or the text around it must speak of the words."""
    spoken = [text for text in (passage.text, passage.above) if text.strip()]
    if any(similarity(slot.words, line) >= MATCH for text in spoken for line in text.split("\n")):
        return None
    wanted = set(stems(slot.words))
    if wanted and len(wanted & set(stems(" ".join(spoken)))) >= _SHARED * len(wanted):
        return None
    if spoken and work.calibration is not None:
        scores = work.encoder.encode_query([slot.words]) @ work.encoder.encode_document(spoken).T
        if float(scores.max()) >= work.calibration.picture:
            return None
    if work.reads and shows(slot.words, work.media.open(passage.image or ""), work):
        return None
    return f"the picture of {passage.place} does not show “{slot.words}”"


def _marked_fault(
    slot: Slot, origin: Marked, lines: Sequence[Line], seen: tuple[Box, ...]
) -> str | None:
    """Within every box there must be a line that says the words, where they can be read at all."""
    if origin.boxes and origin.boxes == seen and best_line(slot.words, lines) is None:
        return None
    for box in origin.boxes:
        inside = [line for line in lines if _centre_within(line.box, box)]
        if best_line(slot.words, inside) is None:
            return f"the box on {origin.passage.source} is not around “{slot.words}”"
    return None if origin.boxes else "nothing was marked"


def _centre_within(inner: Box, outer: Box) -> bool:
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]
