"""The pictures and videos of a question as a vision tower sees them: told apart, looked at once.

What the tower makes of a picture is kept by the picture's content, so that a second question about
it does not wait for it. Knows the inputs that transformers' processors make, and no messages.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

__all__ = ["FEATURE_BYTES", "Features", "Looked", "Seen", "seen_in"]

FEATURE_BYTES = 256 * 2**20
"""Of the pictures' features that are kept; thirty screenshots of 1280×800 for Qwen2-VL-2B."""

_PIXELS = {"image": "pixel_values", "video": "pixel_values_videos"}


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A picture or a video among a question's inputs.

    Where a family does not say which pixels belong to which picture, all pictures of a question
    count as one.

    Attributes:
        kind: ``image`` or ``video``.
        digest: of its pixels and their arrangement.
        start: the first of its tokens.
        end: after the last of them.
        arguments: what ``get_image_features`` or ``get_video_features`` takes.
    """

    kind: str
    digest: bytes
    start: int
    end: int
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a vision tower makes of pictures, under the names that the models' ``forward`` reads.

    Attributes:
        pooler_output: features of each picture's tokens.
        deepstack_features: Qwen3-VL's, of some layers in between; None elsewhere.
    """

    pooler_output: Any
    deepstack_features: list[Any] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return _bytes_of(self.pooler_output) + _bytes_of(self.deepstack_features)

    @staticmethod
    def joined(several: Sequence[Features]) -> Features:
        """The features of several pictures, each split from the others by its family."""
        if len(several) == 1:
            return several[0]
        deep = zip(*(f.deepstack_features for f in several if f.deepstack_features), strict=True)
        layers = [[t for part in layer for t in part] for layer in deep]
        return Features([t for f in several for t in f.pooler_output], layers or None)


def _bytes_of(value: Any) -> int:
    if value is None:
        return 0
    return int(value.nbytes) if hasattr(value, "nbytes") else sum(map(_bytes_of, value))


def seen_in(inputs: dict[str, Any], model: Any, tokens: dict[str, int | None]) -> list[Seen]:
    """The pictures and videos of one question, in the order of its tokens.

    Args:
        inputs: of one question.
        model: of transformers.
        tokens: by kind, the token that stands for a piece of it.
    """
    ids = inputs["input_ids"][0].numpy()
    seen: list[Seen] = []
    for kind, pixels in _PIXELS.items():
        encode = getattr(model.base_model, f"get_{kind}_features", None)
        if inputs.get(pixels) is None or encode is None:
            continue
        names = inspect.signature(encode).parameters.keys() & inputs.keys()
        arguments = {name: inputs[name] for name in names}
        places = np.flatnonzero(ids == tokens[kind])
        parts = _parts(arguments, pixels, f"{kind}_grid_thw", len(places))
        for own, first, last in parts:
            at = int(places[first]), int(places[last - 1]) + 1
            seen.append(Seen(kind, _digest(kind, own), *at, own))
    return sorted(seen, key=lambda one: one.start)


def _parts(
    arguments: dict[str, Any], pixels: str, grid: str, tokens: int
) -> list[tuple[dict[str, Any], int, int]]:
    """What belongs to each picture: its arguments, and which of the pictures' tokens."""
    if grid not in arguments or len(arguments) > 2:
        return [(arguments, 0, tokens)]
    patches = arguments[grid].prod(dim=-1)
    ends = patches.cumsum(0).tolist()
    merged = ends[-1] // tokens
    return [
        (
            {pixels: arguments[pixels][end - count : end], grid: arguments[grid][n : n + 1]},
            (end - count) // merged,
            end // merged,
        )
        for n, (end, count) in enumerate(zip(ends, patches.tolist(), strict=True))
    ]


def _digest(kind: str, arguments: dict[str, Any]) -> bytes:
    # No secret depends on it, and a screenshot's pixels are 25 MB: SHA-256 would take 20 times
    # as long.
    digest = xxhash.xxh3_128(kind.encode())
    for name in sorted(arguments):
        value = arguments[name]
        array = np.ascontiguousarray(value.numpy() if hasattr(value, "numpy") else value)
        digest.update(f"{name} {array.dtype} {array.shape} ".encode())
        digest.update(array.data)
    return digest.digest()


class Looked:
    """The features of the pictures that were looked at last.

    Args:
        model: of transformers.
        most: bytes of features to keep; those used longest ago make room.
    """

    def __init__(self, model: Any, most: int = FEATURE_BYTES) -> None:
        self._model = model
        self._most = most
        self._kept: OrderedDict[bytes, Features] = OrderedDict()

    def at(self, seen: Sequence[Seen]) -> dict[str, Features]:
        """The features of some pictures and videos, by kind, for ``mm_encoder_outputs``."""
        by_kind: dict[str, list[Features]] = {}
        for one in seen:
            by_kind.setdefault(one.kind, []).append(self._features(one))
        return {kind: Features.joined(several) for kind, several in by_kind.items()}

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()

    def _features(self, one: Seen) -> Features:
        if one.digest in self._kept:
            self._kept.move_to_end(one.digest)
            return self._kept[one.digest]
        encode = getattr(self._model.base_model, f"get_{one.kind}_features")
        placed = {name: self._placed(value) for name, value in one.arguments.items()}
        out = encode(**placed, return_dict=True)
        features = Features(out.pooler_output, getattr(out, "deepstack_features", None))
        self._kept[one.digest] = features
        while len(self._kept) > 1 and sum(f.nbytes for f in self._kept.values()) > self._most:
            self._kept.popitem(last=False)
        return features

    def _placed(self, value: Any) -> Any:
        if not hasattr(value, "to"):
            return value
        if value.is_floating_point():
            return value.to(self._model.device, self._model.dtype)
        return value.to(self._model.device)
