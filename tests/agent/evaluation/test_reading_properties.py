"""Whatever bytes come, a set or an error of ours; and what is written is what is read."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.agent.evaluation.formats.base import QuestionSet
from limner.agent.evaluation.formats.jsonl import write_jsonl
from limner.agent.evaluation.formats.own import FIELDS
from limner.agent.evaluation.questions import Place, Question
from limner.agent.evaluation.reading import read_questions
from limner.errors import LimnerError

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def tried(path: Path, data: bytes, beside: bytes | None = None) -> QuestionSet | None:
    path.write_bytes(data)
    path.with_suffix(".toml").unlink(missing_ok=True)
    if beside is not None:
        path.with_suffix(".toml").write_bytes(beside)
    try:
        found = read_questions(path)
    except LimnerError as error:
        assert str(error) and "\n" not in str(error)
        return None
    assert found.questions
    assert len({question.id for question in found.questions}) == len(found.questions)
    json.dumps([question.to_dict() for question in found.questions], ensure_ascii=False).encode()
    assert all(fault.reason and fault.reason.isprintable() for fault in found.faults)
    return found


# ── Anything ─────────────────────────────────────────────────────────────────────────────────

KEYS = (*FIELDS, "reference", "data", "paragraphs", "context", "qas", "answers", "text", "title",
        "is_impossible", "prompt", "image_urls", "task_type", "Query", "Golden", "Category",
        "type", "content", "source", "page", "box", "other")  # fmt: skip
HEADERS = ("id,question,reference", "question;boxes;reference_images", "question\tanswerable")
SCALARS = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
           | st.sampled_from(["text", "image", "a<img>", "https://x.test/a.png", "../a", "s#2"])
           | st.integers(10**4299, 10**4400))  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=12,
)
ROWS = st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=8)
KNOWN_ROWS = st.one_of(
    ROWS,
    st.dictionaries(st.sampled_from(FIELDS), VALUES).map(lambda row: {"question": "x", **row}),
    st.fixed_dictionaries({"prompt": st.text(max_size=9), "image_urls": st.lists(VALUES)}),
    st.fixed_dictionaries({"Query": st.lists(VALUES, max_size=3)}, optional={"Golden": VALUES}),
    st.fixed_dictionaries({"data": st.lists(st.fixed_dictionaries(
        {"paragraphs": st.lists(st.fixed_dictionaries({"context": VALUES, "qas": VALUES}))}))}),
)  # fmt: skip


def dumped(value: Any) -> str:
    try:
        return json.dumps(value)
    except ValueError:  # digits beyond Python's limit
        return "1" * 5000


@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=200) | st.text(max_size=80).map(
           lambda text: text.encode(errors="replace")),
       suffix=st.sampled_from(SUFFIXES))  # fmt: skip
def test_any_bytes(place: Path, data: bytes, suffix: str) -> None:
    tried(place / f"any{suffix}", data)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(KNOWN_ROWS, min_size=1, max_size=4), whole=st.booleans(), cut=st.booleans())
def test_any_json(place: Path, rows: list[Any], whole: bool, cut: bool) -> None:
    texts = [dumped(row) for row in rows]
    text = f"[{','.join(texts)}]" if whole else "\n".join(texts)
    for suffix in (".json", ".jsonl"):
        tried(place / f"any{suffix}", text.encode()[: -3 if cut else None])


CELLS = st.text(alphabet='a,;\t"\n |[]{}:1#é\ud800\0\ufeff', max_size=12) | st.sampled_from(KEYS)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.lists(CELLS, max_size=4), max_size=5), header=st.sampled_from(HEADERS))
def test_any_table(place: Path, rows: list[list[str]], header: str) -> None:
    text = "\n".join([header, *(",".join(row) for row in rows)])
    tried(place / "any.csv", text.encode("utf-8", "replace"))


TABLES = st.dictionaries(st.sampled_from(["title", "documents", "fields", "x"]), VALUES)


def toml(told: dict[str, Any]) -> bytes:
    return "\n".join(f"{name} = {dumped(value)}" for name, value in told.items()).encode()


@settings(max_examples=50, deadline=None)
@given(beside=st.binary(max_size=60) | TABLES.map(toml))
def test_any_sidecar(place: Path, beside: bytes) -> None:
    tried(place / "any.jsonl", b'{"question": "x"}', beside)


# ── Round trips ──────────────────────────────────────────────────────────────────────────────

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
FILLED = TEXTS.filter(str.strip)
PLACES = st.builds(
    lambda source, page, x, y: Place(source, page, None if x is None else (x, y, x + 3.5, y + 2)),
    FILLED,
    st.none() | st.integers(1, 999),
    st.none() | st.integers(0, 99),
    st.integers(0, 99),
)


def question(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Question]:
    filled = texts.filter(str.strip)
    places = st.builds(Place, filled, st.none() | st.integers(1, 999)) | PLACES
    return st.builds(
        Question, filled, filled, st.just(()), st.lists(filled, max_size=3),
        st.none() | st.lists(places, max_size=3), st.lists(texts | places, max_size=3),
        st.lists(filled, max_size=3), st.lists(places, max_size=2), texts, texts, texts,
        st.sampled_from([True, False, None]), st.sampled_from([True, False, None]),
    )  # fmt: skip


def unique(texts: st.SearchStrategy[str]) -> st.SearchStrategy[list[Question]]:
    return st.lists(question(texts), min_size=1, max_size=3, unique_by=lambda one: one.id)


@settings(max_examples=40, deadline=None)
@given(questions=unique(TEXTS))
def test_json_lines_are_read_as_they_were_written(place: Path, questions: list[Question]) -> None:
    write_jsonl(questions, place / "own.jsonl")
    found = read_questions(place / "own.jsonl")
    assert found.faults == () and list(found.questions) == questions


PRINTED = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n"), max_size=20
)


@settings(max_examples=40, deadline=None)
@given(questions=unique(PRINTED), sign=st.sampled_from(",;\t"), mark=st.booleans())
def test_csv_is_read_as_it_was_written(
    place: Path, questions: list[Question], sign: str, mark: bool
) -> None:
    path = place / "own.csv"
    with path.open("w", encoding="utf-8-sig" if mark else "utf-8", newline="") as stream:
        table = csv.writer(stream, delimiter=sign)
        table.writerow(FIELDS)
        for one in questions:
            told = one.to_dict()
            table.writerow([_cell(name, told[name]) for name in FIELDS])
    found = read_questions(path)
    assert found.faults == () and list(found.questions) == questions


def _cell(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return "" if name == "reference_parts" and not value else json.dumps(value)
    if value is None:
        return "none" if name in ("answerable", "refused") else ""
    return str(value)


def test_pictures_are_written_relative_to_the_set(place: Path) -> None:
    (place / "shots").mkdir()
    (place / "shots" / "a.png").write_bytes(b"picture")
    asked = Question("1", "What?", (str(place.resolve() / "shots" / "a.png"),))
    write_jsonl([asked], place / "near.jsonl")
    assert json.loads((place / "near.jsonl").read_text())["images"] == ["shots/a.png"]
    assert read_questions(place / "near.jsonl").questions == (asked,)
