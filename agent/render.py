"""An Answer as files: Markdown with its pictures beside it, one HTML page, or JSON.

Knows no model and no library. Words and names are untrusted; what is written of them does
nothing wherever it is opened.
"""

from __future__ import annotations

import html
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import UserError
from ..index.passage import Passage
from . import markdown
from .answer import Answer, Generated, Picture, Text
from .citations import cited_passages, notice
from .page import Turn, enlargement, fragment, load_picture, to_html
from .plain_text import HIDDEN, clean_line

__all__ = [
    "Turn",
    "fragment",
    "passage_dict",
    "save",
    "save_page",
    "to_be_saved",
    "to_html",
    "to_json",
    "to_json_dict",
    "to_markdown",
]


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
    to_be_saved(path)
    _write(_WRITERS[path.suffix.lower()](turns, path, title))
    return path


def to_be_saved(path: Path) -> None:
    """Refuse a file that nothing could be saved to, before there is anything to save.

    Raises:
        UserError: another suffix than those of `save`, or a place that cannot be written.
    """
    if path.suffix.lower() not in _WRITERS:
        raise UserError(
            f"{path}: cannot export as {path.suffix or 'a file without a suffix'}",
            f"name a file that ends in {', '.join(_WRITERS)}",
        )
    try:
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        fits = folder.is_dir() and os.access(folder, os.W_OK) and not path.is_dir()
    except OSError:
        fits = False
    if not fits:
        raise UserError(f"cannot write {path}", "choose another place")


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
        "timings": {step: round(seconds, 6) for step, seconds in answer.timings},
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
    return f"{_markdown_image(picture, link)}\n\n{words}" if link else words


def _markdown_image(picture: Picture, link: str) -> str:
    """The image; a small drawing as a tag, since Markdown itself knows no widths."""
    origin = picture.origin
    factor = enlargement(origin.size) if isinstance(origin, Generated) else 1
    if factor == 1 or not isinstance(origin, Generated):
        return f"![{markdown.escape(picture.alt)}]({quote(link)})"
    alt, width = html.escape(clean_line(picture.alt)), origin.size[0] * factor
    crisp = "image-rendering: pixelated"
    return f'<img src="{quote(link)}" alt="{alt}" width="{width}" style="{crisp}">'


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
            if found := load_picture(media, answer.folder):
                target = folder / f"{media[:16]}{Path(media).suffix}"
                files[target] = found[1]
                links[media] = f"{folder.name}/{target.name}"
        heading = f"{'##' if title else '#'} {markdown.escape(question)}\n\n" if question else ""
        blocks.append(heading + to_markdown(answer, links))
    return {**files, path: _encode("\n".join(blocks))}


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
