"""What a question set may reach on disk, and what lies beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limner.agent.evaluation.formats.base import QuestionSet
from limner.agent.evaluation.reading import read_questions
from limner.errors import SourceError, UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set's folder, two levels below what it may not see."""
    found = tmp_path / "mine" / "sets" / "shop"
    (found / "shots").mkdir(parents=True)
    for place in (found / "a.png", found / "shots" / "b.png", found.parent / "c.png"):
        place.write_bytes(b"picture")
    (tmp_path / "mine" / "secret.png").write_bytes(b"picture")
    return found


def read(folder: Path, *images: str) -> QuestionSet:
    rows = [{"question": f"{n}", "images": [name]} for n, name in enumerate(images)]
    rows.append({"question": "last"})
    (folder / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_questions(folder / "set.jsonl")


def test_pictures_beside_the_set_and_in_the_folder_above(folder: Path) -> None:
    above = folder.parent / "c.png"
    names = ("a.png", "shots/b.png", "./shots/../a.png", "../c.png", str(above))
    found = read(folder, *names)
    assert found.faults == ()
    assert [question.images for question in found.questions[:-1]] == [
        (str(path),) for path in (folder / "a.png", folder / "shots" / "b.png", folder / "a.png",
                                  above, above)
    ]  # fmt: skip


def test_pictures_further_away_are_refused(folder: Path) -> None:
    secret = folder.parents[1] / "secret.png"
    (folder / "link.png").symlink_to(secret)
    (folder / "shots" / "up").symlink_to(folder.parents[1])
    (folder / "loop.png").symlink_to(folder / "loop.png")
    found = read(
        folder, "../../secret.png", str(secret), "link.png", "shots/up/secret.png",
        "../../sets/../secret.png", "/dev/stdin", "loop.png", "~/a.png", "shots", "x" * 5000,
    )  # fmt: skip
    assert [question.question for question in found.questions] == ["last"]
    outside = [fault.line for fault in found.faults if "outside the set's folder" in fault.reason]
    assert outside == [1, 2, 3, 4, 5, 6]
    assert len(found.faults) == 10 and all(fault.dropped for fault in found.faults)
    assert "copy it beside the set" in found.faults[0].reason


def test_the_home_folder_is_no_folder_above(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    found = read(folder, "a.png", "../c.png")
    assert [question.question for question in found.questions] == ["0", "last"]


def test_a_set_that_is_a_link_sees_where_the_link_lies(folder: Path, tmp_path: Path) -> None:
    read(folder, "a.png")
    other = tmp_path / "elsewhere" / "here"
    other.mkdir(parents=True)
    (other / "set.jsonl").symlink_to(folder / "set.jsonl")
    assert [f.line for f in read_questions(other / "set.jsonl").faults] == [1]


# ── The sidecar ──────────────────────────────────────────────────────────────────────────────


def beside(folder: Path, toml: str) -> QuestionSet:
    (folder / "set.jsonl").write_text('{"prompt_text": "Why?", "nr": 1}')
    (folder / "set.toml").write_text(toml)
    return read_questions(folder / "set.jsonl", fields={"id": "nr"})


FIELDS = '[fields]\nquestion = "prompt_text"\nid = "other"\n'


def test_a_sidecar_says_title_documents_and_fields(folder: Path) -> None:
    found = beside(folder, f'title = "The \u202eshop"\ndocuments = ["shots", "../c.png"]\n{FIELDS}')
    assert found.name == "The shop"
    assert found.folders == (folder / "shots", folder.parent / "c.png")
    assert found.questions[0].question == "Why?" and found.questions[0].id == "1"
    assert found.faults == ()


def test_documents_that_are_not_there_or_too_far_are_told(folder: Path) -> None:
    found = beside(folder, f'documents = ["none", "../..", "a\\u0000", "shots"]\n{FIELDS}')
    assert found.folders == (folder / "shots",)
    assert [fault.path for fault in found.faults] == [str(folder / "set.toml")] * 3
    assert not any(fault.dropped for fault in found.faults)
    assert [fault.reason.split(";")[0] for fault in found.faults] == [
        "documents: 'none' is not there",
        "documents: '../..' lies outside the set's folder and the one above it",
        "documents: 'a' is no path",
    ]


@pytest.mark.parametrize(
    ("toml", "error", "message"),
    [
        ("title = ", SourceError, "cannot be read"),
        ("\udcff", SourceError, "cannot be read"),
        ("titel = 'x'", UserError, "no setting 'titel'"),
        ("title = 3", UserError, "title is no text"),
        ("documents = 'x'", UserError, "documents is no list of paths"),
        ("documents = [3]", UserError, "documents is no list of paths"),
        ("fields = 3", UserError, "fields is no table of names"),
        ("[fields]\nquestion = 3", UserError, "fields is no table of names"),
        ("[fields]\nquesion = 'x'", UserError, "no field 'quesion' to map"),
        ("#" * 1_000_001, SourceError, "too large"),
    ],
)
def test_a_sidecar_that_is_wrong(
    folder: Path, toml: str, error: type[UserError], message: str
) -> None:
    (folder / "set.jsonl").write_text('{"question": "Why?"}')
    (folder / "set.toml").write_bytes(toml.encode(errors="surrogateescape"))
    with pytest.raises(error, match=message):
        read_questions(folder / "set.jsonl")
