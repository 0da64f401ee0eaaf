"""Many texts through one model: batches of like length, side by side, in a format that pays.

Knows token counts, threads and number formats; nothing of prompts, pooling or vectors' use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["batches", "bfloat16_copy", "one_thread_each", "token_budget"]

_CPU_TOKENS = 1_024  # the activations of a small model then stay near the processor
_GPU_TOKENS = 32_768
_CLOSE = 0.999  # least cosine to the float32 vector that any text of the sample may have
_GAIN = 1.2  # less than this is not worth a second copy of the weights
_PARAMETERS = 1_000_000_000  # of a larger model, no copy fills the memory unasked
_SAMPLE = 4  # texts that are tried

T = TypeVar("T")
R = TypeVar("R")
Encode = Callable[[Any, Sequence[str]], NDArray[np.float32]]


def token_budget(device: str) -> int:
    """Padded tokens of a batch that suit a device, where nobody said otherwise."""
    return _CPU_TOKENS if device == "cpu" else _GPU_TOKENS


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group texts of like length.

    Args:
        lengths: tokens of each text.
        budget: most padded tokens of a batch: its texts times the longest of them. A text that
            is longer makes a batch of its own.

    Returns:
        Places in ``lengths``, the longest first, each once.

    Example:
        >>> batches([3, 9, 4, 1], budget=9)
        [[1], [2, 0], [3]]
    """
    found: list[list[int]] = []
    longest = 0
    for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if found and longest * (len(found[-1]) + 1) <= budget:
            found[-1].append(place)
        else:
            found.append([place])
            longest = max(lengths[place], 1)
    return found


def one_thread_each(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Run ``work`` on as many items at once as torch has threads, each on one of them.

    Small matrices leave threads that share one of them idle; whole batches side by side do not.
    """
    from concurrent.futures import ThreadPoolExecutor
    from functools import partial

    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        return [work(item) for item in items]
    try:
        with ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1)) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)  # part of the setting is the whole process's


def bfloat16_copy(model: Any, encode: Encode, texts: Sequence[str]) -> Any | None:
    """The model in bfloat16 where that is faster here and says the same; else None.

    Args:
        model: a torch module on the CPU, in float32.
        encode: gives normalised vectors ``(n, d)`` of texts from a model.
        texts: the work at hand; a few of them are tried.

    Returns:
        A copy. None where the processor has no bfloat16, the model is not float32 or very large,
        or the sample came out slower or not close enough.
    """
    import copy

    import torch

    weights = list(model.parameters())
    small = sum(w.numel() for w in weights) <= _PARAMETERS
    if not (_has_bfloat16() and small and all(w.dtype == torch.float32 for w in weights)):
        return None
    sample = sorted(texts, key=len)[:: max(len(texts) // _SAMPLE, 1)][:_SAMPLE]
    fast = copy.deepcopy(model).to(torch.bfloat16)
    encode(fast, sample)  # the first call of a format prepares its kernels
    vectors, seconds = _timed(encode, fast, sample)
    wanted, seconds_wanted = _timed(encode, model, sample)
    close = bool(((vectors * wanted).sum(axis=1) >= _CLOSE).all())
    return fast if close and seconds * _GAIN <= seconds_wanted else None


def _timed(encode: Encode, model: Any, texts: Sequence[str]) -> tuple[NDArray[np.float32], float]:
    started = time.process_time()  # the processor's: others may be using the machine
    vectors = encode(model, texts)
    return vectors, time.process_time() - started


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; emulated, it would be slower."""
    import torch

    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in asked)
