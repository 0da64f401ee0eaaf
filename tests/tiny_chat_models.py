"""Chat models that see, made on the spot: the real classes, a few thousand random weights.

Nothing is ever asserted on what they say; they show shapes, token layouts, streams and errors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FAMILIES = (
    *("qwen2_vl", "qwen2_5_vl", "qwen3_vl"),
    *("llava", "llava_next", "llava_onevision", "chameleon"),
)

_TEXT = (
    "High water at the harbour is at noon on Friday. The VPN reports error 809 when port 1701 is "
    "closed. Picture 1: Picture 2: system user assistant Question Answer"
)
_SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *(
        "<|image_pad|>",
        "<|video_pad|>",
        "<image>",
        "<video>",
        "<racm3:break>",
        "<eoss>",
        "<reserved08706>",
    ),
)
_QWEN = """\
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}{% else %}
{%- for part in m.content %}
{%- if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>
{%- elif part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>
{%- elif part.type == 'text' %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
_LLAVA = """\
{%- for m in messages %}{{ m.role | upper }}: {% if m.content is string %}{{ m.content }}
{%- else %}{% for part in m.content %}
{%- if part.type == 'image' %}<image>
{% elif part.type == 'text' %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}
{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"""


def chat_model(folder: Path, family: str = "qwen2_vl", seed: int = 0, window: int = 8192) -> Path:
    """Save a model of a family with its tokenizer and image processor, in the published layout.

    Args:
        folder: is made.
        family: one of `FAMILIES`.
        seed: of the weights.
        window: tokens that it takes.
    """
    import torch
    import transformers

    name = {"qwen2_vl": "Qwen2VL", "qwen2_5_vl": "Qwen2_5_VL", "qwen3_vl": "Qwen3VL"}.get(
        family, "".join(part.capitalize() for part in family.split("_"))
    )
    tokens = _save_tokenizer(folder, _QWEN if family.startswith("qwen") else _LLAVA)
    config = getattr(transformers, f"{name}Config")(**_config(family, tokens, window))
    torch.manual_seed(seed)
    model = getattr(transformers, f"{name}ForConditionalGeneration")(config)
    model.generation_config.eos_token_id = tokens["<|im_end|>"]
    model.generation_config.pad_token_id = tokens["<|endoftext|>"]
    model.save_pretrained(folder)
    _save_processors(folder, family)
    return folder


def _config(family: str, tokens: dict[str, int], window: int) -> dict[str, Any]:
    text: dict[str, Any] = {
        "vocab_size": max(tokens.values()) + 1,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": window,
        "initializer_range": 0.2,
        "eos_token_id": tokens["<|im_end|>"],
        "pad_token_id": tokens["<|endoftext|>"],
        "bos_token_id": None,
    }
    if family == "chameleon":
        return text | {"vq_config": _CHAMELEON_EYES, "vocabulary_map": _chameleon_words(tokens)}
    seen: dict[str, Any] = {"depth": 2, "num_heads": 2}
    if family.startswith("qwen"):
        text["rope_parameters"] = {
            "rope_type": "default",
            "mrope_section": [2, 3, 3],
            "rope_theta": 1e4,
        }
        ids = {
            "image_token_id": tokens["<|image_pad|>"],
            "video_token_id": tokens["<|video_pad|>"],
            "vision_start_token_id": tokens["<|vision_start|>"],
            "vision_end_token_id": tokens["<|vision_end|>"],
        }
        if family == "qwen2_vl":
            seen |= {"embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2, "patch_size": 14}
            return {"text_config": text, "vision_config": seen, **ids}
        seen |= {"hidden_size": 32, "out_hidden_size": 64, "intermediate_size": 48}
        if family == "qwen2_5_vl":
            seen |= {"patch_size": 14, "window_size": 112, "fullatt_block_indexes": [1]}
            return {"text_config": text, "vision_config": seen, **ids}
        text |= {"head_dim": 16}
        seen |= {
            "patch_size": 16,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 64,
        }
        return {"text_config": text, "vision_config": seen, **ids}
    kind = ("qwen2", "siglip_vision_model") if family == "llava_onevision" else _LLAMA
    return {
        "text_config": text | {"model_type": kind[0]},
        "vision_config": {
            "model_type": kind[1],
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
            "projection_dim": 32,
        },
        "image_token_index": tokens["<image>"],
        "image_token_id": tokens["<image>"],
        "video_token_id": tokens["<video>"],
        "image_grid_pinpoints": _GRIDS,
        "vision_feature_select_strategy": "full" if family == "llava_onevision" else "default",
        "vision_aspect_ratio": "anyres_max_9",
    }


_LLAMA = ("llama", "clip_vision_model")
_GRIDS = [[56, 112], [112, 56], [112, 112]]
_CHAMELEON_EYES = {
    "embed_dim": 16,
    "num_embeddings": 32,
    "base_channels": 32,
    "channel_multiplier": [1, 1],
    "num_res_blocks": 1,
    "resolution": 32,
    "latent_channels": 16,
    "attn_resolutions": None,
}


def _chameleon_words(tokens: dict[str, int]) -> dict[str, int]:
    """Its pictures are words of its vocabulary, named in a code of letters."""
    letters = "ABCDEFGHIJ"
    names = [f"IMGIMG{''.join(letters[int(c)] for c in str(n))}Z" for n in range(32)]
    return {"<image>": tokens["<image>"]} | {name: tokens[name] for name in names}


def _save_tokenizer(folder: Path, template: str) -> dict[str, int]:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT], trainer)
    letters = "ABCDEFGHIJ"
    words = [f"IMGIMG{''.join(letters[int(c)] for c in str(n))}Z" for n in range(32)]
    tokenizer.add_tokens(words)
    tokenizer.add_special_tokens(list(_SPECIAL))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 131072,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "bos_token": None,
            "chat_template": template,
            "extra_special_tokens": {
                "sep_token": "<reserved08706>",
                "boi_token": "<racm3:break>",
                "eoi_token": "<eoss>",
            },
        },
    )
    return dict(tokenizer.get_vocab())


def _save_processors(folder: Path, family: str) -> None:
    edges = {"height": 56, "width": 56}
    kinds: dict[str, dict[str, Any]] = {
        "qwen2_vl": {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 14},
        "qwen2_5_vl": {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 14},
        "qwen3_vl": {
            "image_processor_type": "Qwen2VLImageProcessor",
            "patch_size": 16,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
        "llava": {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 56},
            "crop_size": edges,
        },
        "llava_next": {
            "image_processor_type": "LlavaNextImageProcessor",
            "size": {"shortest_edge": 56},
            "crop_size": edges,
            "image_grid_pinpoints": _GRIDS,
        },
        "llava_onevision": {
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "size": edges,
            "image_grid_pinpoints": _GRIDS,
        },
        "chameleon": {
            "image_processor_type": "ChameleonImageProcessor",
            "size": {"shortest_edge": 32},
            "crop_size": {"height": 32, "width": 32},
        },
    }
    settings = kinds[family]
    if family.startswith("qwen"):
        settings |= {"min_pixels": 3136, "max_pixels": 12845056, "merge_size": 2}
        settings |= {"temporal_patch_size": 2}
    _write(folder / "preprocessor_config.json", settings)
    names = {
        "qwen2_vl": "Qwen2VLProcessor",
        "qwen2_5_vl": "Qwen2_5_VLProcessor",
        "qwen3_vl": "Qwen3VLProcessor",
        "llava": "LlavaProcessor",
        "llava_next": "LlavaNextProcessor",
        "llava_onevision": "LlavaOnevisionProcessor",
        "chameleon": "ChameleonProcessor",
    }
    more: dict[str, Any] = {"processor_class": names[family]}
    if family in ("llava", "llava_next"):
        more |= {
            "patch_size": 14,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        }
    elif family == "llava_onevision":
        more |= {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    elif family == "chameleon":
        more |= {"image_seq_length": 256, "image_token": "<image>"}
    _write(folder / "processor_config.json", more)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
