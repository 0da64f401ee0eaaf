"""Agent: a question in, an illustrated answer out. The Python API over the graph.

One synchronous implementation; ``aask`` and ``astream`` run it in a worker thread.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from ..errors import LimnerError, ModelError, QuestionError
from ..index.library import Library
from ..index.passage import Passage
from ..tools.chat_models.extractive import Extractive
from ..tools.chat_models.scripted import Scripted
from ..tools.image_models.base import ImageModel
from ..tools.media import MediaStore
from ..tools.picture_checker import PictureChecker
from ..tools.sentences import CachedEncoder, Encoder
from .answer import Answer, Picture
from .attaching import Attachable, attached
from .background import in_background
from .checkpoints import Checkpoints
from .composing import partial
from .edits import UNCHANGED, Changes, Edit, command_of, drawings_of, numbers_in, picture_of
from .events import AnswerReady, Event, Failed, SourcesFound, StepFinished, TextDelta, ToolCalled
from .grading import CALIBRATIONS
from .own_tools import approver, own_tools
from .profiles import (
    NO_IMAGE_MODEL,
    TIMEOUT,
    Choice,
    chat_model_of,
    checker_of,
    label_of,
    painter_of,
)
from .questions import checked_question
from .redrawing import possible
from .sessions import Session, Sessions
from .state import Attachment, TurnState, fresh
from .workbench import Approve, Workbench, nobody_approves

if TYPE_CHECKING:
    from .graph import Graph

__all__ = ["Agent", "Attachable"]

_HISTORY = 6
"""Earlier exchanges that a turn is told of."""


class Agent:
    """Answers questions about a library in text and pictures. A context manager.

    Args:
        library: what it answers from.
        profile: which chat model answers: ``embedded`` (where nothing is named), ``local`` or
            ``server``.
        chat_model: in place of the profile's: a folder, a name of the hub, a name that the server
            knows, ``embedded``, or any LangChain chat model. It is asked for the draft format of
            ``prompts/answer.jinja``.
        endpoint: an OpenAI-compatible server, as ``http://host:8000/v1``; naming one is asking
            for the profile ``server``, and naming another profile beside it is an error. Its key
            comes from the variable ``LIMNER_CHAT_KEY``. No other variable is looked at.
        timeout: seconds without a word after which a server is given up.
        image_model: draws, in place of the profile's: an object, a folder, a name of the hub or of
            a model that is shipped; ``"none"`` for nothing, which is also what a LangChain chat
            model of your own has where nothing is named (an empty name names nothing). What one
            by name has drawn before is not drawn again.
        picture_checker: looks at what was drawn, before the chat model is asked to; in place of the
            profile's, which looks at what the profile's own image model drew.
        previews: whether `PictureStep` brings a small picture of how far a drawing has come.
        session: the name of a conversation to go on with; its earlier turns are told to the chat
            model and new ones are written down. Without one nothing is remembered.
        tools: LangChain tools, or functions with docstrings, that the chat model may call beside
            its own (search_library, zoom, draw), if it calls functions.
        approve: a plain function, asked before one of them runs, with its name and arguments;
            only ``True`` allows it. One whose metadata says ``{"acts": False}`` only reads, and
            runs unasked. Nobody approves if left out.

    Raises:
        ModelMissing: a model is not there: weights, a package, or a server.
        ModelError: it is there, and not as it should be.
        DeveloperError: no such profile; an endpoint that is missing, is none, or contradicts the
            profile or the chat model; no tool, two of one name, or no plain function to approve.

    Example:
        >>> with Library.open("my-library") as library, Agent(library) as agent:
        ...     answer = agent.ask("How do I fix this?", images=["shot.png"])
        ...     answer.save("answer.html")
    """

    def __init__(
        self,
        library: Library,
        profile: str | None = None,
        *,
        chat_model: str | BaseChatModel | None = None,
        endpoint: str | None = None,
        timeout: float = TIMEOUT,
        image_model: ImageModel | str | None = None,
        picture_checker: PictureChecker | None = None,
        previews: bool = False,
        session: str | None = None,
        tools: Sequence[BaseTool | Callable[..., Any]] = (),
        approve: Approve = nobody_approves,
    ) -> None:
        self.library = library
        named = chat_model if isinstance(chat_model, str) else None
        if image_model in (None, "") and not isinstance(chat_model, str | None):
            image_model = NO_IMAGE_MODEL
        choice = Choice(profile, named, endpoint)
        self.profile = choice.amounts_to()
        self.sessions = Sessions(library.folder)
        self._checkpoints = Checkpoints(library.folder)
        self.session: Session | None = self.sessions.open(session) if session else None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        encoder = CachedEncoder(self.library.embeddings)
        if chat_model is None or isinstance(chat_model, str):
            chat_model = chat_model_of(choice, encoder, timeout)
        self._work = replace(
            self._workbench(chat_model, encoder),
            image_model=painter_of(self.profile, image_model),
            picture_checker=picture_checker or checker_of(self.profile, image_model),
            previews=previews,
            tools=own_tools(tools),
            approve=approver(approve),
        )

    def _workbench(self, chat_model: BaseChatModel, encoder: Encoder) -> Workbench:
        model_name = self.library.embeddings.name.partition("@")[0]
        return Workbench(
            library=self.library,
            chat_model=chat_model,
            reads=not isinstance(chat_model, Extractive | Scripted),
            encoder=encoder,
            calibration=CALIBRATIONS.get(model_name),
            media=MediaStore(self._pictures(), parent=self.library.media),
        )

    def _pictures(self) -> Path:
        """Where the pictures of answers go: in the library, or aside where it cannot be written."""
        folder = self.library.folder
        existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        if os.access(existing, os.W_OK):
            return folder / "answers"
        self._scratch = tempfile.TemporaryDirectory(prefix="limner-")
        return Path(self._scratch.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; delete what was kept aside for a library that cannot be written."""
        self._checkpoints.close()
        self.__dict__.pop("_kept_graph", None)
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    @property
    def graph(self) -> Graph:
        """The compiled LangGraph state machine of a turn."""
        return self._kept_graph if self.session else self._plain_graph

    @cached_property
    def _kept_graph(self) -> Graph:
        from .graph import build

        return build(self._checkpoints.saver)

    @cached_property
    def _plain_graph(self) -> Graph:
        from .graph import build

        return build()

    @property
    def model(self) -> str:
        """Which chat model answers: ``embedded``, a name or a folder, or ``NAME at ADDRESS``."""
        return label_of(self._work.chat_model)

    @property
    def pending(self) -> str | None:
        """The question of this session that was cut short by a kill or an error, if any."""
        return self._checkpoints.pending(self._thread) if self.session else None

    @property
    def _thread(self) -> str:
        """The name of the running turn; another one for every turn, so that each starts fresh."""
        if self.session is None:
            return uuid.uuid4().hex
        return f"{self.session.name}/{self.session.count}"

    def ask(self, question: str, images: Sequence[Attachable] = ()) -> Answer:
        """Answer a question.

        Args:
            question: in plain words.
            images: screenshots, pictures and videos that come with it; of a video the still
                frames in which something changed go along, at most 8.

        Raises:
            QuestionError: the question is empty or far too long.
            SourceError: an attached picture or video cannot be read.
            ModelError: a model failed.
            LibraryError: the library cannot be read, or the session not be written.
        """
        return _answer_of(self.stream(question, images))

    def stream(self, question: str, images: Sequence[Attachable] = ()) -> Iterator[Event]:
        """Answer a question, telling what happens; the last event is an answer or a failure.

        A turn that is interrupted with Ctrl-C ends in `Failed` with what there was.

        Raises:
            QuestionError, SourceError: before anything starts, as for ``ask``.
        """
        question = checked_question(question)
        media = self._work.media
        attachments = tuple(a for n, one in enumerate(images, 1) for a in attached(one, n, media))
        return self._events(question, attachments, self._start(question, attachments))

    def _start(self, question: str, attachments: tuple[Attachment, ...]) -> TurnState:
        history = self.session.history() if self.session else ()
        near, drawn = self._drawn(question) if self._work.image_model else (False, ())
        told, kept = history[-_HISTORY:], self.session is not None
        return fresh(question, attachments, told, drawn, near, kept=kept)

    def _drawn(self, question: str) -> tuple[bool, tuple[Picture, ...]]:
        """Whether a drawing may be meant, and all drawings of the session.

        One of a recent answer is meant by any wish to redraw, an older one by its number only.
        """
        drawn = self.session.drawings if self.session else ()
        if self.session is None or not drawn:
            return False, ()
        near = bool(drawings_of(turn.answer for turn in self.session.recent))
        return near or bool(numbers_in(question)), drawn

    def redraw(self, changes: Changes = UNCHANGED, picture: Picture | int | None = None) -> Answer:
        """Draw a generated picture again, differently; with nothing named, with another seed.

        Args:
            changes: what is to be different; all else stays as the picture was drawn.
            picture: which one, or its number among the drawings of the session, from 1 in the
                order in which they were shown; the last one where left out.

        Raises:
            UserError: there is no such picture, or the image model cannot draw this.
            ModelMissing: there is no image model.
            ModelError: it failed.
            LibraryError: the library cannot be read, or the session not be written.

        Example:
            >>> agent.redraw(Changes(seed=7, size=(512, 512)))
        """
        return _answer_of(self.stream_redraw(changes, picture))

    def stream_redraw(
        self, changes: Changes = UNCHANGED, picture: Picture | int | None = None
    ) -> Iterator[Event]:
        """``redraw``, telling what happens; the last event is an answer or a failure.

        Raises:
            UserError, ModelMissing: before anything starts, as for ``redraw``.
        """
        drawn = self.session.drawings if self.session else ()
        if not isinstance(picture, Picture):
            picture = picture_of(drawn, picture)
        edit = Edit(picture, changes)
        possible(edit, drawn, self._work)
        question = command_of(changes)
        kept = self.session is not None
        return self._events(question, (), fresh(question, drawn=drawn, edit=edit, kept=kept))

    async def aask(self, question: str, images: Sequence[Attachable] = ()) -> Answer:
        """``ask`` without blocking the event loop."""
        return await asyncio.to_thread(self.ask, question, images)

    async def astream(
        self, question: str, images: Sequence[Attachable] = ()
    ) -> AsyncIterator[Event]:
        """``stream`` without blocking the event loop."""
        events = await asyncio.to_thread(self.stream, question, images)
        while (event := await asyncio.to_thread(next, events, None)) is not None:
            yield event

    def resume(self) -> Iterator[Event]:
        """Go on with the turn that was cut short, from its last finished step.

        One that an earlier version began, whose steps left other things behind, begins anew.

        Raises:
            QuestionError: there is none; see ``pending``.
        """
        question = self.pending
        if question is None:
            raise QuestionError("no turn was cut short in this session")
        kept = self.graph.get_state(self._checkpoints.config(self._thread)).values
        attachments = tuple(kept["attachments"])
        if kept.keys() >= TurnState.__required_keys__:
            return self._events(question, attachments, None, kept["answer"])
        start = self._start(question, attachments)
        start["edit"] = kept.get("edit")
        return self._events(question, attachments, start)

    def _events(
        self,
        question: str,
        attachments: tuple[Attachment, ...],
        start: TurnState | None,
        answer: Answer | None = None,
    ) -> Iterator[Event]:
        """Run a turn and acknowledge it; without ``start`` it goes on where it was."""
        passages: tuple[Passage, ...] = ()
        draft = ""
        timings: dict[str, float] = {}
        try:
            for event in self._run(start):
                if isinstance(event, StepFinished):
                    timings[event.step] = timings.get(event.step, 0.0) + event.seconds
                elif isinstance(event, TextDelta):
                    draft += event.text
                elif isinstance(event, ToolCalled):
                    draft = ""
                elif isinstance(event, SourcesFound):
                    passages = event.passages
                if isinstance(event, AnswerReady):
                    answer = event.answer
                else:
                    yield event
            if answer is None:
                raise ModelError("the turn ended without an answer")
            answer = replace(answer, timings=tuple(timings.items()), folder=self.folder)
        except (LimnerError, KeyboardInterrupt) as error:
            cut = replace(
                partial(draft, passages), timings=tuple(timings.items()), folder=self.folder
            )
            if isinstance(error, LimnerError):
                yield Failed(error, cut)
                return
            if cut.parts:
                self._acknowledge(question, attachments, cut)
            yield Failed(ModelError("interrupted", "ask again"), cut, interrupted=True)
        else:
            try:
                self._acknowledge(question, attachments, answer)
            except LimnerError as error:  # it could not be written down; it is not lost to the eye
                yield Failed(error, answer)
            else:
                yield Failed(self._at_limit(), answer) if answer.partial else AnswerReady(answer)

    def _at_limit(self) -> ModelError:
        return ModelError(
            f"the answer broke off: {self.model} reached its limit of tokens",
            "ask for less at once, or allow it more (max_tokens; on a server, in its settings)",
        )

    def _run(self, start: TurnState | None) -> Iterator[Event]:
        thread = self._thread
        if start is not None and self.session:
            self._checkpoints.forget(thread)
        events: Iterator[Any] = self.graph.stream(
            start,
            self._checkpoints.config(thread),
            context=self._work,
            stream_mode="custom",
            durability="sync" if self.session else None,
        )
        yield from in_background(events, self._work.stopped)

    def _acknowledge(
        self, question: str, attachments: tuple[Attachment, ...], answer: Answer
    ) -> None:
        if self.session is not None:
            thread = self._thread
            self.session.append(question, attachments, answer)
            self._checkpoints.forget(thread)

    @property
    def folder(self) -> str:
        """Where the pictures of answers are kept."""
        return str(self._work.media.folder)


def _answer_of(events: Iterator[Event]) -> Answer:
    for event in events:
        if isinstance(event, AnswerReady):
            return event.answer
        if isinstance(event, Failed):
            raise event.error
    raise ModelError("the turn ended without an answer")
