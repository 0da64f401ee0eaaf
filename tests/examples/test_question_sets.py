"""The question sets that come with Limner are whole, distinct and what their README says."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image

from limner.agent.evaluation.questions import Question
from limner.agent.evaluation.reading import packaged_sets, read_questions
from limner.examples.make_questions import PAINTERS, file_name

SETS = Path(__file__).parents[2] / "examples" / "questions"
PICTURES = SETS / "pictures"
SIZES = {"handbook": 40, "prompts": 120, "refusals": 40, "text_tasks": 7}
PROMPTS = {
    "advice": 12,
    "article": 4,
    "brainstorming": 22,
    "comparison": 12,
    "explanation": 17,
    "how-to": 15,
    "hypothetical": 7,
    "identification": 11,
    "other": 6,
    "reasoning": 3,
    "report": 6,
    "story": 5,
}


def questions(name: str) -> tuple[Question, ...]:
    return read_questions(SETS / f"{name}.jsonl").questions


def test_these_sets_come_with_limner() -> None:
    assert set(packaged_sets()) >= set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_a_set_is_read_without_a_fault(name: str) -> None:
    found = read_questions(SETS / f"{name}.jsonl")
    assert found.faults == ()
    assert len(found.questions) == SIZES[name] == len({q.id for q in found.questions})
    assert found.name != name, "its sidecar gives it a title"
    assert all(question.question == question.question.strip() for question in found.questions)


def test_the_handbook_questions_name_the_handbook() -> None:
    found = read_questions(SETS / "handbook.jsonl")
    assert found.folders == ((SETS.parent / "handbook").resolve(),)
    assert sum(bool(question.images) for question in found.questions) == 8


def test_prompts_by_task() -> None:
    asked = questions("prompts")
    assert Counter(question.task for question in asked) == PROMPTS
    assert all(question.id.startswith(f"{question.task}-") for question in asked)
    assert {question.answerable for question in asked} == {None}


def test_fifty_prompts_come_with_pictures() -> None:
    asked = questions("prompts")
    assert sum(bool(question.images) for question in asked) == 50
    assert {len(question.images) for question in asked} == {0, 1, 2}
    for question in asked:
        assert question.category == ("with picture" if question.images else "text only")


def test_what_has_one_answer_says_it() -> None:
    definite = [question for question in questions("prompts") if question.references]
    tasks = Counter(question.task for question in definite)
    assert tasks["reasoning"] == PROMPTS["reasoning"]
    assert tasks["identification"] >= 10 and tasks["comparison"] >= 4
    assert len(definite) >= 25


def test_no_two_prompts_ask_the_same() -> None:
    words = {q.id: set(re.findall(r"\w+", q.question.lower())) for q in questions("prompts")}
    pairs = combinations(words.items(), 2)
    near = [(a, b) for (a, x), (b, y) in pairs if len(x & y) / len(x | y) > 0.4]
    assert not near


def test_every_picture_is_asked_about_and_can_be_read() -> None:
    asked = {Path(image).name for question in questions("prompts") for image in question.images}
    files = {path.name: path for path in PICTURES.iterdir()}
    assert set(files) == asked
    assert 25 <= len(files) <= 40
    for path in files.values():
        assert path.stat().st_size <= 30_000, path.name
        with Image.open(path) as picture:
            assert picture.format == "PNG", path.name
            assert max(picture.size) >= 512, path.name
            picture.load()
    assert sum(path.stat().st_size for path in files.values()) <= 700_000


def test_every_picture_is_painted_by_the_script() -> None:
    names = [file_name(paint) for paint in PAINTERS]
    assert sorted(names) == sorted(path.name for path in PICTURES.iterdir())


def test_text_tasks_can_be_checked() -> None:
    asked = questions("text_tasks")
    tasks = Counter(question.task for question in asked)
    assert tasks == {"reasoning": 3, "summarization": 1, "qa": 1, "rewrite": 1, "safety": 1}
    for question in asked:
        assert question.answerable is None
        assert bool(question.references) != (question.refused is not None)


def test_half_of_the_refusals_are_none() -> None:
    asked = questions("refusals")
    assert Counter(question.refused for question in asked) == {True: 20, False: 20}
    kinds = Counter(question.category for question in asked)
    assert set(kinds.values()) == {5} and len(kinds) == 8
    assert len({question.question for question in asked}) == len(asked)
