"""What the steps of a turn work with. Holds models and stores; decides nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from ..index.library import Library
from ..tools.image_models.base import ImageModel
from ..tools.media import MediaStore
from ..tools.picture_checker import PictureChecker
from ..tools.sentences import Encoder
from .grading import Calibration

__all__ = ["Approve", "Workbench", "nobody_approves"]


Approve = Callable[[str, dict[str, Any]], bool]
"""Asked whether a tool of that name may act with those arguments; only ``True`` allows it."""


def nobody_approves(name: str, arguments: dict[str, Any]) -> bool:
    """The answer where nobody can be asked: no."""
    return False


@dataclass(frozen=True)
class Workbench:
    """The context of a running graph.

    Attributes:
        library: where passages are found.
        chat_model: drafts the answer.
        encoder: the library's embedding model with a small memory, for grading and checking.
        calibration: what was fitted for that model; None where nothing was, and then no question
            is held to be unanswerable.
        media: where attachments, marked copies and drawn pictures go; reads through to the
            library's pictures.
        image_model: draws; None where the profile has none.
        picture_checker: looks at what was drawn before the chat model is asked to.
        previews: whether steps of a picture are told with a small picture of how far it has come.
        reads: whether the chat model understands what it is asked; one that quotes does not.
        tools: the caller's own, beside those that every chat model with function calls is offered;
            one that only reads says so in its metadata, ``{"acts": False}``.
        approve: asked before any other of them runs, with its name and arguments; only ``True``
            allows it.
        stopped: set when nobody waits for the turn any more; models end within one token.
    """

    library: Library
    chat_model: BaseChatModel
    encoder: Encoder
    calibration: Calibration | None
    media: MediaStore
    image_model: ImageModel | None = None
    picture_checker: PictureChecker | None = None
    previews: bool = False
    reads: bool = False
    tools: tuple[BaseTool, ...] = ()
    approve: Approve = nobody_approves
    stopped: threading.Event = field(default_factory=threading.Event)
