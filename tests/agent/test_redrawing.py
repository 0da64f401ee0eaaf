"""Generated pictures drawn differently, from Python and by command; in words see the next file."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from limner.agent.agent import Agent
from limner.agent.checkpoints import serializer
from limner.agent.edits import Changes, Edit, command_of, parse_command
from limner.agent.events import AnswerReady, PictureReady, PictureStarted, PictureStep, StepStarted
from limner.agent.housekeeping import collect
from limner.errors import LimnerError, ModelMissing, UserError
from limner.index.library import Library
from limner.tests.agent.redrawings import (
    PICTURES,
    PROMPT,
    SEEN,
    Editor,
    agent_of,
    changes_of,
    origin_of,
)
from limner.tests.tiny_image_models import image_model
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models.base import GeneratedImage, ImageRequest
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.fake import HashPainter

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


def test_another_seed_is_none_that_the_conversation_drew_with(library: Library) -> None:
    with agent_of(library, Editor()) as agent:
        agent.ask("Draw it")
        assert origin_of(agent.ask("another one")).seed == 1
        assert origin_of(agent.ask("a variation of picture 1")).seed == 2
        assert origin_of(agent.redraw(picture=2)).seed == 3
        assert origin_of(agent.redraw(Changes(steps=3), 3)).seed == 2
        again = "draw picture 1 again with another seed and 3 steps"
        assert [origin_of(agent.ask(again)).seed for _ in range(2)] == [1, 3]


def test_seeds_that_another_picture_was_drawn_over_with_are_free(library: Library) -> None:
    with agent_of(library, Editor()) as agent:
        agent.ask("Draw it")
        agent.redraw()
        assert origin_of(agent.redraw(Changes(strength=0.5), 1)).seed == 0
        assert origin_of(agent.redraw(Changes(strength=0.5), 2)).seed == 1
        assert origin_of(agent.redraw(picture=3)).seed == 1


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


def test_where_an_adapter_lies_is_told_to_nobody() -> None:
    from limner.agent import page, redrawing

    lora = (("/home/somebody/neon.safetensors", 0.5), ("~/x/wax.safetensors", 1.0), ("own/er", 2.0))
    origin = replace(SEEN, lora=lora)
    told = "neon.safetensors × 0.5, wax.safetensors × 1, own/er × 2"
    assert redrawing._facts(origin)["adapters"] == told
    assert dict(page._recipe(origin))["Adapters"] == told
