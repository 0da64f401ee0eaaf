"""Album: the pictures of a page, small, each held once. Knows files and pixels, no page."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from ...errors import LibraryDamaged, SourceError
from ...tools.media import MediaStore, decode_image

__all__ = ["Album", "Thumbnail"]

_SIDES = ((120, 480), (400, 320), (1500, 200))  # up to so many pictures, pixels of a side
_SMALLEST = 120
_BUDGET = 7_000_000  # bytes of WebP files; a third more in the page


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture.

    Attributes:
        id: within its page.
        width: in pixels.
        height: in pixels.
        url: its WebP file as a data address.
    """

    id: str
    width: int
    height: int
    url: str


class Album:
    """Thumbnails, made when they are first asked for; equal ones are held once.

    Args:
        expected: how many pictures will be asked for: the more, the smaller they are.

    Attributes:
        left_out: pictures that found no room.
    """

    def __init__(self, expected: int) -> None:
        self.side = next((side for most, side in _SIDES if expected <= most), _SMALLEST)
        self.left_out = 0
        self._room = _BUDGET
        self._by_place: dict[tuple[str, str], Thumbnail | str] = {}
        self._by_digest: dict[str, Thumbnail] = {}

    @property
    def thumbnails(self) -> tuple[Thumbnail, ...]:
        """Each one once."""
        return tuple(self._by_digest.values())

    def attached(self, path: str) -> Thumbnail | str:
        """The thumbnail of a file, or why there is none."""
        return self._held("", path)

    def shown(self, media: str, folder: str) -> Thumbnail | str:
        """The thumbnail of an answer's picture, or why there is none.

        Args:
            media: its reference.
            folder: of the media store.
        """
        return self._held(folder or ".", media)

    def _held(self, folder: str, name: str) -> Thumbnail | str:
        place = (folder, name)
        if place not in self._by_place:
            self._by_place[place] = self._made(folder, name)
        return self._by_place[place]

    def _made(self, folder: str, name: str) -> Thumbnail | str:
        try:
            if folder:
                image = MediaStore(Path(folder)).open(name)
            elif Path(name).is_file():
                image = decode_image(Path(name))
            else:
                return "its file is missing"
        except LibraryDamaged:
            return "its file is missing or was changed"
        except (SourceError, OSError, ValueError):  # ValueError: a name that no file can have
            return "its file cannot be read"
        image.thumbnail((self.side, self.side))
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=72, method=3)
        return self._kept(buffer.getvalue(), image.size)

    def _kept(self, data: bytes, size: tuple[int, int]) -> Thumbnail | str:
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._by_digest:
            if len(data) > self._room:
                self.left_out += 1
                return "left out, so that this page stays small"
            self._room -= len(data)
            url = f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"
            number = f"p{len(self._by_digest) + 1}"
            self._by_digest[digest] = Thumbnail(number, *size, url)
        return self._by_digest[digest]
