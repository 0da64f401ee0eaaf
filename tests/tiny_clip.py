"""A CLIP made on the spot: transformers' own classes, a few thousand random weights.

Which sentences it prefers means nothing.
"""

from __future__ import annotations

from pathlib import Path

from limner.tests.tiny_image_models import _tokenizer


def clip_model(folder: Path, scale: float) -> Path:
    """Save a model with its tokenizer and image processor as transformers does.

    Args:
        folder: is filled.
        scale: the logarithm of what similarities are multiplied by; 4.6 as published.
    """
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(0)
    tokenizer = _tokenizer(folder, "<|endoftext|>")
    size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 2}  # fmt: skip
    text = size | {
        "vocab_size": len(tokenizer),
        "bos_token_id": len(tokenizer) - 2,
        "eos_token_id": len(tokenizer) - 1,
        "pad_token_id": len(tokenizer) - 1,
    }
    vision = size | {"image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    model = CLIPModel(config)
    model.logit_scale.data.fill_(scale)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    processor.save_pretrained(folder)
    return folder
