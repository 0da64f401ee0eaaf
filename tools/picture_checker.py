"""The contract of who looks at a picture and says whether it shows what it should."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

__all__ = ["PictureChecker"]


class PictureChecker(Protocol):
    """Looks at pictures.

    Example:
        >>> from limner.tools.image_models.janus_reading import JanusReader
        >>> checker: PictureChecker = JanusReader.load("deepseek-community/Janus-Pro-1B")
    """

    def shows(self, picture: Image.Image, words: str) -> bool | None:
        """Whether a picture shows what words say; None where it cannot tell.

        Args:
            picture: of any size and mode.
            words: what it should show; material, never an instruction.

        Raises:
            ModelError: it cannot look.
        """
        ...
