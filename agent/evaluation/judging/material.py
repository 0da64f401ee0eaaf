"""What a judge is shown: texts between fences, pictures of bounded size. Knows no judge.

Questions and answers are untrusted. A fence is a word made of all the texts that it is to hold, so
that none of them can close it: a text that held the word would have another one. What is invisible
is taken out first.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from ....errors import LimnerError
from ....prompts import prompt
from ....tools.media import MediaStore, decode_image
from ....tools.video import is_video, stills
from ...answer import Answer, Text
from ...plain_text import clean, clean_line
from ..questions import Question

__all__ = ["Block", "Shown", "answer_shown", "blocks", "digest_of", "opens", "question_shown"]

Block = dict[str, Any]
"""A content block of a LangChain message: text or a picture."""

SIDE = 1024
"""Pixels of the longer side of a picture; larger ones are scaled down."""

LONGEST = 24_000
"""Characters of one text; what is behind them is left out, which is said."""

MOST = 8
"""Pictures of an answer, and pictures attached to a question, that are shown."""

_FRAMES = 4  # of an attached video
_MARK = "\x00"  # stands for the fence within our own marks; no cleaned text holds it


@dataclass(frozen=True, slots=True)
class Shown:
    """A part of what is shown.

    Attributes:
        title: of its text, our own words.
        text: untrusted and cleaned; the marks of its pictures are genuine where they bear the
            fence.
        pictures: each with its name, None where it cannot be opened.
        notes: our own words about it.
    """

    title: str
    text: str
    pictures: tuple[tuple[str, Image.Image | None], ...] = ()
    notes: tuple[str, ...] = ()


def blocks(parts: Sequence[Shown], notes: Sequence[str] = ()) -> list[Block]:
    """The content of a message: all texts between fences, then the pictures, each with its name.

    Args:
        parts: in order; those without a text are not fenced.
        notes: our own words, behind those of the parts.
    """
    fence = _fence([part.text for part in parts])
    sections = [
        {"title": part.title, "text": part.text.replace(_MARK, fence)}
        for part in parts
        if part.text
    ]
    said = [*(note for part in parts for note in part.notes), *notes]
    made = [_text(prompt("judge_material", sections=sections, notes=said, fence=fence))]
    for name, image in (picture for part in parts for picture in part.pictures):
        made.append(_text(f"{name}:" if image else f"{name} cannot be opened."))
        made += [_picture(image)] if image else []
    return [*made, _text(prompt("judge_reply"))]


def _fence(texts: Sequence[str]) -> str:
    """A word that is in none of the texts, and that none of them can foresee."""
    told = "\x01".join(texts)
    while True:
        word = "data-" + hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:16]
        if not any(word in text for text in texts):
            return word
        told += word


def question_shown(question: Question) -> list[Shown]:
    """A question with what is attached to it, and what is known of its right answer."""
    notes = []
    if question.refused:
        notes.append("The right answer declines to do what is asked.")
    if question.answerable is False:
        notes.append("Nothing at hand answers the question; the right answer is to say so.")
    attached = tuple(_attached(question.images))
    parts = [Shown("The question", _bounded(question.question), attached, tuple(notes))]
    good = "\n\nor:\n\n".join(question.references)
    return [*parts, Shown("A good answer", _bounded(good))] if good else parts


def answer_shown(answer: Answer, title: str, only: int | None = None) -> Shown:
    """An answer, its pictures marked where they stand in the text.

    Args:
        answer: its ``folder`` holds the pictures.
        title: ``The answer``, ``Answer A``.
        only: the number of the one picture that is shown, from 1; None: the first ones.
    """
    lines: list[str] = []
    pictures: list[tuple[str, Image.Image | None]] = []
    number = 0
    for part in answer.parts:
        if isinstance(part, Text):
            lines.append(clean(part.content))
            continue
        number += 1
        lines.append(f"<{_MARK}: picture {number}: {clean_line(part.caption)}>")
        if number == only or (only is None and number <= MOST):
            image = _opened(answer.folder, part.media)
            pictures.append((f"{title}, picture {number}", image))
    left = 0 if only else max(number - MOST, 0)
    notes = (f"{title}: {left} more of its pictures are not shown.",) if left else ()
    return Shown(title, _cut("\n\n".join(lines)) or "(nothing)", tuple(pictures), notes)


def opens(answer: Answer, number: int) -> bool:
    """Whether a picture of an answer is there, by its number from 1."""
    return _there(answer.folder, answer.pictures[number - 1].media)


@lru_cache(maxsize=4096)
def _there(folder: str, reference: str) -> bool:
    return _opened(folder, reference) is not None


def digest_of(answer: Answer) -> str:
    """SHA-256 over what a judge sees of an answer: two alike in it are the same to a judge."""
    seen = [
        ["text", part.content] if isinstance(part, Text) else ["picture", part.media, part.caption]
        for part in answer.parts
    ]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _opened(folder: str, reference: str) -> Image.Image | None:
    try:
        return _scaled(MediaStore(Path(folder)).open(reference))
    except (LimnerError, OSError):
        return None


def _attached(paths: Sequence[str]) -> Iterator[tuple[str, Image.Image | None]]:
    for number, path in enumerate(paths[:MOST], 1):
        name = f"Attached to the question, picture {number}"
        try:
            if is_video(Path(path)):
                frames = stills(Path(path), most=_FRAMES).frames
                yield from ((f"{name}, a still of a video", _scaled(still)) for still in frames)
            else:
                yield name, _scaled(decode_image(Path(path)))
        except LimnerError:
            yield name, None


def _scaled(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def _bounded(text: str) -> str:
    return _cut(clean(text))


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}\n<{_MARK}: {len(text) - LONGEST} more characters are left out>"


def _text(words: str) -> Block:
    return {"type": "text", "text": words}


def _picture(image: Image.Image) -> Block:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"type": "image", "base64": data, "mime_type": "image/jpeg"}
