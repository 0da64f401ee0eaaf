"""Does a picture show what words say? By CLIP: are the words the likeliest among others?

A similarity by itself says little: how high it is depends on the wording more than on the picture.
So the words are held against a fixed list of foils (``prompts/picture_foils.jinja``), everyday
pictures of something else, as in zero-shot classification (Radford et al. 2021, section 3.1): the
softmax of the scaled similarities tells how likely the words are among them all. Knows no turn.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

from PIL import Image

from ..errors import ModelError
from ..prompts import prompt
from .chat_models.loading import find_folder, quietly
from .model_files import loading
from .sentences import stems

__all__ = ["LIKELY", "ClipChecker", "foils"]

LIKELY = 0.5
"""How likely the words must be among the foils: likelier than all of them together."""


def foils(words: str) -> tuple[str, ...]:
    """What a picture is held against beside its words: nothing that names a thing they name."""
    named = set(stems(words))
    lines = prompt("picture_foils").splitlines()
    return tuple(line for line in lines if not named & set(stems(line)))


class ClipChecker:
    """Implements `PictureChecker`. Several threads may share one. Made by ``load``.

    Of long words only the first 77 tokens are read: CLIP knows no more.

    Example:
        >>> checker = ClipChecker.load("openai/clip-vit-base-patch32")
        >>> checker.shows(picture, "a lighthouse at dusk")
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    @classmethod
    def load(cls, name: str) -> Self:
        """Find a CLIP; its weights are loaded for the first picture.

        Args:
            name: a folder of transformers' ``CLIPModel`` with its tokenizer and image processor,
                or a name of the hub that was downloaded before.

        Raises:
            ModelMissing: not there, or not in a form that is loaded.
        """
        folder, _ = find_folder(name)
        return cls(str(folder))

    def shows(self, picture: Image.Image, words: str) -> bool | None:
        """See `PictureChecker`; None where no foil is left to hold the words against."""
        others = foils(words)
        return self.likely(picture, words, others) >= LIKELY if others else None

    def likely(self, picture: Image.Image, words: str, others: Sequence[str]) -> float:
        """How likely the words are, 0 to 1, among themselves and others, for a picture.

        Args:
            picture: of any size and mode.
            words: what it should show.
            others: what it might show instead.

        Raises:
            ModelError: the model cannot be loaded, or its numbers are none.
        """
        import torch

        with self._lock, torch.inference_mode():
            model, processor = self._loaded
            inputs = processor(
                text=[words, *others],
                images=picture.convert("RGB"),
                return_tensors="pt",
                padding=True,
                truncation=True,
            )
            scores = model(**inputs).logits_per_image[0].float()
        if not bool(torch.isfinite(scores).all()):
            raise ModelError(f"{self._folder}: computed numbers that are none")
        return float(scores.softmax(-1)[0])

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import CLIPModel, CLIPProcessor

        with loading(f"{self._folder}: no CLIP that can be loaded"), quietly():
            model: Any = CLIPModel.from_pretrained(
                self._folder, local_files_only=True, use_safetensors=True
            )
            processor = CLIPProcessor.from_pretrained(
                self._folder, local_files_only=True, trust_remote_code=False
            )
        return model.eval(), processor
