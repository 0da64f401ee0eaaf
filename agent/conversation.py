"""A conversation in progress: its session, its profile, what is queued, what was answered last.

Knows nothing of terminals. The agent and its models are loaded on the first question, or before
it in the background; until then nothing heavy is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, cast

from ..errors import ModelError, SourceError, UserError
from ..tools.media import decode_image
from ..tools.video import check_video, is_video
from .edits import command_of, parse_command, picture_of
from .events import AnswerReady, Event, Failed, PictureDropped, PictureStarted, StepStarted
from .last import Last, attached_to, last_of
from .profiles import TIMEOUT, Choice
from .questions import checked_question
from .sessions import Sessions
from .state import Exchange

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ..index.library import Library
    from .agent import Agent

__all__ = ["Conversation", "Last", "Queued"]

_PAUSE = 0.8  # seconds without a key after which loading goes on


@dataclass(frozen=True, slots=True)
class Queued:
    """A picture or video that goes along with the next question.

    Attributes:
        name: for people.
        image: the file, or the bytes of one.
    """

    name: str
    image: Path | bytes


class Conversation:
    """Questions and answers on one library.

    Args:
        library: what is answered from.
        profile: which chat model answers.
        session: the name of an earlier conversation to go on with, or of a new one; the date and
            time where left out.
        chat_model: in place of the profile's, as for `limner.agent.agent.Agent`.
        endpoint: of a server, as for `limner.agent.agent.Agent`.
        timeout: seconds without a word after which a server is given up.
        image_model: a folder or a name of what draws, as for `limner.agent.agent.Agent`.
        previews: whether `PictureStep` brings a picture of how far a drawing has come.

    Attributes:
        profile: the name of the profile that all this comes to.
        queued: the pictures for the next question.
        last: the latest answer, if there is one.
        kept: whether turns are written down; not in a library that cannot be written, and then
            each question stands alone.

    Raises:
        UserError: not a session name.
        LibraryDamaged: the session cannot be read.
        DeveloperError: there is no such profile, or it contradicts the endpoint.
    """

    def __init__(
        self,
        library: Library,
        profile: str | None = None,
        session: str | None = None,
        *,
        chat_model: str | BaseChatModel | None = None,
        endpoint: str | None = None,
        timeout: float = TIMEOUT,
        image_model: str | None = None,
        previews: bool = False,
    ) -> None:
        self.library = library
        named = chat_model if isinstance(chat_model, str) else None
        self.profile = Choice(profile, named, endpoint).amounts_to().name
        self.queued: list[Queued] = []
        self.sessions = Sessions(library.folder)
        self.kept = _can_write(library.folder)
        self._chat_model = chat_model
        self._endpoint = endpoint
        self._timeout = timeout
        self._image_model = image_model
        self._previews = previews
        self._agent: Agent | None = None
        self._loading: Thread | None = None
        self._hurry = Flag()
        self._leaving = False
        self._typed = 0.0
        self._searches = 0
        self._wanted: dict[int, str] = {}
        self._dropped: dict[int, str] = {}
        self._open(session or f"{datetime.now():%Y-%m-%d-%H%M%S}")

    def resume(self, name: str) -> None:
        """Go on with an earlier conversation.

        Raises:
            UserError: there is none of that name.
        """
        known = [summary.name for summary in self.sessions.ls()]
        if name not in known:
            raise UserError(f"no conversation is called {name!r}", "/sessions lists them")
        self._open(name)

    def _open(self, name: str) -> None:
        self.session = self.sessions.open(name)
        self.last = last_of(self.session)

    # ── attachments ──────────────────────────────────────────────────────────────────────────

    def attach(self, path: Path) -> Queued:
        """Queue a picture or a video for the next question, once it was seen to be one.

        Raises:
            SourceError: neither a picture nor a video that can be read.
            ModelMissing: a video, and what reads it is not installed.
        """
        path = path.expanduser().absolute()
        if not path.exists():
            raise SourceError(f"{path}: no such file", "/attach PATH, Tab completes it")
        if not path.is_file():
            raise SourceError(f"{path}: not a file", "attach one picture at a time")
        if is_video(path):
            check_video(path)
        else:
            decode_image(path)
        return self._enqueue(Queued(path.name, path))

    def attach_data(self, data: bytes) -> Queued:
        """Queue the bytes of a picture file, under the name the agent will give it."""
        return self._enqueue(Queued(f"picture {len(self.queued) + 1}", data))

    def _enqueue(self, queued: Queued) -> Queued:
        self.queued.append(queued)
        return queued

    # ── the agent ────────────────────────────────────────────────────────────────────────────

    def warm_up(self) -> None:
        """Load the models in the background; the first question waits for the rest of it."""
        if self._loading is None and self._agent is None:
            self._loading = Thread(target=self._load, name="limner-warm-up", daemon=True)
            self._loading.start()

    def typing(self) -> None:
        """The person is typing: what loads in the background waits for a pause."""
        self._typed = monotonic()

    def _load(self) -> None:
        embeddings = self.library.embeddings
        steps: tuple[Callable[[], object], ...] = (
            self._make_agent,
            lambda: self._agent and self._agent.graph,
            lambda: self.library.exists and embeddings.encode_query(["warm up"]),
            lambda: self.library.search("warm up", k=1),
        )
        with suppress(Exception):  # what fails here fails again, and is told, where it is needed
            for step in steps:
                while monotonic() < self._typed + _PAUSE and not self._hurry.wait(_PAUSE / 4):
                    pass
                if self._leaving:
                    return
                step()

    def _make_agent(self) -> None:
        self._agent = self._new_agent(self.profile)

    def _new_agent(self, profile: str) -> Agent:
        from .agent import Agent

        name = self.session.name if self.kept else None
        model = self._chat_model
        if isinstance(model, str) and "embedded" in (profile, model):
            model = None  # the name of another profile's model
        endpoint = self._endpoint if profile == "server" else None
        return Agent(
            self.library,
            profile,
            chat_model=model,
            endpoint=endpoint,
            timeout=self._timeout,
            image_model=self._image_model,
            previews=self._previews,
            session=name,
        )

    def _settle(self) -> None:
        """Wait until nothing is being loaded any more."""
        self._hurry.set()
        if self._loading is not None:
            self._loading.join()
            self._loading = None

    def _ready(self) -> Agent:
        self._settle()
        if self._agent is None:
            self._make_agent()
        assert self._agent is not None
        return self._agent

    def use_profile(self, name: str) -> None:
        """Answer with another chat model from now on; the one before stays where this fails.

        The model named at the start goes with ``local`` and ``server``, the endpoint with
        ``server``.

        Raises:
            DeveloperError: there is no such profile, or it needs an endpoint.
            ModelMissing: it cannot be run here.
            ModelError: it is there, and not as it should be.
        """
        self._settle()
        agent = self._new_agent(name)
        if self._agent is not None:
            self._agent.close()
        self._agent, self.profile = agent, name

    def close(self) -> None:
        """Let go of the models and of what was kept aside."""
        self._leaving = True
        self._settle()
        if self._agent is not None:
            self._agent.close()

    # ── a turn ───────────────────────────────────────────────────────────────────────────────

    def ask(self, question: str, show: Callable[[Event], None]) -> AnswerReady | Failed:
        """Answer a question with the pictures that are queued.

        They stay queued where the turn fails, so that it can be asked again.

        Args:
            question: in plain words.
            show: told of every event before the last.

        Returns:
            The last event.

        Raises:
            LimnerError: the turn did not start.
            KeyboardInterrupt: the person stopped it before anything was written.
        """
        question = checked_question(question)
        agent, history = self._at_turn()
        images = [queued.image for queued in self.queued]
        return self._turn(question, agent.stream(question, images), history, show)

    def redraw(self, argument: str, show: Callable[[Event], None]) -> AnswerReady | Failed:
        """Draw a generated picture of the conversation differently; what is queued stays queued.

        Args:
            argument: its number and what changes, as typed: ``2 seed=7``.
            show: told of every event before the last.

        Raises:
            UserError: there is no such picture, or it cannot be drawn so.
        """
        number, changes = parse_command(argument)
        picture = picture_of(self.session.drawings, number)
        agent, history = self._at_turn()
        events, queued = agent.stream_redraw(changes, picture), self.queued[:]
        last = self._turn(command_of(changes), events, history, show)
        self.queued[:] = queued
        return last

    def _at_turn(self) -> tuple[Agent, tuple[Exchange, ...]]:
        """The agent, ready for a new turn of this conversation, and what came before."""
        agent = self._ready()
        agent.session = self.session if self.kept else None
        self._searches, self._wanted, self._dropped = 0, {}, {}
        return agent, agent.session.history() if agent.session else ()

    def retry(self, show: Callable[[Event], None]) -> AnswerReady | Failed:
        """Go on with the turn that an error or a kill cut short, from its last finished step.

        Raises:
            QuestionError: none was.
        """
        agent = self._ready()
        agent.session = self.session if self.kept else None
        question = agent.pending or ""
        history = agent.session.history() if agent.session else ()
        return self._turn(question, agent.resume(), history, show)

    def _turn(
        self,
        question: str,
        stream: Iterator[Event],
        history: tuple[Exchange, ...],
        show: Callable[[Event], None],
    ) -> AnswerReady | Failed:
        events = cast(Generator[Event, None, None], stream)
        try:
            last = self._followed(events, show)
        except (
            KeyboardInterrupt
        ) as stop:  # it came while an event was shown, not while one was made
            last = cast(AnswerReady | Failed, events.throw(stop))
        self._remember(question, history, last)
        return last

    def _followed(
        self, events: Iterable[Event], show: Callable[[Event], None]
    ) -> AnswerReady | Failed:
        for event in events:
            if isinstance(event, AnswerReady | Failed):
                return event
            self._note(event)
            show(event)
        raise ModelError("the turn ended without an answer")

    def _note(self, event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == "retrieve":
            self._searches += 1
        elif isinstance(event, PictureStarted):
            self._wanted[event.slot] = event.words
        elif isinstance(event, PictureDropped):
            self._dropped[event.slot] = event.reason

    def _remember(
        self, question: str, history: tuple[Exchange, ...], last: AnswerReady | Failed
    ) -> None:
        answer = last.answer if isinstance(last, AnswerReady) else last.partial
        if isinstance(last, Failed) and not answer.parts:
            return
        if isinstance(last, AnswerReady) or last.interrupted:
            self.queued.clear()
            if not self.kept:  # at least for as long as the program runs
                self.session.keep_aside(question, answer)
        self.last = Last(
            question,
            answer,
            attached_to(answer),
            history,
            self._searches,
            tuple(f"{self._wanted.get(n, '')}: {why}" for n, why in self._dropped.items()),
        )


def _can_write(folder: Path) -> bool:
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return os.access(existing, os.W_OK)
