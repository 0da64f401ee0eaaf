"""An answer while it is being made: words as they come, pictures to come, what goes on.

Shown on stderr and gone without a trace when the answer itself is printed; silent without a
terminal. Knows events and drafts; nothing of the agent.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from PIL import Image
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text as Styled

from .draft import DraftParser, Slot, joined, readable
from .events import (
    Event,
    PictureDropped,
    PictureReady,
    PictureStarted,
    PictureStep,
    SourcesFound,
    StepStarted,
    TextDelta,
    ToolCalled,
)
from .plain_text import clean, clean_line
from .terminal_pictures import can_show, half_blocks

__all__ = ["Preview"]

_STEPS = {
    "guard": "reading the question",
    "look": "reading the picture",
    "revise": "reading the question",
    "redraw": "drawing",
    "retrieve": "searching",
    "grade": "weighing what was found",
    "reason": "thinking",
    "illustrate": "making pictures",
    "check": "checking the pictures",
    "compose": "putting it together",
}
_MEASURE = 100  # columns, as the answer itself will have
_COLUMNS, _ROWS = 32, 12  # of a drawing that is not finished
_TAIL = 8_000  # characters that can be on a screen at once
_CITATION = r"\[a?[1-9]\d{0,3}\]"


class Preview:
    """What is known of an answer so far. A context manager.

    Args:
        console: where it is shown and erased again.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._parser = DraftParser()
        self._pieces: list[str | Slot] = []
        self._pictures: dict[int, str] = {}
        self._drawing: Image.Image | None = None
        self._spinner = Spinner("dots")
        self._say("loading the models")
        self._live = Live(
            console=console, transient=True, refresh_per_second=12, get_renderable=self._render
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Take in what has happened."""
        match event:
            case TextDelta():
                self._pieces += self._parser.feed(event.text)
                self._say("writing")
            case ToolCalled():
                self._parser, self._pieces = DraftParser(), []
                self._say(event.name.replace("_", " "))
            case StepStarted():
                self._say(_STEPS.get(event.step, event.step))
            case SourcesFound():
                self._say(f"{len(event.passages)} passages found")
            case PictureStarted():
                self._pictures[event.slot] = {"draw": "drawing"}.get(event.kind, "looking")
            case PictureStep():
                self._pictures[event.slot] = f"drawing, step {event.k} of {event.n}"
                self._say(self._pictures[event.slot])
                self._drawing = event.preview or self._drawing
            case PictureReady():
                self._drawing = None
                self._pictures[event.slot] = "ready"
            case PictureDropped():
                self._pictures[event.slot] = f"left out: {event.reason}"
            case _:
                pass

    def _say(self, words: str) -> None:
        self._spinner.update(text=Styled(f"{clean_line(words)}…", "dim"))

    def _render(self) -> RenderableType:
        width = min(self._console.width, _MEASURE)
        lines = self._text().wrap(self._console, width)
        small = self._small()
        room = max(self._console.height - 3 - (_ROWS if small else 0), 1)
        return Group(*lines[-room:], *small, self._spinner)

    def _small(self) -> list[RenderableType]:
        """How far the drawing has come, in characters, which a line can be written over."""
        if self._drawing is None or not can_show(self._console):
            return []
        return [half_blocks(self._drawing, min(_COLUMNS, self._console.width), _ROWS)]

    def _text(self) -> Styled:
        """The end of the draft, as much as a screen can hold."""
        text = Styled()
        for piece in joined(list(self._pieces)):
            if isinstance(piece, Slot):
                state = self._pictures.get(piece.number, "to come")
                text.append(f"▸ picture: {clean_line(piece.words)} ({clean_line(state)})\n", "dim")
            else:
                text.append(clean(readable(piece)) + "\n")
        text = text[-_TAIL:]
        text.highlight_regex(_CITATION, "dim")
        text.rstrip()
        return text
