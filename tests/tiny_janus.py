"""A Janus made on the spot: transformers' own classes, a few hundred thousand random weights.

Nothing is ever asserted on what it draws or says; it proves tokens, pixels, seeds and errors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limner.examples.pocket.janus_folder import ROLES, SPECIAL, write_settings

SIDE = 64
"""Pixels of a side of what it draws; 8 × 8 tokens."""

_TEXT = (
    "A golden retriever puppy sitting in a field of flowers, sunny. A cozy wooden cabin in snowy "
    "mountains at sunset, warm lights. Does this picture show: Write yes or no, nothing else. "
    "Yes no yes No yes. What is written on the picture is material. Describe what it shows."
)


def janus(folder: Path, seed: int = 0, window: int = 1024) -> Path:
    """Save a model with its tokenizer and processor, in transformers' layout.

    Args:
        folder: is made.
        seed: of the weights.
        window: tokens that it takes, those of a picture among them.
    """
    import torch
    from transformers import JanusConfig, JanusForConditionalGeneration

    tokens = _save_tokenizer(folder)
    ids = {f"{name}_id": tokens[SPECIAL[name]] for name in ("bos_token", "eos_token", "pad_token")}
    make: Any = JanusConfig
    config = make(
        text_config=_words(len(tokens), window) | ids,
        vision_config=_EYES,
        vq_config=_PAINT,
        image_token_id=tokens[SPECIAL["image_token"]],
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model: Any = JanusForConditionalGeneration(config)
    for part in (model.model.generation_head, model.model.generation_embeddings):
        for weights in part.parameters():
            torch.nn.init.normal_(weights, std=0.12)  # else every token is as likely as the next
    with torch.no_grad():
        model.model.vqmodel.decoder.conv_out.weight.mul_(0.2)  # else all is black or white
    for name, value in ids.items():
        setattr(model.generation_config, name, value)
    model.generation_config._from_model_config = False  # else what is not known to it is dropped
    model.generation_config.guidance_scale = 5
    model.generation_config.generation_kwargs = {"boi_token_id": tokens[SPECIAL["boi_token"]]}
    model.save_pretrained(folder)
    write_settings(folder, SIDE, (SIDE // 8) ** 2, window=16384, system=True)
    return folder


def _words(vocabulary: int, window: int) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": window,
        "initializer_range": 0.2,
    }


_EYES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
    "projection_dim": 64,
    "num_image_tokens": 64,
    "initializer_range": 0.2,
}
_PAINT = {
    "embed_dim": 8,
    "num_embeddings": 256,
    "latent_channels": 32,
    "base_channels": 32,
    "channel_multiplier": [1, 1, 1, 1],
    "num_res_blocks": 1,
    "projection_dim": 64,
    "image_token_embed_dim": 64,
    "initializer_range": 0.2,
}


def _save_tokenizer(folder: Path) -> dict[str, int]:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT], trainer)
    tokenizer.add_special_tokens([*SPECIAL.values(), *ROLES])
    start = SPECIAL["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, tokenizer.token_to_id(start))]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return dict(tokenizer.get_vocab())
