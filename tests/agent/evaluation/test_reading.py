"""Question sets from CSV, JSON and JSON Lines: what is read, and what is said of the rest."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limner.agent.evaluation.formats.base import Faults, QuestionSet
from limner.agent.evaluation.questions import Place, Question
from limner.agent.evaluation.reading import packaged_sets, read_questions
from limner.errors import SourceError, UserError

Read = Callable[..., QuestionSet]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Writes a file and reads it as a set."""

    def written(name: str, data: str | bytes, **said: Any) -> QuestionSet:
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_questions(path, **said)

    return written


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def said(found: QuestionSet) -> list[tuple[int, str, bool]]:
    return [(fault.line, fault.reason, fault.dropped) for fault in found.faults]


FULL = {
    "id": "a",
    "question": "Why?",
    "reference": ["b", "c"],
    "reference_images": [{"source": "s.pdf", "page": 2, "box": [1, 2, 3.5, 4]}, "t.pdf#3", "u.png"],
    "reference_parts": ["first", {"source": "s.pdf"}],
    "relevant": ["s.pdf#2", "n.md"],
    "boxes": [{"source": "shot.png", "box": [0, 0, 9, 9]}],
    "category": "text",
    "task": "qa",
    "document": "s.pdf",
    "answerable": None,
    "refused": True,
}
QUESTION = Question(
    "a",
    "Why?",
    (),
    ("b", "c"),
    (Place("s.pdf", 2, (1, 2, 3.5, 4)), Place("t.pdf", 3), Place("u.png")),
    ("first", Place("s.pdf")),
    ("s.pdf#2", "n.md"),
    (Place("shot.png", box=(0, 0, 9, 9)),),
    "text",
    "qa",
    "s.pdf",
    None,
    True,
)


def test_every_field_of_json_lines(read: Read, tmp_path: Path) -> None:
    text = lines(FULL, {"id": 7, "question": "And?", "reference": 12.5, "reference_images": []})
    found = read("set.jsonl", text)
    second = Question("7", "And?", references=("12.5",), reference_images=())
    assert found.questions == (QUESTION, second)
    assert found.faults == () and found.name == "set" and found.path == tmp_path / "set.jsonl"
    assert found.digest == hashlib.sha256(text.encode()).hexdigest()


def test_json_numbers_its_rows(read: Read) -> None:
    found = read("set.json", json.dumps([FULL, 3, {"question": "No id"}, {"question": " "}]))
    assert found.questions == (QUESTION, Question("row-3", "No id"))
    assert said(found) == [
        (2, "a number, not an object of fields", True),
        (4, "no question", True),
    ]


def test_json_lines_that_are_called_json(read: Read) -> None:
    assert read("set.json", lines(FULL, {**FULL, "id": "b"})).questions[0] == QUESTION


CSV = '''id,question,reference,reference_images,relevant,answerable,refused,boxes
a,"Two
lines, ""quoted""",x | y,[],m.pdf#1,no,,
b,List?,"[""p | q"", ""r""]",s.pdf#2 | t.png,,none,yes,"[{""source"": ""s"", ""box"": [0,0,2,1]}]"
'''


@pytest.mark.parametrize("sign", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_with_any_delimiter_and_line_end(read: Read, sign: str, end: str) -> None:
    text = CSV if sign == "," else _with_delimiter(CSV, sign)
    found = read("set.csv", codecs.BOM_UTF8 + text.replace("\n", end).encode())
    assert found.faults == ()
    assert found.questions == (
        Question("a", 'Two\nlines, "quoted"', (), ("x", "y"), (), relevant=("m.pdf#1",),
                 answerable=False),
        Question("b", "List?", (), ("p | q", "r"), (Place("s.pdf", 2), Place("t.png")),
                 boxes=(Place("s", box=(0, 0, 2, 1)),), answerable=None, refused=True),
    )  # fmt: skip


def _with_delimiter(text: str, sign: str) -> str:
    import csv
    import io

    stream = io.StringIO()
    rows = csv.reader(io.StringIO(text))
    csv.writer(stream, delimiter=sign, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def test_csv_in_latin_1_and_utf_16(read: Read) -> None:
    text = "id,question\n1,Wie groß ist die Tür des Cafés?\n"
    for encoding in ("latin-1", "utf-16"):
        found = read("set.csv", text.encode(encoding))
        assert found.questions[0].question == "Wie groß ist die Tür des Cafés?"


def test_csv_rows_that_break_are_told_and_the_rest_goes_on(read: Read) -> None:
    found = read(
        "set.csv",
        "id,question,id\n"
        "1,one,x\n"
        "\n,,\n"
        "2,two\n"
        "3,three,,,\n"
        "4,four,,more\n"
        f"5,{'x' * 200_000},\n"
        '6,a"b"c,\n'
        '7,"open,\nand 8,eight,\n',
    )
    assert [(q.id, q.question) for q in found.questions] == [
        ("1", "one"), ("3", "three"), ("6", 'a"b"c'),
    ]  # fmt: skip
    assert said(found) == [
        (1, "two columns are called 'id'; the first is read", False),
        (5, "2 cells where the header names 3 columns", True),
        (7, "4 cells where the header names 3 columns", True),
        (8, "a cell of more than 131,072 letters", True),
        (10, "a quote is opened here and never closed; what follows is not read", True),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"question": "x"', "not JSON (Expecting ',' delimiter, column 17)"),
        ('{"question": NaN}', "not JSON (NaN is no number)"),
        ('{"question": "x", "boxes": [[1, -Infinity]]}', "not JSON (-Infinity is no number)"),
        ("[" * 100_000, "not JSON that can be read (nested too deeply)"),
        ('"text"', "a text, not an object of fields"),
        ("null", "null, not an object of fields"),
        ("[]", "a list, not an object of fields"),
        ("{}", "no question"),
        ('{"question": null}', "no question"),
        ('{"question": ["x"]}', "question: ['x'] is no text"),
        ('{"question": true}', "question: True is no text"),
        ('{"question": "x", "id": {}}', "id: {} is no text"),
        ('{"question": "x", "reference": ["a", " "]}', "references: an empty text"),
        ('{"question": "x", "relevant": [null]}', "relevant: None is no text"),
        ('{"question": "x", "answerable": "yes"}', "answerable: 'yes' is neither true nor false"),
        ('{"question": "x", "refused": 1}', "refused: 1 is neither true nor false"),
        ('{"question": "x", "boxes": [{"box": [0, 0, 1, 1]}]}', "boxes: a place needs a source"),
        ('{"question": "x", "boxes": [{"source": "s", "pge": 1}]}', "boxes: a place has no 'pge'"),
        (
            '{"question": "x", "boxes": [{"source": "s", "page": 0}]}',
            "boxes: 0 is no page; the first is 1",
        ),
        (
            '{"question": "x", "boxes": [{"source": "s", "box": [1, 1, 1, 2]}]}',
            "boxes: [1, 1, 1, 2] is no box; its corners are top left and bottom right",
        ),
        (
            '{"question": "x", "boxes": [{"source": "s", "box": [0, 0, 1, 1e999]}]}',
            "boxes: [0, 0, 1, inf] is no box [x0, y0, x1, y1]",
        ),
        ('{"question": "x", "reference_parts": "y"}',
         "reference_parts: 'y' is no list of texts and places"),
        ('{"question": "x", "reference": "a", "references": "b"}',
         "two columns give its references"),
        ('{"question": "x", "images": ["none.png"]}', "the picture 'none.png' is not there"),
        ('{"question": "x", "images": ["a\\u0000b"]}', "'ab' is no path"),
        ('{"question": "%s"}' % ("x" * 1_000_000),
         "a line of 1,000,016 letters; at most 1,000,000 are read"),
    ],
)  # fmt: skip
def test_a_row_that_is_wrong_is_left_out_and_why(read: Read, row: str, reason: str) -> None:
    found = read("set.jsonl", f'{{"question": "before"}}\n\n{row}\n{{"question": "after"}}\n')
    assert [question.question for question in found.questions] == ["before", "after"]
    assert said(found) == [(3, reason, True)]


def test_half_a_character_becomes_a_mark(read: Read) -> None:
    found = read("set.jsonl", '{"question": "a \\ud800 b \\ud83d\\ude00"}')
    assert found.questions[0].question == "a \ufffd b 😀"


def test_of_two_rows_with_one_id_the_second_is_left_out(read: Read) -> None:
    rows = lines(*({"id": i, "question": f"{i}{n}"} for n, i in enumerate(["x", "y", "x", "x"])))
    found = read("set.jsonl", rows)
    assert [question.question for question in found.questions] == ["x0", "y1"]
    assert said(found) == [
        (3, "id 'x' is that of line 1 already; left out", True),
        (4, "id 'x' is that of line 1 already; left out", True),
    ]
    assert str(found.faults[0]) == f"{found.path}:3: id 'x' is that of line 1 already; left out"


def test_a_column_that_nobody_reads_is_named_once(read: Read) -> None:
    found = read("set.jsonl", lines(*({"question": n, "refrence": 1, "zzz": 2} for n in range(3))))
    assert said(found) == [
        (1, "column 'refrence' is not read; did you mean 'reference'?", False),
        (1, "column 'zzz' is not read", False),
    ]


def test_very_many_columns_are_counted(read: Read) -> None:
    found = read("set.jsonl", lines({"question": "x", **{f"k{n}": n for n in range(50)}}))
    assert len(found.faults) == Faults.MOST_COLUMNS + 1
    assert found.faults[-1].reason == "30 more columns are not read"


def test_very_many_faults_are_counted(read: Read) -> None:
    found = read("set.jsonl", '{"question": "x"}\n' + "garbage\n" * 1500)
    assert len(found.faults) == Faults.MOST + 1
    assert found.faults[-1].reason == "… and 500 faults more"


def test_a_hopeless_file_ends(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Faults, "HOPELESS", 10)
    with pytest.raises(SourceError, match="more than 10 rows cannot be read; line 12: not JSON"):
        read("set.jsonl", '{"question": "x"}\n' + "garbage\n" * 5000)


def test_fields_by_other_names(read: Read) -> None:
    row = {"nr": 4, "prompt_text": "Why?", "gold": "b", "question": "not this"}
    fields = {"question": "prompt_text", "id": "nr", "reference": "gold", "task": "kind"}
    found = read("set.jsonl", lines(row), fields=fields)
    assert found.questions == (Question("4", "Why?", references=("b",)),)
    assert [reason for _, reason, _ in said(found)] == [
        "column 'question' is not read",
        "no column 'kind', named for task",
    ]
    with pytest.raises(UserError, match="no field 'quesion' to map"):
        read("set.jsonl", lines(row), fields={"quesion": "x"})
    with pytest.raises(UserError, match="two fields are mapped to one column"):
        read("set.jsonl", lines(row), fields={"question": "x", "id": "x"})


def test_fields_that_are_named_go_before_a_known_form(read: Read) -> None:
    row = {"prompt": "Why <img>?", "image_urls": [], "id": "1"}
    found = read("set.jsonl", lines(row), fields={"question": "prompt"})
    assert found.questions == (Question("1", "Why <img>?"),)


@pytest.mark.parametrize(
    ("name", "data", "message", "hint"),
    [
        ("set.jsonl", "", "holds no questions", "fields: id, question, images"),
        ("set.json", "[]", "holds no questions", "fields: id"),
        ("set.csv", "id,question\n", "holds no questions", "fields: id"),
        ("set.csv", "id,qestion\n1,x\n", "line 2: no question", "did you mean 'question'?"),
        ("set.csv", "id,what\n1,x\n", "line 2: no question", "set.toml: [fields] question"),
        ("set.json", '{"a": [1,', "not JSON (Expecting value, column 10)", ".jsonl"),
        ("set.json", '{\n "a" 1}', "not JSON (Expecting ':' delimiter, line 2, column 6)", ""),
        ("set.csv", '"id\n', "a quote is opened here and never closed", ""),
        ("set.jsonl", bytes(range(256)) * 9, "neither UTF-8 nor another known encoding", "UTF-8"),
        ("set.csv", b"id,question\0\0\0\0", "binary data, not text", ""),
        ("set.xlsx", b"PK", "'.xlsx' is no form of a question set", ".csv, .tsv, .json, .jsonl"),
        ("set", b"x", "'a file without a suffix' is no form", ".csv"),
    ],
)
def test_what_is_no_set_at_all(
    read: Read, name: str, data: str | bytes, message: str, hint: str
) -> None:
    with pytest.raises(UserError) as error:
        read(name, data)
    assert message in str(error.value) and hint in error.value.hint


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        read_questions(tmp_path)
    with pytest.raises(UserError, match="no question set") as error:
        read_questions(tmp_path / "none.csv")
    assert all(name in error.value.hint for name in (".csv", ".jsonl", *packaged_sets()))
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(UserError):
            read_questions(name)


def test_the_packaged_sets_are_read_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "handbook").mkdir()
    monkeypatch.chdir(tmp_path)
    assert {"handbook", "charts"} <= set(packaged_sets())
    for name, path in packaged_sets().items():
        found = read_questions(name)
        assert found.questions and not found.faults and found.path == path
    handbook = read_questions("handbook")
    assert len(handbook.questions) == 40
    assert handbook.folders[0].name == "handbook" and handbook.folders[0].is_dir()
    shown = next(q for q in handbook.questions if q.id == "figure-01")
    assert shown.reference_images == (Place("machines.pdf", 1),)


def test_a_file_goes_before_a_packaged_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "limner.agent.evaluation.reading.packaged_sets", lambda: {"mine.jsonl": Path("/none")}
    )
    monkeypatch.chdir(tmp_path)
    Path("mine.jsonl").write_text('{"question": "x"}')
    assert read_questions("mine.jsonl").questions[0].question == "x"
