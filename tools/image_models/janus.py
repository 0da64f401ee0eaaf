"""Janus and Janus-Pro as an image model, on this machine.

A picture is drawn token by token (`janus_engine`) and decoded at the end; several of one prompt can
be drawn in one pass. Here requests are checked, pictures decoded and labelled. The same weights
read pictures: see `janus_reading`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Self

from PIL import Image

from ...errors import DeveloperError, ModelError, ModelOutputError, UserError
from ..chat_models.loading import free_memory
from .base import (
    Capabilities,
    Estimate,
    GeneratedImage,
    ImageRequest,
    OnStep,
    Range,
    Sizes,
)
from .checking import completed, need_alike
from .history import History
from .janus_checkpoint import JanusCheckpoint, JanusWeights, computing
from .janus_engine import TokenLoop
from .previews import side_by_side

__all__ = ["MOST_TOGETHER", "Janus"]

MOST_TOGETHER = 16
"""Pictures that are drawn together at the most."""

_GUIDANCE = Range(5, 1, 20)
_PREVIEW_SHARE = 0.25
"""Of the time so far that previews may have taken before there are no more for a while: decoding
takes several tokens' time, on a CPU seconds."""
_SEEDS = 2**63
_PAYING, _ON_GPU = {"cpu": 4}, 8  # pictures in a pass where nothing is said of it
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

    def most_together(self, request: ImageRequest, most: int | None = None) -> int:
        """See `DrawsMany.most_together`; those of one prompt go together."""
        request, device = self._completed(request, 1), self.weights.device
        prompt, dtype = len(self._told(request.prompt)[0]), self.weights.dtype
        most = min(most or _PAYING.get(device, _ON_GPU), MOST_TOGETHER)
        there = self._checkpoint.need(0, prompt, dtype) if self.weights.loaded else 0
        room = free_memory(device)
        needs = ((n, self._checkpoint.need(n, prompt, dtype) - there) for n in range(most, 1, -1))
        return next((n for n, need in needs if not room or need <= room), 1)

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
            on_step: as for ``generate_many``.

        Returns:
            In the order of their seeds.

        Raises:
            UserError: the request does not fit what the model knows; no weights were loaded.
            ModelError: the model is not there, does not fit into memory, or failed.
        """
        self._completed(request, together)
        seeds = [(request.seed + n) % _SEEDS for n in range(together)]
        found = self.generate_many([replace(request, seed=seed) for seed in seeds], on_step)
        for one in found:
            if isinstance(one, ModelError):
                raise one
        return tuple(one for one in found if isinstance(one, GeneratedImage))

    def generate_many(
        self, requests: Sequence[ImageRequest], on_step: OnStep
    ) -> list[GeneratedImage | ModelError]:
        """See `DrawsMany.generate_many`; pictures of other prompts go into passes of their own.

        ``on_step`` is told after every token of all of a pass; previews show its pictures side by
        side, and are None while they would hold the drawing up too much. For what a picture has in
        common with the one that is drawn alone see `TokenLoop`.
        """
        asked = [self._completed(request, 1) for request in requests]
        need_alike(asked)
        found: dict[int, GeneratedImage | ModelError] = {}
        for numbers in _by_prompt(asked):
            drawn = self._together([asked[n] for n in numbers], on_step, ())
            found |= dict(zip(numbers, drawn, strict=True))
        return [found[n] for n in range(len(asked))]

    def free(self) -> None:
        """Give the memory back; the next picture loads the weights again."""
        self.weights.free()

    # ── Drawing ──────────────────────────────────────────────────────────────────────────────

    def _together(
        self, requests: Sequence[ImageRequest], on_step: OnStep, notes: tuple[str, ...]
    ) -> list[GeneratedImage | ModelError]:
        """Pictures of one prompt in one pass; where that fails, in two of half as many."""
        try:
            return [*self._pass(requests, on_step, notes)]
        except ModelError as error:
            if len(requests) == 1:
                if isinstance(error, ModelOutputError):
                    return [error]
                raise
            half, notes = len(requests) // 2, (f"drawn again with fewer together, after: {error}",)
        parts = requests[:half], requests[half:]
        return [one for part in parts for one in self._together(part, on_step, notes)]

    def _pass(
        self, requests: Sequence[ImageRequest], on_step: OnStep, notes: tuple[str, ...]
    ) -> Iterator[GeneratedImage]:
        request, together = requests[0], len(requests)
        assert request.guidance is not None
        told, blank = self._told(request.prompt)
        seeds = [each.seed for each in requests]
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
        for image, each in zip(images, requests, strict=True):
            made = self._labelled(image, each, notes)
            yield replace(made, seconds=seconds / together, batch=together)

    def _drawn(self, model: Any, loop: TokenLoop, on_step: OnStep) -> list[Image.Image]:
        count, begun, looking = self._checkpoint.tokens, time.perf_counter(), 0.0

        def preview() -> Image.Image | None:
            nonlocal looking
            started = time.perf_counter()
            if looking > _PREVIEW_SHARE * (started - begun):
                return None
            images = [self._so_far(image, loop.done) for image in self._images(model, loop)]
            looking += time.perf_counter() - started
            return side_by_side(images)

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
        self, image: Image.Image, request: ImageRequest, notes: tuple[str, ...]
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
            seed=request.seed,
            device=self.weights.device,
            dtype=self.weights.dtype,
            versions=tuple((package, version(package)) for package in ("transformers", "torch")),
            notes=notes,
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


def _by_prompt(requests: Sequence[ImageRequest]) -> Iterator[list[int]]:
    """The numbers of requests that go into a pass together."""
    found: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        found.setdefault(request.prompt, []).append(number)
    for numbers in found.values():
        for at in range(0, len(numbers), MOST_TOGETHER):
            yield numbers[at : at + MOST_TOGETHER]
