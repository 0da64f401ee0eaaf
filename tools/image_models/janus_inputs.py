"""Words and pictures as Janus takes them, and pictures as it gives them. Knows no weights.

Turns are laid out by the folder's own chat template. What it does not write itself stays text: a
prompt that holds ``<begin_of_image>`` begins no picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from jinja2 import TemplateError
from PIL import Image

from ...errors import ModelError

__all__ = ["Inputs"]


class Inputs:
    """Made by ``load``.

    Args:
        processor: transformers' ``JanusProcessor``.
        image_processor: its part for pictures, the one that needs no torchvision, so that pixels
            do not depend on what else is installed.
    """

    def __init__(self, processor: Any, image_processor: Any) -> None:
        self._processor = processor
        self._images = image_processor
        self._tokenizer = processor.tokenizer

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read them from a model's folder.

        Raises:
            OSError: a file is missing.
            ValueError: a file cannot be read.
        """
        from transformers import JanusProcessor
        from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

        processor: Any = JanusProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if processor.chat_template is None:
            raise ValueError("there is no chat template")
        return cls(processor, JanusImageProcessorPil.from_pretrained(folder, local_files_only=True))

    def drawing(self, prompt: str) -> tuple[list[int], list[int]]:
        """The tokens before a picture, and as many that say nothing of it.

        Args:
            prompt: what the picture shows.

        Returns:
            A turn that ends where the picture begins; the same with all but its first and last
            token padded, for classifier-free guidance.

        Raises:
            ModelError: the folder's chat template cannot be used.
        """
        said = self._turn([{"type": "text", "text": prompt}])
        start, pad = self._tokenizer.bos_token_id, self._tokenizer.pad_token_id
        begin = self._tokenizer.boi_token_id
        return [start, *said, begin], [start, *[pad] * len(said), begin]

    def reading(self, words: str, picture: Image.Image) -> dict[str, Any]:
        """A question about a picture.

        Returns:
            ``input_ids`` and ``attention_mask`` ``(1, tokens)``, ``pixel_values``
            ``(1, 3, side, side)``.

        Raises:
            ModelError: the folder's chat template cannot be used.
        """
        import torch

        own = self._tokenizer
        place = [own.image_token_id] * self._processor.num_image_tokens
        ids = self._system()
        for token in self._turn([{"type": "image"}, {"type": "text", "text": words}]):
            seen = token == own.image_token_id
            ids += [own.boi_token_id, *place, own.eoi_token_id] if seen else [token]
        tensor = torch.tensor([ids])
        pixels = self._images(picture.convert("RGB"), return_tensors="pt")["pixel_values"]
        return {
            "input_ids": tensor,
            "attention_mask": torch.ones_like(tensor),
            "pixel_values": pixels,
        }

    def image(self, pixels: Any) -> Image.Image:
        """What the model decoded as a picture.

        Args:
            pixels: float ``(side, side, 3)``.

        Raises:
            FloatingPointError: numbers that are none.
        """
        import torch

        if not bool(torch.isfinite(pixels).all()):
            raise FloatingPointError("a picture of numbers that are none")
        own = self._images
        mean, deviation = (torch.tensor(v) for v in (own.image_mean, own.image_std))
        bright = (pixels.float().cpu() * deviation + mean) / own.rescale_factor
        return Image.fromarray(bright.clamp(0, 255).to(torch.uint8).numpy())

    def text(self, ids: Any) -> str:
        """Tokens of an answer as text, without special ones."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def one_token(self, *words: str) -> list[int]:
        """The tokens that are one of some words, with a space before it or without."""
        tried = (self._tokenizer.encode(space + word, add_special_tokens=False)
                 for word in words for space in ("", " "))  # fmt: skip
        return sorted({ids[0] for ids in tried if len(ids) == 1})

    def _turn(self, content: list[dict[str, str]]) -> list[int]:
        try:
            ids: list[int] = self._tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=self._processor.chat_template,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                sanitize_control_tokens=True,
            )
        except TemplateError as error:
            raise ModelError(
                f"the model's chat template refuses this: {str(error)[:200]}",
                "download the model's files again",
            ) from error
        return ids

    def _system(self) -> list[int]:
        """What stands before a turn that asks; nothing does before one that draws."""
        from transformers.models.janus.processing_janus import DEFAULT_SYSTEM_PROMPT

        own = self._tokenizer
        words = DEFAULT_SYSTEM_PROMPT if self._processor.use_default_system_prompt else ""
        return [own.bos_token_id, *own.encode(words, add_special_tokens=False)]
