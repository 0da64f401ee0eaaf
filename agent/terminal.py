"""Everything that reaches a terminal: answers on stdout, progress and errors on stderr.

Every string is untrusted and passes through `clean`; none is ever read as markup. Without a
terminal there is no colour, no picture, no progress and no wrapping; ``NO_COLOR`` is honoured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text as Styled

from ..errors import LimnerError
from ..index.passage import Passage
from ..tools.media import MediaStore
from . import terminal_pictures
from .answer import Answer, Picture, Text
from .citations import cited_passages, notice, split_citations
from .plain_text import clean, clean_line, shortened

__all__ = ["Screen", "clean", "clean_line"]

_MEASURE = 100  # columns; longer lines are hard to read
_EXCERPT = 300  # characters of a passage that was found


class Screen:
    """The two streams of a command, written to safely.

    Args:
        out: for answers; stdout by default.
        err: for progress and errors; stderr by default.

    Attributes:
        out: the rich console of the one.
        err: the rich console of the other.
    """

    def __init__(self, out: IO[str] | None = None, err: IO[str] | None = None) -> None:
        self.out = _console(out or sys.stdout)
        self.err = _console(err or sys.stderr)

    def print(self, text: str, style: str = "") -> None:
        """Write text and a line's end on stdout."""
        _put(self.out, Styled(clean(text), style))

    def write(self, text: str) -> None:
        """Write a piece of running text on stdout, without a line's end."""
        _put(self.out, Styled(clean(text)), wrap=False, end="")

    def say(self, text: str, wrap: bool = True) -> None:
        """Write a remark on stderr; one that is to be copied is not wrapped."""
        _put(self.err, Styled(clean(text), "dim"), wrap)

    @contextmanager
    def working(self, words: str) -> Iterator[Callable[[str], None]]:
        """Show on stderr that something takes a while; silent without a terminal.

        Yields:
            A function that changes the words.
        """
        if not self.err.is_terminal:
            yield lambda words: None
            return
        with self.err.status(Styled(clean_line(words), "dim")) as status:
            yield lambda words: status.update(Styled(clean_line(words), "dim"))

    def print_answer(self, answer: Answer) -> None:
        """Write an answer on stdout: its parts in order, then the sources that it cites."""
        if answer.partial:
            _put(self.out, Styled(notice(answer), "yellow"))
        for number, part in enumerate(answer.parts):
            if number:
                _put(self.out, Styled())
            if isinstance(part, Text):
                _put(self.out, _with_citations(part.content, len(answer.passages)))
            else:
                self._print_picture(part, answer.folder)
        sources = cited_passages(answer)
        if sources:
            _put(self.out, Styled())
            self._print_numbered(sources)

    def print_question(self, question: str, attached: Sequence[str] = ()) -> None:
        """Write a question on stdout, with the names of what is attached to it."""
        line = Styled.assemble(("› ", "bold"), (clean_line(question), "bold"))
        for name in attached:
            line.append(f"  + {clean_line(name)}", "dim")
        _put(self.out, line)

    def print_sources(self, passages: Sequence[Passage]) -> None:
        """Write passages on stdout, numbered from 1, with where they stand."""
        self._print_numbered(tuple(enumerate(passages, 1)))

    def print_found(
        self,
        passages: Sequence[Passage],
        notes: Mapping[str, str] = MappingProxyType({}),
        near: Mapping[str, Sequence[Passage]] = MappingProxyType({}),
    ) -> None:
        """Write passages on stdout with their scores and how they begin.

        Args:
            passages: best first.
            notes: for the ids of some, what to say of them.
            near: for the ids of some, what stands around them and they themselves.
        """
        for number, passage in enumerate(passages, 1):
            score = "" if passage.score is None else f"  {passage.score:.3f}"
            _put(self.out, _heading(number, passage).append(score, "dim"))
            for around in near.get(passage.id, [passage]):
                style = "" if around.id == passage.id else "dim"
                _put(self.out, Styled(shortened(around.text, _EXCERPT), style))
            if passage.id in notes:
                _put(self.out, Styled(clean_line(notes[passage.id]), "dim"))
            _put(self.out, Styled())

    def print_error(self, error: LimnerError) -> None:
        """Write an error on stderr: its cause, and what to do next."""
        _put(self.err, Styled.assemble(("error: ", "bold red"), clean_line(str(error))))
        if error.hint:
            _put(self.err, Styled.assemble(("try: ", "bold"), clean_line(error.hint)))

    def print_problem(self, path: str, reason: str) -> None:
        """Write on stderr which file could not be used, and why."""
        line = Styled.assemble(
            ("failed: ", "bold red"), f"{clean_line(path)}: {clean_line(reason)}"
        )
        _put(self.err, line)

    def print_table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table on stdout; without a terminal, one line a row with tabs between."""
        if not self.out.is_terminal:
            for row in rows:
                self.print("\t".join(clean_line(cell) for cell in row))
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for heading in headings:
            table.add_column(Styled(clean_line(heading)), overflow="fold")
        for row in rows:
            table.add_row(*(Styled(clean_line(cell)) for cell in row))
        self.out.print(table)

    def print_facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Write facts on stdout, one a line after its label; without a terminal, tabs between."""
        if not self.out.is_terminal:
            for label, fact in rows:
                self.print(f"{clean_line(label)}\t{clean_line(fact)}")
            return
        grid = Table.grid(padding=(0, 3))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for label, fact in rows:
            grid.add_row(Styled(clean_line(label), "bold"), Styled(clean_line(fact)))
        self.out.print(grid, width=min(self.out.width, _MEASURE))

    def _print_picture(self, picture: Picture, folder: str) -> None:
        shown = self._pixels(picture, folder)
        if shown is not None:
            self.out.print(shown, end="")
        words = Styled(clean_line(picture.caption), "italic")
        words.append(f" ({clean_line(picture.origin.label)})", "not italic dim")
        _put(self.out, words)
        path = Path(folder).absolute() / picture.media
        _put(self.out, Styled(clean_line(str(path)), "dim"), wrap=False)

    def _pixels(self, picture: Picture, folder: str) -> RenderableType | None:
        if not terminal_pictures.can_show(self.out):
            return None
        try:
            image = MediaStore(Path(folder)).open(picture.media)
        except LimnerError:
            return Styled("the picture's file is missing", "yellow")
        return terminal_pictures.picture(image, self.out)

    def _print_numbered(self, passages: Sequence[tuple[int, Passage]]) -> None:
        for number, passage in passages:
            _put(self.out, _heading(number, passage))


def _console(stream: IO[str]) -> Console:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:  # a character that the locale lacks must not end the program
        reconfigure(errors="replace")
    return Console(file=stream, markup=False, highlight=False, emoji=False)


def _put(console: Console, text: Styled, wrap: bool = True, end: str = "\n") -> None:
    if not console.is_terminal:  # for a program to read: no styles, no wrapping, tabs kept
        print(text.plain, end=end, file=console.file, flush=True)
    elif wrap:
        console.print(text, width=min(console.width, _MEASURE))
    else:
        console.print(text, end=end, soft_wrap=True)


def _heading(number: int, passage: Passage) -> Styled:
    return Styled.assemble((f"[{number}] ", "dim"), clean_line(passage.place))


def _with_citations(text: str, count: int) -> Styled:
    styled = Styled()
    for piece in split_citations(clean(text).strip(), count):
        if isinstance(piece, int):
            styled.append(f"[{piece}]", "dim")
        else:
            styled.append(piece)
    return styled
