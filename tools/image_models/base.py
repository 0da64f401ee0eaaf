"""The contract of an image model: requests, what a model can be asked for, and pictures.

Pure values and one Protocol. Knows no model, no file and nothing of the turn; `checking` holds a
request against what a model knows, `tool` makes a LangChain tool of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from ...errors import ModelError
from ..emoji import emoji_named
from .captions import Captions
from .vocabulary import Vocabulary

__all__ = [
    "Capabilities",
    "DrawsMany",
    "Estimate",
    "GeneratedImage",
    "ImageModel",
    "ImageRequest",
    "OnStep",
    "Preview",
    "Range",
    "Sizes",
]

Preview = Callable[[], Image.Image | None]
"""Makes a small picture of how far it has come; None where the model cannot. Only to be called
within ``on_step``: what it looks at is gone afterwards."""

OnStep = Callable[[int, int, Preview], None]
"""Told ``(k, n, preview)`` after step k of n. Whatever it raises cancels the picture."""


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What to draw. None leaves a choice to the model.

    Attributes:
        prompt: what it shows; emoji in it become their names, which any model can read.
        negative_prompt: what it does not show; the same.
        size: width and height in pixels.
        steps: denoising steps.
        guidance: classifier-free guidance scale.
        scheduler: by name.
        seed: of the starting noise; 0 or more, below 2**63.
        reference: a picture to start from (image-to-image).
        mask: of the reference's size; what is white is drawn anew, what is black is kept.
        strength: how much of the reference is drawn over: above 0, at most 1.
        lora: adapters by name or path, each with its weight.
    """

    prompt: str
    negative_prompt: str = ""
    size: tuple[int, int] | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    seed: int = 0
    reference: Image.Image | None = field(default=None, repr=False)
    mask: Image.Image | None = field(default=None, repr=False)
    strength: float | None = None
    lora: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", emoji_named(self.prompt))
        object.__setattr__(self, "negative_prompt", emoji_named(self.negative_prompt))


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes that a model draws.

    Attributes:
        own: width and height of its own choice.
        smallest: pixels of a side.
        largest: pixels of a side; the same as ``smallest`` where it draws one size only.
        multiple_of: what each side must be divisible by.
    """

    own: tuple[int, int]
    smallest: int
    largest: int
    multiple_of: int = 8


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers that a model takes, both ends included.

    Attributes:
        own: its own choice.
        least: the smallest.
        most: the largest; the same as ``least`` where there is no choice.
    """

    own: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can be asked for. Known before any weights are loaded.

    Attributes:
        sizes: that it draws.
        steps: that it takes, whole numbers.
        guidance: scales that it takes; one value only where it knows no guidance.
        schedulers: by name; the first is its own choice.
        negative_prompt: whether it knows one.
        reference: whether it can start from a picture.
        mask: whether it can draw a part of a picture anew.
        lora: whether it takes adapters.
        scheduler_steps: schedulers that take fewer steps than ``steps.most``, with their most.
        vocabulary: the words that it was taught; None where nothing is said of them.
        captions: the only words by which it knows to change a picture; None where any may do.
    """

    sizes: Sizes
    steps: Range
    guidance: Range
    schedulers: tuple[str, ...]
    negative_prompt: bool = False
    reference: bool = False
    mask: bool = False
    lora: bool = False
    scheduler_steps: tuple[tuple[str, int], ...] = ()
    vocabulary: Vocabulary | None = None
    captions: Captions | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a picture will take, as far as it can be told honestly.

    Attributes:
        seconds: from earlier pictures of this model on this machine; None before the first.
        bytes: of memory, weights and work together; None where the model runs elsewhere.
    """

    seconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """A drawn picture and everything needed to draw it again.

    Attributes:
        image: RGB.
        model: its name.
        revision: which weights.
        prompt: as asked for.
        negative_prompt: as asked for.
        size: width and height in pixels.
        steps: as asked for; with a strength below 1 fewer are taken.
        guidance: classifier-free guidance scale.
        scheduler: by name.
        seed: of the starting noise.
        strength: None without a reference.
        reference: SHA-256 of the reference's size and RGB pixels; empty without one.
        mask: SHA-256 of the mask's size and grey pixels; empty without one.
        lora: adapters, each with its weight.
        device: ``cpu``, ``cuda`` …
        dtype: of the weights that drew.
        versions: of what drew it: ``(("diffusers", "0.42.1"), …)``.
        checked: a safety checker has looked at it; False is to be told to people.
        notes: what was done beyond the usual, in words: slices, a second attempt.
        seconds: wall time of drawing, without loading; of a batch its share.
        batch: how many pictures were drawn in one pass, this one among them.
    """

    image: Image.Image = field(repr=False)
    model: str
    revision: str
    prompt: str
    negative_prompt: str
    size: tuple[int, int]
    steps: int
    guidance: float
    scheduler: str
    seed: int
    strength: float | None = None
    reference: str = ""
    mask: str = ""
    lora: tuple[tuple[str, float], ...] = ()
    device: str = ""
    dtype: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    checked: bool = False
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    batch: int = 1

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping of all but the picture itself."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "image"}
        return values | {
            "size": list(self.size),
            "lora": [list(pair) for pair in self.lora],
            "versions": dict(self.versions),
            "notes": list(self.notes),
        }


class ImageModel(Protocol):
    """Draws pictures.

    Example:
        >>> from limner.tools.image_models.fake import HashPainter
        >>> drawn = HashPainter().generate(ImageRequest("a red boat", seed=7), lambda k, n, p: None)
        >>> drawn.image.size
        (64, 64)
    """

    @property
    def name(self) -> str:
        """What people call it: its folder's name or the hub's."""
        ...

    @property
    def revision(self) -> str:
        """Which weights: the hub's commit, or digits made of the files."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the model can be asked for. Loads nothing."""
        ...

    def estimate(self, request: ImageRequest) -> Estimate:
        """What a picture will take.

        Args:
            request: what would be drawn.

        Raises:
            UserError: the model cannot draw this.
        """
        ...

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        """Draw one picture.

        Args:
            request: what to draw.
            on_step: told after every step; raising in it cancels the picture within that step
                and frees what it held.

        Raises:
            UserError: the request does not fit what the model knows; nothing was loaded.
            ModelError: the model is not there, does not fit into memory, or failed.
        """
        ...


@runtime_checkable
class DrawsMany(Protocol):
    """What an `ImageModel` has besides where it draws several pictures in one pass."""

    def most_together(self, request: ImageRequest, most: int | None = None) -> int:
        """How many pictures like this one are drawn in one pass, 1 or more. Loads nothing.

        Args:
            request: one of them.
            most: the most that are wanted; left out, as many as pay on the model's device. Fewer
                where there is no memory for so many.

        Raises:
            UserError, ModelError: as ``estimate``.
        """
        ...

    def estimate(self, request: ImageRequest, together: int = 1) -> Estimate:
        """What pictures will take that are drawn in one pass, all of them; see `ImageModel`."""
        ...

    def generate_many(
        self, requests: Sequence[ImageRequest], on_step: OnStep
    ) -> list[GeneratedImage | ModelError]:
        """Draw pictures that differ in prompt, negative prompt and seed alone.

        Args:
            requests: one or more. Each starts from the noise of its own seed, so a picture is the
                one that is drawn alone as far as the device's kernels compute a row alike in
                batches of different height.
            on_step: as for ``generate``; where they do not go into one pass, every pass is counted
                anew.

        Returns:
            For each request its picture, or why that one came to nothing.

        Raises:
            UserError, ModelError: as ``generate``; no picture is there then.
        """
        ...
