"""What a caller sees while a turn runs. Pure values, in the order they happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import LimnerError
from ..index.passage import Passage
from .answer import Answer, Picture

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "AnswerReady",
    "Event",
    "Failed",
    "PictureDropped",
    "PictureReady",
    "PictureStarted",
    "PictureStep",
    "SourcesFound",
    "StepFinished",
    "StepStarted",
    "TextDelta",
    "ToolCalled",
]


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step of the graph begins."""

    step: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step of the graph has ended.

    Attributes:
        seconds: its wall time.
    """

    step: str
    seconds: float


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """The passages that the chat model will read, best first."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the draft as it comes, slots and all. ``AnswerReady`` is what counts."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The chat model uses a tool; the words that came before it are no part of the answer.

    Attributes:
        name: of the tool, as the model wrote it.
        arguments: as the model wrote them.
    """

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PictureStarted:
    """Work on the picture of one slot begins.

    Attributes:
        slot: its number in the draft, from 0.
        kind: ``show``, ``mark`` or ``draw``.
        words: what it is to show.
    """

    slot: int
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class PictureStep:
    """An image model has done step ``k`` of ``n`` for a slot.

    Attributes:
        preview: a small picture of how far it has come, where the caller wants previews and the
            model can show one.
    """

    slot: int
    k: int
    n: int
    preview: Image.Image | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class PictureReady:
    """The picture of a slot is made; the check comes later."""

    slot: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class PictureDropped:
    """The slot stays without a picture, and why."""

    slot: int
    reason: str


@dataclass(frozen=True, slots=True)
class AnswerReady:
    """The turn is over and, in a session, written down."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Failed:
    """The turn ended in an error.

    Attributes:
        error: why.
        partial: what had been written until then, labelled as partial.
        interrupted: the person stopped it.
    """

    error: LimnerError
    partial: Answer
    interrupted: bool = False


Event = (
    StepStarted
    | StepFinished
    | SourcesFound
    | TextDelta
    | ToolCalled
    | PictureStarted
    | PictureStep
    | PictureReady
    | PictureDropped
    | AnswerReady
    | Failed
)
