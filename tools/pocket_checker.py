"""Does a small drawing show what was asked for? By the small Janus that comes with Limner.

It has seen nothing but emoji, which the small SDXL draws, so no other model's pictures are shown to
it. Where it is not sure it says so: a wrong "no" costs a good picture. Knows no turn.
"""

from __future__ import annotations

import threading

from PIL import Image

from ..prompts import prompt
from .image_models.janus_reading import JanusReader

__all__ = ["SURE", "PocketChecker"]

SURE = 0.9
"""How likely yes or no must be to count."""


class PocketChecker:
    """Implements `PictureChecker`; its weights are loaded for the first picture.

    Args:
        name: of a Janus that is shipped, or a folder.
    """

    def __init__(self, name: str) -> None:
        self._name, self._lock = name, threading.Lock()
        self._reader: JanusReader | None = None

    def shows(self, picture: Image.Image, words: str) -> bool | None:
        """See `PictureChecker`; None where it is not `SURE`."""
        yes = self._opened().yes(picture, prompt("shows", words=words))
        return yes > 0.5 if max(yes, 1 - yes) >= SURE else None

    def _opened(self) -> JanusReader:
        with self._lock:
            if self._reader is None:
                self._reader = JanusReader.load(self._name)
            return self._reader
