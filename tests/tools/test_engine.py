"""Answers written together, pictures looked at once, keys kept: the same words, for less work."""

from __future__ import annotations

import base64
import inspect
import io
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from langchain_core.messages import HumanMessage
from PIL import Image

from limner.errors import ModelError
from limner.tests.tiny_chat_models import FAMILIES, chat_model
from limner.tools.chat_models import engine as engine_module
from limner.tools.chat_models.batch import Written
from limner.tools.chat_models.eyes import Looked
from limner.tools.chat_models.pictured import conversation_of
from limner.tools.chat_models.qwen2_vl import Qwen2VL

QWEN = [family for family in FAMILIES if family.startswith("qwen")]
WORDS = "The VPN reports error 809 when port 1701 is closed. " * 6


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Qwen2VL]:
    place = tmp_path_factory.mktemp("models")

    def loaded(family: str = "qwen2_vl", **settings: Any) -> Qwen2VL:
        folder: Path = place / family
        if not folder.exists():
            chat_model(folder, family)
        return Qwen2VL.load(str(folder), **{"max_tokens": 12, **settings})

    return loaded


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    dice = np.random.default_rng(seed)
    return Image.fromarray(dice.integers(0, 256, (height, width, 3), dtype=np.uint8))


def asked(*parts: str | Image.Image) -> list[HumanMessage]:
    content: list[Any] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        else:
            stream = io.BytesIO()
            part.save(stream, "PNG")
            data = base64.b64encode(stream.getvalue()).decode()
            content.append({"type": "image", "base64": data, "mime_type": "image/png"})
    return [HumanMessage(content)]


def calls_of(model: Qwen2VL, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call of the vision tower looks at."""
    base = model._engine.model.base_model
    looks, look = [], base.get_image_features

    def counted(*args: Any, **kwargs: Any) -> Any:
        pixels = kwargs["pixel_values"]
        grid = kwargs.get("image_grid_thw")
        looks.append(len(pixels) if grid is None else len(grid))
        return look(*args, **kwargs)

    counted.__signature__ = inspect.signature(look)  # type: ignore[attr-defined]
    monkeypatch.setattr(base, "get_image_features", counted)
    return looks


class Steps:
    """What each token was chosen from, and how many rows were written together."""

    def __init__(self, model: Qwen2VL, monkeypatch: pytest.MonkeyPatch) -> None:
        self.logits: list[torch.Tensor] = []
        self.rows: list[int] = []
        self.went_on: list[int] = []
        batch, choose = model._engine._batch, Written.choose
        step, generate = batch.step, model._engine.model.generate

        def chosen(row: Written, logits: Any, likeliest: int) -> int:
            self.logits.append(logits.clone())
            return choose(row, logits, likeliest)

        def stepped() -> list[int]:
            self.rows.append(len(batch.rows))
            return step()

        def read(**inputs: Any) -> Any:
            cache = inputs.get("past_key_values")
            self.went_on.append(cache.get_seq_length() if cache is not None else 0)
            return generate(**inputs)

        monkeypatch.setattr(Written, "choose", chosen)
        monkeypatch.setattr(batch, "step", stepped)
        monkeypatch.setattr(model._engine.model, "generate", read)


# ── pictures are looked at once ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_is_looked_at_once(
    family: str, load: Callable[..., Qwen2VL], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = noise(140, 90), noise(90, 140, 1)
    several = [
        asked("What is this?", one),
        asked("Where is that?", one),
        asked("Which of them?", one, other),
        asked("The other?", other),
        asked("And both?", other, one),
    ]
    fresh = [load(family).invoke(messages).text for messages in several]
    model = load(family)
    looks = calls_of(model, monkeypatch)
    assert [model.invoke(messages).text for messages in several] == fresh
    # Where pixels are not told apart, the pictures of a question count as one.
    assert looks == ([1, 1] if family in QWEN else [1, 2, 1, 2])
    model._engine.forget()
    assert [answer.text for answer in model.batch(several)] == fresh


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_those_of_the_tower(family: str, load: Callable[..., Qwen2VL]) -> None:
    model = load(family)
    messages = asked("Which?", noise(140, 90), noise(90, 140, 1))
    prepared = model._prepared([conversation_of(messages)])
    batch = model._engine._batch
    seen = batch.seen(prepared)
    assert [one.kind for one in seen] == ["image"] * (2 if family in QWEN else 1)
    base = model._engine.model.base_model
    names = inspect.signature(base.get_image_features).parameters
    pixels = {name: prepared.inputs[name] for name in names & prepared.inputs.keys()}
    with torch.inference_mode():
        expected = base.get_image_features(**pixels, return_dict=True)
        found = batch.looked.at(seen)["image"]
        again = batch.looked.at(seen)["image"]
    for features in (found, again):
        for a, b in zip(features.pooler_output, expected.pooler_output, strict=True):
            torch.testing.assert_close(a, b)
        layers = getattr(expected, "deepstack_features", None) or []
        assert len(features.deepstack_features or []) == len(layers) == (family == "qwen3_vl")
        for ours, theirs in zip(features.deepstack_features or [], layers, strict=True):
            torch.testing.assert_close(torch.cat(list(ours)), torch.cat(list(theirs)))
    tokens = prepared.inputs["input_ids"][0]
    pictures = (tokens == model._engine.preparer.picture_token).nonzero()[:, 0].tolist()
    assert (seen[0].start, seen[-1].end) == (pictures[0], pictures[-1] + 1)
    assert all(a.end <= b.start for a, b in itertools.pairwise(seen))


def test_features_make_room_for_newer_ones(load: Callable[..., Qwen2VL]) -> None:
    model = load()
    looked = Looked(model._engine.model, most=3 * 15 * 64 * 4)  # three pictures of 15 tokens
    with torch.inference_mode():
        for seed in (0, 1, 2, 0, 3):
            prepared = model._prepared([conversation_of(asked(noise(140, 84, seed)))])
            (one,) = model._engine._batch.seen(prepared)
            looked.at([one])
    assert len(looked._kept) == 3
    assert next(reversed(looked._kept)) == one.digest


@pytest.mark.parametrize("family", FAMILIES)
def test_each_token_is_chosen_from_the_logits_of_transformers(
    family: str, load: Callable[..., Qwen2VL], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(family)
    messages = asked(WORDS, noise(140, 90), "What is this?")
    inputs = model._prepared([conversation_of(messages)]).inputs
    theirs = model._engine.model.generate(
        **inputs,
        max_new_tokens=12,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    steps = Steps(model, monkeypatch)
    model.invoke(messages)
    for ours, expected in zip(steps.logits, theirs.logits, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


# ── keys are kept beyond pictures ────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", FAMILIES)
def test_a_follow_up_goes_on_behind_the_pictures(
    family: str, load: Callable[..., Qwen2VL], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = noise(140, 90), noise(140, 90, 1)
    several = [
        asked(WORDS, one, "What is this?"),
        asked(WORDS, one, "What else is there to see?"),  # behind the picture
        asked(WORDS, other, "What is this?"),  # the tokens are the same, the picture is not
        asked(WORDS, one, "What is this?", one),  # a further picture behind
        asked(WORDS, one, "What is this?", other),
        asked(WORDS, "What?"),
        asked(WORDS, one, "What is this?", other),
    ]
    with monkeypatch.context() as patch:
        model = load(family)
        plain = Steps(model, patch)
        fresh = []
        for messages in several:
            model._engine.forget()
            fresh.append(model.invoke(messages).text)
    model = load(family)
    kept = Steps(model, monkeypatch)
    assert [model.invoke(messages).text for messages in several] == fresh
    assert not any(plain.went_on)
    for ours, expected in zip(kept.logits, plain.logits, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    spans = [model._engine._batch.seen(model._prepared([conversation_of(m)])) for m in several]
    went = kept.went_on
    assert went[0] == 0 and went[1] >= spans[1][0].end
    assert 32 <= went[2] <= spans[2][0].start
    # "Picture 1:" is written once there are two, so the first of two stands elsewhere.
    if family in QWEN:
        assert spans[4][0].end <= went[4] <= spans[4][1].start
    assert went[6] == len(model._prepared([conversation_of(several[6])]).inputs["input_ids"][0]) - 1


# ── many at once ─────────────────────────────────────────────────────────────────────────────


def in_threads(works: list[Callable[[], Any]]) -> list[Any]:
    found: list[Any] = [None] * len(works)

    def run(n: int) -> None:
        try:
            found[n] = works[n]()
        except Exception as error:
            found[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def streamed(model: Qwen2VL, messages: list[HumanMessage], **options: Any) -> str:
    return "".join(str(chunk.text) for chunk in model.stream(messages, **options))


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen3_vl", "llava_next"])
def test_threads_share_passes_and_say_what_they_would_alone(
    family: str, load: Callable[..., Qwen2VL], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(family)
    pictures = [noise(60 + 20 * n, 90, n) for n in range(4)]
    several = [asked(f"Question {n}", *pictures[: n % 3], "?" * n) for n in range(9)]
    options = [{"max_tokens": 5 + 7 * n} for n in range(8)]
    options.append({"max_tokens": 40, "temperature": 1.5, "seed": 7})
    singles = [
        model.invoke(messages, **given).text  # type: ignore[arg-type]
        for messages, given in zip(several, options, strict=True)
    ]
    steps = Steps(model, monkeypatch)
    works: list[Callable[[], Any]] = [
        (lambda n=n: streamed(model, several[n], **options[n]))
        if n % 2
        else (lambda n=n: model.invoke(several[n], **options[n]).text)
        for n in range(9)
    ]
    before = set(threading.enumerate())
    assert in_threads(works) == singles
    assert not set(threading.enumerate()) - before
    tokens = len(steps.logits)
    assert max(steps.rows) > 1 and len(steps.rows) < tokens - len(several)
    assert sum(steps.rows) == tokens - len(several)  # no row is written on after its end


def test_rows_join_between_tokens_and_leave_at_their_end(
    load: Callable[..., Qwen2VL], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(max_tokens=300)
    model._engine._ends = frozenset()
    long, short = asked("Tell me of tides."), asked("Short?", noise(140, 90))
    whole, brief = model.invoke(long).text, model.invoke(short, max_tokens=6).text
    steps = Steps(model, monkeypatch)
    stream = model.stream(long)
    told = [next(stream)]
    assert model.invoke(short, max_tokens=6).text == brief
    stopped = model.stream(short)
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    assert len(model._engine._writing) == 1
    told += stream
    assert "".join(str(chunk.text) for chunk in told) == whole
    assert {1, 2} == set(steps.rows) and steps.rows[0] == 1
    assert 1 in steps.rows[steps.rows.index(2) :]  # the short one left, the long one went on
    assert len(steps.rows) == 299


def test_an_error_of_one_does_not_reach_the_others(
    load: Callable[..., Qwen2VL], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(max_tokens=30)
    several = [asked(f"Question {n}") for n in range(5)]
    singles = [model.invoke(messages).text for messages in several]
    length = len(model._prepared([conversation_of(asked("Bad?!"))]).inputs["input_ids"][0])
    generate = model._engine.model.generate

    def fails(**inputs: Any) -> Any:
        if inputs["input_ids"].shape[1] == length:
            raise RuntimeError("shapes")
        return generate(**inputs)

    monkeypatch.setattr(model._engine.model, "generate", fails)
    works = [lambda n=n: model.invoke(several[n]).text for n in range(5)]
    found = in_threads([*works, lambda: model.invoke(asked("Bad?!"))])
    assert found[:5] == singles and isinstance(found[5], ModelError)
    assert not isinstance(
        model.batch([several[0], asked("Bad?!")], return_exceptions=True)[0], ModelError
    )
    with pytest.raises(ModelError, match="failed: shapes"):
        model.batch([several[0], asked("Bad?!")])
    assert model.invoke(several[0]).text == singles[0]


def test_a_failing_pass_ends_all_and_the_next_question_is_answered(
    load: Callable[..., Qwen2VL], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(max_tokens=30)
    whole = model.invoke(asked("When?")).text
    batch = model._engine._batch
    with monkeypatch.context() as patch:

        def fails() -> list[int]:
            raise RuntimeError("CUDA out of memory")

        patch.setattr(batch, "step", fails)
        found = in_threads([lambda: model.invoke(asked("When?"))] * 3)
        assert all(isinstance(error, ModelError) for error in found)
        with pytest.raises(ModelError, match="out of memory"):
            list(model.stream(asked("When?")))
    assert not batch.rows
    assert model.invoke(asked("When?")).text == whole


def test_the_line_is_held_up_while_it_is_long(
    load: Callable[..., Qwen2VL], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()
    several = [asked(f"Question {n} " + "of tides " * (3 * n % 17)) for n in range(12)]
    singles = [model.invoke(messages).text for messages in several]
    monkeypatch.setattr(engine_module, "BATCH_TOKENS", 150)
    steps = Steps(model, monkeypatch)
    lines = []
    ask = model._engine.ask

    def watched(*args: Any) -> Any:
        found = ask(*args)
        lines.append(sum(one.prepared.tokens[0] for one in list(model._engine._waiting)))
        return found

    monkeypatch.setattr(model._engine, "ask", watched)
    assert [answer.text for answer in model.batch(several)] == singles
    longest = max(model.get_num_tokens_from_messages(m) for m in several)
    assert max(lines) <= 150 + longest
    assert 1 < max(steps.rows) < 12


# ── a cache of fixed width, a compiled model ─────────────────────────────────────────────────


def mixed() -> list[list[HumanMessage]]:
    pictures = [noise(140, 90), noise(90, 140, 1)]
    return [asked("Short?"), asked("What is this?", *pictures), asked(WORDS), asked("Where?")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_static_cache_changes_nothing(family: str, load: Callable[..., Qwen2VL]) -> None:
    plain, static = load(family, max_tokens=150), load(family, max_tokens=150, decoding="static")
    several = mixed()
    expected = [plain.invoke(messages).text for messages in several]
    assert [static.invoke(messages).text for messages in several] == expected
    assert [answer.text for answer in static.batch(several)] == expected
    works = [lambda n=n: streamed(static, several[n]) for n in range(4)]
    assert in_threads(works) == expected


@pytest.mark.long
def test_a_compiled_model_says_the_same(load: Callable[..., Qwen2VL]) -> None:
    plain, compiled = load(max_tokens=20), load(max_tokens=20, decoding="compiled")
    several = mixed()[:2]
    expected = [plain.invoke(messages).text for messages in several]
    assert [compiled.invoke(messages).text for messages in several] == expected
    assert [answer.text for answer in compiled.batch(several)] == expected
