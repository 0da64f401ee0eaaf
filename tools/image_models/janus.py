"""Janus and Janus-Pro as an image model, on this machine.

A picture is drawn token by token (`janus_engine`) and decoded at the end; several of one prompt can
be drawn together. Here requests are checked, pictures decoded and labelled. The same weights read
pictures: see `janus_reading`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Self

from PIL import Image

from ...errors import DeveloperError, UserError
from .base import (
    Capabilities,
    Estimate,
    GeneratedImage,
    ImageRequest,
    OnStep,
    Range,
    Sizes,
)
from .checking import completed
from .history import History
from .janus_checkpoint import JanusCheckpoint, JanusWeights, computing
from .janus_engine import TokenLoop

__all__ = ["MOST_TOGETHER", "Janus"]

MOST_TOGETHER = 16
"""Pictures that are drawn together at the most."""

_GUIDANCE = Range(5, 1, 20)
_PREVIEW_SHARE = 0.25
"""Of the time so far that previews may have taken before there are no more for a while: decoding
takes several tokens' time, on a CPU seconds."""
_SEEDS = 2**63
_SMALLER = "draw fewer together, or take a smaller model: deepseek-community/Janus-Pro-1B"


class Janus:
    """Implements `ImageModel`. Made by ``load``; several threads may share one.

    Attributes:
        weights: shared with who reads.

    Example:
        >>> model = Janus.load("deepseek-community/Janus-Pro-1B")
        >>> drawn = model.generate(ImageRequest("a red boat"), lambda k, n, preview: None)
    """

    def __init__(self, weights: JanusWeights, temperature: float, history: History) -> None:
        self.weights = weights
        self._checkpoint = weights.checkpoint
        self._temperature = temperature
        self._history = history

    @classmethod
    def load(
        cls, name: str, *, device: str = "", dtype: str = "", temperature: float = 1.0
    ) -> Self:
        """Find a model and what it can do. Its weights are loaded when they are first needed.

        Args:
            name: a folder in transformers' form, or a name on the hub that was downloaded before.
            device: ``cuda`` where there is one, else ``cpu``.
            dtype: ``bfloat16`` on a GPU, ``float32`` on a CPU.
            temperature: 1 draws tokens as likely as they are, 0 takes the likeliest each time.

        Raises:
            ModelMissing: not there, or not in a form that is loaded.
            ModelError: no Janus, or its settings are damaged.
            DeveloperError: arguments that nobody could follow.
        """
        if not 0 <= temperature <= 10:
            raise DeveloperError(f"temperature {temperature}: it must be 0 to 10", "temperature=1")
        weights = JanusWeights(JanusCheckpoint.find(name), device, dtype)
        return cls(weights, temperature, History.of_user())

    @property
    def name(self) -> str:
        """Of the folder or the hub."""
        return self._checkpoint.name

    @property
    def revision(self) -> str:
        """Which weights."""
        return self._checkpoint.revision

    @property
    def capabilities(self) -> Capabilities:
        """What it can be asked for: one size, one number of steps, guidance."""
        side, tokens = self._checkpoint.side, self._checkpoint.tokens
        return Capabilities(
            sizes=Sizes((side, side), side, side),
            steps=Range(tokens, tokens, tokens),
            guidance=_GUIDANCE,
            schedulers=(self._choice,),
        )

    def estimate(self, request: ImageRequest, together: int = 1) -> Estimate:
        """See `ImageModel.estimate`; for several pictures of a prompt, all of them."""
        request = self._completed(request, together)
        prompt = len(self._told(request.prompt)[0])
        return Estimate(
            self._history.seconds(self._kind(together), self._checkpoint.tokens),
            self._checkpoint.need(together, prompt, self.weights.dtype),
        )

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        """See `ImageModel.generate`."""
        return self.draw_several(request, 1, on_step)[0]

    def draw_several(
        self, request: ImageRequest, together: int, on_step: OnStep
    ) -> tuple[GeneratedImage, ...]:
        """Several pictures of one prompt, in one batch.

        Args:
            request: what to draw; its seed is the first picture's, each next one has the next.
            together: how many, 1 to 16.
            on_step: told after every token of all of them; previews show them side by side, and are
                None while they would hold the drawing up too much.

        Returns:
            In the order of their seeds; each can be drawn again alone, see `TokenLoop`.

        Raises:
            UserError: the request does not fit what the model knows; no weights were loaded.
            ModelError: the model is not there, does not fit into memory, or failed.
        """
        request = self._completed(request, together)
        assert request.guidance is not None
        told, blank = self._told(request.prompt)
        seeds = [(request.seed + n) % _SEEDS for n in range(together)]
        settings = (request.guidance, self._temperature, self._checkpoint.tokens)
        with self.weights.at_work() as model:
            started = time.perf_counter()
            with computing(self.name, _SMALLER):
                loop = TokenLoop(model, told, blank, seeds, *settings)
            try:
                images = self._drawn(model, loop, on_step)
            finally:
                loop.close()  # whoever keeps an error keeps its frames, and no tensors with them
            seconds = time.perf_counter() - started
        self._history.note(self._kind(together), self._checkpoint.tokens, seconds)
        return tuple(
            self._labelled(image, request, seed, together, seconds)
            for image, seed in zip(images, seeds, strict=True)
        )

    def free(self) -> None:
        """Give the memory back; the next picture loads the weights again."""
        self.weights.free()

    # ── Drawing ──────────────────────────────────────────────────────────────────────────────

    def _drawn(self, model: Any, loop: TokenLoop, on_step: OnStep) -> list[Image.Image]:
        count, begun, looking = self._checkpoint.tokens, time.perf_counter(), 0.0

        def preview() -> Image.Image | None:
            nonlocal looking
            started = time.perf_counter()
            if looking > _PREVIEW_SHARE * (started - begun):
                return None
            images = [self._so_far(image, loop.done) for image in self._images(model, loop)]
            looking += time.perf_counter() - started
            return _side_by_side(images)

        for k in range(1, count + 1):
            with computing(self.name, _SMALLER):
                loop.next()
            on_step(k, count, preview)
        return self._images(model, loop)

    def _images(self, model: Any, loop: TokenLoop) -> list[Image.Image]:
        """Decoded one by one: that takes less memory, and gives the same pixels in any company."""
        import torch

        with computing(self.name, _SMALLER), torch.no_grad():
            decoded = [model.decode_image_tokens(row.unsqueeze(0))[0] for row in loop.tokens]
            return [self.weights.inputs.image(pixels) for pixels in decoded]

    def _so_far(self, image: Image.Image, done: int) -> Image.Image:
        """With grey where there are no tokens yet; they come row by row."""
        side, grid = self._checkpoint.side, self._checkpoint.grid
        cell, (rows, cells) = side // grid, divmod(done, grid)
        image.paste("grey", (0, -(-done // grid) * cell, side, side))
        if cells:
            image.paste("grey", (cells * cell, rows * cell, side, (rows + 1) * cell))
        return image

    def _labelled(
        self, image: Image.Image, request: ImageRequest, seed: int, together: int, seconds: float
    ) -> GeneratedImage:
        assert request.size is not None and request.steps is not None
        assert request.guidance is not None and request.scheduler is not None
        return GeneratedImage(
            image=image,
            model=self.name,
            revision=self.revision,
            prompt=request.prompt,
            negative_prompt="",
            size=request.size,
            steps=request.steps,
            guidance=request.guidance,
            scheduler=request.scheduler,
            seed=seed,
            device=self.weights.device,
            dtype=self.weights.dtype,
            versions=tuple((package, version(package)) for package in ("transformers", "torch")),
            notes=(f"one of {together} drawn together",) if together > 1 else (),
            seconds=seconds,
        )

    # ── Requests ─────────────────────────────────────────────────────────────────────────────

    def _completed(self, request: ImageRequest, together: int) -> ImageRequest:
        if not 1 <= together <= MOST_TOGETHER:
            raise UserError(
                f"{together} pictures together: {self.name} draws 1 to {MOST_TOGETHER}", "draw 4"
            )
        own = self.capabilities.sizes.own
        if request.size not in (None, own):
            raise UserError(
                f"size {request.size[0]}×{request.size[1]}: "
                f"{self.name} draws {own[0]}×{own[1]} only",
                f"--size {own[0]}x{own[1]}, and resize the drawn picture",
            )
        return completed(request, self.capabilities, self.name)

    def _told(self, prompt: str) -> tuple[list[int], list[int]]:
        told, blank = self.weights.inputs.drawing(prompt)
        room = self._checkpoint.window - self._checkpoint.tokens
        if len(told) > room:
            raise UserError(
                f"prompt: it is {len(told):,} tokens long, {self.name} takes {room:,}",
                "shorten it to what the picture is to show",
            )
        return told, blank

    @property
    def _choice(self) -> str:
        """How tokens are chosen, in the place of a scheduler: it decides what is drawn."""
        named: dict[float, str] = {0: "greedy", 1: "sampling"}
        return named.get(self._temperature, f"sampling at {self._temperature:g}")

    def _kind(self, together: int) -> str:
        used = f"{self.weights.device} {self.weights.dtype}"
        return f"{self.name} {self.revision} {used} {together} together"


def _side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    width, height = images[0].size
    row = Image.new("RGB", (width * len(images), height))
    for n, image in enumerate(images):
        row.paste(image, (n * width, 0))
    return row
