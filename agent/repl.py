"""The REPL behind ``limner chat``: asks, answers, and lives on whatever happens.

Without a terminal it answers stdin line by line and decorates nothing. Knows the conversation,
the screen and the prompt; loads no model until the first prompt is shown.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LimnerError, ModelError
from .conversation import Conversation
from .events import AnswerReady, Failed
from .preview import Preview
from .profiles import TIMEOUT
from .repl_commands import Commands, Leave, Turn
from .repl_input import Prompt, piped_lines, quiet
from .terminal_pictures import can_show

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ..index.library import Library
    from .terminal import Screen

__all__ = ["Repl"]


class Repl:
    """One conversation in a terminal, or over a pipe.

    Args:
        library: what is answered from.
        profile: which chat model answers.
        session: an earlier conversation to go on with, or the name of a new one; a new one gets
            the date and time for a name where left out.
        screen: where everything is written.
        chat_model: in place of the profile's, as for `limner.agent.agent.Agent`.
        endpoint: of a server, as for `limner.agent.agent.Agent`.
        timeout: seconds without a word after which a server is given up.
        image_model: a folder or a name of what draws, as for `limner.agent.agent.Agent`.

    Raises:
        UserError: not a session name.
        LibraryDamaged: the session cannot be read.
        DeveloperError: there is no such profile, or it contradicts the endpoint.
    """

    def __init__(
        self,
        library: Library,
        profile: str | None,
        session: str | None,
        screen: Screen,
        *,
        chat_model: str | BaseChatModel | None = None,
        endpoint: str | None = None,
        timeout: float = TIMEOUT,
        image_model: str | None = None,
    ) -> None:
        self._talk = Conversation(
            library,
            profile,
            session,
            chat_model=chat_model,
            endpoint=endpoint,
            timeout=timeout,
            image_model=image_model,
            previews=can_show(screen.err),
        )
        self._screen = screen
        self._commands = Commands(self._talk, screen, self._answer)
        self._interactive = bool(sys.stdin) and sys.stdin.isatty() and screen.out.is_terminal

    def run(self) -> None:
        """Answer until the person leaves or stdin ends."""
        try:
            with quiet() if self._interactive else nullcontext():
                for line in self._prompted() if self._interactive else piped_lines():
                    self._take(line.strip())
        except Leave:
            pass
        finally:
            self._farewell()
            self._talk.close()

    def _prompted(self) -> Iterator[str]:
        talk = self._talk
        self._greet()
        folder = talk.library.folder if talk.kept else None
        offers = self._commands.offers()
        prompt = Prompt(folder, offers, self._toolbar, talk.warm_up, talk.typing)
        while True:
            try:
                line = prompt.read()
            except EOFError:
                return
            yield line

    def _greet(self) -> None:
        talk, screen = self._talk, self._screen
        if talk.library.exists:
            screen.say(f"Ask about what {talk.library.folder} holds. /help lists the commands.")
        else:
            screen.say(f"Nothing is in {talk.library.folder} yet: limner add PATH fills it.")
        if not talk.kept:
            screen.say("It cannot be written: nothing is kept, and each question stands alone.")
        self._commands.recall()
        screen.print("")

    def _toolbar(self) -> str:
        names = ", ".join(queued.name for queued in self._talk.queued)
        parts = [self._talk.session.name, self._talk.profile, f"attached: {names}" if names else ""]
        return " · ".join([*filter(None, parts), "/help"])

    def _take(self, line: str) -> None:
        """Do what one message asks for; nothing that goes wrong ends the loop."""
        if not line:
            return
        try:
            if not self._commands.run(line):
                self._answer(lambda show: self._talk.ask(line, show))
        except Leave:
            raise
        except LimnerError as error:
            self._screen.print_error(error)
        except Exception as error:
            self._screen.print_error(ModelError(f"{type(error).__name__}: {error}"))
        except KeyboardInterrupt:
            if not self._interactive:
                raise
            self._screen.say("stopped")
        self._screen.print("")

    def _answer(self, turn: Turn) -> None:
        with Preview(self._screen.err) as preview:
            last = turn(preview.show)
        if isinstance(last, AnswerReady):
            self._screen.print_answer(last.answer)
        else:
            self._failed(last)

    def _failed(self, last: Failed) -> None:
        if last.partial.parts:
            self._screen.print_answer(last.partial)
        if not last.interrupted:
            raise last.error
        if not self._interactive:
            raise KeyboardInterrupt
        if not last.partial.parts:
            self._screen.say("stopped before anything was written")

    def _farewell(self) -> None:
        talk = self._talk
        if not talk.session.count or not talk.kept:
            return
        command = ["limner", "chat"]
        if talk.library.folder != Path(".limner"):
            command += ["--library", os.fspath(talk.library.folder)]
        command += ["--session", talk.session.name]
        self._screen.say(f"go on with it later: {shlex.join(command)}", wrap=False)
