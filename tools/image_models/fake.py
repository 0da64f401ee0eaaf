"""A deterministic stand-in for tests: paints the hash of its prompt. No model, no load."""

from __future__ import annotations

import hashlib

from PIL import Image

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

__all__ = ["HashPainter"]


class HashPainter:
    """Implements `ImageModel`: 8 × 8 coloured fields, the same for the same prompt and seed."""

    name = "hash-painter"
    revision = "1"
    capabilities = Capabilities(
        sizes=Sizes((64, 64), 8, 4096),
        steps=Range(2, 1, 1000),
        guidance=Range(0, 0, 0),
        schedulers=("none",),
    )

    def estimate(self, request: ImageRequest) -> Estimate:
        """Nothing worth telling."""
        completed(request, self.capabilities, self.name)
        return Estimate()

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        """Paint the hash of the prompt and the seed."""
        request = completed(request, self.capabilities, self.name)
        assert request.size is not None and request.steps is not None
        data = b"".join(
            hashlib.sha256(f"{request.prompt} {request.seed} {i}".encode()).digest()
            for i in range(6)
        )
        small = Image.frombytes("RGB", (8, 8), data)
        for k in range(1, request.steps + 1):
            on_step(k, request.steps, small.copy)
        return GeneratedImage(
            image=small.resize(request.size, Image.Resampling.NEAREST),
            model=self.name,
            revision=self.revision,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            size=request.size,
            steps=request.steps,
            guidance=0.0,
            scheduler="none",
            seed=request.seed,
        )
