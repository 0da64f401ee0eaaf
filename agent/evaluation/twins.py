"""Twins of an agent, each for one turn: many may run at the same time, with seeds of their own.

They share the models, the library and the graph. Knows agents; no questions and no runs.
"""

from __future__ import annotations

import threading
import time
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.language_models import BaseChatModel

from ...tools.image_models.around import Around
from ...tools.image_models.base import (
    Estimate,
    GeneratedImage,
    ImageModel,
    ImageRequest,
    OnStep,
)
from ...tools.media import MediaStore

if TYPE_CHECKING:
    from ..agent import Agent

__all__ = ["Painter", "Twin"]


class Twin:
    """An agent's twin without a conversation.

    Args:
        agent: stays as it is.
        media: folder that the pictures of the answers go to; pictures of the library that they
            show are copied there.
        shift: is added to the seeds of its models: to that of every drawing, and to the chat
            model's where it has one. 0 leaves both as they are.
    """

    def __init__(self, agent: Agent, media: Path, shift: int = 0) -> None:
        work = agent._work
        self.painter = Painter(work.image_model, shift) if work.image_model else None
        self.media = MediaStore(media, parent=work.library.media)
        _ = agent._plain_graph  # built once, not by every twin
        self.agent = copy(agent)
        self.agent.session = self.agent._scratch = None
        self.agent._work = replace(
            work,
            media=self.media,
            chat_model=_seeded(work.chat_model, shift),
            image_model=self.painter,
            stopped=threading.Event(),
        )

    @property
    def picture_seconds(self) -> tuple[float, ...]:
        """What each drawing took so far."""
        return tuple(self.painter.seconds) if self.painter else ()

    def stop(self) -> None:
        """Have its models end within one token or one step of a drawing."""
        self.agent._work.stopped.set()


def _seeded(chat_model: BaseChatModel, shift: int) -> BaseChatModel:
    """A chat model with another seed, where it draws lots at all; its weights are shared."""
    if not shift or "seed" not in type(chat_model).model_fields:
        return chat_model
    own = getattr(chat_model, "seed", None) or 0
    return chat_model.model_copy(update={"seed": own + shift})


class Painter(Around):
    """An `ImageModel` with other seeds than it is asked for, which notes how long it draws.

    Args:
        model: draws.
        shift: is added to every seed.

    Attributes:
        seconds: of each drawing, without loading; of one that was drawn before, of that time.
    """

    def __init__(self, model: ImageModel, shift: int) -> None:
        super().__init__(model)
        self.shift = shift
        self.seconds: list[float] = []

    def estimate(self, request: ImageRequest) -> Estimate:
        """The model's."""
        return self.model.estimate(request)

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        """See `ImageModel.generate`."""
        started = time.perf_counter()
        seed = (request.seed + self.shift) % 2**63
        drawn = self.model.generate(replace(request, seed=seed), on_step)
        self.seconds.append(round(drawn.seconds or time.perf_counter() - started, 6))
        return drawn
