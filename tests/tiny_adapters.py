"""LoRA adapters made on the spot for tiny image models, in the formats that people meet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
PIPELINES = {"sdxl": "StableDiffusionXLPipeline", "sd15": "StableDiffusionPipeline"}


def adapter(
    file: Path, model: Path, seed: int, rank: int = 4, text: bool = False, form: str = "diffusers"
) -> str:
    """Save an adapter of random weights; the path of its file.

    Args:
        file: is written.
        model: whose shapes it has; its name is its family.
        seed: of the weights.
        rank: of the adapter.
        text: whether it changes the first text encoder too.
        form: ``diffusers`` as it saves them today, ``peft`` with its settings (an alpha of twice
            the rank), or ``kohya`` with an alpha of half the rank.
    """
    import diffusers
    import torch
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    kind = getattr(diffusers, PIPELINES[model.name])
    pipeline = kind.from_pretrained(model)
    alpha = {"peft": 2 * rank, "kohya": rank // 2}.get(form, rank)
    settings: dict[str, Any] = {"r": rank, "lora_alpha": alpha, "init_lora_weights": False}
    pipeline.unet.add_adapter(LoraConfig(target_modules=ATTENTION, **settings))
    layers = get_peft_model_state_dict(pipeline.unet)
    if form == "kohya":
        save_file(_kohya(layers, alpha), file)
        return str(file)
    more: dict[str, Any] = {}
    if text:
        pipeline.text_encoder.add_adapter(LoraConfig(target_modules=["q_proj"], **settings))
        more["text_encoder_lora_layers"] = get_peft_model_state_dict(pipeline.text_encoder)
    if form == "peft":
        config = pipeline.unet.peft_config["default"].to_dict()
        more["unet_lora_adapter_metadata"] = config
    kind.save_lora_weights(
        file.parent, unet_lora_layers=layers, weight_name=file.name, safe_serialization=True, **more
    )
    return str(file)


def _kohya(layers: dict[str, Any], alpha: int) -> dict[str, Any]:
    import torch

    named: dict[str, Any] = {}
    for name, weight in layers.items():
        module, _, end = name.partition(".lora_")
        base = "lora_unet_" + module.replace(".", "_")
        named[f"{base}.lora_{'down' if end.startswith('A') else 'up'}.weight"] = weight.contiguous()
        named[f"{base}.alpha"] = torch.tensor(float(alpha))
    return named
