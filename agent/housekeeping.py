"""What is deleted is gone: frees pictures that nothing refers to any more."""

from __future__ import annotations

from ..index.library import Library
from ..tools.media import MediaStore
from .sessions import Sessions

__all__ = ["collect"]


def collect(library: Library) -> int:
    """Delete pictures that no passage shows and pictures of answers that no conversation holds.

    The picture files that ``ask --json`` named without a session live until this runs.

    Returns:
        How many were deleted.
    """
    held = Sessions(library.folder).pictures()
    answers = MediaStore(library.folder / "answers")
    strays = [reference for reference in answers if reference not in held]
    for reference in strays:
        answers.remove(reference)
    return len(strays) + library.collect()
