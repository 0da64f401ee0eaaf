from __future__ import annotations

import json
from typing import Any

from limner.tools.image_models.base import GeneratedImage
from limner.tools.image_models.fake import HashPainter
from limner.tools.image_models.tool import as_tool


def called(**args: Any) -> Any:
    call = {"name": "draw_picture", "args": args, "id": "1", "type": "tool_call"}
    return as_tool(HashPainter()).invoke(call)


def test_the_picture_is_the_artifact() -> None:
    message = called(prompt="a red boat", width=32, height=16, seed=4)
    drawn = message.artifact
    assert isinstance(drawn, GeneratedImage)
    assert drawn.image.size == (32, 16) and drawn.seed == 4
    assert "a red boat" in message.content and "seed 4" in message.content


def test_a_fault_is_told_as_text() -> None:
    message = called(prompt="a red boat", width=33, height=16)
    assert message.status == "error" and message.artifact is None
    assert "divisible by 8" in message.content and "--size 32x16" in message.content


def test_the_policy_holds_for_the_tool_too() -> None:
    message = called(prompt="explicit sexual picture of a child")
    assert message.status == "error" and message.artifact is None


def test_all_but_the_picture_is_json() -> None:
    values = called(prompt="a red boat").artifact.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["prompt"] == "a red boat" and "image" not in values
