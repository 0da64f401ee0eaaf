"""Prompts of any length as the embeddings that a diffusion model takes.

CLIP reads 77 tokens, two of them its own marks. A longer prompt is cut into windows of 75 tokens,
each is read by itself, and their embeddings stand one after the other; the pooled embedding is the
first window's. A prompt of one window gives exactly what diffusers makes of it. There is no syntax
for weights: what is typed is what is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["embeddings", "joined", "windows"]


def embeddings(pipeline: Any, prompt: str, negative: str, guided: bool) -> dict[str, Any]:
    """What a pipeline takes in place of prompts.

    Args:
        pipeline: of diffusers, with one text encoder or with SDXL's two.
        prompt: what the picture shows.
        negative: what it does not show; empty for nothing in particular.
        guided: whether guidance is classifier-free, so that both are needed.

    Returns:
        ``prompt_embeds``, float ``(1, 77 × windows, width)``, and where needed
        ``negative_prompt_embeds`` of the same shape and, for SDXL, the two pooled ``(1, width)``.
    """
    import torch

    readers = _readers(pipeline)
    pooled = getattr(pipeline, "text_encoder_2", None) is not None
    count = windows(pipeline, prompt, negative, guided)
    with torch.no_grad():
        told = _named("", _read(readers, prompt, count, pooled))
        if guided and negative == "" and pooled and pipeline.config.force_zeros_for_empty_prompt:
            told |= {f"negative_{name}": torch.zeros_like(value) for name, value in told.items()}
        elif guided:
            told |= _named("negative_", _read(readers, negative, count, pooled))
    return told


def windows(pipeline: Any, prompt: str, negative: str, guided: bool) -> int:
    """How many windows the longest of the texts takes, with the tokenizer that needs most.

    Only prompts of as many windows go into one batch: a shorter one would have to be filled up,
    and would then be another picture.
    """
    wanted = (prompt, negative) if guided else (prompt,)
    return max(len(_windows(*reader, text)) for reader in _readers(pipeline) for text in wanted)


def joined(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The embeddings of several pictures as those of one batch.

    Args:
        told: of each picture, by `embeddings`; of as many `windows`.
    """
    import torch

    return {name: torch.cat([one[name] for one in told]) for name in told[0]}


def _readers(pipeline: Any) -> list[tuple[Any, Any]]:
    """Tokenizers and text encoders, in order; a refiner has the second only."""
    pairs = [(getattr(pipeline, f"tokenizer{n}", None), getattr(pipeline, f"text_encoder{n}", None))
             for n in ("", "_2")]  # fmt: skip
    return [(tokenizer, encoder) for tokenizer, encoder in pairs if encoder is not None]


def _named(prefix: str, read: tuple[Any, Any]) -> dict[str, Any]:
    embeds, pooled = read
    told = {f"{prefix}prompt_embeds": embeds}
    return told if pooled is None else told | {f"{prefix}pooled_prompt_embeds": pooled}


def _read(
    readers: Sequence[tuple[Any, Any]], text: str, count: int, pooled: bool
) -> tuple[Any, Any]:
    import torch

    made, first = [], None
    for tokenizer, encoder in readers:
        found = _windows(tokenizer, encoder, text)
        found += _windows(tokenizer, encoder, "") * (count - len(found))
        outputs = [_encoded(encoder, ids, pooled) for ids in found]
        # SDXL takes the last layer but one, and the pooled embedding of its second encoder.
        hidden = [out.hidden_states[-2] if pooled else out[0] for out in outputs]
        made.append(torch.cat(hidden, dim=1))
        first = outputs[0][0] if pooled else None
    return torch.cat(made, dim=-1), first


def _encoded(encoder: Any, ids: list[int], layers: bool) -> Any:
    import torch
    from diffusers.utils.torch_utils import get_module_execution_device  # knows of offloading

    tensor = torch.tensor([ids], device=get_module_execution_device(encoder))
    return encoder(tensor, output_hidden_states=layers)


def _windows(tokenizer: Any, encoder: Any, text: str) -> list[list[int]]:
    """Token ids in windows as long as the encoder takes, marked and padded; one at the least."""
    room = min(tokenizer.model_max_length, encoder.config.max_position_embeddings) - 2
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    parts = [ids[at : at + room] for at in range(0, len(ids), room)] or [[]]
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    return [[start, *part, end] + [pad] * (room - len(part)) for part in parts]
