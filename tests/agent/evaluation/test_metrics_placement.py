"""A picture stands among its words: what surrounds it, and how alike that is."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from limner.agent.answer import Answer, Generated, Part, Picture, Retrieved, Text
from limner.agent.evaluation.metrics.placement import placement, surroundings
from limner.agent.evaluation.metrics.table import metrics_named
from limner.agent.evaluation.questions import Place, Question
from limner.index.embeddings import HashEmbeddings
from limner.index.passage import Passage
from limner.tools.sentences import CachedEncoder

MEDIA = "ab" * 32 + ".png"
PASSAGES = (Passage("1", "A map", "guide.pdf", 1), Passage("2", "A plan", "guide.pdf", 2))
MAP, PLAN = Place("guide.pdf", 1), Place("guide.pdf", 2)


def shown(number: int) -> Picture:
    return Picture(MEDIA, "It", "It", Retrieved(PASSAGES[number - 1]))


def measured(
    parts: list[Part], wanted: tuple[str | Place, ...], encoder: Any = None
) -> float | None:
    metric = placement(encoder or HashEmbeddings())
    question = Question("q", "Where?", reference_parts=wanted)
    return metric(question, Answer(tuple(parts), PASSAGES))["placement"]


def test_one_sentence_before_and_one_behind() -> None:
    parts = [Text("One. Two. [1]"), shown(1), Text("Three [2]. Four."), shown(2)]
    assert surroundings(parts, 2) == ["Two. Three.", "Four."]
    assert surroundings(("One. Two.", MAP, PLAN, "Three [1]. Four.", MAP)) == [
        "Two. Three [1].",
        "Two. Three [1].",
        "Four.",
    ]
    assert surroundings((MAP, " ")) == [""]


def test_the_same_words_around_the_picture_are_its_place() -> None:
    wanted = ("Go in. The map shows it.", MAP, "Then turn left. Wait.")
    assert measured([Text("The map shows it. [1]"), shown(1), Text("Then turn left.")], wanted) == 1
    other = measured([Text("Bread needs flour."), shown(1), Text("Bake it.")], wanted)
    assert other is not None
    assert 0 <= other < 0.5


def test_each_matched_picture_counts_alike() -> None:
    wanted = ("A map.", MAP, "Between them.", PLAN, "A plan.")
    right = [Text("A map."), shown(1), Text("Between them."), shown(2), Text("A plan.")]
    assert measured(right, wanted) == 1.0
    swapped = [Text("A map."), shown(2), Text("Between them."), shown(1), Text("A plan.")]
    half = [Text("A map."), shown(1), Text("Between them.")]
    assert measured(half, wanted) == 1.0  # what is not shown is the recall's business
    assert (measured(swapped, wanted) or 0) < 1.0


def test_only_matched_pictures_of_a_reference_answer_have_a_place() -> None:
    drawn = Picture(MEDIA, "", "", Generated("m", "1", "p", "", 0, 1, 1.0, "ddim", (8, 8)))
    assert measured([Text("A."), drawn], ("A.", MAP)) is None
    assert measured([Text("A."), shown(2)], ("A.", MAP)) is None
    assert measured([Text("A."), shown(1)], ()) is None
    assert measured([], ("A.", MAP)) is None


def test_a_picture_without_words_around_it() -> None:
    assert measured([shown(1)], (MAP,)) == 1.0
    assert measured([shown(1)], ("A map.", MAP)) == 0.0
    assert measured([Text("A map."), shown(1)], (MAP,)) == 0.0


class Opposed:
    """Puts the two texts at opposite ends."""

    def encode_query(self, inputs: list[str]) -> Any:
        return np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32)

    encode_document = encode_query


def test_what_points_the_other_way_is_no_less_than_nothing() -> None:
    assert measured([Text("No."), shown(1)], ("Yes.", MAP), Opposed()) == 0.0


def test_the_encoder_is_asked_when_there_is_something_to_compare() -> None:
    encoder = HashEmbeddings()
    assert measured([Text("A."), shown(2)], ("A.", MAP), encoder) is None
    assert measured([Text("A."), shown(1)], ("A.", MAP), encoder) == 1.0
    assert encoder.encoded == []
    assert measured([Text("B."), shown(1)], ("A.", MAP), CachedEncoder(encoder)) is not None
    assert encoder.encoded == ["B.", "A."]


def test_naming_it_loads_no_model() -> None:
    code = (
        "import sys; from limner.agent.evaluation.metrics.table import metrics_named;"
        "metrics_named(['text', 'placement']); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_embedded_model_knows_the_place_by_its_meaning() -> None:
    metric = metrics_named(["placement"])["placement"]
    question = Question("q", "?", reference_parts=("The map shows every room.", MAP))

    def at(words: str) -> float:
        value = metric(question, Answer((Text(words), shown(1)), PASSAGES))["placement"]
        assert value is not None
        return value

    assert at("All rooms are on this plan.") > at("Bread needs flour and salt.") + 0.2
