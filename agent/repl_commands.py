"""The commands of the REPL, each a method: what ``/name argument`` does.

Knows the conversation and the screen; nothing of the prompt or of models.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .answer import Answer, Picture, Retrieved, Text
from .citations import notice
from .plain_text import clean_line, shortened
from .render import save_page
from .repl_input import Offer

if TYPE_CHECKING:
    from ..index.passage import Passage
    from ..tools.media import MediaStore
    from .conversation import Conversation, Last
    from .events import AnswerReady, Event, Failed
    from .terminal import Screen

__all__ = ["Commands", "Leave", "Turn"]

Turn = Callable[[Callable[["Event"], None]], "AnswerReady | Failed"]
"""Something that is answered: told where its events go, it gives the last one."""

_COMMAND = re.compile(r"/[\w?-]*")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi")
_PAGES = (".md", ".html", ".json")
_RECALLED = 240  # characters of the last answer


class Leave(Exception):
    """The person wants to go."""


@dataclass(frozen=True, slots=True)
class _Command:
    usage: str
    help: str
    run: Callable[[str], None]


class Commands:
    """What can be typed besides questions.

    Args:
        conversation: what they look at and change.
        screen: where they answer.
        answer: shows a turn of the conversation as it goes, and what it ends in.
    """

    def __init__(
        self, conversation: Conversation, screen: Screen, answer: Callable[[Turn], None]
    ) -> None:
        self._talk = conversation
        self._answer = answer
        self._screen = screen
        rows = (
            ("/attach PATH", "add a picture to the next question", self.attach),
            ("/paste", "add the picture on the clipboard", self.paste),
            ("/drop [N]", "take the Nth picture back, or all", self.drop),
            ("/sources", "the passages behind the last answer", self.sources),
            ("/show N", "source N in full, with its picture", self.show),
            ("/why", "how the last answer came about", self.why),
            ("/export FILE", "save the conversation as .md, .html or .json", self.export),
            ("/redraw [N] [seed=7 …]", "draw a generated picture differently", self.redraw),
            ("/retry", "go on with a question that an error cut short", self.retry),
            ("/sessions", "the conversations that are kept", self.sessions),
            ("/resume NAME", "go on with one of them", self.resume),
            ("/profile [NAME]", "answer with other models", self.profile),
            ("/help", "this list", self.help),
            ("/quit", "leave; so does Ctrl-D", self.quit),
        )
        self._commands = {usage.split()[0]: _Command(usage, text, run) for usage, text, run in rows}

    def offers(self) -> Mapping[str, Offer]:
        """What Tab offers, by command."""
        files = {"/attach": _PICTURES + _VIDEOS, "/export": _PAGES}
        names = {"/resume": self._session_names, "/profile": _profile_names}
        return {
            name: Offer(command.help, files.get(name), names.get(name, list))
            for name, command in self._commands.items()
        }

    def _session_names(self) -> list[str]:
        return [summary.name for summary in self._talk.sessions.ls()]

    def run(self, line: str) -> bool:
        """Do what a line says, where it is a command at all.

        Returns:
            False for a question; a path such as ``/tmp/shot.png`` is part of one.

        Raises:
            UserError: there is no such command.
            Leave: the person wants to go.
        """
        if line in ("exit", "quit", "/exit"):
            raise Leave
        name, _, argument = line.partition(" ")
        if not _COMMAND.fullmatch(name):
            return False
        if name not in self._commands:
            near = get_close_matches(name, self._commands, 1) or ["/help"]
            raise UserError(f"there is no command {name}", self._commands[near[0]].usage)
        self._commands[name].run(argument.strip())
        return True

    def retry(self, _: str = "") -> None:
        """Go on with a question that an error cut short."""
        self._answer(self._talk.retry)

    def redraw(self, argument: str) -> None:
        """Draw a generated picture again, with another seed or what is named."""
        self._answer(lambda show: self._talk.redraw(argument, show))

    # ── pictures for the next question ───────────────────────────────────────────────────────

    def attach(self, argument: str) -> None:
        """Queue pictures by their paths, quoted, escaped or plain."""
        if not argument:
            raise UserError("which picture?", "/attach PATH, Tab completes it")
        for path in _paths(argument):
            self._attached(self._talk.attach(path).name)

    def paste(self, _: str = "") -> None:
        """Queue the picture on the clipboard."""
        from .clipboard import clipboard_picture

        self._attached(self._talk.attach_data(clipboard_picture()).name)

    def _attached(self, name: str) -> None:
        self._screen.say(f"attached to the next question: {name}")

    def drop(self, argument: str) -> None:
        """Take one picture back, or all of them."""
        queued = self._talk.queued
        if not queued:
            raise UserError("no picture is attached", "/attach PATH")
        chosen = _number(argument, len(queued), "/drop") if argument else 0
        gone = [queued.pop(chosen - 1)] if chosen else queued[:]
        if not chosen:
            queued.clear()
        self._screen.say(f"no longer attached: {', '.join(q.name for q in gone)}")

    # ── the last answer ──────────────────────────────────────────────────────────────────────

    def _last(self) -> Last:
        if self._talk.last is None:
            raise UserError("nothing has been answered yet", "ask something first")
        return self._talk.last

    def sources(self, _: str = "") -> None:
        """Every passage of the last answer, cited or not."""
        answer = self._last().answer
        if not answer.passages:
            raise UserError("the last answer has no sources", "/why")
        self._screen.print_found(answer.passages)
        cited = " ".join(f"[{n}]" for n in sorted(answer.citations))
        self._screen.say(f"cited: {cited or 'none'}   /show N prints one in full")

    def show(self, argument: str) -> None:
        """One source in full, and its picture."""
        answer = self._last().answer
        if not answer.passages:
            raise UserError("the last answer has no sources", "/why")
        number = _number(argument, len(answer.passages), "/show")
        passage = answer.passages[number - 1]
        self._screen.print(f"[{number}] {clean_line(passage.place)}", "bold")
        if passage.heading:
            self._screen.print(passage.heading, "dim")
        self._screen.print_answer(_whole(passage, self._talk.library.media, answer.folder))

    def why(self, _: str = "") -> None:
        """How the last answer came about."""
        last = self._last()
        self._screen.print_facts(_facts(last, self._talk.profile))

    # ── the conversation ─────────────────────────────────────────────────────────────────────

    def export(self, argument: str) -> None:
        """Write the conversation to a file."""
        session = self._talk.session
        if not argument:
            raise UserError("to which file?", "/export answers.html, or .md, or .json")
        if not session.count:
            raise UserError("there is nothing to export yet", "ask something first")
        turns = [(turn.question, turn.answer) for turn in session.turns]
        path = save_page(turns, _path(argument), session.name)
        self._screen.say(f"written: {path}")

    def sessions(self, _: str = "") -> None:
        """List the conversations, the latest first."""
        found = self._talk.sessions.ls()
        if not found:
            self._screen.say("no conversation is kept yet")
            return
        here = self._talk.session.name
        rows = [
            (f"{s.name} (this one)" if s.name == here else s.name, str(s.turns), _local(s.last))
            for s in found
        ]
        self._screen.print_table(("session", "turns", "last"), rows)

    def resume(self, argument: str) -> None:
        """Go on with an earlier conversation."""
        if not argument:
            raise UserError("which one?", "/sessions lists them, then /resume NAME")
        self._talk.resume(argument)
        self.recall()

    def recall(self) -> None:
        """Show where an earlier conversation stands: its last exchange, in short."""
        last, turns = self._talk.last, self._talk.session.count
        if last is None:
            return
        self._screen.say(f"{self._talk.session.name}: {turns} turn{'s' * (turns > 1)}, the last:")
        self._screen.print_question(last.question)
        self._screen.print(shortened(last.answer.text, _RECALLED), "dim")

    def profile(self, argument: str) -> None:
        """Answer with other models, or say which there are."""
        from .profiles import PROFILES

        if argument:
            self._talk.use_profile(argument)
            self._screen.say(f"profile: {argument}")
            return
        now = self._talk.profile
        self._screen.print_facts(
            [(f"{p.name}{' (now)' * (p.name == now)}", p.summary) for p in PROFILES.values()]
        )

    def help(self, _: str = "") -> None:
        """What can be typed."""
        rows = [(command.usage, command.help) for command in self._commands.values()]
        keys = [
            ("Alt-Enter, Ctrl-J", "a new line; Enter sends"),
            ("Ctrl-C", "clear the line; stop an answer"),
        ]
        self._screen.print_facts([*rows, ("", ""), *keys])

    def quit(self, _: str = "") -> None:
        """Leave."""
        raise Leave


def _profile_names() -> list[str]:
    from .profiles import PROFILES

    return list(PROFILES)


def _facts(last: Last, profile: str) -> list[tuple[str, str]]:
    answer, usage = last.answer, last.answer.usage
    passages = [_placed(n, p, n in answer.citations) for n, p in enumerate(answer.passages, 1)]
    rows = [("question", last.question)]
    rows += _under("searched for", last.wordings)
    rows += _under("then for", last.rewordings)
    rows += _under("found", passages)
    rows += _under("pictures", [f"{p.caption} ({p.origin.label})" for p in answer.pictures])
    rows += _under("left out", last.dropped)
    rows.append(("outcome", notice(answer) or "answered"))
    if answer.timings:
        rows.append(("time", _times(answer)))
    if usage.input_tokens or usage.output_tokens:
        rows.append(("tokens", f"{usage.input_tokens} read, {usage.output_tokens} written"))
    return [*rows, ("profile", profile)]


def _times(answer: Answer) -> str:
    """The seconds of a turn and of the steps that took any."""
    whole = sum(seconds for _, seconds in answer.timings)
    steps = [f"{step} {seconds:.2f}" for step, seconds in answer.timings if seconds >= 0.005]
    return f"{whole:.2f} s" + (f": {', '.join(steps)}" if steps else "")


def _whole(passage: Passage, media: MediaStore, folder: str) -> Answer:
    """A passage with nothing left out, as what the screen prints."""
    figure = passage.modality == "figure" and passage.image is not None
    parts: list[Text | Picture] = []
    if passage.text.strip() and not figure:
        parts.append(Text(passage.text))
    if passage.image is not None:
        caption = passage.text if figure else passage.modality
        parts.append(Picture(passage.image, caption, caption, Retrieved(passage)))
        folder = str(media.folder) if passage.image in media else folder
    return Answer(tuple(parts), folder=folder)


def _placed(number: int, passage: Passage, cited: bool) -> str:
    score = "" if passage.score is None else f"  {passage.score:.3f}"
    return f"[{number}] {passage.place}{score}{'  cited' if cited else ''}"


def _under(label: str, values: Sequence[str]) -> list[tuple[str, str]]:
    return [("" if n else label, value) for n, value in enumerate(values)]


def _paths(argument: str) -> list[Path]:
    """The paths that were typed: one as it stands, or as a shell would read them."""
    if Path(argument).expanduser().exists():
        return [Path(argument).expanduser()]
    try:
        words = shlex.split(argument)
    except ValueError:  # a quote that is part of a name
        words = [argument]
    return [Path(word).expanduser() for word in words]


def _path(argument: str) -> Path:
    """The rest of a line as one path; quotes and backslashes are needed for nothing."""
    paths = _paths(argument)
    return paths[0] if len(paths) == 1 else Path(argument).expanduser()


def _number(argument: str, most: int, command: str) -> int:
    if not argument.isdecimal() or not 1 <= int(argument) <= most:
        raise UserError(f"{argument or 'no number'}: not one of 1 to {most}", f"{command} 1")
    return int(argument)


def _local(at: str) -> str:
    return f"{datetime.fromisoformat(at).astimezone():%Y-%m-%d %H:%M}"
