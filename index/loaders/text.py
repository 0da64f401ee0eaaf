"""Plain text, CSV and JSON. Knows encodings, paragraphs and rows; knows no markup."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from charset_normalizer import from_bytes

from ...errors import SourceError
from ...tools.media import MediaStore
from .base import Block

__all__ = [
    "BULLET",
    "MAX_BYTES",
    "item_text",
    "load_csv",
    "load_json",
    "load_text",
    "read_text",
    "row_text",
]

MAX_BYTES = 100_000_000
"""Text files above this are refused."""

BULLET = re.compile(r"(?:(?P<glyph>[-*+•‣▪●○◦–\uf0a7\uf0b7])|\(?\d{1,3}[.)]|\(?[a-z]\))\s+(?=\S)")
"""The beginning of a list item; ``glyph`` where it is a mark and no number."""

_MARKS = (  # the longer ones first: UTF-32's mark begins like UTF-16's
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_GUESSES = (
    *("cp1250", "cp1251", "koi8_r", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
_WESTERN = frozenset(
    "àâäáãåæçéèêëíìîïñóòôöõøœúùûüýßÀÂÄÁÅÆÇÉÈÊËÍÎÑÓÔÖØŒÚÜ“”„‘’‚«»–—…•€£§°·µ¿¡©®™²½×\xa0"
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_SAMPLE = 200_000
_LONGEST_NAME = 200  # letters: the name of a column is repeated in each of its rows

_BREAK = re.compile(r"\f|\n[ \t]*\n")
_UNDERLINE = re.compile(r"([=\-~^*_#+])\1{2,}")
_WIDE_GAP = re.compile(r"\t+| {3,}")
_WRAPPED = range(40, 131)  # letters in the longest line of text wrapped by hand


def read_text(path: Path) -> str:
    r"""The text of a file in whatever encoding it has, with ``\n`` for every line end.

    A byte order mark is taken at its word, then UTF-8 is tried; anything else is guessed.

    Raises:
        SourceError: too large, unreadable, or not text at all.
    """
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"{path}: larger than {MAX_BYTES // 10**6} MB", "split it and add again")
    text = _decoded(path, path.read_bytes())
    sample = text[:_SAMPLE]
    if len(_CONTROL.findall(sample)) > len(sample) // 50:
        raise SourceError(f"{path}: binary data, not text", "give it the extension it really has")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _decoded(path: Path, data: bytes) -> str:
    marked = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    try:
        return data.decode(marked or "utf-8-sig")
    except UnicodeDecodeError:
        guess = None if marked or b"\0" in data else _guess(data)
    try:
        return data.decode(guess or "ascii")
    except UnicodeDecodeError:
        raise SourceError(
            f"{path}: neither UTF-8 nor another known encoding", "save it as UTF-8"
        ) from None


def _guess(data: bytes) -> str | None:
    """The encoding of a legacy text, judged by the lines that are not plain ASCII."""
    sample = b"\n".join(line for line in data.split(b"\n") if not line.isascii())[:_SAMPLE]
    western = sample.decode("cp1252", errors="replace")
    beyond = [c for c in western if not c.isascii()]
    # The guesser takes short French for Central European; in Western prose the letters beyond
    # ASCII are few and nearly all of one small set.
    if len(beyond) * 4 < len(western) and sum(c in _WESTERN for c in beyond) >= 0.95 * len(beyond):
        return "cp1252"
    best = from_bytes(sample, cp_isolation=list(_GUESSES)).best()
    return best.encoding if best else None


def load_text(path: Path, media: MediaStore) -> Iterator[Block]:
    """Paragraphs between blank lines and form feeds.

    Bulleted and numbered lines are items of their own, underlined lines headings, and lines with
    tabs or wide gaps rows. Lines that were not wrapped by hand keep their line ends.
    """
    for paragraph in _BREAK.split(read_text(path)):
        yield from _paragraph([line.rstrip() for line in paragraph.splitlines() if line.strip()])


def _paragraph(lines: list[str]) -> Iterator[Block]:
    if len(lines) > 1 and sum(bool(_WIDE_GAP.search(line.strip())) for line in lines) > 1:
        yield from (Block("row", "  ".join(_WIDE_GAP.split(line.strip()))) for line in lines)
        return
    gathered: list[str] = []
    for line in (line.strip() for line in lines):
        if _UNDERLINE.fullmatch(line):
            yield from _prose(gathered[:-1])
            if gathered:
                yield Block("heading", gathered[-1], level=1 if line[0] in "=#*" else 2)
            gathered = []
        elif BULLET.match(line):
            yield from _prose(gathered)
            gathered = [line]
        else:
            gathered.append(line)
    yield from _prose(gathered)


def _prose(lines: list[str]) -> Iterator[Block]:
    if not lines:
        return
    item = BULLET.match(lines[0])
    longest = max(map(len, lines))
    wrapped = longest in _WRAPPED and all(len(line) > longest * 0.6 for line in lines[:-1])
    joint = " " if item or wrapped else "\n"
    text = joint.join(" ".join(line.split()) for line in lines)
    yield Block("item", item_text(text)) if item else Block("paragraph", text)


def item_text(text: str) -> str:
    """A list item without its bullet; a number stays, for it may be referred to."""
    match = BULLET.match(text)
    return text[match.end() :] if match and match["glyph"] else text


def load_csv(path: Path, media: MediaStore) -> Iterator[Block]:
    """One row a block, each value with the name of its column; the first row holds the names."""
    text = read_text(path).lstrip("\n")
    first = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    delimiter = max(",;\t|", key=first.count)
    try:
        header, *body = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)) or [[]]
    except csv.Error as error:
        raise SourceError(f"{path}: not a table that can be read ({error})") from None
    for row in body or [header]:
        line = row_text(header if body else [], row)
        if line:
            yield Block("row", line)


def row_text(names: list[str], cells: list[str]) -> str:
    """A table's row in one line: ``name: value; name: value``, without its empty cells."""
    both = zip_longest(names, cells, fillvalue="")
    pairs = ((name.strip()[:_LONGEST_NAME], cell.strip()) for name, cell in both)
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)


def load_json(path: Path, media: MediaStore) -> Iterator[Block]:
    """One row per object in a list, and one for what is in none; each value with its names."""
    try:
        document = json.loads(read_text(path))
        rows: list[list[str]] = []
        for entry in document if isinstance(document, list) else [document]:
            row: list[str] = []
            rows.append(row)
            _gather(entry, (), row, rows)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not valid JSON ({error})") from None
    yield from (Block("row", "; ".join(row)) for row in rows if row)


def _gather(value: Any, trail: tuple[str, ...], row: list[str], rows: list[list[str]]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _gather(inner, (*trail, str(name)[:_LONGEST_NAME]), row, rows)
    elif isinstance(value, list):
        for inner in value:
            own = row
            if isinstance(inner, dict):
                own = []
                rows.append(own)
            _gather(inner, trail, own, rows)
    elif value is not None and str(value).strip():
        row.append(f"{' '.join(trail)}: {value}" if trail else str(value))
