"""What of a message is asked and what is to be drawn: forms, halves, and what only looks alike."""

from __future__ import annotations

import pytest

from limner.tools.drawing_requests import (
    Drawing,
    asks,
    drawings_of,
    named,
    parts_of,
    question_of,
)
from limner.tools.subjects import subject_of

MADE = [
    ("Draw me a lighthouse at dusk.", "a lighthouse at dusk"),
    ("Please paint a red boat!", "a red boat"),
    ("paint me a fox", "a fox"),
    ("Can you draw a cat?", "a cat"),
    ("Draw a white cat?", "a white cat"),
    ("can you illustrate a volcano", "a volcano"),
    ("Could you illustrate a volcano for me, please?", "a volcano"),
    ("illustrate how a kiln works", "how a kiln works"),
    ("Can you draw how a kiln works?", "how a kiln works"),
    ("sketch a lighthouse", "a lighthouse"),
    ("I want you to draw a cat", "a cat"),
    ("let's draw a cat", "a cat"),
    ("how about drawing a cat?", "a cat"),
    ("Draw: a red boat", "a red boat"),
    ("draw 🦊", "🦊"),
    ("Draw one fox", "one fox"),
    ("Draw a map of an island", "a map of an island"),
    ("Draw the sun", "the sun"),
    ("Draw a man and a woman, and a dog", "a man and a woman, and a dog"),
    ("Draw a boy who likes to paint and draw cats", "a boy who likes to paint and draw cats"),
    ("Draw a house. It has a red roof. Thanks!", "a house. It has a red roof"),
    ("Generate a picture of a fox", "a fox"),
    ("Create an image of a red fox.", "a red fox"),
    ("make an icon of a cup", "a cup"),
    ("Could you make me a picture showing two kilns?", "two kilns"),
    ("Make me a nice little drawing of a house", "a house"),
    ("make a pixel-art picture of a fox", "a pixel-art picture of a fox"),
    ("Draw me a picture of a horse", "a horse"),
    ("Generate a logo", "a logo"),
    ("generate a logo for a bakery", "a logo for a bakery"),
    ("Design a poster for the school fair", "a poster for the school fair"),
]
SEEN = [
    ("I'd like a drawing of a cat", "a cat"),
    ("I’d like a drawing of two cats please", "two cats"),
    ("show me a drawing of a cat", "a cat"),
    ("Give me an image of a castle", "a castle"),
    ("Can I have a picture of a whale?", "a whale"),
    ("I need a logo for my bakery", "a logo for my bakery"),
    ("a picture of a fox, please", "a fox"),
    ("picture of a fox", "a fox"),
    ("Picture of foxes please", "foxes"),
    ("Sketch of a house", "a house"),
]


@pytest.mark.parametrize(("message", "prompt"), MADE)
def test_asks_to_have_something_drawn(message: str, prompt: str) -> None:
    assert parts_of(message) == (Drawing(prompt),)


@pytest.mark.parametrize(("message", "prompt"), SEEN)
def test_asks_to_see_something_be_it_drawn_or_at_hand(message: str, prompt: str) -> None:
    assert parts_of(message) == (Drawing(prompt, shown=True),)


@pytest.mark.parametrize(
    "message",
    [
        "how do I generate a report",
        "generate a report with a picture of the pump",
        "generate a password",
        "make an account",
        "what does figure 2 draw",
        "does the manual show how to draw a wire",
        "how can I draw a wire in the editor?",
        "How do I open the editor and draw a line?",
        "How do I open the editor, pick a pen, and draw a line?",
        "Where can users select a pen and draw a line?",
        "Tell me how to open the editor and draw a line",
        "I want to draw a line in the editor",
        "how to create a picture in the editor",
        "create a picture in the editor",
        "Who can draw a salary and paint the wall?",
        "draw a conclusion",
        "Draw a quick comparison between the pumps",
        "draw up a plan",
        "draw attention to the filter",
        "draw power from the battery",
        "How much power does the pump draw?",
        "Draw-off valve temperature",
        "create an image of the disk",
        "make an image of my hard drive",
        "Create a backup image of the server",
        "What is a pump, and create an image of the disk",
        "Draw",
        "Draw me",
        "Draw it.",
        "Draw a picture",
        "What should I draw?",
        "Draw figure 1.",
        "Draw the network map of the second floor",
        "Please illustrate the wiring diagram",
        "Draw the floor plans of both houses",
        "Create an image of the network map",
        "Make the image of the kiln larger",
        "Make a picture frame of oak?",
        "Make a drawing board",
        "Paint is stored where, and who may take it?",
        "Paint storage rules",
        "sketch out the plan",
        "illustrate this with quotes",
        "Show me a picture of the kiln",
        "I'd like a drawing of the pump",
        "How big is the pump? Show me a picture of it.",
        "drawing of pump assembly",
        "Which drawing shows the pump?",
        "Do you have a picture of a fox?",
        "A drawing of a pump is where?",
        "Show me how to tie a reef knot, one drawing per step.",
    ],
)
def test_only_looks_like_a_request_to_draw(message: str) -> None:
    assert parts_of(message) == (message,)
    assert question_of(message) == message and not drawings_of(message)


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        (
            "How often should the filter be changed, and draw a cup",
            ["How often should the filter be changed", Drawing("a cup")],
        ),
        (
            "How often should the filter be changed and draw a cup",
            ["How often should the filter be changed", Drawing("a cup")],
        ),
        (
            "Can you tell me how often the filter is changed and draw a cup?",
            ["Can you tell me how often the filter is changed", Drawing("a cup")],
        ),
        (
            "Tell me how to change the filter and draw a cup",
            ["Tell me how to change the filter", Drawing("a cup")],
        ),
        (
            "How do I change the filter and please draw me a cup",
            ["How do I change the filter", Drawing("a cup")],
        ),
        (
            "How often is the filter changed, and I'd like a picture of a cup",
            ["How often is the filter changed", Drawing("a cup", shown=True)],
        ),
        (
            "Draw a puppy and tell me how often the filter is changed",
            [Drawing("a puppy"), "tell me how often the filter is changed"],
        ),
        (
            "Draw a puppy and how often is the filter changed?",
            [Drawing("a puppy"), "how often is the filter changed?"],
        ),
        (
            "Draw a puppy, then explain the filter.",
            [Drawing("a puppy"), "explain the filter."],
        ),
        (
            "Draw a kiln and explain how it works",
            [Drawing("a kiln"), "explain how a kiln works"],
        ),
        ("Draw a cup and draw a fox", [Drawing("a cup"), Drawing("a fox")]),
        (
            "Draw a cup. How often is the filter changed? Then paint a boat.",
            [Drawing("a cup"), "How often is the filter changed?", Drawing("a boat")],
        ),
        ("Hello! Draw me a fox.", ["Hello!", Drawing("a fox")]),
    ],
)
def test_each_half_stands_in_its_place(message: str, parts: list[str | Drawing]) -> None:
    assert list(parts_of(message)) == parts


@pytest.mark.parametrize(
    ("message", "prompt"),
    [
        ("What is a fox? Draw one.", "a fox"),
        ("What is a fox, and draw one", "a fox"),
        ("What is a fox? Draw a picture.", "a fox"),
        ("What is a fox? Show me a picture of one.", "a fox"),
        ("Tell me about lighthouses and draw one with a red roof", "lighthouses with a red roof"),
        ("How big is a red panda? Please paint it.", "a red panda"),
        ("How does a kiln work? Draw it.", "a kiln"),
        ("I love foxes. Draw me one.", "foxes"),
        ("Draw a fox. Now draw it in the snow.", "a fox in the snow"),
    ],
)
def test_a_pronoun_is_what_was_spoken_of_before(message: str, prompt: str) -> None:
    assert drawings_of(message)[-1].prompt == prompt


def test_a_pronoun_may_stand_for_what_an_earlier_message_asked_about() -> None:
    assert drawings_of("Draw one.", before="What is a fox?") == (Drawing("a fox"),)
    assert drawings_of("Draw a cup.", before="What is a fox?") == (Drawing("a cup"),)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("What is a fox?", "a fox"),
        ("who's the caretaker", "the caretaker"),
        ("Tell me about foxes", "foxes"),
        ("How often should the filter be changed?", "the filter"),
        ("How does a kiln work?", "a kiln"),
        ("What should I do about the old pump?", "the old pump"),
        ("Why?", ""),
        ("", ""),
    ],
)
def test_subjects(text: str, subject: str) -> None:
    assert subject_of(text) == subject


def test_an_article_alone_is_no_subject() -> None:
    assert subject_of("What is the, well?") == ""
    assert drawings_of("What is the, well? Draw one.") == ()


def test_what_asks_and_what_only_tells() -> None:
    assert all(map(asks, ["Explain the valve", "why not", "The filter?", "Is it on"]))
    assert not any(map(asks, ["I love foxes.", "Hello!", "White foxes are rare.", ""]))


@pytest.mark.parametrize(
    "words", ["would you please ", "can you please try to ", "I would like you to "]
)
def test_a_row_of_polite_words_is_read_in_one_way(words: str) -> None:
    """In several ways each it would be read for years."""
    assert parts_of(f"{words * 60}draw a fox") == (Drawing("a fox"),)
    message = f"{words * 60}look at the fox"
    assert parts_of(message) == (message,)


def test_a_very_long_sentence_is_not_cut() -> None:
    message = f"How often is {'the filter of ' * 60}the kiln changed, and draw a cup"
    assert parts_of(message) == (message,)


def test_what_only_names_a_thing() -> None:
    assert named(" An old boat, at sea! ") == "an old boat, at sea"
    others = ["", "a", "boat", "the boat", "a boat?", "A boat is what I see", f"a {'b' * 99}"]
    assert not any(map(named, others))
