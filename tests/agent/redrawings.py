"""What tests of redrawing share: a painter that knows every parameter, and an agent with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from limner.agent.agent import Agent
from limner.agent.answer import Answer, Generated, Picture
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models.base import GeneratedImage, ImageRequest, Range
from limner.tools.image_models.checking import completed
from limner.tools.image_models.fake import HashPainter

PROMPT = "a lighthouse with a dock"
DRAFT = f"So. [1]\n[[draw: {PROMPT}]]"
SEEN = Generated("hash-painter", "1", PROMPT, "", 3, 2, 0.0, "none", (64, 64))
PICTURES = [Picture(letter * 64 + ".png", "c", "a", SEEN) for letter in "ab"]


class Editor(HashPainter):
    """Knows every parameter, paints the request's hash, and keeps the requests."""

    capabilities = replace(
        HashPainter.capabilities,
        steps=Range(10, 1, 50),
        guidance=Range(5, 0, 20),
        schedulers=("euler", "ddim"),
        negative_prompt=True,
        reference=True,
        mask=True,
    )

    def __init__(self) -> None:
        self.asked: list[ImageRequest] = []

    def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
        whole = completed(request, self.capabilities, self.name)
        self.asked.append(whole)
        drawn = HashPainter().generate(
            ImageRequest(f"{whole}", size=whole.size, seed=whole.seed), on_step
        )
        taken = ("prompt", "negative_prompt", "steps", "guidance", "scheduler", "strength")
        return replace(drawn, **{name: getattr(whole, name) for name in taken})


def agent_of(library: Library, painter: Any, *replies: Any, session: str = "s") -> Agent:
    chat_model = Scripted(replies=[DRAFT, *replies])
    return Agent(library, chat_model=chat_model, image_model=painter, session=session)


def origin_of(answer: Answer) -> Generated:
    (picture,) = answer.pictures
    assert isinstance(picture.origin, Generated)
    return picture.origin


def changes_of(before: Generated, after: Generated) -> dict[str, Any]:
    return {
        name: getattr(after, name)
        for name in Generated.__slots__
        if getattr(after, name) != getattr(before, name)
    }
