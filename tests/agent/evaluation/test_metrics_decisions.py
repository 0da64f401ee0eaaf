"""Saying no where no is right, leaving out what is not wanted, and pointing at what is meant."""

from __future__ import annotations

import pytest

from limner.agent.answer import Answer, Marked, Part, Picture, Text
from limner.agent.evaluation.metrics.abstaining import abstaining
from limner.agent.evaluation.metrics.base import scored
from limner.agent.evaluation.metrics.grounding import grounding, holds_centre
from limner.agent.evaluation.metrics.places import is_attachment
from limner.agent.evaluation.questions import Place, Question
from limner.agent.evaluation.rows import Row
from limner.agent.state import Attachment
from limner.index.passage import Box, Passage

MEDIA = "ab" * 32 + ".png"
SAID = Answer((Text("At noon."),))
ABSTAINED = Answer((Text("Not in your library."),), abstained=True)
REFUSED = Answer((Text("Declined."),), refused=True)


def shot(*boxes: Box, name: str = "shot.png", id: str = "a1") -> Picture:
    passage = Passage(id, "OK", name, image=MEDIA, modality="screenshot")
    return Picture(MEDIA, "OK", "OK", Marked(passage, boxes))


def decided(answer: Answer, **fields: object) -> dict[str, float]:
    found = abstaining(Question("q", "?", **fields), answer)  # type: ignore[arg-type]
    return {name: score for name, score in found.items() if score is not None}


@pytest.mark.parametrize(
    ("answer", "fields", "scores"),
    [
        (SAID, {}, {"no_false_abstention": 1.0}),
        (ABSTAINED, {}, {"no_false_abstention": 0.0}),
        (SAID, {"answerable": False}, {"right_abstention": 0.0}),
        (ABSTAINED, {"answerable": False}, {"right_abstention": 1.0}),
        (REFUSED, {"answerable": False}, {"right_abstention": 0.0}),
        (ABSTAINED, {"answerable": None}, {}),
        (REFUSED, {"refused": True}, {"right_refusal": 1.0}),
        (SAID, {"refused": True}, {"right_refusal": 0.0}),
        (ABSTAINED, {"refused": True, "answerable": False}, {"right_refusal": 0.0}),
        (REFUSED, {"refused": False}, {"no_false_abstention": 1.0, "no_false_refusal": 0.0}),
        (SAID, {"refused": False, "answerable": None}, {"no_false_refusal": 1.0}),
    ],
)
def test_each_decision_is_scored_on_its_side(
    answer: Answer, fields: dict[str, object], scores: dict[str, float]
) -> None:
    assert decided(answer, **fields) == scores


@pytest.mark.parametrize(
    ("parts", "right"),
    [
        ((), True),
        ((Text("At noon."),), True),
        ((shot(),), False),
        ((Text("[[draw: a map]]"),), False),
    ],
)
def test_no_picture_where_none_is_wanted(parts: tuple[Part, ...], right: bool) -> None:
    fields = {"reference_images": (), "answerable": None}
    assert decided(Answer(parts), **fields) == {"right_no_picture": float(right)}
    assert decided(Answer(parts), answerable=None) == {}
    assert decided(Answer(parts), answerable=None, reference_images=(Place("a.pdf"),)) == {}


def test_a_failure_is_no_right_decision() -> None:
    row = Row(Question("q", "?", reference_images=(), refused=False), error="timeout")
    found = scored(row, {"abstaining": abstaining})
    assert {score for score in found.values() if score is not None} == {0.0}
    assert found["right_no_picture"] == found["no_false_abstention"] == 0.0


def pointed(parts: tuple[Part, ...], *boxes: Place, folder: str = "") -> list[float | None]:
    found = grounding(Question("q", "?", boxes=boxes), Answer(parts, folder=folder))
    return [found["box_iou"], found["point_in_box"]]


BUTTON = Place("shot.png", box=(0, 0, 10, 10))


@pytest.mark.parametrize(
    ("parts", "scores"),
    [
        ((shot((0, 0, 10, 10)),), [1.0, 1.0]),
        ((shot((0, 0, 10, 20)),), [0.5, 1.0]),  # the centre is on the edge
        ((shot((0, 0, 10, 40)),), [0.25, 0.0]),
        ((shot((20, 20, 30, 30)),), [0.0, 0.0]),
        ((shot((20, 20, 30, 30), (0, 0, 10, 10)),), [1.0, 1.0]),
        ((shot((20, 20, 30, 30)), shot((0, 0, 5, 10))), [0.5, 1.0]),
        ((shot((0, 0, 10, 10), name="other.png"),), [0.0, 0.0]),
        ((shot((0, 0, 10, 10), name="shot.png", id="7"),), [1.0, 1.0]),  # of the library
        ((), [0.0, 0.0]),
    ],
)
def test_the_best_mark_of_a_box_counts(parts: tuple[Part, ...], scores: list[float]) -> None:
    assert pointed(parts, BUTTON) == scores


def test_each_box_counts_alike() -> None:
    far = Place("shots/shot.png", box=(100, 100, 110, 110))
    assert pointed((shot((0, 0, 10, 10)),), BUTTON, far) == [0.5, 0.5]
    assert pointed((shot((0, 0, 10, 10)),), BUTTON, Place("shot.png")) == [1.0, 1.0]


def test_without_boxes_nothing_is_pointed_at() -> None:
    assert pointed((shot((0, 0, 10, 10)),)) == [None, None]
    assert pointed((shot((0, 0, 10, 10)),), Place("shot.png")) == [None, None]


def test_a_mark_on_a_copy_that_is_gone_points_at_nothing(tmp_path: object) -> None:
    assert pointed((shot((0, 0, 10, 10)),), BUTTON, folder=str(tmp_path)) == [0.0, 0.0]


def test_a_box_has_its_edges() -> None:
    assert holds_centre((0, 0, 10, 10), (10, 10, 10, 10))
    assert not holds_centre((0, 0, 10, 10), (10, 10, 10.1, 10))


def test_attachments_are_told_from_the_library_by_their_names() -> None:
    assert is_attachment(Attachment(MEDIA, "shot.png").as_passage(12))
    assert not is_attachment(Passage("12", "w", "a1.png"))
    assert not is_attachment(Passage("a0", "w", "a1.png"))
