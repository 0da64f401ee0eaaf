from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limner.tests.tools.image_models.conftest import same
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.prompting import _windows, embeddings

KINDS = {
    "sdxl": "StableDiffusionXLPipeline",
    "sdxl_refiner": "StableDiffusionXLImg2ImgPipeline",
    "sd15": "StableDiffusionPipeline",
}
LONG = " ".join(f"a red boat number {n} off the lighthouse," for n in range(30))


@pytest.fixture(scope="module")
def pipelines(models: Path) -> dict[str, Any]:
    import diffusers

    return {name: getattr(diffusers, kind).from_pretrained(models / name)
            for name, kind in KINDS.items()}  # fmt: skip


def theirs(pipeline: Any, prompt: str, negative: str, guided: bool) -> dict[str, Any]:
    """What diffusers makes of a prompt, by the names of its arguments."""
    two = hasattr(pipeline, "text_encoder_2")
    more = {} if two else {"device": "cpu", "num_images_per_prompt": 1}
    made = pipeline.encode_prompt(
        prompt=prompt,
        negative_prompt=negative or None,
        do_classifier_free_guidance=guided,
        **more,
    )
    names = ("prompt_embeds", "negative_prompt_embeds")
    if two:
        names += ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    return {name: value for name, value in zip(names, made, strict=True) if value is not None}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("negative", ["", "blurry, low quality"])
@pytest.mark.parametrize(
    "prompt", ["A red boat", "x", "Ünïcode ☃ 漢字 <|endoftext|> done", "a " * 75]
)
def test_a_prompt_of_one_window_is_what_diffusers_makes_of_it(
    prompt: str, negative: str, guided: bool, kind: str, pipelines: dict[str, Any]
) -> None:
    ours = embeddings(pipelines[kind], prompt, negative, guided)
    wanted = theirs(pipelines[kind], prompt, negative, guided)
    assert ours.keys() == wanted.keys()
    assert all(torch.equal(ours[name], wanted[name]) for name in wanted)
    assert ours["prompt_embeds"].shape[1] == 77


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_one_is_read_window_by_window(kind: str, pipelines: dict[str, Any]) -> None:
    pipeline = pipelines[kind]
    tokenizer = pipeline.tokenizer_2 if kind == "sdxl_refiner" else pipeline.tokenizer
    ids = tokenizer(LONG, add_special_tokens=False)["input_ids"]
    count = -(-len(ids) // 75)
    assert count > 2
    ours = embeddings(pipeline, LONG, "blurry", True)
    whole = ours["prompt_embeds"]
    assert whole.shape == ours["negative_prompt_embeds"].shape
    assert whole.shape[1] == 77 * count
    for n in range(count):
        part = tokenizer.decode(ids[75 * n : 75 * (n + 1)])
        if tokenizer(part, add_special_tokens=False)["input_ids"] != ids[75 * n : 75 * (n + 1)]:
            continue  # cut within a word: its halves are other words
        alone = theirs(pipeline, part, "", False)
        assert torch.equal(whole[:, 77 * n : 77 * (n + 1)], alone["prompt_embeds"])
        if n == 0 and "pooled_prompt_embeds" in alone:
            assert torch.equal(ours["pooled_prompt_embeds"], alone["pooled_prompt_embeds"])
    blurry = theirs(pipeline, "blurry", "", False)["prompt_embeds"]
    nothing = theirs(pipeline, "", "", False)["prompt_embeds"]
    parts = ours["negative_prompt_embeds"].split(77, dim=1)
    assert torch.equal(parts[0], blurry)
    assert all(torch.equal(part, nothing) for part in parts[1:])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(text=st.text(max_size=400))
def test_no_token_is_lost(text: str, pipelines: dict[str, Any]) -> None:
    pipeline = pipelines["sd15"]
    tokenizer = pipeline.tokenizer
    found = _windows(tokenizer, pipeline.text_encoder, text)
    assert {len(window) for window in found} == {77}
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    kept = [token for window in found for token in window[1:76]]
    assert kept[: len(ids)] == ids
    assert set(kept[len(ids) :]) <= {tokenizer.eos_token_id, tokenizer.pad_token_id}
    assert all(window[0] == tokenizer.bos_token_id for window in found)


@pytest.mark.parametrize("family", ["sdxl", "sd15", "lcm"])
def test_the_end_of_a_long_prompt_counts(family: str, painter: Callable[..., Diffusion]) -> None:
    def drawn(prompt: str, negative: str = "") -> Any:
        request = ImageRequest(prompt, negative, steps=2)
        return painter(family).generate(request, lambda k, n, preview: None).image

    assert not same(drawn(LONG), drawn(f"{LONG} at sunset"))
    if family != "lcm":
        assert not same(drawn("A red boat", LONG), drawn("A red boat", f"{LONG} at sunset"))
