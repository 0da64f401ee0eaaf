"""Question sets of others: SQuAD and XQuAD, Chameleon's prompts, ISG-Bench."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from limner.agent.evaluation.formats.base import QuestionSet
from limner.agent.evaluation.questions import Place, Question
from limner.agent.evaluation.reading import read_questions
from limner.errors import UserError


def read(path: Path, *rows: dict[str, Any]) -> QuestionSet:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_questions(path)


def reasons(found: QuestionSet) -> list[str]:
    return [fault.reason for fault in found.faults]


# ── SQuAD ────────────────────────────────────────────────────────────────────────────────────


def paragraph(context: Any, *questions: Any) -> dict[str, Any]:
    return {"context": context, "qas": list(questions)}


def answered(name: str, *texts: str) -> dict[str, Any]:
    answers = [{"text": text, "answer_start": 0} for text in texts]
    return {"id": name, "question": f"{name}?", "answers": answers}


def squad(path: Path, *articles: Any) -> QuestionSet:
    path.write_text(json.dumps({"version": "v2.0", "data": list(articles)}))
    return read_questions(path)


def test_squad(tmp_path: Path) -> None:
    impossible = {
        "id": "c",
        "question": "c?",
        "is_impossible": True,
        "answers": [],
        "plausible_answers": [{"text": "no", "answer_start": 0}],
    }
    found = squad(
        tmp_path / "dev.json",
        {"title": "Tides", "paragraphs": [
            paragraph("Two a day.", answered("a", "Two", "two", "Two"), impossible),
            paragraph("The moon.", answered("b", "moon")),
        ]},
        {"paragraphs": [paragraph("Two a day.", answered("d", "day"))]},
    )  # fmt: skip
    assert found.faults == ()
    assert found.documents == (("1.txt", "Two a day."), ("2.txt", "The moon."))
    assert found.questions == (
        Question("a", "a?", (), ("Two", "two"), relevant=("1.txt",), task="qa", document="Tides"),
        Question("c", "c?", task="qa", document="Tides", answerable=False),
        Question("b", "b?", (), ("moon",), relevant=("2.txt",), task="qa", document="Tides"),
        Question("d", "d?", (), ("day",), relevant=("1.txt",), task="qa", document="article 2"),
    )


def test_names_of_paragraphs_sort_and_say_nothing(tmp_path: Path) -> None:
    paragraphs = [paragraph(f"Text {n} of Secret.", answered(str(n), "x")) for n in range(12)]
    found = squad(tmp_path / "x.json", {"title": "Secret", "paragraphs": paragraphs})
    names = [name for name, _ in found.documents]
    assert names == sorted(names) and names[0] == "01.txt" and "Secret" not in "".join(names)


def test_what_is_wrong_in_squad(tmp_path: Path) -> None:
    found = squad(
        tmp_path / "x.json",
        {"title": "T", "paragraphs": [
            paragraph("Good.", answered("a", "x"), 7, {"id": "b"}, {"id": "c", "question": "c?"},
                      {"id": "d", "question": "d?", "answers": [{"text": 3}]},
                      {"id": "e", "question": "e?", "is_impossible": "no"}, answered("a", "y")),
            paragraph(" "), paragraph(None), {"context": "No questions."}, [],
        ]},
        5, {"title": "nothing"},
    )  # fmt: skip
    assert [question.id for question in found.questions] == ["a"]
    assert [(fault.line, fault.reason) for fault in found.faults] == [
        (1, "article 1, paragraph 2 has no context"),
        (1, "article 1, paragraph 3 has no context"),
        (1, "article 1, paragraph 4 has no list of questions"),
        (1, "article 1, paragraph 5 has no context"),
        (2, "article 2 has no paragraphs"),
        (2, "no object of a question"),
        (3, "article 3 has no paragraphs"),
        (3, "no question"),
        (4, "answers: no list of objects"),
        (5, "answers: none has a text"),
        (6, "is_impossible: neither true nor false"),
        (7, "id 'a' is that of line 1 already; left out"),
    ]


# ── Chameleon ────────────────────────────────────────────────────────────────────────────────


def prompt(name: str, text: str, *urls: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "prompt": text, "task_type": "How-to", "image_urls": list(urls), **more}


def put(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"picture")
    return str(path)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a URL was fetched")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.mark.usefixtures("no_network")
def test_chameleon(tmp_path: Path) -> None:
    rocks = put(tmp_path / "images" / "rocks (1).jpg!Large.jpg")
    open_ = put(tmp_path / "open.png")
    found = read(
        tmp_path / "prompts.jsonl",
        prompt("1", "I have rocks.<img>How do they look <img> inside? <img>",
               "https://x.test/a/rocks%20%281%29.jpg!Large.jpg?v=1&width=9", "http://y.test/open.png",
               "https://x.test/a/rocks%20%281%29.jpg!Large.jpg?v=1&width=9"),
        prompt("2", "Tell me a story."),
        prompt("3", "And this?<img>", "https://x.test/missing.png"),
        prompt("4", "And <img>?"),
        prompt("5", "Two.<img>", "https://x.test/a.png", "https://x.test/b.png"),
        prompt("6", "No name.<img>", "https://x.test/"),
        prompt("7", "Up.<img>", "https://x.test/%2e%2e"),
        prompt("8", "  "), prompt("9", "odd", reference="x"), prompt("10", "odd", 5),  # type: ignore[arg-type]
    )  # fmt: skip
    assert found.questions == (
        Question("1", "I have rocks. [picture 1] How do they look [picture 2] inside? [picture 3]",
                 (rocks, open_, rocks), category="How-to", task="how-to", answerable=None),
        Question("2", "Tell me a story.", category="How-to", task="how-to", answerable=None),
        Question("9", "odd", category="How-to", task="how-to", answerable=None),
    )  # fmt: skip
    assert [(fault.line, fault.reason) for fault in found.faults] == [
        (3, "a picture is not there: save https://x.test/missing.png as 'images/missing.png' "
            "beside the set"),
        (4, "1 <img> in the prompt, 0 in image_urls"),
        (5, "1 <img> in the prompt, 2 in image_urls"),
        (6, "'https://x.test/' names no file"),
        (7, "'https://x.test/%2e%2e' names no file"),
        (8, "no prompt"),
        (9, "column 'reference' is not read"),
        (10, "image_urls: no list of texts"),
    ]  # fmt: skip


def test_two_urls_with_one_file_name_are_kept_apart(tmp_path: Path) -> None:
    put(tmp_path / "images" / "image.jpg")
    second = put(tmp_path / "images" / "b" / "image.jpg")
    found = read(
        tmp_path / "prompts.jsonl",
        prompt("a", "<img> one", "https://x.test/1/image.jpg"),
        prompt("b", "<img> two", "https://x.test/2/image.jpg"),
        prompt("../../../etc", "<img> three", "https://x.test/3/image.jpg"),
    )
    assert [(question.id, question.images) for question in found.questions] == [("b", (second,))]
    assert "as 'images/a/image.jpg' beside" in reasons(found)[0]
    assert "lies outside the set's folder" in reasons(found)[1]


# ── ISG-Bench ────────────────────────────────────────────────────────────────────────────────


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


def image(content: str) -> dict[str, str]:
    return {"type": "image", "content": content}


def test_isg(tmp_path: Path) -> None:
    hands = put(tmp_path / "images" / "0000_q1.jpg")
    good = {
        "id": "0000",
        "Category": "Prediction",
        "Query": [text("What comes next?"), text("Four pictures."), image("images/0000_q1.JPG"),
                  text("Go on.")],
        "Golden": [text("They are rinsed."), image("images/0000_g1.jpg")],
        "predict": {"structural": {}},
    }  # fmt: skip
    found = read(
        tmp_path / "ISG-Bench.jsonl",
        good,
        {**good, "id": "1", "Query": [text("No picture.")], "Golden": [], "extra": 1},
        {**good, "id": "2", "Query": [image("images/0000_q1.jpg")]},
        {**good, "id": "3", "Query": [text("x"), image("images/none.jpg")]},
        {**good, "id": "4", "Query": [text("x"), {"type": "video", "content": "y"}]},
        {**good, "id": "5", "Query": [text("x"), {"type": "text"}]},
        {**good, "id": "6", "Query": "x"},
        {**good, "id": "7", "Golden": [3]},
    )
    assert found.questions == (
        Question("0000", "What comes next?\nFour pictures. [picture 1] Go on.", (hands,),
                 reference_parts=("They are rinsed.", Place("images/0000_g1.jpg")),
                 category="Prediction", task="prediction", answerable=None),
        Question("1", "No picture.", category="Prediction", task="prediction", answerable=None),
    )  # fmt: skip
    assert found.questions[0].reference_images == (Place("images/0000_g1.jpg"),)
    assert found.questions[1].reference_images is None
    assert reasons(found) == [
        "column 'extra' is not read",
        "Query: no text",
        "Query: the picture 'images/none.jpg' is not there",
        "Query: item 2 is neither text nor image",
        "Query: item 2 has no content",
        "Query: no list",
        "Golden: item 1 is neither text nor image",
    ]


def test_isg_as_one_list(tmp_path: Path) -> None:
    row = {"id": "1", "Query": [text("Draw.")], "Golden": [text("Drawn.")]}
    (tmp_path / "isg.json").write_text(json.dumps([row]))
    assert read_questions(tmp_path / "isg.json").questions[0].reference_parts == ("Drawn.",)


def test_a_set_of_others_without_a_question(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 1: no prompt"):
        read(tmp_path / "x.jsonl", prompt("1", ""))
    with pytest.raises(UserError, match="article 1 has no paragraphs"):
        squad(tmp_path / "x.json", {"paragraphs": None})
