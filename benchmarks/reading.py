"""What reading costs beside transformers itself: preparing a screenshot, streaming, many questions.

The model is a Qwen2-VL made from its configuration, a few thousand random weights, so that what is
ours shows. Claims: a screenshot of 1280×800 is prepared in at most 1.15 times what the bare image
processor takes; a streamed token costs at most 3 ms more than ``generate`` alone, and our share of
an answer of 64 tokens is at most a twentieth. Without a mark, since a tiny model says little of it:
64 questions at once over one by one, the first word of a question that shares 2,000 tokens with
the one before it, and, with a model that is somewhat larger, the first word of a second question
about the same screenshot.
"""

from __future__ import annotations

import base64
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import common  # first: pins the threads
import numpy as np
from langchain_core.messages import HumanMessage
from PIL import Image, ImageDraw, ImageFont

from limner.tests import tiny_chat_models
from limner.tests.tiny_chat_models import chat_model
from limner.tools.chat_models.pictured import conversation_of
from limner.tools.chat_models.qwen2_vl import Qwen2VL

TOKENS = 64


def screenshot() -> Image.Image:
    """Lines of text on white, 1280×800."""
    image = Image.new("RGB", (1280, 800), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(18)
    for row in range(30):
        pen.text(
            (40, 20 + 25 * row), f"Row {row}: the VPN reports error {800 + row}", "black", font
        )
    return image


def asked(words: str, image: Image.Image | None = None) -> list[HumanMessage]:
    content: list[Any] = [{"type": "text", "text": words}]
    if image is not None:
        stream = io.BytesIO()
        image.save(stream, "PNG")
        data = base64.b64encode(stream.getvalue()).decode()
        content.append({"type": "image", "base64": data, "mime_type": "image/png"})
    return [HumanMessage(content)]


def timed(work: Callable[[], Any]) -> Callable[[], float]:
    def once() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return once


def preparing(model: Qwen2VL, image: Image.Image, rounds: int) -> dict[str, list[float]]:
    preparer = model._engine.preparer
    conversation = conversation_of(asked("What is wrong here?", image))
    bare = preparer.processor.image_processor
    size = preparer._size(preparer.limit(conversation, 4096))["size"]
    return common.interleaved(
        {
            "ours": timed(lambda: preparer.prepare([conversation], 4096)),
            "bare image processor": timed(lambda: bare([image], size=size, return_tensors="pt")),
        },
        rounds,
    )


def answering(model: Qwen2VL, image: Image.Image, rounds: int) -> dict[str, list[float]]:
    """Streams of 64 tokens, and ``generate`` alone on the same inputs."""
    import torch

    messages = asked("What is wrong here?", image)
    engine = model._engine
    inputs = model._prepared([conversation_of(messages)]).inputs

    def bare() -> None:
        engine.model.model.rope_deltas = None
        with torch.inference_mode():
            out = engine.model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        assert out.shape[1] == inputs["input_ids"].shape[1] + TOKENS

    def ours() -> None:
        engine.forget()
        told = [getattr(chunk, "usage_metadata", None) for chunk in model.stream(messages)]
        assert sum(usage["output_tokens"] for usage in told if usage) == TOKENS

    def prepared() -> None:
        model._prepared([conversation_of(messages)])

    return common.interleaved(
        {"ours, streamed": timed(ours), "generate alone": timed(bare), "inputs": timed(prepared)},
        rounds,
    )


def many(model: Qwen2VL, rounds: int) -> dict[str, list[float]]:
    questions = [asked(f"When is high water on day {n} at the harbour?") for n in range(64)]
    return common.interleaved(
        {
            "64 questions at once": timed(lambda: model.batch(questions)),
            "one by one": timed(lambda: [model.invoke(q) for q in questions]),
        },
        rounds,
    )


def shared(model: Qwen2VL, rounds: int) -> dict[str, list[float]]:
    """Seconds to the first word of a question that follows one with the same 2,000 tokens."""
    dice = np.random.default_rng(0)
    passages = " ".join(dice.choice(["tide", "harbour", "noon", "VPN"], 1100).tolist())

    def first(keep: bool) -> Callable[[], float]:
        def once() -> float:
            model.invoke(asked(f"{passages}\nWhen?"), max_tokens=1)
            if not keep:
                model._engine.forget()
            started = time.perf_counter()
            stream = model.stream(asked(f"{passages}\nWhere?"), max_tokens=2)
            next(iter(stream))
            return time.perf_counter() - started

        return once

    return common.interleaved({"keys kept": first(True), "none kept": first(False)}, rounds)


def larger(folder: Path) -> Qwen2VL:
    """A model whose vision tower takes most of the time, as in a true one; random weights."""
    config = tiny_chat_models._config

    def enlarged(family: str, tokens: dict[str, int], window: int) -> dict[str, Any]:
        made = config(family, tokens, window)
        made["text_config"] |= {"hidden_size": 256, "intermediate_size": 768}
        made["text_config"] |= {"num_hidden_layers": 4}
        made["text_config"]["rope_parameters"]["mrope_section"] = [8, 12, 12]
        made["vision_config"] |= {"hidden_size": 256, "embed_dim": 128, "depth": 4}
        return made

    with mock.patch.object(tiny_chat_models, "_config", enlarged):
        return Qwen2VL.load(str(chat_model(folder)), max_tokens=2)


def second(model: Qwen2VL, image: Image.Image, rounds: int) -> dict[str, list[float]]:
    """Seconds to the first word of a question about a screenshot, inputs prepared on the way."""
    messages = [HumanMessage([*asked("", image)[0].content[1:], {"type": "text", "text": "Why?"}])]

    def first(before: list[HumanMessage] | None) -> Callable[[], float]:
        def once() -> float:
            model._engine.forget()
            if before:
                model.invoke(before, max_tokens=1)
            started = time.perf_counter()
            stream = model.stream(messages, max_tokens=2)
            next(iter(stream))
            return time.perf_counter() - started

        return once

    follows = [HumanMessage([*messages[0].content[:1], {"type": "text", "text": "Where?"}])]
    return common.interleaved(
        {
            "first question": first(None),
            "second, words before the picture differ": first(asked("What is wrong?", image)),
            "second, words behind the picture differ": first(follows),
        },
        rounds,
    )


def main() -> None:
    parser = common.arguments(__doc__ or "", "reading")
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="limner-bench-")) / "model"
    # A tiny model ends where it likes; an answer's length is fixed by giving it no end.
    model = Qwen2VL.load(str(chat_model(folder)), max_tokens=TOKENS)
    model._engine.model.generation_config.eos_token_id = None
    model._engine._ends = frozenset()
    image = screenshot()
    parts = {
        "a screenshot of 1280×800 prepared": preparing(model, image, given.rounds),
        f"an answer of {TOKENS} tokens to a screenshot": answering(model, image, given.rounds),
        "64 questions of 64 tokens": many(model, max(given.rounds // 3, 2)),
        "the first word after 2,000 shared tokens": shared(model, given.rounds),
        "the first word about a screenshot": second(
            larger(folder.with_name("larger")), image, max(given.rounds // 2, 2)
        ),
    }
    for title, found in parts.items():
        rows = [
            [n, common.spread_text([t * 1e3 for t in times], "ms", 1)] for n, times in found.items()
        ]
        common.show(title, ["what", "median (min–max)"], rows)
    prepared, answered = list(parts.values())[:2]
    streamed, alone, inputs = (np.array(answered[n]) for n in answered)
    ours = streamed - alone
    marks = {
        "prepared_over_bare": common.spread(
            common.ratios(prepared["ours"], prepared["bare image processor"])
        ),
        "ms_more_per_token": common.spread((1e3 * (ours - inputs) / TOKENS).tolist()),
        "our_share_without_pictures_inputs": common.spread(((ours - inputs) / streamed).tolist()),
        "batched_over_one_by_one": common.spread(
            common.ratios(
                parts["64 questions of 64 tokens"]["one by one"],
                parts["64 questions of 64 tokens"]["64 questions at once"],
            )
        ),
        "first_word_without_keys_over_with": common.spread(
            common.ratios(
                parts["the first word after 2,000 shared tokens"]["none kept"],
                parts["the first word after 2,000 shared tokens"]["keys kept"],
            )
        ),
    }
    about = parts["the first word about a screenshot"]
    marks |= {
        f"{name}_over_first": common.spread(common.ratios(about[what], about["first question"]))
        for name, what in (
            ("second_question_same_features", "second, words before the picture differ"),
            ("second_question_same_keys", "second, words behind the picture differ"),
        )
    }
    common.show(
        "ratios",
        ["what", "median", "least", "most"],
        [[n, s["median"], s["min"], s["max"]] for n, s in marks.items()],
    )
    common.write(given.out, {"weights": "random", "seconds": parts, "figures": marks})


if __name__ == "__main__":
    main()
