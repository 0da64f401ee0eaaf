"""What the steps of a turn work with. Holds models and stores; decides nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from langchain_core.language_models import BaseChatModel

from ..index.library import Library
from ..tools.image_models.base import ImageModel
from ..tools.media import MediaStore
from ..tools.sentences import Encoder
from .grading import Calibration

__all__ = ["Workbench"]


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
        stopped: set when nobody waits for the turn any more; models end within one token.
    """

    library: Library
    chat_model: BaseChatModel
    encoder: Encoder
    calibration: Calibration | None
    media: MediaStore
    image_model: ImageModel | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
