"""What flows between the steps of one turn. References and values only: no bytes, no models."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, TypedDict

from ..index.passage import Box, Passage
from ..tools.ocr import Line
from .answer import Answer, Picture, Usage
from .draft import Slot
from .edits import Edit

__all__ = ["Attachment", "Dropped", "Exchange", "Made", "Pointed", "SlotTask", "TurnState", "fresh"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A picture that came with the question.

    Attributes:
        media: reference into the media store.
        name: the file's name, as the person knows it.
        lines: what was read off it, row by row; empty until the step ``look``.
    """

    media: str
    name: str
    lines: tuple[Line, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", tuple(self.lines))

    def as_passage(self, number: int) -> Passage:
        """The attachment as something that can be cited, as a1, a2 and so on."""
        text = "\n".join(line.text for line in self.lines)
        return Passage(
            f"a{number}", text, self.name, image=self.media, modality="screenshot", score=1.0
        )


@dataclass(frozen=True, slots=True)
class Exchange:
    """An earlier question of the conversation and the text of its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Pointed:
    """Where the chat model itself saw what a slot asks for.

    Attributes:
        target: as in the slot, ``a1``.
        words: as in the slot.
        boxes: in pixels of the picture, origin top left.
    """

    target: str
    words: str
    boxes: tuple[Box, ...]

    def __post_init__(self) -> None:
        boxes = tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in self.boxes)
        object.__setattr__(self, "boxes", boxes)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a slot stays without a picture."""

    reason: str


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a slot."""

    slot: Slot
    result: Picture | Dropped


class TurnState(TypedDict):
    """The state of one turn.

    Every turn runs on a thread of its own and gives every field at its start (see `fresh`), so
    that nothing of an earlier turn shows through the reducer of ``made``.

    ``unanswered`` tells that the library does not answer what a message asks which is
    ``answerable`` all the same, since it has something drawn besides.
    """

    question: str
    attachments: tuple[Attachment, ...]
    history: tuple[Exchange, ...]
    refusal: str
    queries: tuple[str, ...]
    passages: tuple[Passage, ...]
    relevance: float | None
    answerable: bool
    unanswered: bool
    rewrites: int
    retry: bool
    draft: str
    cut: bool
    pointed: tuple[Pointed, ...]
    usage: Usage
    made: Annotated[list[Made], operator.add]
    checked: tuple[Made, ...]
    answer: Answer | None
    drawn: tuple[Picture, ...]
    near: bool
    edit: Edit | Dropped | None
    kept: bool


class SlotTask(TypedDict):
    """What one branch of ``illustrate`` is given."""

    slot: Slot
    attachments: tuple[Attachment, ...]
    passages: tuple[Passage, ...]
    pointed: tuple[Pointed, ...]


def fresh(
    question: str,
    attachments: tuple[Attachment, ...] = (),
    history: tuple[Exchange, ...] = (),
    drawn: tuple[Picture, ...] = (),
    near: bool = False,
    edit: Edit | None = None,
    kept: bool = False,
) -> TurnState:
    """The state a turn starts with.

    Args:
        question: in plain words, or a command as typed.
        attachments: the pictures that come with it.
        history: earlier exchanges.
        drawn: the generated pictures of the conversation so far, in order.
        near: the question may ask to have one of them drawn differently; else it does so with
            ``edit`` only.
        edit: what it asks for in that way, where that is known.
        kept: the turn belongs to a conversation, whose drawings are told by their numbers.
    """
    return TurnState(
        question=question,
        attachments=attachments,
        history=history,
        refusal="",
        queries=(),
        passages=(),
        relevance=None,
        answerable=True,
        unanswered=False,
        rewrites=0,
        retry=False,
        draft="",
        cut=False,
        pointed=(),
        usage=Usage(),
        made=[],
        checked=(),
        answer=None,
        drawn=drawn,
        near=near,
        edit=edit,
        kept=kept,
    )
