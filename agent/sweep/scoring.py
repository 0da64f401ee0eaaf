"""How well a picture agrees with its prompt, by a CLIP model on this machine. Draws nothing."""

from __future__ import annotations

from typing import Any, Self

from PIL import Image

from ...errors import ModelError
from ...tools.model_files import need_safetensors, snapshot
from ...tools.paths import typed_path

__all__ = ["ClipScorer"]


class ClipScorer:
    """Cosine of picture and prompt in CLIP's space, −1 to 1; prompts beyond 77 tokens are cut.

    See Hessel et al., "CLIPScore", EMNLP 2021, which scales it by 2.5 and cuts it off below 0.

    Example:
        >>> score = ClipScorer.load("openai/clip-vit-large-patch14")
        >>> score(image, "a red boat")
        0.27
    """

    def __init__(self, model: Any, tokenizer: Any, processor: Any) -> None:
        self._model, self._tokenizer, self._processor = model, tokenizer, processor

    @classmethod
    def load(cls, name: str) -> Self:
        """Load a model onto the CPU.

        Args:
            name: a folder, or a name of the hub that was downloaded before.

        Raises:
            ModelMissing: it is not there, or not as safetensors.
            ModelError: it cannot be loaded, or is of another kind.
        """
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

        folder = typed_path(name, "scorer")
        folder = folder if folder.is_dir() else snapshot(name)[0]
        need_safetensors(folder)
        try:
            model: Any = CLIPModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
            processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"{name}: no CLIP model that can be loaded ({str(error)[:200]})",
                "--scorer openai/clip-vit-large-patch14",
            ) from error
        return cls(model.eval(), tokenizer, processor)

    def __call__(self, image: Image.Image, prompt: str) -> float:
        """The cosine.

        Args:
            image: ``RGB``.
            prompt: what it is to show.
        """
        import torch

        words = self._tokenizer(prompt, truncation=True, max_length=77, return_tensors="pt")
        pixels = self._processor(images=image, return_tensors="pt")
        with torch.inference_mode():
            told = self._model(**words, pixel_values=pixels["pixel_values"])
            return float((told.image_embeds * told.text_embeds).sum())
