"""Which pictures and passages are those that a question means. Knows places, no scores.

Two pictures are the same where they come from the same source and page and their boxes overlap
with an intersection over union (IoU) of at least 0.5. What the question leaves open holds for all:
a place without a page is on any page of its source, and where either side has no box it is the
whole picture, which overlaps every box of it. A picture that several files hold is at each of
their places, as far as the passages of the answer tell of them. A generated picture is none of the
question's. An attachment is known by its file name, marked or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from ....index.passage import Passage
from ....tools.grounding import overlap
from ....tools.media import MediaStore
from ...answer import Answer, Generated, Picture, Text
from ...draft import readable
from ..questions import Place
from .alignment import best_pairs

__all__ = [
    "LEAST_OVERLAP",
    "best_overlap",
    "count_slots",
    "is_attachment",
    "is_page",
    "matched",
    "meets",
    "overlap_at",
    "resolves",
    "wanted_places",
]

LEAST_OVERLAP = 0.5
"""The least IoU of two boxes that stand for the same picture."""

_ATTACHMENT = re.compile(r"a[1-9]\d{0,3}")
_SLOT = re.compile(r"\[\[\s*(?:show|mark|draw)\b", re.IGNORECASE)


def is_attachment(passage: Passage) -> bool:
    """Whether a passage came with the question (a1, a2 …) and not from the library."""
    return _ATTACHMENT.fullmatch(passage.id) is not None


def is_page(item: str) -> bool:
    """Whether a relevant place is a page (``source#page``) and not a whole file."""
    return _file_of(item) != item


def wanted_places(relevant: Iterable[str]) -> list[str]:
    """The files and pages of a list, each once; a page is left out where its whole file is named.

    Example:
        >>> wanted_places(["a.pdf#2", "b.md", "b.md#1", "a.pdf#2"])
        ['a.pdf#2', 'b.md']
    """
    wanted = dict.fromkeys(relevant)
    return [item for item in wanted if not is_page(item) or _file_of(item) not in wanted]


def _file_of(item: str) -> str:
    source, _, page = item.rpartition("#")
    return source if source and page.isdecimal() else item


def meets(passage: Passage, item: str) -> bool:
    """Whether a passage stands in a file (``source``) or on a page (``source#page``)."""
    page = None if passage.page is None else f"{passage.source}#{passage.page}"
    return item in (passage.source, page)


def overlap_at(passage: Passage, place: Place) -> float | None:
    """The IoU of a passage's picture and a place, 0 to 1; None where they are of other sources.

    1 where either has no box.
    """
    if is_attachment(passage):
        return 1.0 if PurePath(passage.source).name == PurePath(place.source).name else None
    if passage.source != place.source or place.page not in (None, passage.page):
        return None
    return overlap(passage.box, place.box) if passage.box and place.box else 1.0


def best_overlap(passages: Iterable[Passage], place: Place) -> float:
    """The highest IoU of some passages of one picture and a place; 0 where none is there."""
    return max((overlap_at(passage, place) or 0.0 for passage in passages), default=0.0)


def matched(answer: Answer, places: Sequence[Place]) -> list[tuple[int, int]]:
    """Which of the answer's pictures is which of a question's places, one to one.

    As many as can be; of these the greatest overlap, and of equals the one that stays closest to
    the order of the places. A picture whose file is gone matches nothing.

    Returns:
        Positions in ``answer.pictures`` and in ``places``, both from 0, by the first.
    """
    worth: dict[tuple[int, int], int] = {}
    for i, picture in enumerate(answer.pictures):
        if isinstance(picture.origin, Generated) or not resolves(picture, answer.folder):
            continue
        image = picture.origin.passage.image
        twins = [p for p in answer.passages if p.image == image] if image else []
        for j, place in enumerate(places):
            shared = best_overlap([picture.origin.passage, *twins], place)
            if shared >= LEAST_OVERLAP:
                worth[i, j] = round(shared * 10**6) * 10**12 - (i - j) ** 2
    return best_pairs(worth)


def resolves(picture: Picture, folder: str) -> bool:
    """Whether a picture's reference leads to a file; all do where no folder is known."""
    return not folder or picture.media in MediaStore(Path(folder))


def count_slots(answer: Answer) -> int:
    """How many picture slots still stand in the text as they were written in the draft."""
    texts = [part.content for part in answer.parts if isinstance(part, Text)]
    return sum(len(_SLOT.findall(text)) or int(readable(text) != text) for text in texts)
