"""What a newcomer types: options that nobody would follow, a word alone, answers that say why."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from pydantic import BaseModel

from limner.errors import DeveloperError, ModelOutputError
from limner.tests.tiny_chat_models import chat_model
from limner.tools.chat_models.qwen2_vl import Qwen2VL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chat_model(tmp_path_factory.mktemp("models") / "model", "qwen2_5_vl")


@pytest.fixture(scope="module")
def model(folder: Path) -> Qwen2VL:
    return Qwen2VL.load(str(folder), max_tokens=12)


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return word


class Tide(BaseModel):
    """When the water is high."""

    hour: int


WRONG: list[tuple[str, Any]] = [
    *(("max_tokens", value) for value in ("many", 0, -1, 1.5, True, None)),
    *(("temperature", value) for value in (float("nan"), float("inf"), -0.1, "0.5", True)),
    *(("top_p", value) for value in (0, 0.0, -1, 1.1, float("nan"))),
    *(("seed", value) for value in (-1, 2**64, "one", 1.0)),
    *(("image_tokens", value) for value in (0, -5, 2.5)),
    *(("stop", value) for value in ([5], 5, ["a", None])),
    *(("max_tokens", value) for value in (8192, 10**9)),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_values_that_cannot_be_are_refused(
    name: str, value: Any, folder: Path, model: Qwen2VL
) -> None:
    given = {name: value}
    asks: list[Callable[[], Any]] = [
        lambda: Qwen2VL.load(str(folder), **given),
        lambda: model.invoke("When?", **given),
        lambda: list(model.stream("When?", **given)),
        lambda: model.batch(["When?"], **given),
    ]
    for ask in asks:
        with pytest.raises(DeveloperError, match=name) as told:
            ask()
        assert any(word in f"{told.value} {told.value.hint}" for word in ("number", "words"))


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("dtype", "float99", "float32, bfloat16, float16"),
        ("device", "nope", "cpu"),
        ("device", "cuda:99", "cpu"),
        ("bits", 3, "0, 4, 8"),
        ("decoding", "bogus", "plain, static, compiled"),
    ],
)
def test_ways_of_loading_that_there_are_not(
    name: str, value: Any, known: str, folder: Path
) -> None:
    with pytest.raises(DeveloperError, match=f"{name} cannot be .*{known}"):
        Qwen2VL.load(str(folder), **{name: value})


def test_no_gpu_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeveloperError, match="device cannot be 'cuda'; it is one of cpu on this"):
        Qwen2VL.load(str(folder), device="cuda")


def test_values_at_the_bounds_are_followed(model: Qwen2VL) -> None:
    for given in ({"max_tokens": 1}, {"temperature": 0}, {"top_p": 1}, {"image_tokens": 1}):
        assert model.invoke("When?", **given)
    assert model.invoke("When?", temperature=0.7, top_p=1e-9, seed=2**64 - 1)
    assert model.invoke("When?", temperature=0.7, seed=None, stop=["x", "y"])


def test_options_that_nobody_follows_are_refused(folder: Path, model: Qwen2VL) -> None:
    asks: list[Callable[[], Any]] = [
        lambda: model.invoke("When?", max_new_tokens=3),
        lambda: list(model.stream("When?", max_new_tokens=3)),
        lambda: model.batch(["When?"], max_new_tokens=3),
        lambda: model.bind_tools([look_up], max_new_tokens=3).invoke("When?"),
        lambda: Qwen2VL.load(str(folder), max_new_tokens=3),
    ]
    for ask in asks:
        with pytest.raises(DeveloperError, match="no option 'max_new_tokens'") as told:
            ask()
        assert "max_tokens" in told.value.hint
    with pytest.raises(DeveloperError, match="a setting of the chat model"):
        Qwen2VL.load(str(folder), temperature="warm")
    config: Any = {"tags": ["one"], "metadata": {"two": 2}}
    options: dict[str, Any] = {"max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "seed": 1}
    assert model.invoke("When?", config, stop=["x"], image_tokens=99, **options)
    assert Qwen2VL.load(str(folder), tags=["one"], verbose=False).tags == ["one"]


def test_a_tool_that_is_not_bound_cannot_be_asked_for(model: Qwen2VL) -> None:
    with pytest.raises(DeveloperError, match="'look_down', which is not bound") as told:
        model.bind_tools([look_up], tool_choice="look_down")
    assert "look_up" in told.value.hint
    with pytest.raises(DeveloperError):
        model.bind_tools([look_up]).invoke("When?", tool_choice="look_down")
    named = {"type": "function", "function": {"name": "look_up"}}
    tokens: Any = lambda **given: model.bind_tools([look_up], **given).invoke("?").usage_metadata  # noqa: E731
    told_of = [tokens(tool_choice=choice) for choice in ("look_up", named, "any", "auto", None)]
    assert told_of[0] == told_of[1] and told_of[3] == told_of[4]
    assert told_of[0] != told_of[3] != told_of[2]


def test_a_stop_word_may_stand_alone(folder: Path, model: Qwen2VL) -> None:
    whole = str(model.invoke("When?", max_tokens=40).text)
    word = whole[3:6]
    cut = model.invoke("When?", max_tokens=40, stop=[word])
    assert cut.text == whole[: whole.index(word)]
    for given in (
        model.invoke("When?", max_tokens=40, stop=word),  # type: ignore[arg-type]
        model.batch(["When?"], max_tokens=40, stop=word)[0],
        Qwen2VL.load(str(folder), max_tokens=40, stop=word).invoke("When?"),
    ):
        assert given.text == cut.text and given.response_metadata["finish_reason"] == "stop"


def says(model: Qwen2VL, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model say certain words: its choice of tokens is replaced, nothing else."""
    tokenizer = model._engine.preparer.tokenizer
    tokens = tokenizer(words, add_special_tokens=False)["input_ids"]
    (end,) = model._engine._ends
    generate = model._engine.model.generate

    def guided(**inputs: Any) -> Any:
        asked = inputs["input_ids"].shape[1]
        return generate(
            **inputs,
            prefix_allowed_tokens_fn=lambda _, ids: [
                [*tokens, end][min(len(ids) - asked, len(tokens))]
            ],
        )

    monkeypatch.setattr(model._engine.model, "generate", guided)


CALL = '<tool_call>\n{"name": "Tide", "arguments": {"hour": 12}}\n</tool_call>'


@pytest.mark.parametrize(
    ("words", "tokens", "reason"),
    [("At noon.", 200, "stop"), ("At noon.", 2, "length"), (CALL, 200, "tool_calls")],
)
def test_an_answer_says_why_it_ended(
    words: str, tokens: int, reason: str, model: Qwen2VL, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(model, words, monkeypatch)
    bound = model.bind_tools([Tide], max_tokens=tokens)
    whole: AIMessageChunk | None = None
    for chunk in bound.stream("When?"):
        assert isinstance(chunk, AIMessageChunk)
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    answer = bound.invoke("When?")
    assert isinstance(answer, AIMessage)
    for message in (whole, answer):
        assert message.response_metadata["finish_reason"] == reason
        assert message.response_metadata["model_name"] == model.model_name


def test_words_instead_of_a_form_are_an_error(
    model: Qwen2VL, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(model, "At noon.", monkeypatch)
    with pytest.raises(ModelOutputError, match="in words"):
        model.with_structured_output(Tide).invoke("When?")
    raw = model.with_structured_output(Tide, include_raw=True).invoke("When?")
    assert isinstance(raw, dict) and raw["parsed"] is None and raw["raw"].text == "At noon."


def test_a_form_comes_without_remarks(model: Qwen2VL, monkeypatch: pytest.MonkeyPatch) -> None:
    says(model, CALL, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = model.with_structured_output(Tide).invoke("When?", max_tokens=200)
    assert found == Tide(hour=12)


def test_markup_is_not_shown(model: Qwen2VL) -> None:
    tokenizer = model._engine.preparer.tokenizer
    tokenizer.add_tokens(["<|quiet|>", "<tool_call>"])  # not special, as in published files
    from limner.tools.chat_models.engine import _unsaid

    unsaid = _unsaid(tokenizer)
    names = ["<|quiet|>", "<|endoftext|>", "<|im_end|>", "<|image_pad|>"]
    assert set(tokenizer.convert_tokens_to_ids(names)) <= unsaid
    said = ["<tool_call>", "<|box_start|>", "<|object_ref_end|>", "a"]
    assert not set(tokenizer.convert_tokens_to_ids(said)) & unsaid
