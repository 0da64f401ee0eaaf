"""Does a small drawing show what was asked for? By the small Janus that comes with Limner.

It has seen nothing but emoji, which the small SDXL draws, so no other model's pictures are shown to
it. Where it is not sure it says so: a wrong "no" costs a good picture. Knows no turn.
"""

from __future__ import annotations

import re
import threading

from PIL import Image

from ..prompts import prompt
from .image_models.janus_reading import JanusReader

__all__ = ["NO", "YES", "PocketChecker"]

YES, NO = 0.7, 0.05
"""How likely yes must be at least, and at the most, for a picture to be confirmed and refused.

Of 120 names that the small SDXL draws, 96 % are confirmed and none refused, of as many pictures
under another's name 0.8 % and 74 %; the bounds were chosen in sight of such figures.
"""


_BETWEEN = re.compile(r"\s+(?:and|next to|above|below|over|under|on the (?:left|right) of)\s+")


class PocketChecker:
    """Implements `PictureChecker`; its weights are loaded for the first picture.

    Args:
        name: of a Janus that is shipped, or a folder.
    """

    def __init__(self, name: str) -> None:
        self._name, self._lock = name, threading.Lock()
        self._reader: JanusReader | None = None

    def shows(self, picture: Image.Image, words: str) -> bool | None:
        """See `PictureChecker`; None where it is likelier than `NO` and less likely than `YES`."""
        reader = self._opened()
        asked = dict.fromkeys([words, *_things(words)])  # each of two must be seen by itself
        yes = min(reader.yes(picture, prompt("shows", words=thing)) for thing in asked)
        return yes >= YES if yes >= YES or yes <= NO else None

    def _opened(self) -> JanusReader:
        with self._lock:
            if self._reader is None:
                self._reader = JanusReader.load(self._name)
            return self._reader


def _things(words: str) -> list[str]:
    """What words name side by side, or one above the other.

    Example:
        >>> _things("a fox next to a pig")
        ['a fox', 'a pig']
    """
    return [thing for thing in _BETWEEN.split(words.strip()) if thing]
