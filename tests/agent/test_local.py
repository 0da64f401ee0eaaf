"""A whole turn with a real model of each kind on this machine; its choice of tokens is guided."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from limner.agent.agent import Agent
from limner.agent.answer import Marked
from limner.agent.events import AnswerReady, Failed, ToolCalled
from limner.index.library import Library
from limner.tests.tiny_chat_models import chat_model
from limner.tools.chat_models.qwen2_vl import Qwen2VL

BOXES = {
    "qwen2_vl": "<|object_ref_start|>the red square<|object_ref_end|>"
    "<|box_start|>(500,200),(625,400)<|box_end|>",
    "qwen2_5_vl": '```json\n[{"bbox_2d": [406, 101, 508, 202], "label": "the red square"}]\n```',
}
CALLS = {
    "qwen2_vl": '✿FUNCTION✿: search_library\n✿ARGS✿: {"query": "lighthouse"}\n',
    "qwen2_5_vl": '<tool_call>\n{"name": "search_library", "arguments": {"query": "lighthouse"}}'
    "\n</tool_call>",
}


def guide(model: Qwen2VL, replies: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the model say certain words, one reply after the other; what it was asked comes back."""
    tokenizer = model._engine.preparer.tokenizer
    (end,) = model._engine._ends
    left = [[*tokenizer(r, add_special_tokens=False)["input_ids"], end] for r in replies]
    asked: list[str] = []
    generate = model._engine.model.generate

    def guided(**inputs: Any) -> Any:
        ids, tokens = inputs["input_ids"], left.pop(0)
        asked.append(tokenizer.decode(ids[0]))
        length = ids.shape[1]

        def only(row: int, now: Any) -> list[int]:
            return [tokens[min(len(now) - length, len(tokens) - 1)]]

        return generate(**inputs, prefix_allowed_tokens_fn=only)

    monkeypatch.setattr(model._engine.model, "generate", guided)
    return asked


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    image = Image.new("RGB", (800, 500), "white")
    pen = ImageDraw.Draw(image)
    pen.text((60, 60), "Harbour of Friday", "black", ImageFont.load_default(28))
    pen.rectangle((400, 100, 500, 200), fill="red")
    image.save(tmp_path / "shot.png")
    return tmp_path / "shot.png"


@pytest.mark.parametrize("family", BOXES)
def test_a_turn_with_a_call_and_a_box(
    family: str, library: Library, shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Qwen2VL.load(str(chat_model(tmp_path / "model", family)), max_tokens=300)
    found = f"High water is at noon. [1]\n{BOXES[family]}"
    asked = guide(model, [CALLS[family], found], monkeypatch)
    with Agent(library, chat_model=model, session="s") as agent:
        events = list(agent.stream("When is high water, and where is the red square?", [shot]))
    last = events[-1]
    assert isinstance(last, AnswerReady), last
    assert [e.name for e in events if isinstance(e, ToolCalled)] == ["search_library"]
    assert "lighthouse was built in 1871" in asked[1]
    (picture,) = last.answer.pictures
    assert isinstance(picture.origin, Marked)
    (box,) = picture.origin.boxes
    assert box == pytest.approx((400, 100, 500, 200), abs=4)
    assert picture.caption == "the red square, as the chat model sees it"
    assert last.answer.text.startswith("High water is at noon. [1]")
    assert "<|" not in last.answer.text and "bbox" not in last.answer.text
    assert last.answer.usage.image_tokens > 100


LOOKS = {
    "qwen2_vl": '✿FUNCTION✿: zoom\n✿ARGS✿: {"picture": "a1", "words": "Harbour of Friday"}\n',
    "qwen2_5_vl": '<tool_call>\n{"name": "zoom", "arguments": {"picture": "a1", '
    '"words": "Harbour of Friday"}}\n</tool_call>',
}


@pytest.mark.parametrize("family", LOOKS)
def test_a_turn_looks_closely_at_a_picture(
    family: str, library: Library, shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Qwen2VL.load(str(chat_model(tmp_path / "model", family)), max_tokens=300)
    asked = guide(model, [LOOKS[family], "It says Harbour of Friday. [a1]"], monkeypatch)
    with Agent(library, chat_model=model, session="s") as agent:
        *events, last = agent.stream("What harbour of Friday is written there?", [shot])
    assert isinstance(last, AnswerReady), last
    assert [e.name for e in events if isinstance(e, ToolCalled)] == ["zoom"]
    assert last.answer.text.startswith("It says Harbour of Friday.")
    behind = asked[1].partition("it says: ")[2]
    assert behind.count("<|vision_start|>") == behind.count("<|vision_end|>") == 1
    assert behind.count("<|image_pad|>") > 10


def test_words_that_can_be_read_are_boxed_by_their_line(
    library: Library, shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Qwen2VL.load(str(chat_model(tmp_path / "model")), max_tokens=300)
    guide(model, ["It says so. [a1]\n[[mark a1: Harbour of Friday]]"], monkeypatch)
    answer = Agent(library, chat_model=model).ask("What does it say of the harbour?", [shot])
    (picture,) = answer.pictures
    assert isinstance(picture.origin, Marked)
    x0, y0, x1, y1 = picture.origin.boxes[0]
    assert 40 < x0 < 80 and 50 < y0 < 80 and x1 < 400 and y1 < 120


def test_passages_make_room_in_the_window(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(8):
        words = f"High water number {n}. " + f"The tide {n} rises. " * 20
        (tmp_path / f"{n}.txt").write_text(words)
    library.add([tmp_path / f"{n}.txt" for n in range(8)])
    model = Qwen2VL.load(str(chat_model(tmp_path / "model", window=2400)), max_tokens=64)
    asked = guide(model, ["yes", "Noon. [1]"], monkeypatch)
    agent = Agent(library, chat_model=model)
    answer = agent.ask("When is high water?")
    assert answer.text == "Noon. [1]"
    assert 1 <= asked[1].count("<passage ") < len(answer.passages)
    assert "Question: When is high water?" in asked[1]


def test_random_words_are_survived(
    library: Library, shot: Path, tmp_path: Path, number_of: Callable[..., int]
) -> None:
    model = Qwen2VL.load(str(chat_model(tmp_path / "model")), max_tokens=40, temperature=2.0)
    with Agent(library, chat_model=model, session="s") as agent:
        for _ in range(5):
            *_, last = agent.stream("When is high water?", [shot])
            assert isinstance(last, AnswerReady | Failed)


def test_the_command_line_answers_with_a_model_of_this_machine(
    library: Library, shot: Path, tmp_path: Path
) -> None:
    folder = chat_model(tmp_path / "model")
    command = [
        sys.executable,
        "-m",
        "limner",
        "ask",
        "What harbour of Friday is this?",
        "-a",
        str(shot),
    ]
    command += ["--profile", "local", "--chat-model", str(folder), "--json"]
    command += ["--library", str(tmp_path / "new")]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    answer = json.loads(run.stdout)
    cut = answer["partial"]  # random words may well go on until the limit of tokens
    assert run.returncode == (3 if cut else 0), run.stderr
    assert ("reached its limit of tokens" in run.stderr) is cut
    assert answer["usage"]["image_tokens"] > 100
    assert answer["usage"]["output_tokens"] > 0
