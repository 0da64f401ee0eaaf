"""What was found, and how far up: places, cuts, modalities."""

from __future__ import annotations

import math

import pytest

from limner.agent.answer import Answer
from limner.agent.evaluation.metrics.base import scored
from limner.agent.evaluation.metrics.places import wanted_places
from limner.agent.evaluation.metrics.retrieval import retrieval
from limner.agent.evaluation.questions import Place, Question
from limner.agent.evaluation.rows import Row
from limner.index.passage import Passage


def passage(place: str, id: str = "1", **more: object) -> Passage:
    source, _, page = place.partition("#")
    return Passage(id, "words", source, int(page) if page else None, **more)  # type: ignore[arg-type]


def figure(place: str, image: str, **more: object) -> Passage:
    return passage(place, image=image, modality="figure", **more)


def measured(
    found: str | list[Passage], relevant: str = "", **fields: object
) -> dict[str, float | None]:
    passages = [passage(p) for p in found.split()] if isinstance(found, str) else found
    question = Question("q", "?", relevant=tuple(relevant.split()), **fields)  # type: ignore[arg-type]
    return dict(retrieval(question, Answer((), tuple(passages))))


def test_nothing_relevant_is_not_scored() -> None:
    assert set(measured("a.md b.md").values()) == {None}


def test_nothing_found_is_wrong() -> None:
    found = measured("", "a.md")
    assert {found[f"{n}@10"] for n in ("recall", "mrr", "ndcg")} == {0.0}
    failed = scored(Row(Question("q", "?", relevant=("a.md",))), {"retrieval": retrieval})
    assert failed["recall@10"] == 0.0


def test_ranks_and_cuts() -> None:
    found = measured("x.md a.md y.md b.md", "a.md b.md c.md")
    assert (found["recall@1"], found["recall@5"], found["recall@10"]) == (0.0, 2 / 3, 2 / 3)
    assert found["mrr@10"] == 0.5
    best = 1 + 1 / math.log2(3) + 0.5
    assert found["ndcg@10"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / best)


def test_what_stands_beyond_ten_is_not_found() -> None:
    found = measured(" ".join(f"x{n}.md" for n in range(10)) + " a.md", "a.md")
    assert found["recall@10"] == found["mrr@10"] == found["ndcg@10"] == 0.0


def test_more_relevant_than_the_cut() -> None:
    names = " ".join(f"a{n}.md" for n in range(12))
    found = measured(names, names)
    assert found["recall@10"] == 10 / 12
    assert found["ndcg@10"] == 1.0


@pytest.mark.parametrize(
    ("found", "relevant", "rank"),
    [
        ("g.pdf#1 g.pdf#1 g.pdf#2", "g.pdf#2", 2),  # a page counts once
        ("g.pdf#1 h.pdf#1 g.pdf#2", "g.pdf#2", 3),  # each page of it counts
        ("x.pdf#1 x.pdf#2 g.pdf#7", "g.pdf", 2),  # among files, a file counts once
        ("x.pdf#1 x.pdf#2 g.pdf#7", "g.pdf h.pdf#1", 3),  # unless a page is asked for
        ("g.pdf#10 g.pdf#1", "g.pdf#1", 2),
        ("C#.md g.pdf#1", "g.pdf#1", 2),
        ("a.md", "a.md#None", None),
    ],
)
def test_a_place_counts_once_at_its_first_occurrence(
    found: str, relevant: str, rank: int | None
) -> None:
    passages = [passage(p) if p != "C#.md" else Passage("1", "w", p) for p in found.split()]
    assert measured(passages, relevant)["mrr@10"] == (1 / rank if rank else 0.0)


def test_a_whole_file_counts_once_whatever_its_pages() -> None:
    found = measured("g.pdf#1 g.pdf#2 g.pdf#3 h.pdf#1", "g.pdf g.pdf#2 h.pdf#1 h.pdf#1")
    assert found["recall@1"] == 0.5
    assert found["recall@5"] == found["ndcg@10"] == 1.0


def test_wanted_places() -> None:
    assert wanted_places(["a.pdf#2", "b.md#x", "b.md", "b.md#1", "#4", "c#", "a.pdf#2"]) == [
        "a.pdf#2",
        "b.md#x",
        "b.md",
        "#4",
        "c#",
    ]


def test_a_source_may_look_like_a_page() -> None:
    assert measured([Passage("1", "w", "notes#2")], "notes#2")["recall@1"] == 1.0


def test_attachments_were_not_retrieved() -> None:
    shot = Passage("a1", "w", "a.md", modality="screenshot")
    found = measured([shot, passage("x.md"), passage("a.md")], "a.md")
    assert found["mrr@10"] == 0.5


def test_text_is_ranked_among_text() -> None:
    passages = [figure("g.pdf#1", "m1"), passage("x.md"), passage("g.pdf#1"), passage("g.pdf#2")]
    found = measured(passages, "g.pdf#2 images/door.png")
    assert (found["mrr@10"], found["mrr@10_text"]) == (1 / 3, 1 / 3)
    found = measured(passages, "g.pdf#1 images/door.PNG")
    assert (found["mrr@10"], found["mrr@10_text"]) == (1.0, 0.5)
    assert (found["recall@10"], found["recall@10_text"]) == (0.5, 1.0)
    assert measured(passages, "door.png")["ndcg@10_text"] is None


def test_pictures_are_ranked_among_pictures() -> None:
    box = (0.0, 0.0, 10.0, 10.0)
    passages = [
        passage("g.pdf#1"),
        figure("x.pdf#1", "m1"),
        figure("x.pdf#1", "m1"),  # the same picture again
        figure("g.pdf#1", "m2", box=(50, 50, 60, 60)),
        figure("g.pdf#1", "m3", box=box),
        figure("g.pdf#1", "m3", box=box),
    ]
    wanted = (Place("g.pdf", 1, box), Place("h.pdf", 1), Place("shot.png"), Place("g.pdf", 1, box))
    found = measured(passages, reference_images=wanted, images=("/shots/shot.png",))
    assert found["recall@10_pictures"] == 0.5
    assert found["mrr@10_pictures"] == 1 / 3
    assert found["ndcg@10_pictures"] == pytest.approx(0.5 / (1 + 1 / math.log2(3)))
    assert found["recall@10"] is None


def test_a_picture_that_two_files_hold_is_found_where_it_first_stands() -> None:
    passages = [figure("notes.md", "m1"), figure("images/door.png", "m1"), figure("x.md", "m2")]
    found = measured(passages, reference_images=(Place("images/door.png"),))
    assert found["mrr@10_pictures"] == 1.0


def test_two_pictures_of_a_page_are_one_place_or_two() -> None:
    passages = [figure("g.pdf#1", "m1"), figure("g.pdf#1", "m2"), figure("g.pdf#2", "m3")]
    whole = measured(passages, reference_images=(Place("g.pdf", 1), Place("g.pdf", 2)))
    assert whole["ndcg@10_pictures"] == 1.0
    anywhere = measured(passages, reference_images=(Place("g.pdf"), Place("g.pdf", 1)))
    assert anywhere["recall@10_pictures"] == 1.0


def test_where_no_picture_is_wanted_none_is_looked_for() -> None:
    assert measured([figure("g.pdf#1", "m")], reference_images=())["recall@10_pictures"] is None
