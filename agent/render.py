"""An Answer as Markdown, as one HTML page, as JSON. Knows no model and no library.

Everything in an answer is untrusted: words come from documents, screenshots and models, names
from the file system. Text passes through `markdown` (a safe subset, nothing active), everything
else through autoescaping. A page has no script and refers to nothing outside itself.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from ..errors import LibraryDamaged, UserError
from ..index.passage import Passage
from ..tools.media import MediaStore
from . import markdown
from .answer import Answer, Generated, Marked, Origin, Picture, Text
from .citations import cited_passages
from .plain_text import HIDDEN, clean, clean_line

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from PIL.Image import Image

__all__ = [
    "Turn",
    "fragment",
    "notice",
    "passage_dict",
    "save",
    "save_page",
    "to_html",
    "to_json",
    "to_json_dict",
    "to_markdown",
]

Turn = tuple[str, Answer]
"""A question, which may be empty, and its answer."""

_MAX_WIDTH = 1600  # pixels of an inlined picture; twice a page's measure, for dense screens


def save(answer: Answer, path: Path, question: str = "") -> Path:
    """Write an answer to a file; the suffix names the format.

    Args:
        answer: what to write.
        path: ``.md`` (its pictures go into ``<stem>_pictures`` beside it), ``.html`` or ``.json``.
        question: the heading; left out where empty, and in JSON.

    Returns:
        The path written.

    Raises:
        UserError: another suffix, or the place cannot be written. What was there before is then
            still there.
    """
    if path.suffix.lower() != ".json":
        return save_page([(question, answer)], path)
    _write({path: _encode(to_json(to_json_dict(answer)))})
    return path


def save_page(turns: Sequence[Turn], path: Path, title: str = "") -> Path:
    """Write several questions with their answers to one file, as `save` does.

    In JSON each turn is the object of `to_json_dict` with its ``question``, in a list.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise UserError(
            f"{path}: cannot export as {path.suffix or 'a file without a suffix'}",
            f"name a file that ends in {', '.join(_WRITERS)}",
        )
    _write(writer(turns, path, title))
    return path


def notice(answer: Answer) -> str:
    """A few words for an answer that is less than one, else empty; its text says the rest."""
    if answer.refused:
        return "Declined by the safety policy"
    if answer.abstained:
        return "Not answered"
    if answer.partial:
        return "Incomplete: this answer was cut short."
    return ""


# JSON


def to_json(value: object) -> str:
    """JSON text, readable in every script, and safe to print on a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    invisible = f"(?!\\n)[{HIDDEN}]"
    return re.sub(invisible, lambda match: json.dumps(match[0])[1:-1], text) + "\n"


def to_json_dict(answer: Answer) -> dict[str, Any]:
    """The object that ``limner ask --json`` prints; pictures by the path of their file."""
    return {
        "text": answer.text,
        "parts": [_part_dict(part, answer.folder) for part in answer.parts],
        "passages": [passage_dict(passage) for passage in answer.passages],
        "usage": asdict(answer.usage),
        "timings": dict(answer.timings),
        "refused": answer.refused,
        "abstained": answer.abstained,
        "partial": answer.partial,
    }


def _part_dict(part: Text | Picture, folder: str) -> dict[str, Any]:
    if isinstance(part, Text):
        return part.to_dict()
    return {
        "type": "picture",
        "path": str((Path(folder) / part.media).absolute()),
        "caption": part.caption,
        "alt": part.alt,
        "origin": part.origin.to_dict(),
    }


def passage_dict(passage: Passage) -> dict[str, Any]:
    """A passage as ``search --json`` and ``ask --json`` print it."""
    kept = ("source", "page", "box", "text", "score")
    return {name: getattr(passage, name) for name in kept}


# Markdown


def to_markdown(answer: Answer, pictures: Mapping[str, str]) -> str:
    """An answer as Markdown in which nothing but the pictures is active.

    Args:
        answer: what to write.
        pictures: for each media reference, the relative path to link to; a picture without one
            is left to its caption.
    """
    count = len(answer.passages)
    blocks = [f"> {notice(answer)}"] if notice(answer) else []
    for part in answer.parts:
        if isinstance(part, Text):
            blocks.append(markdown.to_inert(part.content, count))
        else:
            blocks.append(_markdown_picture(part, pictures.get(part.media)))
    sources = [_markdown_source(n, passage) for n, passage in cited_passages(answer)]
    if sources:
        blocks += ["**Sources**", "\n".join(sources)]
    return "\n\n".join(blocks) + "\n"


def _markdown_picture(picture: Picture, link: str | None) -> str:
    label = markdown.escape(picture.origin.label)
    caption = markdown.escape(picture.caption)
    words = f"*{caption}* ({label})" if caption else f"({label})"
    return f"![{markdown.escape(picture.alt)}]({quote(link)})\n\n{words}" if link else words


def _markdown_source(number: int, passage: Passage) -> str:
    quoted = markdown.escape(passage.text)
    return f"- [{number}] {markdown.escape(passage.place)}\n  > {quoted}"


def _markdown_files(turns: Sequence[Turn], path: Path, title: str) -> dict[Path, bytes]:
    folder = path.with_name(f"{path.stem}_pictures")
    blocks = [f"# {markdown.escape(title)}\n"] if title else []
    files: dict[Path, bytes] = {}
    for question, answer in turns:
        links: dict[str, str] = {}
        for media in {picture.media: None for picture in answer.pictures}:
            if found := _picture(media, answer.folder):
                target = folder / f"{media[:16]}{Path(media).suffix}"
                files[target] = found[1]
                links[media] = f"{folder.name}/{target.name}"
        heading = f"{'##' if title else '#'} {markdown.escape(question)}\n\n" if question else ""
        blocks.append(heading + to_markdown(answer, links))
    return {**files, path: _encode("\n".join(blocks))}


# HTML


@dataclass(frozen=True, slots=True)
class _Words:
    """A text part, ready for a template."""

    html: Markup


@dataclass(frozen=True, slots=True)
class _Figure:
    """A picture part, ready for a template; without ``url`` where its file is gone."""

    url: str
    size: tuple[int, int]
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
    return _Figure(url, size, alt, caption, kind, badge, clean_line(place), details)


def _origin(
    origin: Origin,
) -> tuple[Literal["found", "marked", "generated"], str, str, tuple[tuple[str, str], ...]]:
    if isinstance(origin, Generated):
        return "generated", "generated", origin.model, _recipe(origin)
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
    }
    return tuple((name, clean_line(value)) for name, value in rows.items() if value)


def _data_url(media: str, folder: str) -> tuple[str, tuple[int, int]]:
    found = _picture(media, folder)
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


# Files


def _html_files(turns: Sequence[Turn], path: Path, title: str) -> dict[Path, bytes]:
    only = turns[0][0] if len(turns) == 1 else ""
    return {path: _encode(to_html(turns, title or only or "Answers"))}


def _json_files(turns: Sequence[Turn], path: Path, title: str) -> dict[Path, bytes]:
    value = [{"question": question, **to_json_dict(answer)} for question, answer in turns]
    return {path: _encode(to_json(value))}


_WRITERS: Mapping[str, Callable[[Sequence[Turn], Path, str], dict[Path, bytes]]] = {
    ".md": _markdown_files,
    ".html": _html_files,
    ".json": _json_files,
}


def _picture(media: str, folder: str) -> tuple[Image, bytes] | None:
    store = MediaStore(Path(folder))
    try:
        return store.open(media), store.path(media).read_bytes()
    except LibraryDamaged:  # an answer without one of its pictures is still worth keeping
        return None


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _write(files: Mapping[Path, bytes]) -> None:
    """Write all or nothing; the last one is what the user named."""
    new: set[Path] = set()
    try:
        new = {p for path in files for p in (path, *path.parents) if not p.exists()}
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, data)
    except BaseException as error:
        for path in sorted(new, key=lambda p: len(p.parts), reverse=True):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            reason = error.strerror or error
            named = list(files)[-1]
            raise UserError(f"cannot write {named}: {reason}", "choose another place") from error
        raise


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
