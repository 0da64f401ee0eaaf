"""Tables in HTML, made flat: each row becomes one ``<row>`` that says ``name: value; …``.

Knows spans and header cells. A table that only arranges the page is left as it is.
"""

from __future__ import annotations

from bs4 import BeautifulSoup
from bs4.element import Tag

from .text import row_text

__all__ = ["flatten_tables"]

_MAX_SPAN = 50
_LAYOUT = ("table", "h1", "h2", "h3", "h4", "h5", "h6", "pre")


def flatten_tables(soup: BeautifulSoup) -> None:
    """Replace the rows of every table of data by ``row`` elements; its pictures follow it."""
    arranging = _arranging(soup)
    for table in soup("table"):
        if table.get("role") == "presentation" or id(table) in arranging:
            continue
        lines = _lines(table)
        for picture in reversed(table("img")):
            table.insert_after(picture.extract())
        caption = table.find("caption")
        if caption is not None:
            table.insert_before(caption.extract())
        table.clear()
        for line in lines:
            row = soup.new_tag("row")
            row.string = line
            table.append(row)


def _arranging(soup: BeautifulSoup) -> set[int]:
    """The ids of tables that hold more than data; each is looked at once, however deep."""
    found: set[int] = set()
    for tag in soup(_LAYOUT):
        table = tag.find_parent("table")
        while table is not None and id(table) not in found:
            found.add(id(table))
            table = table.find_parent("table")
    return found


def _lines(table: Tag) -> list[str]:
    """Each row in words, the header rows gone into the names of its cells."""
    rows = [(row, cells) for row, cells in _grid(table) if any(cells)]
    top = 0
    while top < len(rows) - 1 and _is_header(rows[top][0]):
        top += 1
    columns = zip(*(cells for _, cells in rows[:top]), strict=False)
    names = [" ".join(dict.fromkeys(filter(None, column))) for column in columns]
    return [_line(names, row, cells) for row, cells in rows[top:]]


def _line(names: list[str], row: Tag, cells: list[str]) -> str:
    if len(set(cells)) == 1:  # one cell across the whole table
        return cells[0]
    if not names and len(cells) == 2:
        return row_text(cells[:1], cells[1:]) if cells[1] else cells[0]
    return row_text(names, cells)


def _is_header(row: Tag) -> bool:
    cells = row.find_all(["th", "td"], recursive=False)
    within_head = row.parent is not None and row.parent.name == "thead"
    return within_head or all(cell.name == "th" or _is_bold(cell) for cell in cells)


def _is_bold(cell: Tag) -> bool:
    bold = cell.find(["b", "strong"])
    return bold is not None and bold.get_text(strip=True) == cell.get_text(strip=True)


def _grid(table: Tag) -> list[tuple[Tag, list[str]]]:
    """Every row with the text of its columns; a cell that spans several stands in each."""
    grid = []
    hanging: dict[int, tuple[int, str]] = {}  # column: (rows still to fill, text)
    for row in table("tr"):
        cells: list[str] = []
        for cell in row.find_all(["td", "th"], recursive=False):
            _take_hanging(hanging, cells)
            text = " ".join(cell.get_text(" ").split())
            for _ in range(_span(cell, "colspan")):
                if (down := _span(cell, "rowspan")) > 1:
                    hanging[len(cells)] = (down - 1, text)
                cells.append(text)
        _take_hanging(hanging, cells)
        grid.append((row, cells))
    return grid


def _take_hanging(hanging: dict[int, tuple[int, str]], cells: list[str]) -> None:
    while len(cells) in hanging:
        left, text = hanging.pop(len(cells))
        if left > 1:
            hanging[len(cells)] = (left - 1, text)
        cells.append(text)


def _span(cell: Tag, name: str) -> int:
    value = str(cell.get(name, "1"))
    return min(max(int(value), 1), _MAX_SPAN) if value.isdecimal() and len(value) < 9 else 1
