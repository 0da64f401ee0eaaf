"""Loading a chat model from a folder: is it there, is it safe, does it fit. Downloads nothing."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...errors import ModelError, ModelMissing
from ..model_files import (
    folder_of,
    loading,
    need_safetensors,
    need_whole_weights,
    tensor_shapes,
)

__all__ = ["find_folder", "free_memory", "load_model", "need_memory", "quietly", "wait_asleep"]

_AGAIN = "download the model's files again"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
_ROOM = 1.15
"""What a model takes while it works over its weights: activations and the keys of a few thousand
tokens. A judgement, meant to refuse what cannot work, not what might be slow."""


def find_folder(name: str) -> tuple[Path, str]:
    """The folder of a model and its revision.

    Args:
        name: a folder, or a name on the hub that was downloaded before:
            ``Qwen/Qwen2-VL-2B-Instruct``.

    Raises:
        ModelMissing: it is neither, or not in a form that is loaded.
    """
    folder, revision = folder_of(name)
    if not (folder / "config.json").is_file():
        raise ModelMissing(f"{folder}: no config.json, so not a model's folder", "limner models ls")
    need_safetensors(folder)
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ModelMissing(f"{folder}: no tokenizer ({', '.join(_TOKENIZERS)})", _AGAIN)
    return folder, revision


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep the remarks of transformers and torchvision away from the person at the terminal.

    What matters of them is raised as an error here: weights that are missing, parts that cannot be
    read.
    """
    from transformers.utils import logging as told

    loggers = [logging.getLogger(name) for name in ("transformers", "torchvision")]
    levels = [logger.level for logger in loggers]
    hide: Callable[[], None] = told.disable_progress_bar
    hide()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@functools.cache
def wait_asleep() -> None:
    """Let the threads of a computation on the CPU sleep while they wait for one another.

    The OpenMP of torch's wheels (libgomp) has them wait busily; where others use the processors
    too, an answer was seen to take fifteen times as long and more. It lets them sleep as soon as
    it has more threads than there are processors. One more thread
    that has computed once, and sleeps from then on, brings that about for the whole process;
    ``OMP_WAIT_POLICY`` would have to be set before anyone imports torch.
    """
    import torch

    computed = threading.Event()

    def compute_once() -> None:
        torch.ones(2**20).exp_()  # large enough for all threads
        computed.set()
        threading.Event().wait()

    if torch.get_num_threads() > 1:
        threading.Thread(target=compute_once, name="limner-asleep", daemon=True).start()
        computed.wait()


def free_memory(device: str) -> int:
    """Bytes that are free on a device; 0 where the system does not tell."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info()[0])
    told = Path("/proc/meminfo")
    lines = told.read_text().splitlines() if told.exists() else []
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable:")), 0)


def need_memory(folder: Path, width: int, device: str) -> int:
    """Compare what a model will take with what is free, before any of it is read.

    Args:
        folder: of the model.
        width: bytes of a weight in memory; half of one for 4 bits counts as 1.
        device: where it is to go.

    Returns:
        The bytes that its weights will take.

    Raises:
        ModelError: it does not fit; the hint names three ways out.
    """
    files = sorted(folder.glob("*.safetensors"))
    weights = width * sum(math.prod(s) for path in files for s in tensor_shapes(path).values())
    free = free_memory(device)
    if free and weights * _ROOM > free:
        raise ModelError(
            f"{folder.name} needs about {weights * _ROOM / 1e9:.1f} GB on {device}, "
            f"{free / 1e9:.1f} GB are free",
            "take a smaller model, load it in bfloat16 or 4 bits (dtype=…, bits=4), "
            "or let a server run it (--endpoint URL)",
        )
    return weights


def load_model(folder: Path, device: str, dtype: str, bits: int) -> Any:
    """The model, ready to generate.

    Args:
        folder: of the model.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        dtype: ``float32``, ``bfloat16`` or ``float16``.
        bits: 4 or 8 for a quantized load, which needs a GPU and bitsandbytes; 0 for none.

    Raises:
        ModelError: it does not fit, or its files do not belong together.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    width = bits // 8 or 1 if bits else getattr(torch, dtype).itemsize
    need_whole_weights(folder)
    need_memory(folder, width, device)
    settings: dict[str, Any] = {"dtype": getattr(torch, dtype), "attn_implementation": "sdpa"}
    if bits:
        settings["quantization_config"] = _quantized(bits)
        settings["device_map"] = {"": device}
    kind: Any = AutoModelForImageTextToText
    with loading(f"{folder}: cannot be loaded"):
        model, told = kind.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **settings,
        )
    if missing := sorted(told["missing_keys"]):
        raise ModelError(
            f"{folder}: {len(missing)} weights are missing, {missing[0]} among them",
            _AGAIN,
        )
    return (model if bits else model.to(device)).eval()


def _quantized(bits: int) -> Any:
    try:
        import bitsandbytes  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        raise ModelMissing(
            f"loading in {bits} bits needs bitsandbytes", "pip install 'limner[quantized]'"
        ) from None
    import torch
    from transformers import BitsAndBytesConfig

    make: Any = BitsAndBytesConfig
    return make(
        load_in_4bit=bits == 4, load_in_8bit=bits == 8, bnb_4bit_compute_dtype=torch.bfloat16
    )
