"""Pictures shown against pictures wanted: matching, order, structure, what leads nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limner.agent.answer import Answer, Generated, Marked, Part, Picture, Retrieved, Text
from limner.agent.evaluation.metrics.alignment import best_pairs
from limner.agent.evaluation.metrics.base import scored
from limner.agent.evaluation.metrics.pictures import pictures
from limner.agent.evaluation.metrics.places import matched
from limner.agent.evaluation.questions import Place, Question
from limner.agent.evaluation.rows import Row
from limner.index.passage import Box, Passage
from limner.tools.media import MediaStore

MEDIA = "ab" * 32 + ".png"


def figure(source: str, page: int | None = None, box: Box | None = None, id: str = "1") -> Picture:
    passage = Passage(id, "A map", source, page, box, MEDIA, "figure")
    return Picture(MEDIA, "A map", "A map", Retrieved(passage))


def marked(name: str) -> Picture:
    passage = Passage("a1", "OK", name, image=MEDIA, modality="screenshot")
    return Picture(MEDIA, "OK", "OK", Marked(passage, ((0, 0, 9, 9),)))


DRAWN = Picture(
    MEDIA, "A map", "A map", Generated("pocket", "1", "a map", "", 0, 4, 1.0, "ddim", (64, 64))
)
MAP, PLAN = Place("guide.pdf", 1), Place("guide.pdf", 2)


def measured(shown: list[Part], **fields: object) -> dict[str, float | None]:
    return dict(pictures(Question("q", "Where?", **fields), Answer(tuple(shown))))  # type: ignore[arg-type]


def triple(shown: list[Part], wanted: tuple[Place, ...] | None) -> tuple[float | None, ...]:
    found = measured(shown, reference_images=wanted)
    return tuple(found[f"picture_{name}"] for name in ("precision", "recall", "f1"))


def test_pictures_are_not_scored_where_the_question_says_nothing_of_them() -> None:
    assert triple([figure("guide.pdf", 1)], None) == (None, None, None)


def test_both_empty_is_right_and_one_only_is_wrong() -> None:
    assert triple([], ()) == (1.0, 1.0, 1.0)
    assert triple([figure("guide.pdf", 1)], ()) == (0.0, 0.0, 0.0)
    assert triple([], (MAP,)) == (0.0, 0.0, 0.0)


def test_pictures_are_counted_as_multisets() -> None:
    one, two = figure("guide.pdf", 1), figure("guide.pdf", 2)
    assert triple([one, one], (MAP,)) == (0.5, 1.0, pytest.approx(2 / 3))
    assert triple([one], (MAP, MAP)) == (1.0, 0.5, pytest.approx(2 / 3))
    assert triple([one, one], (MAP, MAP)) == (1.0, 1.0, 1.0)
    assert triple([two, one, DRAWN, DRAWN], (MAP, PLAN)) == (0.5, 1.0, pytest.approx(2 / 3))


@pytest.mark.parametrize(
    ("shown", "place", "same"),
    [
        (figure("guide.pdf", 1), Place("guide.pdf", 1), True),
        (figure("guide.pdf", 1), Place("guide.pdf", 2), False),
        (figure("guide.pdf", 1), Place("other/guide.pdf", 1), False),
        (figure("guide.pdf", 1), Place("guide.pdf"), True),
        (figure("guide.docx"), Place("guide.docx", 1), False),
        (figure("g.pdf", 1, (0, 0, 10, 10)), Place("g.pdf", 1), True),
        (figure("g.pdf", 1), Place("g.pdf", 1, (0, 0, 10, 10)), True),
        (figure("g.pdf", 1, (0, 0, 10, 10)), Place("g.pdf", 1, (0, 0, 10, 20)), True),
        (figure("g.pdf", 1, (0, 0, 10, 10)), Place("g.pdf", 1, (0, 0, 10, 20.1)), False),
        (figure("g.pdf", 1, (0, 0, 10, 10)), Place("g.pdf", 1, (20, 20, 30, 30)), False),
        (marked("shot.png"), Place("shot.png"), True),
        (marked("shot.png"), Place("shots/shot.png", 3, (500, 500, 600, 600)), True),
        (marked("shot.png"), Place("other.png"), False),
        (figure("shot.png", id="a2"), Place("shot.png"), True),
        (figure("shots/shot.png"), Place("shot.png"), False),
        (DRAWN, Place("guide.pdf"), False),
    ],
)
def test_which_pictures_are_the_same(shown: Picture, place: Place, same: bool) -> None:
    assert triple([shown], (place,)) == ((1.0,) * 3 if same else (0.0,) * 3)


def test_a_match_is_the_best_there_is_where_a_greedy_one_takes_the_wrong_picture() -> None:
    wide, left = figure("g.pdf", 1, (0, 0, 16, 10)), figure("g.pdf", 1, (0, 0, 8, 10))
    first, second = Place("g.pdf", 1, (0, 0, 12, 10)), Place("g.pdf", 1, (5, 0, 18, 10))
    # the wide one overlaps both and the first one more; the left one overlaps the first alone
    assert matched(Answer((wide,)), (first, second)) == [(0, 0)]
    assert matched(Answer((left,)), (second,)) == []
    assert matched(Answer((wide, left)), (first, second)) == [(0, 1), (1, 0)]


def test_equal_pictures_are_matched_in_order() -> None:
    same = [figure("guide.pdf", 1)] * 4
    assert matched(Answer(tuple(same)), [MAP] * 4) == [(i, i) for i in range(4)]
    loose = [figure("guide.pdf", n) for n in (1, 2, 3)]
    assert matched(Answer(tuple(loose)), [Place("guide.pdf")] * 3) == [(0, 0), (1, 1), (2, 2)]


def test_a_picture_that_two_files_hold_is_at_both_places() -> None:
    shown = figure("notes.md")
    file = Passage("7", "door.png", "images/door.png", image=MEDIA, modality="figure")
    other = Passage("8", "map.png", "images/map.png", image="cd" * 32 + ".png", modality="figure")
    wanted = [Place("images/door.png"), Place("images/map.png")]
    assert matched(Answer((shown,), (file, other)), wanted) == [(0, 0)]
    assert matched(Answer((shown,)), wanted) == []
    assert matched(Answer((DRAWN,), (file,)), wanted) == []


@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(-9, 99)))
def test_the_pairs_are_the_most_and_of_these_the_worthiest(
    worth: dict[tuple[int, int], int],
) -> None:
    def allowed(chosen: tuple[tuple[int, int], ...]) -> bool:
        rows, columns = {r for r, _ in chosen}, {c for _, c in chosen}
        return len(rows) == len(columns) == len(chosen)

    every = (c for n in range(5) for c in combinations(worth, n) if allowed(c))
    best = max((len(chosen), sum(worth[pair] for pair in chosen)) for chosen in every)
    found = best_pairs(worth)
    assert allowed(tuple(found))
    assert found == sorted(found)
    assert (len(found), sum(worth[pair] for pair in found)) == best


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_order_of_the_matched_pictures(order: tuple[int, ...]) -> None:
    shown: list[Part] = [figure("guide.pdf", n + 1) for n in order]
    wanted = tuple(Place("guide.pdf", n + 1) for n in range(3))
    swapped = sum(order[i] > order[j] for i in range(3) for j in range(i + 1, 3))
    assert measured(shown, reference_images=wanted)["picture_order"] == pytest.approx(
        1 - 2 * swapped / 3
    )


def test_an_order_takes_two_matched_pictures() -> None:
    one, two = figure("guide.pdf", 1), figure("guide.pdf", 2)
    assert measured([one, DRAWN], reference_images=(MAP, PLAN))["picture_order"] is None
    assert measured([one, two], reference_images=(MAP,))["picture_order"] is None
    assert measured([two, DRAWN, one], reference_images=(MAP, PLAN))["picture_order"] == -1.0


@pytest.mark.parametrize(
    ("shown", "wanted", "same"),
    [
        ([Text("a"), DRAWN, Text("b")], ("x", MAP, "y"), True),
        ([Text("a"), Text("b"), DRAWN], ("x", MAP), True),
        ([Text("a"), DRAWN], ("x", "y", " ", MAP), True),
        ([Text("a"), Text(" \n"), DRAWN], ("x", MAP), True),
        ([DRAWN, Text(" "), DRAWN], (MAP, PLAN), True),
        ([Text("a"), DRAWN, DRAWN], ("x", MAP), False),
        ([DRAWN, Text("a")], ("x", MAP), False),
        ([Text("a")], ("x", MAP), False),
        ([], ("x",), False),
    ],
)
def test_structure_is_the_turns_of_texts_and_pictures(
    shown: list[Part], wanted: tuple[str | Place, ...], same: bool
) -> None:
    assert measured(shown, reference_parts=wanted)["structure"] == same


def test_without_a_reference_answer_there_is_no_structure() -> None:
    assert measured([Text("a")], reference_images=(MAP,))["structure"] is None


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        (["Turn it [[show 1: the valve]] left."], 1),
        (["[[ Mark a1: OK", "and [[draw: a map]] [[draw: a plan]]"], 3),
        (["It broke off [[sho"], 1),
        (["Use `[[ -f file ]]` and [[link]] and [1]."], 0),
    ],
)
def test_a_slot_left_in_the_text_refers_to_nothing(texts: list[str], left: int) -> None:
    shown: list[Part] = [*map(Text, texts), figure("guide.pdf", 1)]
    found = measured(shown, reference_images=(MAP,))
    assert found["parsed"] == float(not left)
    assert found["pictures_resolved"] == 1 / (1 + left)
    assert found["picture_precision"] == 1 / (1 + left)


def test_a_slot_left_where_no_picture_is_wanted_is_a_picture_too_many() -> None:
    assert triple([Text("[[show 1: it]]")], ()) == (0.0, 0.0, 0.0)


def test_what_refers_to_nothing_has_no_dangling_rate() -> None:
    assert measured([Text("Noon.")])["pictures_resolved"] is None


def test_a_picture_whose_file_is_gone_matches_nothing(
    tmp_path: Path, paint: Callable[[str], Image.Image]
) -> None:
    media = MediaStore(tmp_path / "media").put(paint("map"))
    there = replace(figure("guide.pdf", 1), media=media)
    gone = figure("guide.pdf", 2)
    (tmp_path / "secret.png").write_bytes(b"x")
    outside = replace(there, media="../secret.png")
    answer = Answer((there, gone, outside), folder=str(tmp_path / "media"))
    found = pictures(Question("q", "?", reference_images=(MAP, PLAN)), answer)
    assert found["pictures_resolved"] == found["picture_precision"] == pytest.approx(1 / 3)
    assert found["picture_recall"] == 0.5
    assert found["picture_order"] is None


def test_a_failed_row_stays_in_the_denominator() -> None:
    wanted = Question("q", "?", reference_images=(), reference_parts=("Noon.",))
    failed = scored(Row(wanted, error="timeout"), {"pictures": pictures})
    assert failed.pop("pictures_resolved") is failed.pop("picture_order") is None
    assert set(failed.values()) == {0.0}
    assert len(failed) == 5
