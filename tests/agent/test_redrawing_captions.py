"""Drawings changed by a model that knows few words: in its own, anew, and else it says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limner.agent.edit_words import grammar
from limner.agent.edits import Changes, Edit
from limner.index.library import Library
from limner.tests.agent.redrawings import PICTURES, PROMPT, Editor, agent_of, changes_of, origin_of
from limner.tools.image_models.captions import Captions
from limner.tools.image_models.opening import open_model

CAPTIONS = Captions(
    ("small", "", "large"), ("two",), ("on the left",), ("blue", "black"), alike=True
)


class Small(Editor):
    """An editor that knows few words."""

    capabilities = replace(Editor.capabilities, captions=CAPTIONS)


@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ("Make it bigger.", "bigger"), ("a bit smaller, please", "a bit smaller"),
        ("two of them", "two of them"), ("draw three of them", "three of them"),
        ("on a blue background", "on a blue background"),
        ("give it a light blue background", "a light blue background"),
        ("make the background blue", "the background blue"), ("put it on the left", "on the left"),
        ("move it to the left", "to the left"), ("make it night", "night"),
    ],
)  # fmt: skip
def test_a_wish_is_kept_as_it_was_said(said: str, wish: str) -> None:
    changes = Changes(prompt=f"{PROMPT}, {wish}")
    assert grammar(said, PICTURES) == Edit(PICTURES[1], changes, onto=True, wish=wish)


@pytest.mark.parametrize(
    ("said", "prompt"),
    [
        ("make it bigger", "a large lighthouse with a dock"),
        ("make it smaller", "a small lighthouse with a dock"),
        ("two of them", f"{PROMPT}, two of them"),
        ("on a blue background", f"{PROMPT} on a blue background"),
        ("put it on the left", f"{PROMPT} on the left"),
    ],
)
def test_it_draws_anew_in_its_own_words(library: Library, said: str, prompt: str) -> None:
    with agent_of(library, Small()) as agent:
        before = origin_of(agent.ask("Draw it"))
        answer = agent.ask(said)
    assert changes_of(before, origin_of(answer)) == {"prompt": prompt}
    assert answer.text.startswith(f"Drawn again: prompt “{prompt}” instead of “{PROMPT}”.")


def test_what_it_does_not_know_is_said_and_not_drawn(library: Library) -> None:
    painter = Small()
    with agent_of(library, painter) as agent:
        agent.ask("Draw it")
        answer = agent.ask("make it night")
        assert not answer.pictures
        assert "“night” is no change that hash-painter knows" in answer.text
        assert "size (small, large), number (two), place (on the left), backgr" in answer.text
        assert f"/redraw 1 prompt='{PROMPT}, night'" in answer.text
        assert len(painter.asked) == 1
        agent.redraw(Changes(prompt=f"{PROMPT}, night"))
        assert painter.asked[-1].prompt == f"{PROMPT}, night"


def test_what_the_prompt_says_already_is_not_drawn_again(library: Library) -> None:
    with agent_of(library, Small()) as agent:
        agent.ask("Draw it")
        agent.ask("make it bigger")
        answer = agent.ask("make it bigger")
    assert not answer.pictures
    assert "says so already" in answer.text


def test_that_seeds_change_little_is_said(library: Library) -> None:
    with agent_of(library, Small()) as agent:
        agent.ask("Draw it")
        assert "hash-painter draws the same words much alike" in agent.ask("another one").text
        assert "much alike" not in agent.ask("another one with 3 steps").text
    with agent_of(library, Editor(), session="other") as agent:
        agent.ask("Draw it")
        assert "much alike" not in agent.ask("another one").text


@pytest.mark.parametrize(
    "wish", ["bigger", "smaller", "two of them", "on a blue background", "to the right"]
)
def test_the_shipped_model_knows_what_the_readme_names(wish: str) -> None:
    captions = open_model("pocket-sdxl").capabilities.captions
    assert captions is not None
    assert captions.changed("a fox", wish)
