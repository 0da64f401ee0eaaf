"""Drawings in a turn: looked at, repaired once, labelled, given up within a step."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from PIL import Image

from limner.agent.agent import Agent
from limner.agent.answer import Answer, Generated
from limner.agent.events import AnswerReady, Event, PictureDropped, PictureStep
from limner.agent.picture_check import PASSED
from limner.agent.render import to_html, to_json_dict, to_markdown
from limner.agent.terminal import Screen
from limner.errors import ModelError
from limner.index.library import Library
from limner.tests.tiny_janus import janus
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models.base import GeneratedImage, ImageRequest
from limner.tools.image_models.cache import PictureCache, Remembering
from limner.tools.image_models.fake import HashPainter
from limner.tools.image_models.janus import Janus
from limner.tools.image_models.janus_reading import JanusReader
from limner.tools.image_models.provenance import read

QUESTION = "When is high water?"
DRAFT = "High water is at noon. [1]\n[[draw: a red boat and two gulls]]"
QUESTIONS = "1. Is there a boat?\n2) Is the boat red?\n- Are there two gulls?\nThat is all."


class Looker(BaseChatModel):
    """Drafts, writes questions, and answers each about a picture from a list for that picture."""

    questions: str = QUESTIONS
    looks: list[Any]
    draft: str = DRAFT
    asked: list[tuple[str, bool]]

    @property
    def _llm_type(self) -> str:
        return "looker"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        content = messages[-1].content
        pictured = any(isinstance(p, dict) and p.get("type") == "image" for p in content)
        text = str(messages[-1].text)
        self.asked.append((text, pictured))
        reply = self.draft
        if "A picture is to show" in text:
            reply = self.questions
        elif "what is needed" in text:
            reply = "yes"
        elif pictured:
            reply = self.looks.pop(0)
            if isinstance(reply, Exception):
                raise reply
        return ChatResult(generations=[ChatGeneration(message=AIMessage(reply))])


class Seeds(HashPainter):
    """Notes the seeds it was asked for."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
        self.seeds.append(request.seed)
        return super().generate(request, on_step)


def looked(library: Library, *looks: Any, **options: Any) -> tuple[Answer, list[int], Looker]:
    """The answer, the seeds that were drawn, and the chat model after a turn with one drawing."""
    model, painter = Looker(looks=list(looks), asked=[], **options), Seeds()
    with Agent(library, chat_model=model, image_model=painter) as agent:
        return agent.ask(QUESTION), painter.seeds, model


def origin_of(answer: Answer) -> Generated:
    (picture,) = answer.pictures
    assert isinstance(picture.origin, Generated)
    return picture.origin


def test_a_drawing_is_asked_about_piece_by_piece(library: Library) -> None:
    answer, seeds, model = looked(library, "Yes.", "yes", "YES")
    assert seeds == [0]
    assert origin_of(answer).confirmed
    about = [text.split("\n")[0] for text, pictured in model.asked if pictured]
    assert about == ["Is there a boat?", "Is the boat red?", "Are there two gulls?"]


def test_half_of_the_answers_suffice_and_less_does_not(library: Library) -> None:
    assert PASSED == 0.5
    two = "Is there a boat?\nIs it red?"
    answer, seeds, _ = looked(library, "yes", "no", questions=two)
    assert (seeds, origin_of(answer).confirmed) == ([0], True)
    _, seeds, _ = looked(library, "yes", "no", "no", "yes", "yes", "yes")
    assert seeds == [0, 1]


def test_a_wrong_drawing_is_drawn_once_more_with_another_seed(library: Library) -> None:
    answer, seeds, _ = looked(library, *["no"] * 3, *["yes"] * 3)
    assert seeds == [0, 1]
    assert (origin_of(answer).seed, origin_of(answer).confirmed) == (1, True)


def test_after_two_wrong_drawings_there_is_none_and_that_is_said(library: Library) -> None:
    model, painter = Looker(looks=["no"] * 6, asked=[]), Seeds()
    with Agent(library, chat_model=model, image_model=painter) as agent:
        events = list(agent.stream(QUESTION))
    assert painter.seeds == [0, 1]
    (dropped,) = [e for e in events if isinstance(e, PictureDropped)]
    answer = events[-1].answer  # type: ignore[union-attr]
    assert answer.pictures == ()
    assert dropped.reason == "drawn twice: the picture does not show that"
    assert dropped.reason in answer.text
    assert len([e for e in events if isinstance(e, PictureStep)]) == 4  # the second is told too


def test_without_questions_the_whole_is_asked_about_once(library: Library) -> None:
    answer, seeds, model = looked(library, "yes", questions="I cannot think of any.")
    assert (seeds, origin_of(answer).confirmed) == ([0], True)
    assert ["Does this picture show: a red boat" in t for t, seen in model.asked if seen] == [True]


@pytest.mark.parametrize(
    "looks", [["maybe", "a boat", "yes"], [ModelError("no pictures here")], ["", "", ""]]
)
def test_who_cannot_tell_leaves_the_picture_labelled(library: Library, looks: list[Any]) -> None:
    answer, seeds, _ = looked(library, *looks)
    assert seeds == [0]
    assert origin_of(answer).confirmed is None
    assert "not confirmed to show its prompt" in origin_of(answer).label


class Fixed:
    """A checker with an opinion of its own."""

    def __init__(self, *found: bool | None) -> None:
        self.found, self.words = list(found), ""

    def shows(self, picture: Image.Image, words: str) -> bool | None:
        self.words = words
        return self.found.pop(0)


def test_a_checker_that_was_given_is_asked_first_and_then_the_chat_model(library: Library) -> None:
    def seeds_of(checker: Fixed, *looks: str) -> list[int]:
        model, painter = Looker(looks=list(looks), asked=[]), Seeds()
        with Agent(
            library, chat_model=model, image_model=painter, picture_checker=checker
        ) as agent:
            agent.ask(QUESTION)
        assert checker.words == "a red boat and two gulls"
        return painter.seeds

    assert seeds_of(Fixed(True)) == [0]
    assert seeds_of(Fixed(False, True)) == [0, 1]
    assert seeds_of(Fixed(None, None), *["no"] * 3, *["yes"] * 3) == [0, 1]


def test_a_model_that_quotes_is_not_asked(library: Library) -> None:
    with Agent(library, chat_model=Scripted(replies=[DRAFT]), image_model=Seeds()) as agent:
        assert origin_of(agent.ask(QUESTION)).confirmed is None


class Blank(Seeds):
    def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
        made = super().generate(request, on_step)
        return made if request.seed else replace(made, image=Image.new("RGB", made.size))


def test_a_blank_drawing_is_drawn_again(library: Library) -> None:
    painter = Blank()
    with Agent(library, chat_model=Scripted(replies=[DRAFT]), image_model=painter) as agent:
        assert origin_of(agent.ask(QUESTION)).seed == 1
    assert painter.seeds == [0, 1]


def test_two_slots_of_the_same_words_become_two_pictures(library: Library) -> None:
    draft = "So. [1]\n[[draw: a boat]]\n[[draw: a boat]]"
    with Agent(library, chat_model=Scripted(replies=[draft]), image_model=Seeds()) as agent:
        seeds = [p.origin.seed for p in agent.ask(QUESTION).pictures]  # type: ignore[union-attr]
    assert seeds == [0, 1]


@pytest.mark.parametrize(
    "fault", [MemoryError("no room"), ModelError("numbers that are none"), ValueError("what")]
)
def test_a_drawing_that_fails_costs_its_picture(library: Library, fault: Exception) -> None:
    class Failing(HashPainter):
        def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
            raise fault

    with Agent(library, chat_model=Scripted(replies=[DRAFT]), image_model=Failing()) as agent:
        answer = agent.ask(QUESTION)
    assert answer.pictures == ()
    assert str(fault) in answer.text


def test_what_the_policy_declines_is_not_drawn(library: Library) -> None:
    painter = Seeds()
    draft = "So. [1]\n[[draw: a naked teenager]]"
    with Agent(library, chat_model=Scripted(replies=[draft]), image_model=painter) as agent:
        answer = agent.ask(QUESTION)
    assert (answer.pictures, painter.seeds) == ((), [])
    assert "can't help" in answer.text


# ── what is said and kept of it ──────────────────────────────────────────────────────────────


def test_every_form_says_generated_and_that_nobody_looked(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    with Agent(library, chat_model=Scripted(replies=[DRAFT]), image_model=Seeds()) as agent:
        answer = agent.ask(QUESTION)
    Screen().print_answer(answer)
    told = {
        "terminal": capsys.readouterr().out,
        "markdown": to_markdown(answer, {answer.pictures[0].media: "x.png"}),
        "html": to_html([(QUESTION, answer)], "t"),
        "json": str(to_json_dict(answer)),
    }
    for form, text in told.items():
        assert "generated" in text.lower(), form
        assert "unchecked by a safety filter" in text, form


def test_what_a_safety_checker_has_seen_is_not_called_unchecked(library: Library) -> None:
    class Checked(HashPainter):
        def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
            return replace(super().generate(request, on_step), checked=True)

    with Agent(library, chat_model=Scripted(replies=[DRAFT]), image_model=Checked()) as agent:
        answer = agent.ask(QUESTION)
    assert origin_of(answer).checked
    assert "safety filter" not in to_html([(QUESTION, answer)], "t")
    assert "safety filter" not in answer.pictures[0].alt


def test_the_file_says_how_it_was_drawn(library: Library) -> None:
    with Agent(library, chat_model=Scripted(replies=[DRAFT]), image_model=Seeds()) as agent:
        answer = agent.ask(QUESTION)
    signed = read(Path(answer.folder) / answer.pictures[0].media)
    assert signed is not None and signed.untouched
    assert (signed.drawn.prompt, signed.drawn.seed) == ("a red boat and two gulls", 0)


# ── while it is drawn ────────────────────────────────────────────────────────────────────────


def test_previews_come_where_they_are_wanted(library: Library) -> None:
    def previews(wanted: bool) -> list[Image.Image | None]:
        with Agent(
            library, chat_model=Scripted(replies=[DRAFT]), image_model=Seeds(), previews=wanted
        ) as agent:
            return [e.preview for e in agent.stream(QUESTION) if isinstance(e, PictureStep)]

    assert previews(False) == [None, None]
    first, second = previews(True)
    assert first is not None and first.size == (8, 8)
    assert second is None  # so soon after the first, none is made


class Endless(HashPainter):
    """Draws on until it is stopped, or at most for a thousand steps."""

    def __init__(self) -> None:
        self.steps, self.ended, self.release = 0, threading.Event(), threading.Event()
        self.endless = True

    def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
        try:
            for k in range(1, 1000 if self.endless else 2):
                self.steps = k
                on_step(k, 1000, lambda: None)
                self.release.wait(10)
        finally:
            self.ended.set()
        return super().generate(request, lambda k, n, preview: None)


def test_ctrl_c_ends_a_drawing_within_a_step_and_the_turn_can_go_on(library: Library) -> None:
    """No picture is written down as left out because somebody was in a hurry."""
    painter = Endless()
    draft = "[[draw: a boat]]"
    agent = Agent(library, chat_model=Scripted(replies=[draft]), image_model=painter, session="cut")
    events = agent.stream("Draw me a boat.")
    while not isinstance(next(events), PictureStep):
        pass
    interrupting = threading.Timer(0.2, painter.release.set)  # after the turn is given up
    interrupting.start()
    with pytest.raises(StopIteration):
        last: Event = events.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
        assert getattr(last, "interrupted", False)
        next(events)
    assert painter.ended.wait(5)
    assert painter.steps <= 2
    assert agent.pending == "Draw me a boat."
    painter.endless = False
    *_, done = agent.resume()
    assert isinstance(done, AnswerReady)
    assert origin_of(done.answer).prompt == "a boat"
    agent.close()


# ── an image model that reads too ────────────────────────────────────────────────────────────


def test_janus_looks_at_what_it_has_drawn(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also behind what remembers its pictures; a chat model that quotes sees none."""
    painter = Janus.load(str(janus(tmp_path / "janus")))
    remembering = Remembering(painter, PictureCache(tmp_path / "cache"))
    asked: list[str] = []

    def shows(self: JanusReader, picture: Image.Image, words: str) -> bool | None:
        asked.append(words)
        assert self._weights is painter.weights  # loaded once for both
        return True

    with Agent(library, chat_model=Scripted(replies=[DRAFT]), image_model=remembering) as agent:
        agent.ask(QUESTION)  # its own look, whatever random weights say
        monkeypatch.setattr(JanusReader, "shows", shows)
        assert origin_of(agent.ask(QUESTION)).confirmed
    assert asked == ["a red boat and two gulls"]
