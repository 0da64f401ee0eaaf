"""Paint the pictures that the prompts of questions/prompts.jsonl come with.

    python examples/make_questions.py [FOLDER]     (FOLDER defaults to questions/pictures/)

Needs pillow, matplotlib (for its DejaVu fonts) and the font Noto Color Emoji (Debian's
fonts-noto-color-emoji). The only chance in it is a field of faint stars, which is seeded, and no
clock is read: the same packages and fonts give the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from limner.examples import (
    picture_boards,
    picture_maps,
    picture_papers,
    picture_screens,
    picture_things,
)
from limner.examples.picture_brush import Brush

__all__ = ["PAINTERS", "file_name"]

PAINTERS: tuple[Callable[[], Brush], ...] = (
    *picture_papers.PAINTERS,
    *picture_screens.PAINTERS,
    *picture_maps.PAINTERS,
    *picture_boards.PAINTERS,
    *picture_things.PAINTERS,
)


def file_name(paint: Callable[[], Brush]) -> str:
    """The name of the file that a function's picture goes to."""
    return f"{paint.__name__.replace('_', '-')}.png"


def main() -> None:
    """Paint every picture."""
    given = sys.argv[1:]
    folder = Path(given[0]) if given else Path(__file__).parent / "questions" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for paint in PAINTERS:
        path = folder / file_name(paint)
        paint().save(path)
        print(f"{path.name}: {path.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
