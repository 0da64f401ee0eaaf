"""Whole turns that ask something and have something drawn: both halves, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from limner.agent.agent import Agent
from limner.agent.answer import Answer, Generated, Picture, Text
from limner.index.library import Library
from limner.tools.image_models.fake import HashPainter
from limner.tools.image_models.vocabulary import Vocabulary
from limner.tools.model_files import SHIPPED

FILTER = "The filter is changed every six months."


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder: Path = tmp_path_factory.mktemp("asked")
    (folder / "pump.md").write_text(f"# Pump\n\n{FILTER} A fox is a small wild animal.\n")
    with Library.open(folder / "library") as opened:
        opened.add([folder / "pump.md"])
        yield opened


def told(answer: Answer) -> list[str]:
    """Texts as they are, drawings as what was drawn."""
    found = []
    for part in answer.parts:
        if isinstance(part, Picture):
            assert isinstance(part.origin, Generated)
            found.append(f"drawn: {part.origin.prompt}")
        else:
            found.append(part.content)
    return found


def ask(library: Library, question: str) -> Answer:
    with Agent(library, image_model=HashPainter()) as agent:
        return agent.ask(question)


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (
            "How often should the filter be changed, and draw a cup",
            [f"{FILTER} [1]", "drawn: a cup"],
        ),
        (
            "Draw a puppy and tell me how often the filter is changed",
            ["drawn: a puppy", f"{FILTER} [1]"],
        ),
        ("What is a fox? Draw one.", ["A fox is a small wild animal. [1]", "drawn: a fox"]),
        (
            "Draw a cup. How often is the filter changed? Then paint a boat.",
            ["drawn: a cup", f"{FILTER} [1]", "drawn: a boat"],
        ),
        ("Hello! Draw me a fox.", ["drawn: a fox"]),
        ("I'd like a drawing of a cat", ["drawn: a cat"]),
    ],
)
def test_both_halves_are_answered_in_their_order(
    library: Library, question: str, parts: list[str]
) -> None:
    answer = ask(library, question)
    assert told(answer) == parts
    assert all(part.citations for part in answer.parts if isinstance(part, Text))


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("How tall is the Eiffel tower, and draw a cup", False),
        ("Draw a cup and tell me how tall the Eiffel tower is", True),
    ],
)
def test_what_is_not_in_the_library_is_said_beside_the_drawing(
    library: Library, question: str, first: bool
) -> None:
    answer = ask(library, question)
    parts = told(answer)
    assert parts.index("drawn: a cup") == (0 if first else 1) and len(parts) == 2
    assert any(part.startswith("This is not in your library.") for part in parts)
    assert not answer.abstained


@pytest.mark.parametrize(
    ("said", "offered"),
    [
        ("A cat at night.", "“draw a cat at night”"),
        ("two wild horses", "“draw two wild horses”"),
        ("A cat is what?", ""),
        ("Where is a cat", ""),
        ("the cat at night", ""),
        ("a naked teenager", ""),
    ],
)
def test_a_thing_that_is_not_in_the_library_may_be_drawn(
    library: Library, said: str, offered: str
) -> None:
    answer = ask(library, said)
    if not answer.refused:
        assert answer.abstained and answer.text.startswith("This is not in your library.")
    assert (
        answer.text.endswith(f"To have it drawn: {offered}.")
        if offered
        else ("To have it drawn" not in answer.text)
    )


def test_nothing_is_offered_that_draws_nothing(library: Library) -> None:
    assert "drawn" not in Agent(library, image_model="none").ask("A cat at night.").text


def test_a_follow_up_draws_what_the_question_before_was_about(library: Library) -> None:
    with Agent(library, image_model=HashPainter(), session="foxes") as agent:
        agent.ask("What is a fox?")
        assert told(agent.ask("Now draw one."))[0] == "drawn: a fox"


@pytest.mark.parametrize(
    "question",
    [
        "I'd like a sketch of a naked teenager",
        "How often is the filter changed? And a sketch of a naked teenager, please",
    ],
)
def test_the_policy_sees_every_drawing_as_one(library: Library, question: str) -> None:
    answer = ask(library, question)
    assert answer.refused and not answer.pictures


class Taught(HashPainter):
    """Says that it knows the words that the shipped model knows."""

    capabilities = replace(
        HashPainter.capabilities,
        vocabulary=Vocabulary.of_folder(SHIPPED["pocket-sdxl"]),
    )


def test_what_the_image_model_does_not_know_is_said_beside_the_picture(library: Library) -> None:
    said = (
        "hash-painter knows the English names of things that emoji show, and does not know “xyzzy”."
    )
    with Agent(library, image_model=Taught(), session="unknown") as agent:
        assert told(agent.ask("Draw a fox."))[:1] == ["drawn: a fox"]
        assert said not in told(agent.ask("Draw two foxes."))
        parts = told(agent.ask("Draw a xyzzy."))
        assert parts[:2] == ["drawn: a xyzzy", said]
        assert said in told(agent.redraw())
