"""An Answer as HTML: a page of its own, or a piece for a notebook.

Everything in an answer is untrusted: words come from documents, screenshots and models, names
from the file system. Text passes through `markdown` (a safe subset, nothing active), everything
else through autoescaping. A page has no script and refers to nothing outside itself.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import LibraryDamaged
from ..tools.media import MediaStore
from . import markdown
from .answer import Answer, Generated, Marked, Origin, Picture, Text
from .citations import cited_passages, notice
from .drawn import adapters
from .plain_text import clean, clean_line

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from PIL.Image import Image

__all__ = ["Turn", "enlargement", "fragment", "load_picture", "to_html"]

Turn = tuple[str, Answer]
"""A question, which may be empty, and its answer."""

_SMALL = 256
"""Pixels of a width from which a drawing is shown as it is."""

_MAX_WIDTH = 1600  # pixels of an inlined picture; twice a page's measure, for dense screens


@dataclass(frozen=True, slots=True)
class _Words:
    """A text part, ready for a template."""

    html: Markup


@dataclass(frozen=True, slots=True)
class _Figure:
    """A picture part, ready for a template; without ``url`` where its file is gone.

    A small drawing is shown ``enlarged`` by a whole factor; its file stays as it is.
    """

    url: str
    size: tuple[int, int]
    enlarged: int
    alt: str
    caption: str
    kind: Literal["found", "marked", "generated"]
    badge: str
    place: str
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """A cited passage, ready for a template."""

    anchor: str
    number: int
    place: str
    text: str


@dataclass(frozen=True, slots=True)
class _Section:
    """A question with its answer, ready for a template."""

    question: str
    notice: str
    blocks: tuple[_Words | _Figure, ...]
    sources: tuple[_Source, ...]


def to_html(answers: Sequence[Turn], title: str) -> str:
    """One page with everything inside: no script, no reference to anything elsewhere.

    Args:
        answers: each question, which may be empty, with its answer.
        title: of the page; stands above the questions where there are several.
    """
    sections = [_section(turn, f"s{n}") for n, turn in enumerate(answers, 1)]
    page = _templates().get_template("answer.html.jinja")
    return page.render(title=clean_line(title), sections=sections)


def fragment(answer: Answer) -> str:
    """An answer as a piece of HTML for a notebook's cell, styles and pictures inside."""
    return _templates().get_template("fragment.html.jinja").render(section=_section(("", answer)))


def _section(turn: Turn, anchor: str = "") -> _Section:
    question, answer = turn
    return _Section(
        question=clean_line(question),
        notice=notice(answer),
        blocks=tuple(_block(part, answer, anchor) for part in answer.parts),
        sources=tuple(
            _Source(f"{anchor}-{n}", n, clean_line(passage.place), clean(passage.text).strip())
            for n, passage in cited_passages(answer)
        ),
    )


def _block(part: Text | Picture, answer: Answer, anchor: str) -> _Words | _Figure:
    from markupsafe import Markup

    if isinstance(part, Text):
        return _Words(Markup(markdown.to_html(part.content, len(answer.passages), anchor)))
    url, size = _data_url(part.media, answer.folder)
    kind, badge, place, details = _origin(part.origin)
    alt, caption = clean_line(part.alt), clean_line(part.caption)
    factor = enlargement(size) if isinstance(part.origin, Generated) else 1
    return _Figure(url, size, factor, alt, caption, kind, badge, clean_line(place), details)


def _origin(
    origin: Origin,
) -> tuple[Literal["found", "marked", "generated"], str, str, tuple[tuple[str, str], ...]]:
    if isinstance(origin, Generated):
        place = ", ".join([f"by {origin.model}", *origin.caveats])
        return "generated", "generated", place, _recipe(origin)
    if isinstance(origin, Marked):
        return "marked", "marked copy", origin.passage.place, ()
    return "found", "from your files", origin.passage.place, ()


def _recipe(origin: Generated) -> tuple[tuple[str, str], ...]:
    width, height = origin.size
    rows = {
        "Prompt": origin.prompt,
        "Without": origin.negative_prompt,
        "Model": f"{origin.model} {origin.revision}",
        "Seed": str(origin.seed),
        "Steps": f"{origin.steps}, {origin.scheduler}",
        "Guidance": f"{origin.guidance:g}",
        "Size": f"{width} × {height}",
        "Drawn over": "" if origin.strength is None else _drawn_over(origin),
        "Adapters": adapters(origin.lora),
    }
    return tuple((name, clean_line(value)) for name, value in rows.items() if value)


def _drawn_over(origin: Generated) -> str:
    part = "a part of " if origin.mask else ""
    return f"{part}an earlier picture, strength {origin.strength:g}"


def _data_url(media: str, folder: str) -> tuple[str, tuple[int, int]]:
    found = load_picture(media, folder)
    if found is None:
        return "", (0, 0)
    image, data = found
    kind = "jpeg" if media.endswith(".jpg") else "png"
    if image.width > _MAX_WIDTH:
        image = image.resize((_MAX_WIDTH, round(image.height * _MAX_WIDTH / image.width) or 1))
        buffer = io.BytesIO()
        image.save(buffer, kind, quality=88)
        data = buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}", image.size


def enlargement(size: tuple[int, int]) -> int:
    """How many times as large a drawing is shown: the least whole number that makes it no stamp.

    Example:
        >>> enlargement((64, 64)), enlargement((512, 512))
        (4, 1)
    """
    return max(-(-_SMALL // size[0]), 1) if size[0] else 1


def load_picture(media: str, folder: str) -> tuple[Image, bytes] | None:
    """A picture and its file's bytes, or None where it is missing or was changed."""
    store = MediaStore(Path(folder))
    try:
        return store.open(media), store.path(media).read_bytes()
    except LibraryDamaged:  # an answer without one of its pictures is still worth keeping
        return None


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
