"""Generated pictures drawn differently: by command, from Python, and in plain words."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from PIL import Image, ImageDraw, ImageFont

from limner.agent.agent import Agent
from limner.agent.answer import Answer, Generated, Picture
from limner.agent.checkpoints import serializer
from limner.agent.edit_words import grammar
from limner.agent.edits import Changes, Edit, command_of, parse_command
from limner.agent.events import AnswerReady, PictureReady, PictureStarted, PictureStep, StepStarted
from limner.agent.housekeeping import collect
from limner.errors import LimnerError, ModelMissing, UserError
from limner.index.library import Library
from limner.tests.tiny_image_models import image_model
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models.base import GeneratedImage, ImageRequest, Range
from limner.tools.image_models.checking import completed
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.fake import HashPainter

PROMPT = "a lighthouse with a dock"
DRAFT = f"So. [1]\n[[draw: {PROMPT}]]"
SEEN = Generated("hash-painter", "1", PROMPT, "", 3, 2, 0.0, "none", (64, 64))
PICTURES = [Picture(letter * 64 + ".png", "c", "a", SEEN) for letter in "ab"]


class Editor(HashPainter):
    """Knows every parameter, paints the request's hash, and keeps the requests."""

    capabilities = replace(
        HashPainter.capabilities,
        steps=Range(10, 1, 50),
        guidance=Range(5, 0, 20),
        schedulers=("euler", "ddim"),
        negative_prompt=True,
        reference=True,
        mask=True,
    )

    def __init__(self) -> None:
        self.asked: list[ImageRequest] = []

    def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
        whole = completed(request, self.capabilities, self.name)
        self.asked.append(whole)
        drawn = HashPainter().generate(
            ImageRequest(f"{whole}", size=whole.size, seed=whole.seed), on_step
        )
        taken = ("prompt", "negative_prompt", "steps", "guidance", "scheduler", "strength")
        return replace(drawn, **{name: getattr(whole, name) for name in taken})


def agent_of(library: Library, painter: Any, *replies: Any, session: str = "s") -> Agent:
    chat_model = Scripted(replies=[DRAFT, *replies])
    return Agent(library, chat_model=chat_model, image_model=painter, session=session)


def origin_of(answer: Answer) -> Generated:
    (picture,) = answer.pictures
    assert isinstance(picture.origin, Generated)
    return picture.origin


def changes_of(before: Generated, after: Generated) -> dict[str, Any]:
    return {
        name: getattr(after, name)
        for name in Generated.__slots__
        if getattr(after, name) != getattr(before, name)
    }


# ── from Python ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 7},
        {"steps": 20},
        {"guidance": 2.5},
        {"scheduler": "ddim"},
        {"size": (128, 32)},
        {"prompt": "a red boat"},
    ],
)
def test_only_what_is_named_changes(library: Library, changes: dict[str, Any]) -> None:
    painter = Editor()
    with agent_of(library, painter) as agent:
        before = origin_of(agent.ask("Draw it"))
        answer = agent.redraw(Changes(**changes))
    assert changes_of(before, origin_of(answer)) == changes
    for name in changes:
        assert f"{name} " in answer.text.partition("As before")[0]
    kept = {"seed", "steps", "guidance", "scheduler", "size", "prompt"} - changes.keys()
    assert all(f"{name} " in answer.text.partition("As before")[2] for name in kept)


def test_a_negative_prompt_is_named_and_kept_from_then_on(library: Library) -> None:
    with agent_of(library, Editor()) as agent:
        agent.ask("Draw it")
        first = origin_of(agent.redraw(Changes(negative="fog")))
        second = origin_of(agent.redraw(Changes(seed=9)))
    assert (first.negative_prompt, second.negative_prompt) == ("fog", "fog")
    assert changes_of(first, second) == {"seed": 9}


def test_with_nothing_named_another_seed_is_taken(library: Library) -> None:
    with agent_of(library, Editor()) as agent:
        before = origin_of(agent.ask("Draw it"))
        assert changes_of(before, origin_of(agent.redraw())) == {"seed": before.seed + 1}


def test_a_strength_draws_from_the_picture_itself(library: Library) -> None:
    painter = Editor()
    with agent_of(library, painter) as agent:
        first = agent.ask("Draw it")
        origin = origin_of(agent.redraw(Changes(strength=0.5)))
        again = origin_of(agent.redraw(Changes(seed=4)))
        pixels = agent._work.media.open(first.pictures[0].media)
    assert (origin.strength, origin.reference) == (0.5, first.pictures[0].media)
    assert painter.asked[1].reference == pixels
    assert changes_of(origin, again) == {"seed": 4}  # still drawn from the first
    assert painter.asked[2].reference == pixels


def test_a_mask_is_white_within_its_pixels(library: Library) -> None:
    painter = Editor()
    with agent_of(library, painter) as agent:
        first = agent.ask("Draw it")
        answer = agent.redraw(Changes(mask=(40, 8, 16, 200), prompt="a boat"))
        kept = agent._work.media.open(origin_of(answer).mask).convert("L")
        again = origin_of(agent.redraw(Changes(seed=8)))
    mask = painter.asked[1].mask
    assert mask is not None and mask.size == (64, 64) and mask == kept
    expected = Image.new("L", (64, 64))
    ImageDraw.Draw(expected).rectangle((16, 8, 39, 63), fill=255)
    assert mask.tobytes() == expected.tobytes()
    assert origin_of(answer).reference == first.pictures[0].media
    assert answer.text.startswith("A part of the picture was drawn anew")
    assert changes_of(origin_of(answer), again) == {"seed": 8}
    assert painter.asked[2].mask == mask


@pytest.mark.parametrize(
    ("changes", "says", "hint"),
    [
        ({"steps": 900}, "takes 1 to 50", "steps=10"),
        ({"scheduler": "magic"}, "knows euler, ddim", "scheduler=euler"),
        ({"size": (65, 64)}, "divisible by 8", "size=64x64"),
        ({"strength": 1.5}, "above 0 and at most 1", "strength=0.6"),
        ({"mask": (70, 70, 90, 90)}, "64×64 pixels", "mask=0,0,32,32"),
        ({"prompt": " "}, "empty", ""),
    ],
)
def test_what_the_model_cannot_draw_is_said_before_the_turn(
    library: Library, changes: dict[str, Any], says: str, hint: str
) -> None:
    painter = Editor()
    with agent_of(library, painter) as agent:
        agent.ask("Draw it")
        with pytest.raises(UserError, match=says) as error:
            agent.redraw(Changes(**changes))
        assert hint in error.value.hint
        assert "--" not in error.value.hint
        assert len(painter.asked) == 1
        assert agent.session is not None and agent.session.count == 1


def test_a_model_without_references_says_so(library: Library) -> None:
    with agent_of(library, HashPainter()) as agent:
        agent.ask("Draw it")
        for changes in (Changes(strength=0.5), Changes(mask=(0, 0, 9, 9))):
            with pytest.raises(UserError, match="hash-painter cannot"):
                agent.redraw(changes)


def test_without_a_picture_or_a_model_there_is_nothing_to_redraw(library: Library) -> None:
    with agent_of(library, HashPainter(), "No.") as agent:
        with pytest.raises(UserError, match="no picture to redraw"):
            agent.redraw()
        answer = agent.ask("Draw it")
        with pytest.raises(UserError, match="no picture 2"):
            agent.redraw(picture=2)
    with Agent(library, chat_model=Scripted(replies=["x"])) as agent:
        with pytest.raises(UserError, match="no picture to redraw"):
            agent.redraw()
        with pytest.raises(ModelMissing, match="no image model"):
            agent.redraw(picture=answer.pictures[0])


def test_a_picture_from_the_files_is_no_generated_one(library: Library) -> None:
    found = library.search("tide table", k=6)
    n = next(n for n, p in enumerate(found, 1) if "tide table" in p.text and p.image)
    draft = f"So. [{n}]\n[[show {n}: the tide table]]\n[[draw: {PROMPT}]]"
    chat_model = Scripted(replies=[draft])
    with Agent(library, chat_model=chat_model, image_model=HashPainter(), session="both") as agent:
        agent.ask("tide table")
        with pytest.raises(UserError, match="no picture 2 to redraw: one was drawn") as error:
            agent.redraw(picture=2)
        assert error.value.hint == "/redraw 1"
        assert origin_of(agent.redraw(picture=1)).prompt == PROMPT
        assert origin_of(agent.redraw(picture=2)).seed == 2


def test_it_goes_on_in_a_session_that_was_left_and_outlives_a_clean_up(library: Library) -> None:
    with agent_of(library, Editor()) as agent:
        agent.ask("Draw it")
        before = origin_of(agent.redraw(Changes(mask=(0, 0, 32, 32))))
    with Agent(library, chat_model=Scripted(replies=["No."]), session="other") as agent:
        agent.ask("When is high water?")
    collect(library)
    painter = Editor()
    with agent_of(library, painter) as agent:
        answer = agent.redraw(Changes(seed=7))
        assert agent.session is not None
        assert [t.question for t in agent.session.turns][1:] == [
            "/redraw mask=0,0,32,32", "/redraw seed=7",
        ]  # fmt: skip
        assert agent.session.turns[-1].answer == answer
    assert changes_of(before, origin_of(answer)) == {"seed": 7}
    assert painter.asked[0].reference is not None and painter.asked[0].mask is not None


def test_another_model_takes_the_words_and_its_own_numbers(library: Library) -> None:
    with agent_of(library, Editor()) as agent:
        agent.ask("Draw it")
        agent.redraw(Changes(steps=33, negative="fog"))

    class Other(HashPainter):
        name = "other-painter"

    with agent_of(library, Other()) as agent:
        answer = agent.redraw(Changes(seed=5))
    origin = origin_of(answer)
    assert (origin.prompt, origin.seed, origin.steps, origin.scheduler) == (PROMPT, 5, 2, "none")
    assert "model other-painter instead of hash-painter" in answer.text


def test_the_policy_is_asked_about_the_new_prompt(library: Library) -> None:
    painter = Editor()
    with agent_of(library, painter) as agent:
        agent.ask("Draw it")
        answer = agent.redraw(Changes(prompt="a naked teenager"))
    assert answer.refused
    assert len(painter.asked) == 1


def test_the_steps_are_told_as_of_any_turn(library: Library) -> None:
    with agent_of(library, HashPainter()) as agent:
        agent.ask("Draw it")
        events = list(agent.stream_redraw(Changes(seed=3)))
    assert [e.step for e in events if isinstance(e, StepStarted)] == [
        "guard", "redraw", "check", "compose",
    ]  # fmt: skip
    assert [(e.k, e.n) for e in events if isinstance(e, PictureStep)] == [(1, 2), (2, 2)]
    assert len([e for e in events if isinstance(e, PictureReady)]) == 1


def test_one_that_was_cut_short_goes_on(library: Library) -> None:
    class Waiting(Editor):
        waits = threading.Event()

        def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
            if self.asked:
                assert self.waits.wait(10)
            return super().generate(request, on_step)

    with agent_of(library, Waiting()) as agent:
        agent.ask("Draw it")
        events = agent.stream_redraw(Changes(seed=6, mask=(0, 0, 32, 32)))
        while not isinstance(next(events), PictureStarted):
            pass
        threading.Timer(0.2, Waiting.waits.set).start()
        events.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
        assert agent.pending == "/redraw seed=6 mask=0,0,32,32"
        *_, done = agent.resume()
        assert isinstance(done, AnswerReady)
        assert (origin_of(done.answer).seed, bool(origin_of(done.answer).mask)) == (6, True)


def test_what_a_model_raises_is_told_in_the_answer(library: Library) -> None:
    class Failing(Editor):
        def generate(self, request: ImageRequest, on_step: Any) -> GeneratedImage:
            if self.asked:
                raise MemoryError("no room for it")
            return super().generate(request, on_step)

    with agent_of(library, Failing()) as agent:
        agent.ask("Draw it")
        answer = agent.redraw()
    assert answer.pictures == ()
    assert "no room for it" in answer.text


@pytest.mark.parametrize(
    ("wrong", "says", "hint"),
    [
        ({"seed": "x"}, "seed 'x': a whole number", "seed=7"),
        ({"seed": True}, "seed True: a whole number", "seed=7"),
        ({"steps": 2.5}, "steps 2.5: a whole number", "steps="),
        ({"guidance": "big"}, "guidance 'big': a number", "guidance="),
        ({"strength": (1,)}, "strength .*: a number", "strength="),
        ({"mask": "/tmp/m.png"}, "mask '/tmp/m.png': the left, upper", "mask=(10, 20, 200, 150)"),
        ({"mask": (1, 2, 3)}, "mask .*: the left, upper", "mask=("),
        ({"mask": (1, 2, 3, "4")}, "mask '4': a number", "mask="),
        ({"size": 512}, "size 512: width and height", "size=(512, 512)"),
        ({"size": "512x512"}, "size '512x512': width and height", "size=(512, 512)"),
        ({"size": (512, 1.5)}, "size 1.5: a whole number", "size="),
        ({"prompt": 3}, "prompt 3: words", "prompt="),
    ],
)
def test_a_value_of_another_form_is_named(wrong: dict[str, Any], says: str, hint: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        Changes(**wrong)
    assert hint in error.value.hint


# ── as it is typed ───────────────────────────────────────────────────────────────────────────

values = st.builds(
    Changes,
    prompt=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    negative=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    size=st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999)),
    steps=st.none() | st.integers(0, 999),
    guidance=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    scheduler=st.none() | st.sampled_from(["euler", "dpm"]),
    seed=st.none() | st.integers(0, 2**63 - 1),
    strength=st.none() | st.floats(0, 1),
    mask=st.none() | st.tuples(*[st.integers(0, 100)] * 2, *[st.integers(100, 4096)] * 2),
)


@given(values)
def test_changes_are_read_as_they_are_written(changes: Changes) -> None:
    command = command_of(changes)
    assert parse_command(command.removeprefix("/redraw")) == (None, changes)


@given(values, st.booleans(), st.text())
def test_an_edit_outlives_a_checkpoint(changes: Changes, onto: bool, region: str) -> None:
    edit = Edit(PICTURES[0], changes, onto, region)
    box = serializer()
    again = box.loads_typed(box.dumps_typed(edit))
    assert again == edit
    assert hash(again) == hash(edit)


def test_a_number_stands_before_the_parameters() -> None:
    number, changes = parse_command('2 seed=7 size=512x256 negative="thick fog" mask=9,8,1,2')
    assert number == 2
    assert changes == Changes(seed=7, size=(512, 256), negative="thick fog", mask=(1, 2, 9, 8))
    assert parse_command("") == (None, Changes())


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("sed=7", "there is no parameter 'sed'; there are prompt, negative, seed"),
        ("seed", "name=value"),
        ("seed=-1", "a whole number"),
        ("seed=1e3", "a whole number"),
        ("guidance=nan", "a number"),
        ("size=big", "width and height"),
        ("mask=1,2,3", "left, upper, right and lower"),
        ("seed=1 seed=2", "twice"),
        ('prompt="a', "quotation mark"),
    ],
)
def test_what_cannot_be_read_is_named(typed: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as error:
        parse_command(typed)
    assert error.value.hint


@given(st.text())
def test_nothing_typed_breaks_the_reader(typed: str) -> None:
    try:
        parse_command(typed)
    except UserError as error:
        assert str(error)


# ── in plain words, to a model that quotes ───────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "edit"),
    [
        ("make it night", Edit(PICTURES[1], Changes(prompt=f"{PROMPT}, night"), onto=True)),
        ("As a watercolour!",
         Edit(PICTURES[1], Changes(prompt=f"{PROMPT}, As a watercolour"), onto=True)),
        ("turn picture 1 into an etching",
         Edit(PICTURES[0], Changes(prompt=f"{PROMPT}, an etching"), onto=True)),
        ("draw it in winter", Edit(PICTURES[1], Changes(prompt=f"{PROMPT}, in winter"), onto=True)),
        ("a variation of picture 1", Edit(PICTURES[0], Changes(seed=4))),
        ("Another one, please.", Edit(PICTURES[1], Changes(seed=4))),
        ("redraw", Edit(PICTURES[1], Changes(seed=4))),
        ("Please draw it again", Edit(PICTURES[1], Changes(seed=4))),
        ("draw it again with seed 7", Edit(PICTURES[1], Changes(seed=7))),
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
    with agent_of(library, HashPainter(), *["Noon. [1]"] * 20) as agent:
        agent.ask("Draw it")
        for _ in range(7):
            agent.ask("When is high water?")
        assert agent.ask("a variation of it").pictures
        for _ in range(8):
            agent.ask("When is high water?")
        assert agent.ask("a variation of it").pictures == ()  # too far back for a sentence
        answer = agent.redraw()
        assert origin_of(answer).seed == 2
        assert answer.text.endswith("This is picture 3 of this conversation.")


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
        assert "picture 1" not in first.text
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
        assert "conversation" not in agent.ask("Draw both").text  # they count from 1
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


# ── a real pipeline, tiny ────────────────────────────────────────────────────────────────────


def test_stable_diffusion_draws_from_and_within_a_picture(library: Library, tmp_path: Path) -> None:
    painter = Diffusion.load(str(image_model(tmp_path / "sd", "sd15")))
    with agent_of(library, painter) as agent:
        first = agent.ask("Draw it")
        assert first.pictures, first.text
        night = agent.ask("make it night")
        part = agent.redraw(Changes(mask=(0, 0, 32, 32), seed=3), first.pictures[0])
        before, after = (
            agent._work.media.open(a.pictures[0].media).convert("RGB") for a in (first, part)
        )
    origin = origin_of(night)
    assert (origin.strength, origin.reference) == (0.6, first.pictures[0].media)
    assert night.pictures[0].media != first.pictures[0].media
    side = before.width
    kept = (side // 2 + 8, side // 2 + 8, side, side)
    assert before.crop(kept).tobytes() == after.crop(kept).tobytes()
    assert before.crop((0, 0, 24, 24)).tobytes() != after.crop((0, 0, 24, 24)).tobytes()


def test_every_fault_of_redrawing_is_one_of_ours(library: Library) -> None:
    with agent_of(library, Editor()) as agent:
        agent.ask("Draw it")
        for path in Path(agent.folder).glob("*.png"):
            path.unlink()
        with pytest.raises(LimnerError, match="missing"):
            agent.redraw(Changes(strength=0.4))
