from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.errors import UserError
from limner.tools.image_models.base import Capabilities, ImageRequest, Range, Sizes
from limner.tools.image_models.checking import completed, digest_of, fitted
from limner.tools.image_models.fake import HashPainter

ALL = Capabilities(
    sizes=Sizes((512, 512), 64, 1024),
    steps=Range(30, 1, 200),
    guidance=Range(7.5, 1, 30),
    schedulers=("euler", "ddim", "lcm"),
    negative_prompt=True,
    reference=True,
    mask=True,
    lora=True,
    scheduler_steps=(("lcm", 50),),
)
TURBO = replace(ALL, steps=Range(1, 1, 10), guidance=Range(0, 0, 0), negative_prompt=False)
ONE_SIZE = replace(ALL, sizes=Sizes((384, 384), 384, 384))
PLAIN = replace(ALL, negative_prompt=False, reference=False, mask=False, lora=False)

GREY = Image.new("RGB", (64, 80), "grey")
WHITE = Image.new("L", (64, 80), 255)


def fault(capabilities: Capabilities, **values: Any) -> tuple[str, str]:
    with pytest.raises(UserError) as told:
        completed(ImageRequest(**({"prompt": "a boat"} | values)), capabilities, "painter")
    return str(told.value), told.value.hint


def test_the_model_chooses_what_is_left_open() -> None:
    done = completed(ImageRequest("a boat", seed=3), ALL, "painter")
    assert (done.size, done.steps, done.guidance, done.scheduler) == ((512, 512), 30, 7.5, "euler")
    assert done.strength is None and done.seed == 3


def test_what_was_chosen_is_kept() -> None:
    asked = ImageRequest("a boat", "rain", (256, 64), 3, 4.0, "ddim", 9, GREY, WHITE, 0.5)
    assert completed(asked, ALL, "painter") == asked


@pytest.mark.parametrize(
    ("values", "says", "hint"),
    [
        ({"prompt": " "}, "prompt: it is empty", "limner draw"),
        ({"prompt": "a" * 10_001}, "10001 characters", "shorten"),
        ({"prompt": "\ud800"}, "not text", "again"),
        ({"size": (513, 512)}, "divisible by 8; the nearest is 512×512", "--size 512x512"),
        ({"size": (0, 512)}, "sides of 64 to 1024", "--size 64x512"),
        ({"size": (4096, 512)}, "sides of 64 to 1024", "--size 1024x512"),
        ({"steps": 0}, "painter takes 1 to 200", "--steps 30"),
        ({"steps": 10_000}, "painter takes 1 to 200", "--steps 30"),
        ({"steps": -1}, "painter takes 1 to 200", "--steps 30"),
        ({"steps": 2.5}, "whole number", "--steps 30"),
        ({"steps": 51, "scheduler": "lcm"}, "painter with lcm takes 1 to 50", "--steps 30"),
        ({"guidance": 31.0}, "painter takes 1 to 30", "--guidance 7.5"),
        ({"guidance": math.nan}, "guidance nan", "--guidance 7.5"),
        ({"scheduler": "magic"}, "painter knows euler, ddim, lcm", "--scheduler euler"),
        ({"seed": -1}, "seed -1", "--seed"),
        ({"seed": 2**64}, "seed", "--seed"),
        ({"mask": WHITE}, "no picture that it belongs to", "--reference FILE"),
        ({"strength": 0.5}, "no reference", "--reference FILE"),
        ({"reference": GREY, "strength": 0.0}, "above 0", "--strength"),
        ({"reference": GREY, "strength": math.nan}, "above 0", "--strength"),
        ({"reference": GREY, "strength": 0.1, "steps": 4}, "leaves none", "--strength 0.25"),
        (
            {"reference": GREY, "mask": Image.new("L", (64, 64), 255)},
            "it is 64×64, the reference is 64×80",
            "64×80",
        ),
        ({"reference": GREY, "mask": Image.new("L", (64, 80))}, "nothing on it is white", "white"),
        ({"negative_prompt": "rain", "guidance": 1.0}, "no effect", "--guidance"),
        ({"lora": (("style", math.inf),)}, "not a number", "--lora"),
    ],
)
def test_a_fault_names_the_option_what_is_known_and_what_to_type(
    values: dict[str, Any], says: str, hint: str
) -> None:
    message, typed = fault(ALL, **values)
    assert says in message and hint in typed


@pytest.mark.parametrize(
    ("capabilities", "values", "says"),
    [
        (TURBO, {"guidance": 5.0}, "guidance 5: painter knows no choice of it"),
        (TURBO, {"negative_prompt": "rain"}, "negative prompt: painter knows none"),
        (ONE_SIZE, {"size": (512, 512)}, "painter draws 384×384 only"),
        (PLAIN, {"reference": GREY}, "reference: painter"),
        (replace(ALL, mask=False), {"reference": GREY, "mask": WHITE}, "mask: painter"),
        (PLAIN, {"lora": (("style", 1.0),)}, "lora: painter takes none"),
    ],
)
def test_what_a_model_lacks_is_refused_by_name(
    capabilities: Capabilities, values: dict[str, Any], says: str
) -> None:
    assert says in fault(capabilities, **values)[0]


def test_a_reference_gives_the_size_and_leaves_a_step() -> None:
    done = completed(ImageRequest("a boat", reference=GREY), TURBO, "painter")
    assert done.size == (64, 80)
    assert done.steps == 2 and done.strength == 0.6


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_a_fitted_size_is_one_that_the_model_draws(width: int, height: int) -> None:
    size = fitted((width, height), ALL.sizes)
    assert completed(ImageRequest("a boat", size=size), ALL, "painter").size == size


@given(st.integers(-100, 3000), st.integers(-100, 3000))
def test_the_size_that_a_fault_offers_is_taken(width: int, height: int) -> None:
    try:
        completed(ImageRequest("a boat", size=(width, height)), ALL, "painter")
    except UserError as error:
        offered = tuple(int(side) for side in error.hint.removeprefix("--size ").split("x"))
        assert completed(ImageRequest("a boat", size=offered), ALL, "painter").size == offered


@given(st.floats(0.001, 1), st.integers(1, 200))
def test_one_step_at_least_is_left_of_a_reference(strength: float, steps: int) -> None:
    for asked in (steps, None):
        request = ImageRequest("a boat", reference=GREY, strength=strength, steps=asked)
        try:
            done = completed(request, ALL, "painter")
        except UserError as error:
            assert "leaves none" in str(error)
        else:
            assert done.steps and int(done.steps * strength) >= 1


def test_a_digest_is_of_the_pixels_and_the_size() -> None:
    assert digest_of(GREY, "RGB") == digest_of(GREY.copy(), "RGB")
    assert digest_of(GREY, "RGB") != digest_of(GREY.resize((80, 64)), "RGB")
    assert digest_of(None, "L") == ""


def test_the_stand_in_keeps_the_contract() -> None:
    steps: list[tuple[int, int]] = []
    painter = HashPainter()

    def note(k: int, n: int, preview: Any) -> None:
        assert preview().size == (8, 8)
        steps.append((k, n))

    drawn = painter.generate(ImageRequest("a boat", steps=3, size=(16, 8)), note)
    assert steps == [(1, 3), (2, 3), (3, 3)] and drawn.image.size == (16, 8)
    with pytest.raises(UserError, match="scheduler"):
        painter.generate(ImageRequest("a boat", scheduler="euler"), note)
    with pytest.raises(UserError, match="steps 0"):
        painter.estimate(ImageRequest("a boat", steps=0))
