"""Pictures that were drawn once, kept as files that say how they were drawn. Only a cache.

A file is named by what it answers: the whole request, the model's revision and the versions that
draw. Whatever is wrong with the folder (full, read-only, damaged) means that pictures are drawn as
if there were no cache; a picture whose pixels do not match its record is dropped, never returned.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self
from uuid import uuid4

from ...errors import ModelError, SourceError
from ..user_cache import user_cache
from .around import Around
from .base import (
    DrawsMany,
    Estimate,
    GeneratedImage,
    ImageModel,
    ImageRequest,
    OnStep,
)
from .checking import completed, digest_of
from .provenance import adapter_digest, read, signed_png

__all__ = ["PictureCache", "Remembering", "key_of"]

_BYTES = 2_000_000_000
_FILLED = 0.9  # of the bytes that may be used: what an eviction leaves
_DRAW = ("limner", "diffusers", "torch", "transformers")


def key_of(model: ImageModel, request: ImageRequest) -> str:
    """32 hexadecimal digits for a picture: the same for the same pixels, as far as can be told.

    Args:
        model: would draw it.
        request: what it would be asked for; what is left open is the model's own choice.

    Raises:
        UserError: the model cannot draw this.
    """
    request = completed(request, model.capabilities, model.name)
    told = [
        *(model.name, model.revision, request.prompt, request.negative_prompt, request.size),
        *(request.steps, float(request.guidance or 0), request.scheduler, request.seed),
        *(digest_of(request.reference, "RGB"), digest_of(request.mask, "L"), request.strength),
        # A path or name may stand for another file tomorrow.
        [(name, float(weight), adapter_digest(name)) for name, weight in request.lora],
        [_version(package) for package in _DRAW],
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


class PictureCache:
    """A folder of drawn pictures. Threads and processes may share it.

    Args:
        folder: made on first use. Only its owner may look into it.
        max_bytes: the size above which the pictures used longest ago are deleted; None for ever.
    """

    def __init__(self, folder: Path, max_bytes: int | None = _BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    @classmethod
    def of_user(cls) -> Self | None:
        """The user's, or none where that is turned off; see `user_cache`.

        Raises:
            UserError: ``LIMNER_CACHE_BYTES`` is not a number of bytes.
        """
        place = user_cache()
        return cls(place[0] / "pictures", place[1]) if place else None

    def path(self, key: str) -> Path:
        """The file of a picture, there or not."""
        return self.folder / f"{key}.png"

    def get(self, key: str) -> GeneratedImage | None:
        """A picture that was drawn before, if it is there and whole."""
        path = self.path(key)
        try:
            if not path.is_file():
                return None
            found = read(path)
            if found is not None and found.untouched:
                os.utime(path)
                return found.drawn
        except SourceError:
            pass
        except OSError:
            return None
        with suppress(OSError):
            path.unlink()
        return None

    def put(self, key: str, drawn: GeneratedImage) -> None:
        """Keep a picture, if that can be done."""
        with suppress(OSError):
            data = signed_png(drawn)
            if self.max_bytes is not None:
                if len(data) > self.max_bytes:
                    return
                self._make_room(len(data))
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self.folder / f"{uuid4().hex}.part"
            try:
                fresh.write_bytes(data)
                fresh.replace(self.path(key))
            finally:
                fresh.unlink(missing_ok=True)

    def _make_room(self, wanted: int) -> None:
        """Delete what was used longest ago, in bulk; what a killed process left counts too."""
        if not self.folder.is_dir():
            return
        with os.scandir(self.folder) as entries:
            known = sorted((e.stat().st_mtime, e.stat().st_size, e.path) for e in entries)
        used = wanted + sum(size for _, size, _ in known)
        assert self.max_bytes is not None
        if used <= self.max_bytes:
            return
        for _, size, path in known:
            if used <= max(_FILLED * self.max_bytes, wanted):
                break
            Path(path).unlink(missing_ok=True)
            used -= size


class Remembering(Around):
    """An `ImageModel` that does not draw the same picture twice.

    Args:
        model: draws.
        cache: keeps; without one everything is drawn.
    """

    def __init__(self, model: ImageModel, cache: PictureCache | None) -> None:
        super().__init__(model)
        self.cache = cache

    def estimate(self, request: ImageRequest, together: int = 1) -> Estimate:
        """The model's, whether or not the pictures are there; see `DrawsMany.estimate`."""
        if isinstance(self.model, DrawsMany):
            return self.model.estimate(request, together)
        return self.model.estimate(request)

    def most_together(self, request: ImageRequest, most: int | None = None) -> int:
        """The model's; 1 of one that draws each by itself."""
        return self.model.most_together(request, most) if isinstance(self.model, DrawsMany) else 1

    def known(self, request: ImageRequest) -> GeneratedImage | None:
        """The picture, if it was drawn before.

        Args:
            request: what would be drawn.

        Raises:
            UserError: the model cannot draw this.
        """
        found = None if self.cache is None else self.cache.get(key_of(self.model, request))
        return found and replace(found, lora=request.lora)  # a file does not say where they lie

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        """See `ImageModel.generate`; for a picture that was drawn before there are no steps."""
        if (drawn := self.known(request)) is None:
            drawn = self.model.generate(request, on_step)
            self._keep(request, drawn)
        return drawn

    def generate_many(
        self, requests: Sequence[ImageRequest], on_step: OnStep
    ) -> list[GeneratedImage | ModelError]:
        """See `DrawsMany.generate_many`; each by itself where the model can do no other."""
        found = [self.known(request) for request in requests]
        left = [r for r, there in zip(requests, found, strict=True) if there is None]
        drawn = iter(self._drawn(left, on_step))
        return [next(drawn) if there is None else there for there in found]

    def _drawn(
        self, requests: Sequence[ImageRequest], on_step: OnStep
    ) -> list[GeneratedImage | ModelError]:
        if not isinstance(self.model, DrawsMany):
            return [self.generate(request, on_step) for request in requests]
        made = self.model.generate_many(requests, on_step) if requests else []
        for request, one in zip(requests, made, strict=True):
            if isinstance(one, GeneratedImage):
                self._keep(request, one)
        return made

    def _keep(self, request: ImageRequest, drawn: GeneratedImage) -> None:
        if self.cache is not None:
            self.cache.put(key_of(self.model, request), drawn)
