"""The prompts of Chameleon's human evaluation: text, with pictures that stand in it.

The form is that of https://github.com/facebookresearch/chameleon/tree/main/data: ``id``,
``prompt``, ``task_type`` and ``image_urls``, each ``<img>`` of the prompt one of the URLs in order.
Nothing is fetched. A picture is a file with the URL's file name, in ``images`` beside the set or
right beside it; where two URLs of the set have the same file name it is in ``images/ID``, ID being
that of the row. There are no references: what can be scored is what needs none.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from ...plain_text import shortened
from ..questions import Question
from .base import BadRow, Faults, Found, Record, questions_of
from .own import line_of_text
from .paths import confined, in_text, picture

__all__ = ["matches", "read"]

_KNOWN = {"id", "prompt", "task_type", "image_urls"}
_SLOT = re.compile("<img>")


def matches(values: Mapping[str, Any]) -> bool:
    """Whether a row is such a prompt."""
    return isinstance(values.get("prompt"), str) and isinstance(values.get("image_urls"), list)


def read(records: Sequence[Record], path: Path, faults: Faults) -> Found:
    """The prompts whose pictures are there.

    Args:
        records: rows.
        path: of the file.
        faults: takes the others, and says where the pictures go.
    """
    for record in records:
        for column in sorted(record.values.keys() - _KNOWN):
            faults.unread(column, record.line)
    shared = _shared(records)
    return Found(questions_of(records, faults, lambda row: _question(row, path.parent, shared)))


def _question(record: Record, folder: Path, shared: set[str]) -> Question:
    told = record.values
    prompt, urls = told.get("prompt"), _urls(told.get("image_urls"))
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadRow("no prompt")
    slots = len(_SLOT.findall(prompt))
    if slots != len(urls):
        raise BadRow(f"{slots} <img> in the prompt, {len(urls)} in image_urls")
    name = line_of_text(told.get("id") or f"row-{record.line}")
    task = line_of_text(told.get("task_type") or "")
    pieces = _SLOT.split(line_of_text(prompt))
    return Question(
        id=name,
        question=in_text(pieces),
        images=tuple(_picture(folder, name, url, shared) for url in urls),
        category=task,
        task=task.lower(),
        answerable=None,
    )


def _urls(value: Any) -> list[str]:
    urls = [] if value is None else value
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls):
        raise BadRow("image_urls: no list of texts")
    return [url for url in urls if url.strip()]


def _file_name(url: str) -> str:
    """The last name in a URL's path; empty where it has none that a file can have."""
    try:
        name = PurePosixPath(unquote(urlsplit(url).path)).name
    except ValueError:
        return ""
    return "" if name in ("", ".", "..") else name


def _shared(records: Sequence[Record]) -> set[str]:
    """The file names that different URLs of the set have."""
    urls: dict[str, set[str]] = defaultdict(set)
    for record in records:
        given = record.values.get("image_urls")
        for url in given if isinstance(given, list) else []:
            if isinstance(url, str):
                urls[_file_name(url)].add(url)
    return {name for name, found in urls.items() if len(found) > 1}


def _picture(folder: Path, row: str, url: str, shared: set[str]) -> str:
    name = _file_name(url)
    if not name:
        raise BadRow(f"{shortened(url, 120)!r} names no file")
    places = [f"images/{row}/{name}"] if name in shared else [f"images/{name}", name]
    for place in places:
        try:
            return picture(folder, place)
        except BadRow:
            confined(folder, place)  # outside is another reason than missing
    raise BadRow(
        f"a picture is not there: save {shortened(url, 200)} as {shortened(places[0], 200)!r} "
        "beside the set"
    )
