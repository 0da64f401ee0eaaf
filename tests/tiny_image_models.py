"""Image models made on the spot: diffusers' own classes and folders, a few thousand random weights.

Nothing is ever asserted on what their pictures show; they prove pixels, steps, seeds and errors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FAMILIES = ("sdxl", "sdxl_turbo", "sd15", "lcm")

_TEXT = (
    "A golden retriever puppy sitting in a field of flowers, sunny. A cozy wooden cabin in snowy "
    "mountains at sunset, warm lights. A red boat off the lighthouse at dusk, blurry, low quality."
)
_BETAS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
}
# As the published folders have them.
_SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sdxl": ("EulerDiscreteScheduler", {"timestep_spacing": "leading", "steps_offset": 1}),
    "sdxl_turbo": ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}),
    "sd15": ("PNDMScheduler", {"skip_prk_steps": True, "steps_offset": 1}),
    "lcm": ("LCMScheduler", {"original_inference_steps": 50}),
}
_SCHEDULERS["sdxl_refiner"] = _SCHEDULERS["sdxl"]


def image_model(folder: Path, family: str = "sdxl", seed: int = 0, checker: bool = False) -> Path:
    """Save a model of a family as diffusers does, safetensors in one folder for each part.

    Args:
        folder: is made.
        family: one of `FAMILIES`, or ``sdxl_refiner``.
        seed: of the weights.
        checker: whether there is a safety checker (``sd15`` only).
    """
    import diffusers
    import torch

    torch.manual_seed(seed)
    name, settings = _SCHEDULERS[family]
    parts: dict[str, Any] = {
        "vae": _vae(diffusers),
        "unet": _unet(diffusers, family),
        "scheduler": getattr(diffusers, name)(**_BETAS, **settings),
    }
    if family in ("sd15", "lcm"):
        parts |= _one_encoder(folder) | _safety(checker)
        kind = "StableDiffusionPipeline" if family == "sd15" else "LatentConsistencyModelPipeline"
        pipeline = getattr(diffusers, kind)(**parts, requires_safety_checker=checker)
    elif family == "sdxl_refiner":
        parts |= _encoder(folder, 2) | {"tokenizer": None, "text_encoder": None}
        pipeline = diffusers.StableDiffusionXLImg2ImgPipeline(
            **parts, requires_aesthetics_score=True, force_zeros_for_empty_prompt=False
        )
    else:
        parts |= _encoder(folder, 1) | _encoder(folder, 2)
        pipeline = diffusers.StableDiffusionXLPipeline(**parts)
    pipeline.save_pretrained(folder, safe_serialization=True)
    settings_file = folder / "scheduler" / "scheduler_config.json"
    scheduler = json.loads(settings_file.read_text()) | {"clip_sample": False}
    settings_file.write_text(json.dumps(scheduler, indent=2))  # there, whatever its class knows
    return folder


def _vae(diffusers: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.18,
    )


def _unet(diffusers: Any, family: str) -> Any:
    settings: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "attention_head_dim": 8,
        "cross_attention_dim": 32,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    if family == "lcm":
        settings["time_cond_proj_dim"] = 16
    if family.startswith("sdxl"):
        ids = 5 if family == "sdxl_refiner" else 6
        settings |= {
            "attention_head_dim": (2, 4),
            "use_linear_projection": True,
            "cross_attention_dim": 32 if family == "sdxl_refiner" else 64,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 32 + 8 * ids,
            "transformer_layers_per_block": (1, 2),
        }
    return diffusers.UNet2DConditionModel(**settings)


def _text_config(tokens: int) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=tokens,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=32,
        bos_token_id=tokens - 2,
        eos_token_id=tokens - 1,
        pad_token_id=tokens - 1,
    )


def _encoder(folder: Path, number: int) -> dict[str, Any]:
    """The first or second of SDXL; the second pads with an exclamation mark, as published."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = _tokenizer(folder, "!" if number == 2 else "<|endoftext|>")
    kind = CLIPTextModelWithProjection if number == 2 else CLIPTextModel
    suffix = "_2" if number == 2 else ""
    model = kind(_text_config(len(tokenizer))).eval()
    return {f"tokenizer{suffix}": tokenizer, f"text_encoder{suffix}": model}


def _one_encoder(folder: Path) -> dict[str, Any]:
    return _encoder(folder, 1) | {"image_encoder": None}


def _tokenizer(folder: Path, pad: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT], trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    vocab = {word: number for number, word in enumerate(sorted(trained["vocab"]))}
    for word in ("<|startoftext|>", "<|endoftext|>"):  # published: the last two, in this order
        vocab[word] = len(vocab)
    merges = [tuple(merge) for merge in trained["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=pad, model_max_length=77)


def _safety(wanted: bool) -> dict[str, Any]:
    if not wanted:
        return {"safety_checker": None, "feature_extractor": None}
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    config = CLIPConfig(
        text_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1},
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 16,
        },
        projection_dim=16,
    )
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
    checker = StableDiffusionSafetyChecker(config)
    # Cosine similarities are at most 1: with these thresholds nothing is found.
    checker.concept_embeds_weights.data.fill_(2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    return {"safety_checker": checker, "feature_extractor": processor}
