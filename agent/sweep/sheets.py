"""Contact sheets: the pictures of an experiment side by side along two of its settings.

Knows settings, rows and pixels. What a sheet holds (`sheets_of`) is shared by the PNG files made
here and by the page.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...errors import SourceError
from ...tools.media import decode_image, png_bytes
from ..plain_text import clean_line
from .grid import AXES, Experiment, Settings
from .results import Result

__all__ = ["Sheet", "paint", "sheets_of", "told"]

_MOST_ROWS, _MOST_COLUMNS = 20, 12
_CELL, _LABEL, _GAP, _MARGIN = 256, 190, 12, 24
_INK, _QUIET, _PAPER, _FAULT = "#24221e", "#69645a", "#fdfcf9", "#efeae0"


@dataclass(frozen=True, slots=True)
class Sheet:
    """Pictures along two settings.

    Attributes:
        title: of the experiment, and the settings that are the same for all of it.
        row_axis: the setting that changes from row to row.
        column_axis: the setting that changes from column to column.
        rows: its values in words.
        columns: its values in words.
        cells: row by row; None where there is no row yet.
    """

    title: str
    row_axis: str
    column_axis: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Result | None, ...], ...]


def told(axis: str, words: str) -> str:
    """A setting with its name, but for a prompt, which speaks for itself."""
    return words if axis == "prompt" else f"{axis.replace('_', ' ')} {words or '–'}"


def sheets_of(experiment: Experiment, results: Mapping[Settings, Result]) -> list[Sheet]:
    """Sheets of an experiment: rows by prompt where it varies, columns by the longest setting.

    There is one for each combination of what else varies, and more where one would be too large.

    Args:
        experiment: of the grid.
        results: by settings.
    """
    row_axis, column_axis = _two(experiment)
    values = dict(experiment.axes)
    others = [axis for axis in experiment.varying if axis not in (row_axis, column_axis)]
    found = {_place(s): results.get(s) for s in experiment.settings()}
    sheets = []
    for fixed in itertools.product(*(values[axis] for axis in others)):
        same = dict(zip(others, fixed, strict=True))
        for rows, columns in itertools.product(
            _parts(values.get(row_axis, (None,)), _MOST_ROWS),
            _parts(values.get(column_axis, (None,)), _MOST_COLUMNS),
        ):
            cells = tuple(
                tuple(
                    found.get(_place(_settings(values, same | {row_axis: r, column_axis: c})))
                    for c in columns
                )
                for r in rows
            )
            fixed_words = (told(axis, _words(axis, value)) for axis, value in same.items())
            sheets.append(
                Sheet(
                    " · ".join([experiment.name, *fixed_words]),
                    row_axis,
                    column_axis,
                    tuple(_words(row_axis, value) for value in rows),
                    tuple(_words(column_axis, value) for value in columns),
                    cells,
                )
            )
    return sheets


def _two(experiment: Experiment) -> tuple[str, str]:
    """The settings of rows and columns."""
    varying, count = list(experiment.varying), {a: len(v) for a, v in experiment.axes}
    row = "prompt" if "prompt" in varying or len(varying) < 2 else varying[0]
    rest = [axis for axis in varying if axis != row] or ["steps"]
    return row, max(rest, key=lambda axis: (count.get(axis, 1), AXES.index(axis)))


def _settings(values: Mapping[str, Sequence[Any]], chosen: Mapping[str, Any]) -> Settings:
    one = {axis: of[0] for axis, of in values.items()}
    return Settings(**one | {axis: v for axis, v in chosen.items() if axis in values})


def _place(settings: Settings) -> Settings:
    """Of an adapter that is none every weight is the same."""
    if settings.lora:
        return settings
    return Settings(**{a: getattr(settings, a) for a in AXES if a != "lora_weight"})


def _parts(values: Sequence[Any], most: int) -> list[Sequence[Any]]:
    return [values[at : at + most] for at in range(0, len(values), most)]


def _words(axis: str, value: Any) -> str:
    default: dict[str, Any] = {"prompt": ""}
    chosen = default if value is None else default | {axis: value}
    return clean_line(Settings(**chosen).of(axis))


# ── As a PNG file ────────────────────────────────────────────────────────────────────────────


def paint(sheet: Sheet, folder: Path, target: Path) -> None:
    """Write a sheet as a PNG file.

    Args:
        sheet: what it holds.
        folder: of the sweep, where the pictures are.
        target: the file.
    """
    from ...index.durable import write_file

    write_file(target, png_bytes(_painted(sheet, folder)))


def _painted(sheet: Sheet, folder: Path) -> Image.Image:
    small, bold = _font(14), _font(19)
    width = _MARGIN * 2 + _LABEL + len(sheet.columns) * (_CELL + _GAP)
    title = _wrapped(sheet.title, bold, width - 2 * _MARGIN)
    heads = [_wrapped(told(sheet.column_axis, c), small, _CELL) for c in sheet.columns]
    top = _MARGIN + 26 * len(title) + 14 + 18 * max(map(len, heads)) + 8
    heights = [max(_CELL, 18 * len(_label(sheet, row, small))) + 30 for row in sheet.rows]
    image = Image.new("RGB", (width, top + sum(heights) + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(image)
    for n, line in enumerate(title):
        pen.text((_MARGIN, _MARGIN + 26 * n), line, _INK, bold)
    for n, lines in enumerate(heads):
        at = (_left(n), top - 8 - 18 * len(lines))
        pen.multiline_text(at, "\n".join(lines), _INK, small, spacing=4)
    y = top
    for row, results, height in zip(sheet.rows, sheet.cells, heights, strict=True):
        label = "\n".join(_label(sheet, row, small))
        pen.multiline_text((_MARGIN, y), label, _INK, small, spacing=4)
        for n, result in enumerate(results):
            _paint_cell(image, pen, (_left(n), y), result, folder)
        y += height
    return image


@cache
def _font(size: int) -> Any:
    """One that knows many scripts where the system has it; Pillow's own knows Latin letters."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def _left(column: int) -> int:
    return _MARGIN + _LABEL + column * (_CELL + _GAP)


def _label(sheet: Sheet, row: str, font: Any) -> list[str]:
    return _wrapped(told(sheet.row_axis, row), font, _LABEL - 20)


def _paint_cell(
    image: Image.Image,
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    result: Result | None,
    folder: Path,
) -> None:
    font = _font(13)
    picture = _picture(result, folder)
    if picture is None:
        pen.rectangle((*at, at[0] + _CELL - 1, at[1] + _CELL - 1), fill=_FAULT)
        reason = "not drawn yet" if result is None else result.row.failed or "its file is missing"
        lines = _wrapped(clean_line(reason), font, _CELL - 24)[:12]
        where = (at[0] + 12, at[1] + 12)
        pen.multiline_text(where, "\n".join(lines), _QUIET, font, spacing=4)
        return
    picture = ImageOps.contain(picture, (_CELL, _CELL))
    image.paste(picture, at)
    assert result is not None
    words = f"{result.row.width} x {result.row.height}, {result.row.seconds:.2f} s"
    pen.text((at[0], at[1] + picture.height + 5), words, _QUIET, font)


def _picture(result: Result | None, folder: Path) -> Image.Image | None:
    try:
        return decode_image(folder / result.row.file) if result and result.done else None
    except SourceError:
        return None


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """Lines of a text that are no wider than so many pixels; long words are broken."""
    lines: list[str] = []
    for word in clean_line(text).split(" "):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        while font.getlength(word) > width:
            fits = next(n for n in range(len(word), 0, -1) if font.getlength(word[:n]) <= width)
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return lines
