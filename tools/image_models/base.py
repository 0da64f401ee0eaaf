"""The contract of an image model. Knows requests and pictures; nothing of the turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

__all__ = ["Capabilities", "GeneratedImage", "ImageModel", "ImageRequest"]


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What to draw. None leaves a choice to the model.

    Attributes:
        prompt: what it shows.
        negative_prompt: what it does not show.
        size: width and height in pixels.
        steps: denoising steps.
        guidance: classifier-free guidance scale.
        scheduler: by name.
        seed: of the starting noise.
    """

    prompt: str
    negative_prompt: str = ""
    size: tuple[int, int] | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can be asked for.

    Attributes:
        sizes: ``(width, height)`` pairs it draws; the first is its own choice.
        schedulers: by name; the first is its own choice.
        negative_prompt: whether it knows one.
    """

    sizes: tuple[tuple[int, int], ...]
    schedulers: tuple[str, ...]
    negative_prompt: bool


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A drawn picture and everything needed to draw it again."""

    image: Image.Image
    model: str
    revision: str
    prompt: str
    negative_prompt: str
    size: tuple[int, int]
    steps: int
    guidance: float
    scheduler: str
    seed: int


class ImageModel(Protocol):
    """Draws pictures.

    Example:
        >>> drawn = model.generate(ImageRequest("a red boat", seed=7), lambda k, n: None)
        >>> drawn.image.size
        (64, 64)
    """

    @property
    def capabilities(self) -> Capabilities:
        """What the model can be asked for."""
        ...

    def generate(
        self, request: ImageRequest, on_step: Callable[[int, int], None]
    ) -> GeneratedImage:
        """Draw one picture.

        Args:
            request: what to draw.
            on_step: called with ``(k, n)`` after step k of n.

        Raises:
            ModelError: the model cannot draw this, or failed.
        """
        ...
