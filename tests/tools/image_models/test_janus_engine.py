"""The loop held against transformers' own ``generate``; its step against a replay of itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from limner.tests.tiny_janus import janus
from limner.tools.image_models.janus_engine import TokenLoop

WORDS = "A cozy wooden cabin in snowy mountains"
COUNT = 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import JanusForConditionalGeneration

    folder = janus(tmp_path_factory.mktemp("janus"))
    return JanusForConditionalGeneration.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def inputs(model: Any) -> Any:
    """What transformers itself makes of the words."""
    from transformers import JanusProcessor

    processor = JanusProcessor.from_pretrained(model.name_or_path)
    turns = [{"role": "user", "content": [{"type": "text", "text": WORDS}]}]
    text = processor.apply_chat_template(turns, add_generation_prompt=True)
    return processor(text=text, generation_mode="image", return_tensors="pt")


def loop_of(
    model: Any, inputs: Any, seeds: Sequence[int], guidance: float = 5, temperature: float = 1
) -> TokenLoop:
    told = inputs["input_ids"][0].tolist()
    blank = [told[0], *[model.generation_config.pad_token_id] * (len(told) - 2), told[-1]]
    return TokenLoop(model, told, blank, seeds, guidance, temperature, COUNT)


def drawn(loop: TokenLoop) -> torch.Tensor:
    for _ in range(COUNT):
        loop.next()
    return loop.tokens


def of_transformers(model: Any, inputs: Any, seed: int = 0, **settings: Any) -> torch.Tensor:
    torch.manual_seed(seed)
    # Left to itself it takes the 50 likeliest tokens only; the published code draws from all.
    settings = {"top_k": 0} | settings if settings.get("do_sample") else settings
    made: torch.Tensor = model.generate(**inputs, generation_mode="image", **settings)
    return made


def test_the_likeliest_tokens_are_those_of_transformers(model: Any, inputs: Any) -> None:
    expected = of_transformers(model, inputs, do_sample=False)
    assert torch.equal(drawn(loop_of(model, inputs, [0], temperature=0)), expected)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("guidance", "temperature"), [(5.0, 1.0), (2.0, 0.7)])
def test_drawn_tokens_are_those_of_transformers_with_the_same_dice(
    model: Any, inputs: Any, seed: int, guidance: float, temperature: float
) -> None:
    settings = {"do_sample": True, "guidance_scale": guidance, "temperature": temperature}
    expected = of_transformers(model, inputs, seed, **settings)
    made = drawn(loop_of(model, inputs, [seed], guidance, temperature))
    assert torch.equal(made, expected)
    assert made.unique().numel() > COUNT // 3  # it is not one token over and over


def test_keys_of_full_width_and_growing_ones_give_the_same_tokens(model: Any, inputs: Any) -> None:
    from transformers import DynamicCache

    for seed in range(3):
        cache = DynamicCache(config=model.config.get_text_config())
        growing = of_transformers(model, inputs, seed, do_sample=True, past_key_values=cache)
        assert torch.equal(drawn(loop_of(model, inputs, [seed])), growing)


def test_rows_of_a_batch_are_those_of_transformers(
    model: Any, inputs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dice thrown for all rows at once, as it does."""
    expected = of_transformers(model, inputs, 5, do_sample=True, num_return_sequences=3)
    loop, dice = loop_of(model, inputs, [0, 0, 0]), torch.Generator().manual_seed(5)
    monkeypatch.setattr(loop, "_throw", lambda: loop._thrown.exponential_(generator=dice))
    assert torch.equal(drawn(loop), expected)


def test_a_seed_draws_the_same_alone_and_among_others(model: Any, inputs: Any) -> None:
    together = drawn(loop_of(model, inputs, [3, 1, 4, 15]))
    for row, seed in zip(together, [3, 1, 4, 15], strict=True):
        assert torch.equal(drawn(loop_of(model, inputs, [seed]))[0], row)
    assert len({tuple(row.tolist()) for row in together}) == 4


def test_the_callers_own_dice_are_left_alone(model: Any, inputs: Any) -> None:
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    drawn(loop_of(model, inputs, [1]))
    assert torch.equal(torch.rand(4), expected)


def test_guidance_and_prompt_matter(model: Any, inputs: Any) -> None:
    plain = drawn(loop_of(model, inputs, [1], guidance=1))
    assert not torch.equal(plain, drawn(loop_of(model, inputs, [1], guidance=5)))


class Recorder(TorchDispatchMode):
    """Keeps what is computed, and computes it again without any Python of the model."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    def replay(self) -> None:
        made: dict[int, Any] = {}

        def now(value: Any) -> Any:
            return made.get(id(value), value)

        for func, args, kwargs, out in self.calls:
            again = func(*tree_map(now, args), **tree_map(now, kwargs))
            pairs = zip(tree_flatten(out)[0], tree_flatten(again)[0], strict=True)
            made |= {id(a): b for a, b in pairs if isinstance(a, torch.Tensor)}


def test_a_step_can_be_replayed_as_it_was_recorded(model: Any, inputs: Any) -> None:
    """As a CUDA graph does: the same operations on the same memory, nothing asked of the host."""
    expected = drawn(loop_of(model, inputs, [3, 8]))
    loop = loop_of(model, inputs, [3, 8])
    for _ in range(3):
        loop.next()
    with torch.no_grad():
        loop._throw()
        with Recorder() as recorder:
            loop._step()
        for _ in range(COUNT - 4):
            loop._throw()
            recorder.replay()
    names = {str(call[0]) for call in recorder.calls}
    assert not names & {"aten._local_scalar_dense.default", "aten.nonzero.default"}
    assert torch.equal(loop.tokens, expected)


def test_numbers_that_are_none_are_noticed_at_once(model: Any, inputs: Any) -> None:
    loop = loop_of(model, inputs, [0])
    loop.next()
    loop._token.fill_(0)
    weight = model.model.generation_embeddings.weight
    with torch.no_grad():
        kept = weight[0].clone()
        weight[0] = float("nan")
    try:
        with pytest.raises(FloatingPointError):
            loop.next()
    finally:
        with torch.no_grad():
            weight[0] = kept


def test_nothing_is_held_once_closed(model: Any, inputs: Any) -> None:
    import weakref

    loop = loop_of(model, inputs, [0])
    loop.next()
    kept = [weakref.ref(loop._cache), weakref.ref(loop.tokens)]
    loop.close()
    assert [ref() for ref in kept] == [None, None]


def test_parts_of_a_tiny_model_are_small(tmp_path: Path) -> None:
    folder = janus(tmp_path / "tiny")
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4_000_000
