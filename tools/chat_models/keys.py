"""Keys and values of a chat model's attention: put together, taken apart, kept for the next one.

Rows of one block end together, as a model goes on from them; shorter ones are padded on the left.
Knows tensors and transformers' caches, and nothing of what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["KEPT_BYTES", "KeptKeys", "Keys", "can_be_joined"]

KEPT_BYTES = 512 * 2**20
"""Of the keys that are kept for questions with the same beginning; 9,000 tokens of Qwen2-VL-2B."""

_SHARED = 32  # tokens; a shorter common beginning is not worth keeping
_NARROWEST = 256  # tokens in the smallest static cache; the next ones are twice as wide


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """Keys and values of some rows.

    Attributes:
        layers: of each layer, the keys and the values, ``(rows, heads, width, size)``.
        lengths: tokens of each row; the longest is the width.
    """

    layers: tuple[tuple[Any, Any], ...]
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, cache: Any, lengths: Sequence[int]) -> Self:
        """Those of a cache; what it holds beyond the width is left out."""
        width = max(lengths)
        layers = tuple((x.keys[:, :, :width], x.values[:, :, :width]) for x in cache.layers)
        return cls(layers, tuple(lengths))

    @property
    def width(self) -> int:
        """Tokens of the longest row."""
        return max(self.lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(int(t.nbytes) for pair in self.layers for t in pair)

    def rows(self, numbers: Sequence[int]) -> Keys:
        """Some of the rows, without the padding that only the others needed."""
        lengths = tuple(self.lengths[n] for n in numbers)
        width = max(lengths)
        pick = list(numbers)
        return Keys(
            tuple((k[pick, :, -width:], v[pick, :, -width:]) for k, v in self.layers), lengths
        )

    def beginning(self, tokens: int) -> Keys:
        """The first tokens of a single row."""
        assert len(self.lengths) == 1
        layers = tuple((k[:, :, :tokens], v[:, :, :tokens]) for k, v in self.layers)
        return Keys(layers, (tokens,))

    @staticmethod
    def joined(blocks: Sequence[Keys]) -> Keys:
        """The rows of all blocks."""
        import torch
        from torch.nn.functional import pad

        width = max(block.width for block in blocks)
        gaps = [(0, 0, width - block.width, 0) for block in blocks]

        def together(layer: int, half: int) -> Any:
            parts = (b.layers[layer][half] for b in blocks)
            return torch.cat([pad(part, gap) for part, gap in zip(parts, gaps, strict=True)])

        layers = tuple((together(n, 0), together(n, 1)) for n in range(len(blocks[0].layers)))
        return Keys(layers, tuple(n for block in blocks for n in block.lengths))

    def mask(self, more: int, always: bool) -> Any:
        """Which tokens are no padding, ``(rows, width + more)``; None where there is none.

        Args:
            more: tokens that follow.
            always: whether a mask is made in any case.
        """
        import torch

        if not always and all(length == self.width for length in self.lengths):
            return None
        at = torch.arange(self.width + more)
        starts = torch.tensor([[self.width - length] for length in self.lengths])
        return (at >= starts).long().to(self.layers[0][0].device)

    def dynamic(self) -> Any:
        """A cache that grows; it shares these tensors and never writes into them."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        kind: Any = DynamicLayer
        cache = DynamicCache()
        for keys, values in self.layers:
            layer: Any = kind()
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = keys, values
            cache.layers.append(layer)
        return cache

    def static(self, config: Any, before: Any) -> Any:
        """A cache of fixed width with room for more tokens.

        Args:
            config: of the model.
            before: one of the same size to be used again, so that its place in memory stays; or
                None.
        """
        from transformers import StaticCache

        cache, layers = before, self.layers
        if before is None:
            cache = StaticCache(config, max_cache_len=static_width(self.width))
        else:  # what is written may be a part of what is read
            layers = tuple((k.clone(), v.clone()) for k, v in layers)
        for layer, (keys, values) in zip(cache.layers, layers, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(keys, values)
            layer.keys[:, :, : self.width] = keys
            layer.values[:, :, : self.width] = values
            layer.cumulative_length.fill_(self.width)
        return cache


def static_width(tokens: int) -> int:
    """Tokens that a static cache holds: few widths, as the model is compiled for each."""
    width = _NARROWEST
    while width <= tokens:
        width *= 2
    return width


def can_be_joined(cache: Any) -> bool:
    """Whether a cache is one that `Keys` understands."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    return type(cache) is DynamicCache and all(type(x) is DynamicLayer for x in cache.layers)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    ids: NDArray[np.int64]
    pictures: tuple[tuple[int, bytes], ...]
    keys: Keys


class KeptKeys:
    """The keys of the last questions, for those that begin alike.

    Two questions are alike up to the first token that differs, or the first picture: a picture's
    tokens are the same for all pictures, so they are told apart by their digests.
    """

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most = most
        self._kept: list[_Kept] = []  # the one used last is the last

    def keep(
        self, ids: NDArray[np.int64], pictures: Sequence[tuple[int, bytes]], keys: Keys
    ) -> None:
        """Keep a question's keys; the ones used longest ago make room.

        Args:
            ids: its tokens.
            pictures: where each picture begins, and its digest.
            keys: one row, of these tokens or the first of them.
        """
        length = keys.width
        if length < _SHARED:
            return
        new = _Kept(ids[:length], tuple(p for p in pictures if p[0] < length), keys)
        # One that the new one goes on from would never be better than it.
        self._kept = [old for old in self._kept if _shared(old, new) < len(old.ids)]
        self._kept.append(new)
        while len(self._kept) > 1 and sum(k.keys.nbytes for k in self._kept) > self._most:
            del self._kept[0]

    def find(self, ids: NDArray[np.int64], pictures: Sequence[tuple[int, bytes]]) -> Keys | None:
        """The keys of the longest beginning that was kept, if one is worth it.

        At least the last token is left to be read.
        """
        asked = _Kept(ids[:-1], tuple(pictures), Keys((), ()))
        best = max(self._kept, key=lambda kept: _shared(kept, asked), default=None)
        if best is None or (tokens := _shared(best, asked)) < _SHARED:
            return None
        self._kept.remove(best)
        self._kept.append(best)
        return best.keys.beginning(tokens)

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()


def _shared(one: _Kept, other: _Kept) -> int:
    """Tokens up to the first that differs or belongs to a picture that differs."""
    length = min(len(one.ids), len(other.ids))
    differ = np.flatnonzero(one.ids[:length] != other.ids[:length])
    shared = int(differ[0]) if len(differ) else length
    for n in range(max(len(one.pictures), len(other.pictures))):
        a, b = one.pictures[n : n + 1], other.pictures[n : n + 1]
        if a != b:
            return min(shared, *(start for start, _ in (*a, *b)))
    return shared
