"""Generated pictures drawn differently as people say it, to a model that quotes or that reads."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from PIL import Image, ImageDraw, ImageFont

from limner.agent.agent import Agent
from limner.agent.answer import Answer
from limner.agent.edit_words import grammar
from limner.agent.edits import Changes, Edit, drawings_of
from limner.agent.events import AnswerReady, StepStarted
from limner.errors import UserError
from limner.index.library import Library
from limner.tests.agent.redrawings import (
    DRAFT,
    PICTURES,
    PROMPT,
    Editor,
    agent_of,
    changes_of,
    origin_of,
)
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models.base import GeneratedImage, ImageRequest
from limner.tools.image_models.fake import HashPainter


def wished(number: int, wish: str) -> Edit:
    """Of the whole of a picture."""
    return Edit(PICTURES[number], Changes(prompt=f"{PROMPT}, {wish}"), onto=True, wish=wish)


# ── in plain words, to a model that quotes ───────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "edit"),
    [
        ("make it night", wished(1, "night")),
        ("As a watercolour!",
         wished(1, "As a watercolour")),
        ("make it night in picture 1",
         wished(0, "night")),
        ("turn picture 1 into an etching",
         wished(0, "an etching")),
        ("draw it in winter", wished(1, "in winter")),
        ("a variation of picture 1", Edit(PICTURES[0])),
        ("Another one, please.", Edit(PICTURES[1])),
        ("redraw", Edit(PICTURES[1])),
        ("Please draw it again", Edit(PICTURES[1])),
        ("draw it again with seed 7", Edit(PICTURES[1], Changes(seed=7))),
        ("again, with another seed and 20 steps",
         Edit(PICTURES[1], Changes(steps=20), another=True)),
        ("redraw picture 1 with 20 steps and a guidance of 3.5",
         Edit(PICTURES[0], Changes(steps=20, guidance=3.5))),
        ("remove the dock",
         Edit(PICTURES[1], Changes(prompt="a lighthouse"), onto=True, region="dock")),
        ("erase the watermark from picture 1",
         Edit(PICTURES[0], Changes(), onto=True, region="watermark")),
    ],
)  # fmt: skip
def test_the_grammar_reads_wishes(said: str, edit: Edit) -> None:
    assert grammar(said, PICTURES) == edit


@pytest.mark.parametrize(
    "said",
    [
        "When is high water?", "Could you make it night?", "draw a red boat", "Draw it",
        "make a list of the ports", "remove it", "delete picture 2",
        "in what year was it built", "with a dock", "turn it off", "the dock",
        "another question", "draw it with love",
    ],
)  # fmt: skip
def test_what_is_no_wish_for_an_edit_is_none(said: str) -> None:
    assert grammar(said, PICTURES) is None


def test_a_sentence_draws_from_the_picture_where_the_model_can(library: Library) -> None:
    painter = Editor()
    with agent_of(library, painter) as agent:
        first = agent.ask("Draw it")
        answer = agent.ask("Make it night.")
    origin = origin_of(answer)
    assert origin.reference == first.pictures[0].media
    assert (origin.strength, origin.seed) == (0.6, 0)
    assert origin.prompt == f"{PROMPT}, night"
    assert answer.text.startswith("Drawn from that picture: prompt")
    assert "seed 0" in answer.text.partition("As before")[2]


def test_else_it_is_a_new_drawing_with_the_same_seed(library: Library) -> None:
    with agent_of(library, HashPainter()) as agent:
        before = origin_of(agent.ask("Draw it"))
        answer = agent.ask("make it night")
    assert changes_of(before, origin_of(answer)) == {"prompt": f"{PROMPT}, night"}
    assert "hash-painter cannot start from a picture" in answer.text


def test_a_sentence_is_an_ordinary_question_where_nothing_was_drawn(library: Library) -> None:
    chat_model = Scripted(replies=["Noon. [1]"])
    with Agent(library, chat_model=chat_model, image_model=HashPainter(), session="none") as agent:
        assert agent.ask("make it night").text == "Noon. [1]"


def test_answers_in_between_hide_no_drawing_that_the_session_holds(library: Library) -> None:
    with agent_of(library, HashPainter(), *["Noon. [1]"] * 30) as agent:
        agent.ask("Draw it")
        for _ in range(7):
            agent.ask("When is high water?")
        assert agent.ask("a variation of it").pictures
        for _ in range(8):
            agent.ask("When is high water?")
        assert agent.ask("a variation of it").pictures == ()  # too far back for a sentence
        assert agent.ask("What does picture 1 show?").pictures == ()
        assert origin_of(agent.ask("make picture 1 night")).prompt == f"{PROMPT}, night"
        for _ in range(9):
            agent.ask("When is high water?")
        missing = agent.ask("make picture 9 night")
        assert "no picture 9" in missing.text and "3 were drawn" in missing.text
        assert agent.session is not None
        drawings = drawings_of(turn.answer for turn in agent.session.turns)
        assert agent.session.drawings == drawings and len(drawings) == 3
        answer = agent.redraw(picture=2)
        assert origin_of(answer).seed == 2
        assert answer.text.endswith("This is picture 4 of this conversation.")
    with agent_of(library, HashPainter()) as again:
        assert again.session is not None and len(again.session.drawings) == 4


def test_edits_that_failed_hide_no_drawing(library: Library) -> None:
    with agent_of(library, Editor(), *["Noon. [1]"] * 5) as agent:
        agent.ask("Draw it")
        for said in ("remove the dock", "a variation of picture 9", "make it a naked teenager",
                     "remove the dock", "remove the dock"):  # fmt: skip
            assert agent.ask(said).pictures == ()
        assert origin_of(agent.ask("make it night")).prompt == f"{PROMPT}, night"


def test_drawings_are_numbered_through_the_conversation(library: Library) -> None:
    painter = Editor()
    with agent_of(library, painter, "So. [1]\n[[draw: a red boat]]") as agent:
        first = agent.ask("Draw it")
        assert "This is picture 1 of this conversation." in first.text
        night = agent.ask("make it night")
        assert night.text.endswith("This is picture 2 of this conversation.")
        third = agent.ask("a variation of picture 1")
        assert origin_of(third).prompt == PROMPT
        assert third.text.endswith("This is picture 3 of this conversation.")
        boat = agent.ask("Draw a boat")
        assert boat.text.endswith("This is picture 4 of this conversation.")
        assert origin_of(agent.ask("a variation of picture 2")).prompt == f"{PROMPT}, night"
        assert origin_of(agent.redraw(picture=4)).prompt == "a red boat"
        assert origin_of(agent.ask("a variation of the lighthouse")).prompt == f"{PROMPT}, night"
        assert origin_of(agent.ask("another one")).prompt == f"{PROMPT}, night"
        answer = agent.ask("a variation of the castle")
        assert "a variation of picture 8" in answer.text and not answer.pictures


def test_several_drawings_of_one_answer_are_numbered(library: Library) -> None:
    draft = "So. [1]\n[[draw: a red boat]]\n[[draw: a buoy]]"
    other = draft.replace("a ", "another ")
    chat_model = Scripted(replies=[draft, other])
    with Agent(library, chat_model=chat_model, image_model=HashPainter(), session="two") as agent:
        assert "pictures 1 to 2 of this conversation" in agent.ask("Draw both").text
        answer = agent.ask("Draw two others")
        assert answer.text.endswith("These are pictures 3 to 4 of this conversation.")
        assert origin_of(agent.redraw(picture=1)).prompt == "a red boat"


WISHES = [
    "remove the crane", "Erase the people, please.", "delete the sign in picture 1",
    "get rid of all the birds", "take away the paper tray", "make it night", "make it look old",
    "another one", "a variation of it", "a variation of the castle", "draw it again",
    "draw it again with seed x", "a variation of picture 9", "redraw picture 1 with 20 steps",
    "turn it into an etching", "as a watercolour", "draw it without the dock",
]  # fmt: skip
QUESTIONS = [
    "When is high water?", "how do I remove the dock", "How to erase the memory card",
    "what is a variation of the tide", "remove the cover, and then where is the filter",
    "make it clear to me when the ferry leaves", "as a visitor, what must I pay",
    "who may use the slipway", "why was it built again", "the paper tray", "tide table",
    "with a berth for visitors", "opening hours of the harbour office", "remove it",
    "which lights are red", "the ferry leaves in the morning", "make a list of the ports",
    "is the crane to be removed?",
]  # fmt: skip


@pytest.mark.parametrize("said", WISHES)
def test_a_wish_for_an_edit_is_never_looked_up(library: Library, said: str) -> None:
    with agent_of(library, Editor()) as agent:
        agent.ask("Draw it")
        events = list(agent.stream(said))
    steps = [e.step for e in events if isinstance(e, StepStarted)]
    assert "redraw" in steps and "retrieve" not in steps
    done = events[-1]
    assert isinstance(done, AnswerReady)
    assert done.answer.pictures or "Nothing was drawn: " in done.answer.text


@pytest.mark.parametrize("said", QUESTIONS)
def test_a_question_is_looked_up_after_a_drawing_too(library: Library, said: str) -> None:
    with agent_of(library, Editor(), "Noon. [1]") as agent:
        agent.ask("Draw it")
        steps = [e.step for e in agent.stream(said) if isinstance(e, StepStarted)]
    assert "retrieve" in steps and "redraw" not in steps


def test_what_no_prompt_names_is_told_with_what_is_needed(library: Library) -> None:
    with agent_of(library, Editor()) as agent:
        agent.ask("Draw it")
        answer = agent.ask("remove the crane")
    assert "where “crane” is" in answer.text and "/redraw mask=X0,Y0,X1,Y1" in answer.text


def test_a_picture_that_there_is_not_is_said(library: Library) -> None:
    with agent_of(library, HashPainter()) as agent:
        agent.ask("Draw it")
        assert "no picture 5" in agent.ask("a variation of picture 5").text
        assert "whole number" in agent.ask("draw it again with seed x").text


class Sign(Editor):
    """Paints a picture with words on it."""

    def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
        drawn = super().generate(request, on_step)
        image = Image.new("RGB", drawn.size, "white")
        ImageDraw.Draw(image).text((60, 90), "HARBOUR", "black", ImageFont.load_default(40))
        return replace(drawn, image=image)

    capabilities = replace(
        Editor.capabilities, sizes=replace(Editor.capabilities.sizes, own=(320, 256))
    )


def test_written_words_are_found_and_drawn_over(library: Library) -> None:
    painter = Sign()
    with agent_of(library, painter) as agent:
        agent.ask("Draw it")
        agent.ask("remove the harbour from the picture")
    mask = painter.asked[1].mask
    assert mask is not None
    left, upper, right, lower = mask.getbbox() or (0, 0, 0, 0)
    assert left < 60 and right > 200 and upper < 100 and lower > 120
    assert (right - left) * (lower - upper) < 0.5 * 320 * 256


def test_what_nobody_can_find_is_said_with_what_is_needed(library: Library) -> None:
    with agent_of(library, Editor()) as agent:
        agent.ask("Draw it")
        answer = agent.ask("remove the dock")
    assert answer.pictures == ()
    assert "where “dock” is" in answer.text
    assert "/redraw prompt='a lighthouse' mask=X0,Y0,X1,Y1" in answer.text


# ── in plain words, to a model that reads ────────────────────────────────────────────────────


class Family:
    model_type = "qwen2_vl"


class Reader(BaseChatModel):
    """Drafts, says what it is told to of edits and places, and looks at pictures kindly."""

    edit: str = '{"edit": false}'
    place: str = ""
    asked: list[str] = []  # noqa: RUF012

    @property
    def _llm_type(self) -> str:
        return "reader"

    @property
    def family(self) -> Family:
        return Family()

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        text = str(messages[-1].text)
        self.asked.append(text)
        known = {
            "Decide whether they ask": self.edit,
            "Where on this picture": self.place,
            "A picture is to show": "",
            "Does this picture show": "yes",
            "what is needed to answer": "yes",
            "Next question": "",
        }
        reply = next((said for words, said in known.items() if words in text), DRAFT)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(reply))])


def said_to_reader(library: Library, said: str, **replies: str) -> tuple[Answer, Editor, Reader]:
    """The answer to a sentence after a drawing, what was drawn, and who was asked."""
    reader, painter = Reader(asked=[], **replies), Editor()
    with Agent(library, chat_model=reader, image_model=painter, session="reader") as agent:
        agent.ask("Draw it")
        return agent.ask(said), painter, reader


def test_a_reading_model_says_what_is_meant(library: Library) -> None:
    reply = {"edit": True, "picture": 1, "prompt": "a lighthouse at night", "parameters": {}}
    answer, painter, reader = said_to_reader(
        library, "I would rather see it at night", edit=f"Sure:\n```json\n{json.dumps(reply)}\n```"
    )
    assert (painter.asked[1].prompt, painter.asked[1].strength) == ("a lighthouse at night", 0.6)
    assert painter.asked[1].reference is not None
    assert origin_of(answer).confirmed
    asked = next(text for text in reader.asked if "Decide whether they ask" in text)
    assert f"Picture 1 was drawn from these words: {PROMPT}" in asked
    assert "I would rather see it at night" in asked


def test_its_parameters_are_taken_and_checked(library: Library) -> None:
    reply = {"edit": True, "picture": 1, "prompt": PROMPT, "parameters": {"seed": 7, "steps": "12"}}
    answer, _, _ = said_to_reader(library, "seed 7, 12 steps", edit=json.dumps(reply))
    assert (origin_of(answer).seed, origin_of(answer).steps) == (7, 12)
    assert origin_of(answer).reference == ""


def test_where_it_sees_a_thing_is_drawn_over(library: Library) -> None:
    reply = {"edit": True, "picture": 1, "prompt": "a lighthouse", "region": "the dock"}
    answer, painter, _ = said_to_reader(
        library, "the dock should go", edit=json.dumps(reply),
        place="<|object_ref_start|>the dock<|object_ref_end|>"
        "<|box_start|>(250,500),(500,750)<|box_end|>",
    )  # fmt: skip
    mask = painter.asked[1].mask
    assert mask is not None
    assert mask.getbbox() == (11, 27, 37, 53)  # 16…32, 32…48 of 64, and a margin of 5
    assert origin_of(answer).prompt == "a lighthouse"


WRONG = [
    '{"edit": true, "picture": 9}',
    '{"edit": true, "picture": 1, "parameters": {"seed": "x"}}',
    '{"edit": true, "picture": 1, "parameters": {"shell": "rm"}}',
]


@pytest.mark.parametrize(
    ("said", "reply"),
    [("make it night", '{"edit": false}'), *(("the tide table", reply) for reply in WRONG)],
)
def test_what_it_takes_for_no_edit_is_an_ordinary_question(
    library: Library, said: str, reply: str
) -> None:
    answer, painter, _ = said_to_reader(library, said, edit=reply)
    assert len(painter.asked) >= 2  # the draft of every question draws
    assert painter.asked[1].prompt == PROMPT
    assert "So." in answer.text


@pytest.mark.parametrize("reply", WRONG)
def test_where_it_names_what_there_is_not_the_grammar_reads(library: Library, reply: str) -> None:
    _, painter, _ = said_to_reader(library, "make it night", edit=reply)
    assert painter.asked[1].prompt == f"{PROMPT}, night"
    answer, painter, _ = said_to_reader(library, "a variation of picture 9", edit=reply)
    assert "no picture 9" in answer.text and len(painter.asked) == 1


@pytest.mark.parametrize("reply", ["", "yes!", "[1]", '{"edit": "true"}', "{" * 5000])
def test_where_it_rambles_the_grammar_reads(library: Library, reply: str) -> None:
    _, painter, _ = said_to_reader(library, "make it night", edit=reply)
    assert painter.asked[1].prompt == f"{PROMPT}, night"


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["picture", "prompt", "parameters", "region", "seed", "size"]), inner),
))  # fmt: skip
def test_nothing_that_a_model_writes_raises(written: Any) -> None:
    from limner.agent.edit_words import _checked

    try:
        edit = _checked(written if isinstance(written, dict) else {"picture": written}, PICTURES)
    except UserError:
        return
    assert edit.picture in PICTURES
