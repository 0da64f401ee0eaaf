"""CSV with a header; commas, semicolons or tabs between its cells. Knows no field.

A cell that stands for several values holds them with `` | `` between, or as a JSON list:
``network.md | safety.docx#2`` or ``["network.md", "safety.docx#2"]``. An empty cell is a field not
given; ``[]`` is a list given and empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from ....errors import SourceError
from ...plain_text import shortened
from .base import Cell, Faults, Record

__all__ = ["csv_records"]

_DELIMITERS = ",;\t"


def csv_records(text: str, faults: Faults) -> list[Record]:
    r"""The rows of a file by its header; blank rows do not count.

    Args:
        text: of the file, its lines ended by ``\n``.
        faults: takes the rows that do not fit the header, or break the quoting.

    Raises:
        SourceError: the header cannot be read.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    header: list[str] = []
    found: list[Record] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return found
        except csv.Error as error:
            if not header:
                raise SourceError(f"{faults.path}:{line}: {_said(error)}", "mend it") from None
            faults.add(line, _said(error))
            continue
        if not any(map(str.strip, cells)):
            continue
        if not header:
            header = _header(cells, line, faults)
        elif len(cells) != len(header) and any(cells[len(header) :] or [" "]):
            faults.add(line, f"{len(cells)} cells where the header names {len(header)} columns")
        else:
            given = zip(header, cells, strict=False)
            found.append(Record(line, {name: Cell(cell) for name, cell in given if cell and name}))


def _delimiter(text: str) -> str:
    """Which of the delimiters the first line has most of, outside quotes."""
    first = text.lstrip("\n").split("\n", 1)[0]
    bare = "".join(first.split('"')[::2])
    return max(_DELIMITERS, key=bare.count)


def _header(cells: Sequence[str], line: int, faults: Faults) -> list[str]:
    """The names of the columns; a name that stands there already becomes empty, as one to skip."""
    names: list[str] = []
    for name in map(str.strip, cells):
        if name and name in names:
            shown = shortened(name, 60)
            faults.add(line, f"two columns are called {shown!r}; the first is read", dropped=False)
            name = ""
        names.append(name)
    return names


def _said(error: csv.Error) -> str:
    """What is wrong, in words that help; the module's own are about its state."""
    said = str(error)
    if "unexpected end" in said:
        return "a quote is opened here and never closed; what follows is not read"
    if "field larger" in said:
        return f"a cell of more than {csv.field_size_limit():,} letters"
    return f"not CSV ({said}); a quote inside a cell is written twice"
