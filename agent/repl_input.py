"""What the person types: the prompt, its keys, its history, what Tab offers.

Knows prompt-toolkit; nothing of agents. What is pasted, and every name that is offered, passes
through `clean` or is left out, since the prompt draws it on the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from .plain_text import clean, clean_line

__all__ = ["Offer", "Prompt", "piped_lines", "quiet"]

_STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "bottom-toolbar": "noreverse fg:ansibrightblack",
        "completion-menu": "bg:default fg:default",
        "completion-menu.completion": "bg:default fg:default",
        "completion-menu.completion.current": "bg:default fg:default reverse",
        "completion-menu.meta.completion": "bg:default fg:ansibrightblack",
        "completion-menu.meta.completion.current": "bg:default fg:ansibrightblack",
        "scrollbar.background": "bg:default",
        "scrollbar.button": "bg:default",
    }
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What Tab offers for one command.

    Attributes:
        help: one line.
        suffixes: of the files that its argument names; None where it names no file.
        names: what else its argument may be.
    """

    help: str
    suffixes: tuple[str, ...] | None = None
    names: Callable[[], Iterable[str]] = tuple


class Prompt:
    """Asks for one message after the other.

    Args:
        folder: where the history is kept; None keeps it in memory.
        offers: what Tab offers, by command.
        toolbar: the words below the prompt, asked for again whenever it is drawn.
        shown: called once, when the first prompt is on the screen.
        typing: called at every change of what is typed.
    """

    def __init__(
        self,
        folder: Path | None,
        offers: Mapping[str, Offer],
        toolbar: Callable[[], str],
        shown: Callable[[], None],
        typing: Callable[[], None],
    ) -> None:
        self._toolbar = toolbar
        self._session: PromptSession[str] = PromptSession(
            "› ",
            multiline=True,
            prompt_continuation="  ",
            history=_history(folder),
            completer=_Commands(offers),
            complete_while_typing=Condition(self._names_command),
            reserve_space_for_menu=6,
            key_bindings=_keys(),
            bottom_toolbar=self._below,
            style=_STYLE,
        )
        self._session.app.after_render += _once(shown)
        self._session.default_buffer.on_text_changed += lambda _: typing()

    def read(self) -> str:
        """The next message.

        Raises:
            EOFError: the person left with Ctrl-D.
        """
        with patch_stdout():  # what a library prints meanwhile goes above the prompt
            return self._session.prompt()

    def _names_command(self) -> bool:
        text = self._session.default_buffer.text
        return text.startswith("/") and not text.rstrip("\n").count(" ")

    def _below(self) -> FormattedText:
        return FormattedText([("class:bottom-toolbar", clean_line(self._toolbar()))])


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what is typed between two prompts off the screen and, as it is, for the next one."""
    import termios

    before = termios.tcgetattr(sys.stdin)
    silent = termios.tcgetattr(sys.stdin)
    silent[0] &= ~termios.ICRNL
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def piped_lines() -> Iterator[str]:
    """The lines of stdin, without their ends; bytes that are no text do not end it."""
    reconfigure = getattr(sys.stdin, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    for line in sys.stdin or ():
        yield line.rstrip("\n")


# ── history ──────────────────────────────────────────────────────────────────────────────────


class _CleanHistory(FileHistory):
    """A history that no byte and no full disk can break."""

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            super().store_string(clean(string))


def _history(folder: Path | None) -> History:
    if folder is None or not folder.is_dir() or not os.access(folder, os.W_OK):
        return InMemoryHistory()
    path = folder / "history"
    if not path.exists():
        path.touch(mode=0o600)
    return _CleanHistory(str(path))


# ── keys ─────────────────────────────────────────────────────────────────────────────────────


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    @keys.add(Keys.SIGINT)
    def clear(event: KeyPressEvent) -> None:
        event.current_buffer.reset()

    @keys.add(Keys.BracketedPaste)
    def paste(event: KeyPressEvent) -> None:
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        event.current_buffer.insert_text(clean(text))

    return keys


def _once(call: Callable[[], None]) -> Callable[[object], None]:
    pending = [call]

    def run(_: object) -> None:
        if pending:
            pending.pop()()

    return run


# ── completion ───────────────────────────────────────────────────────────────────────────────


class _Commands(Completer):
    """Commands as they are typed; what comes after them when Tab is pressed."""

    def __init__(self, offers: Mapping[str, Offer]) -> None:
        self._offers = offers

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """What may stand at the cursor."""
        text = document.text_before_cursor
        command, blank, argument = text.partition(" ")
        if not command.startswith("/") or "\n" in text:
            return
        if not blank:
            for name, offer in self._offers.items():
                if name.startswith(command):
                    yield Completion(name, -len(command), display_meta=offer.help)
        elif event.completion_requested and command in self._offers:
            yield from _arguments(self._offers[command], argument.lstrip(), event)


def _arguments(offer: Offer, argument: str, event: CompleteEvent) -> Iterator[Completion]:
    for name in offer.names():
        if name.startswith(argument) and _harmless(name):
            yield Completion(name, -len(argument))
    if offer.suffixes is not None:
        yield from _paths(argument.lstrip("'\""), offer.suffixes, event)


def _paths(typed: str, suffixes: tuple[str, ...], event: CompleteEvent) -> Iterator[Completion]:
    """Folders and files; none whose name could steer the terminal that shows it."""

    def fits(name: str) -> bool:
        return Path(name).is_dir() or name.lower().endswith(suffixes)

    paths = PathCompleter(expanduser=True, file_filter=fits)
    for found in paths.get_completions(Document(typed), event):
        if _harmless(found.text) and _harmless(found.display_text):
            yield found


def _harmless(name: str) -> bool:
    return clean(name) == name and "\n" not in name and "\t" not in name
