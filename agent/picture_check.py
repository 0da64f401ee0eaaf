"""Does a generated picture show its prompt? Who is asked, and what their answers come to.

The checker that the caller gave is asked first, then a chat model that sees pictures, then an
image model that also reads them. Who cannot look has said nothing, and the next is asked; where
nobody can tell, the picture stays and is labelled so. Knows no pictures' slots.
"""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from ..errors import LimnerError
from ..tools.image_models.base import ImageModel
from ..tools.picture_checker import PictureChecker
from .asking import is_so, picture_questions, shows
from .workbench import Workbench

__all__ = ["PASSED", "Questions", "shows_prompt"]

PASSED = 0.5
"""The share of a picture's questions that must be answered by yes."""


def shows_prompt(picture: Image.Image, words: str, work: Workbench) -> bool | None:
    """Whether a picture shows what words say; None where nobody can tell."""
    for checker in _checkers(work):
        try:
            found = checker.shows(picture, words)
        except LimnerError:
            continue
        if found is not None:
            return found
    return None


def _checkers(work: Workbench) -> Iterator[PictureChecker]:
    if work.picture_checker is not None:
        yield work.picture_checker
    if work.reads:
        yield Questions(work)
    if work.image_model is not None and (reader := _reader(work.image_model)):
        yield reader


def _reader(model: ImageModel) -> PictureChecker | None:
    """An image model's other half, where the same weights read pictures too."""
    from ..tools.image_models.janus import Janus
    from ..tools.image_models.janus_reading import JanusReader

    model = getattr(model, "model", model)  # behind one that remembers what it drew
    return JanusReader(model.weights) if isinstance(model, Janus) else None


class Questions:
    """A `PictureChecker` that asks a chat model short questions drawn from the words.

    Where it writes none, it is asked once for the whole.

    Args:
        work: holds the chat model, which must see pictures.
    """

    def __init__(self, work: Workbench) -> None:
        self._work = work

    def shows(self, picture: Image.Image, words: str) -> bool | None:
        """See `PictureChecker`: None where fewer than half of the questions were answered."""
        questions = picture_questions(words, self._work)
        if not questions:
            return shows(words, picture, self._work)
        found = [is_so(question, picture, self._work) for question in questions]
        told = [answer for answer in found if answer is not None]
        if 2 * len(told) < len(questions):
            return None
        return sum(told) >= PASSED * len(told)
