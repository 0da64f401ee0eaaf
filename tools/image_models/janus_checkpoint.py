"""A folder of Janus or Janus-Pro in transformers' form: what it draws, and its weights once needed.

One loaded model draws and reads (`janus`, `janus_reading`); who works with it takes its turn. Knows
no prompts; downloads nothing and runs no code that a folder brings along.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ...errors import DeveloperError, ModelError, ModelOutputError
from ..chat_models.loading import find_folder, load_model, quietly
from ..model_files import fingerprint, loading
from ..paths import typed_path
from .janus_inputs import Inputs

__all__ = ["JanusCheckpoint", "JanusWeights", "computing"]

_AGAIN = "download the model's files again"
_DECODER_COPIES = 6
"""The most memory over one feature map of the last block: 4.8 and 5.5 were measured at 384²."""
_WIDTHS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class JanusCheckpoint:
    """A folder whose files are all there.

    Attributes:
        folder: where it is.
        name: the folder's name, or the hub's.
        revision: the hub's commit, or twelve digits made of the files.
        config: transformers' ``JanusConfig``.
        tokens: of a picture.
        side: pixels of a side of a picture.
        window: tokens that it takes, those of a picture among them.
    """

    folder: Path
    name: str
    revision: str
    config: Any
    tokens: int
    side: int
    window: int

    @classmethod
    def find(cls, name: str) -> Self:
        """Look for a model. Loads no weights.

        Args:
            name: a folder, or a name on the hub that was downloaded before.

        Raises:
            ModelMissing: it is neither, or not in a form that is loaded.
            ModelError: it is no Janus, or its settings cannot be read.
            UserError: no name and no path.
        """
        typed_path(name)  # what is no path at all is told as such
        folder, revision = find_folder(name)
        _need_janus(folder)
        from transformers import JanusConfig

        with _reading(folder):
            config: Any = JanusConfig.from_pretrained(folder, local_files_only=True)
            eyes, paint = config.vision_config, config.vq_config
            grid = eyes.image_size // eyes.patch_size
            side = grid * 2 ** (len(paint.channel_multiplier) - 1)
            if grid**2 != eyes.num_image_tokens:
                raise ValueError(f"{eyes.num_image_tokens} tokens are no {grid}×{grid}")
        return cls(
            folder,
            name if revision else folder.name,
            revision or fingerprint(folder),
            config,
            eyes.num_image_tokens,
            side,
            config.text_config.max_position_embeddings,
        )

    @property
    def grid(self) -> int:
        """Tokens on a side of a picture."""
        return math.isqrt(self.tokens)

    def need(self, pictures: int, prompt: int, dtype: str) -> int:
        """Bytes that drawing takes at its peak: weights, keys and values, decoding.

        Args:
            pictures: drawn together; each takes two rows.
            prompt: its tokens.
            dtype: of the weights in memory.
        """
        import torch

        width: int = getattr(torch, dtype).itemsize
        stored = self.config.dtype or torch.float32
        files: int = sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))
        words = self.config.text_config
        head = getattr(words, "head_dim", None) or words.hidden_size // words.num_attention_heads
        token = 2 * words.num_hidden_layers * words.num_key_value_heads * head * width
        kept = 2 * pictures * (prompt + self.tokens) * token
        decoding = self.side**2 * self.config.vq_config.base_channels * width * _DECODER_COPIES
        return int(files * width / stored.itemsize + kept + decoding)


class JanusWeights:
    """A model that is loaded when it is first needed.

    Args:
        checkpoint: its folder.
        device: ``cuda`` where there is one, else ``cpu``.
        dtype: ``bfloat16`` on a GPU, ``float32`` on a CPU.

    Raises:
        DeveloperError: no such device or dtype.
    """

    def __init__(self, checkpoint: JanusCheckpoint, device: str = "", dtype: str = "") -> None:
        import torch

        there = torch.cuda.is_available()
        self.checkpoint = checkpoint
        self.device = device or ("cuda" if there else "cpu")
        self.dtype = dtype or ("float32" if self.device == "cpu" else "bfloat16")
        if self.device != "cpu" and not (self.device.startswith("cuda") and there):
            raise DeveloperError(f"device {device!r} is not there", 'device="cpu"')
        if self.dtype not in _WIDTHS:
            raise DeveloperError(f"dtype {dtype!r} is not one of {', '.join(_WIDTHS)}", "leave it")
        self._lock = threading.Lock()
        self._model: Any = None

    @cached_property
    def inputs(self) -> Inputs:
        """Its tokenizer and what it makes of pictures; needs no weights."""
        with _reading(self.checkpoint.folder), quietly():
            return Inputs.load(self.checkpoint.folder)

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    @contextlib.contextmanager
    def at_work(self) -> Iterator[Any]:
        """The model, for one at a time.

        Raises:
            ModelError: it does not fit into memory, or its files do not belong together.
        """
        with self._lock:
            if self._model is None:
                with quietly():
                    self._model = load_model(self.checkpoint.folder, self.device, self.dtype, 0)
            yield self._model

    def free(self) -> None:
        """Give the memory back; the next that needs the model loads it again."""
        import torch

        with self._lock:
            self._model = None
            if self.device != "cpu":
                torch.cuda.empty_cache()


@contextlib.contextmanager
def computing(name: str, hint: str) -> Iterator[None]:
    """Tell what goes wrong in a model's work in our own words.

    Args:
        name: of the model.
        hint: what helps where memory has run out.

    Raises:
        ModelError: out of memory, or the model failed.
        ModelOutputError: it computed numbers that are none (``FloatingPointError``).
    """
    try:
        yield
    except FloatingPointError as error:
        raise ModelOutputError(
            f"{name} computed {error}", 'load it with dtype="float32", or download its files again'
        ) from error
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or "memory" in str(error).lower():
            raise ModelError(f"{name}: out of memory ({str(error)[:200]})", hint) from error
        raise ModelError(f"{name} failed: {str(error)[:300]}", _AGAIN) from error


def _need_janus(folder: Path) -> None:
    with _reading(folder):
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    if kind == "multi_modality":
        raise ModelError(
            f"{folder}: the published form, which only runs with code of its own",
            "take the same weights in transformers' form: deepseek-community/Janus-Pro-1B or -7B",
        )
    if kind != "janus":
        raise ModelError(f"{folder}: a model of the kind {kind!r}, no Janus", "limner models ls")


def _reading(folder: Path) -> contextlib.AbstractContextManager[None]:
    return loading(f"{folder}: its settings, tokenizer or image processor cannot be read")
