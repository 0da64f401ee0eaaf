"""A deterministic stand-in for tests: paints the hash of its prompt. No model, no load."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from PIL import Image

from .base import Capabilities, GeneratedImage, ImageRequest

__all__ = ["HashPainter"]


class HashPainter:
    """Implements `ImageModel`: 8 × 8 coloured fields, the same for the same prompt and seed."""

    capabilities = Capabilities(sizes=((64, 64),), schedulers=("none",), negative_prompt=False)

    def generate(
        self, request: ImageRequest, on_step: Callable[[int, int], None]
    ) -> GeneratedImage:
        """Paint the hash of the prompt and the seed."""
        steps = request.steps or 2
        data = b"".join(
            hashlib.sha256(f"{request.prompt} {request.seed} {i}".encode()).digest()
            for i in range(6)
        )
        size = request.size or self.capabilities.sizes[0]
        image = Image.frombytes("RGB", (8, 8), data).resize(size, Image.Resampling.NEAREST)
        for k in range(1, steps + 1):
            on_step(k, steps)
        return GeneratedImage(
            image=image,
            model="hash-painter",
            revision="1",
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            size=size,
            steps=steps,
            guidance=request.guidance or 0.0,
            scheduler="none",
            seed=request.seed,
        )
