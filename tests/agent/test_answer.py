from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from limner.agent.answer import Answer, Generated, Marked, Picture, Retrieved, Text, Usage
from limner.agent.checkpoints import serializer
from limner.agent.draft import Slot
from limner.agent.state import Attachment, Dropped, Exchange, Made
from limner.index.passage import Passage
from limner.tools.ocr import Line

words = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
numbers = st.floats(0, 1e6, allow_nan=False)
boxes = st.tuples(numbers, numbers, numbers, numbers)
passages = st.builds(
    Passage,
    id=words,
    text=words,
    source=words,
    page=st.none() | st.integers(1, 99),
    box=st.none() | boxes,
    image=st.none() | words,
    modality=st.sampled_from(["text", "figure", "screenshot"]),
    heading=words,
    context=words,
    score=st.none() | numbers,
)
origins = st.one_of(
    st.builds(Retrieved, passages),
    st.builds(Marked, passages, st.lists(boxes, max_size=3).map(tuple)),
    st.builds(
        Generated, words, words, words, words, st.integers(0, 2**31), st.integers(1, 100), numbers,
        words, st.tuples(st.integers(8, 2048), st.integers(8, 2048)),
    ),
)  # fmt: skip
pictures = st.builds(Picture, words, words, words, origins)
texts = st.builds(Text, words, st.lists(st.integers(1, 9), max_size=3).map(tuple))
answers = st.builds(
    Answer,
    parts=st.lists(texts | pictures, max_size=4).map(tuple),
    passages=st.lists(passages, max_size=3).map(tuple),
    usage=st.builds(Usage, *[st.integers(0, 999)] * 3),
    timings=st.dictionaries(words, numbers, max_size=3).map(lambda d: tuple(d.items())),
    refused=st.booleans(),
    abstained=st.booleans(),
    partial=st.booleans(),
)
lines = st.builds(Line, words, boxes, st.floats(0, 1))
slots = st.builds(Slot, st.integers(0, 9), st.sampled_from(["show", "mark", "draw"]), words, words)
values = st.one_of(
    answers,
    st.builds(Attachment, words, words, st.lists(lines, max_size=2).map(tuple)),
    st.builds(Made, slots, pictures | st.builds(Dropped, words)),
    st.builds(Exchange, words, words),
)

SERIALIZER = serializer()


@given(answers)
def test_json_there_and_back(answer: Answer) -> None:
    again = Answer.from_dict(json.loads(json.dumps(answer.to_dict())))
    assert again == answer
    assert hash(again) == hash(answer)


@given(values)
def test_langgraph_s_serializer_there_and_back(value: object) -> None:
    again = SERIALIZER.loads_typed(SERIALIZER.dumps_typed(value))
    assert again == value
    assert hash(again) == hash(value)


def test_text_pictures_and_citations_are_read_off_the_parts() -> None:
    picture = Picture("m", "c", "a", Retrieved(Passage("1", "t", "s")))
    answer = Answer((Text("One [2].", (2,)), picture, Text("Two [1][2].", (1, 2))))
    assert answer.text == "One [2].\n\nTwo [1][2]."
    assert answer.pictures == (picture,)
    assert answer.citations == (2, 1)


def test_the_folder_is_no_part_of_the_value() -> None:
    assert Answer((), folder="/here") == Answer((), folder="/there")
    assert "/here" not in repr(Answer((), folder="/here"))
    assert len(repr(Picture("f" * 64, "c" * 500, "", Retrieved(Passage("1", "t", "s"))))) < 120
