"""The trained parts as one folder of diffusers, in half precision, and a picture drawn from it.

    python examples/pocket/assemble.py --out demo/pocket

Knows the form of the folder; trains nothing. The picture is drawn by Limner's own loader, as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limner.examples.pocket.training import SHARD
from limner.examples.pocket.unet import SCHEDULE
from limner.tools.image_models.captions import CAPTIONS
from limner.tools.model_files import SHIPPED

__all__ = ["assembled", "drawn"]

LARGEST = 26_000_000
"""Bytes that the folder may have."""


def assembled(out: Path) -> Path:
    """Write ``out/model`` from the folders of the stages.

    Raises:
        SystemExit: it is larger than may be shipped.
    """
    import diffusers as untyped
    import torch
    import transformers

    diffusers: Any = untyped

    def part(kind: Any, *folders: Path) -> Any:
        folder = next(folder for folder in folders if folder.is_dir())
        return kind.from_pretrained(folder).to(torch.float16)

    unet, text = out / "unet", out / "text"
    tokenizers = [transformers.CLIPTokenizer.from_pretrained(text / "tokenizer") for _ in range(2)]
    names = ("text_encoder", "text_encoder_2")
    kinds = (transformers.CLIPTextModel, transformers.CLIPTextModelWithProjection)
    encoders = [part(kind, unet / name, text / name)
                for kind, name in zip(kinds, names, strict=True)]  # fmt: skip
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=part(diffusers.AutoencoderKL, out / "vae" / "model"),
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        unet=part(diffusers.UNet2DConditionModel, unet / "unet"),
        # From pure noise on, at evenly spaced times: what few steps need.
        scheduler=diffusers.EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="trailing"),
        force_zeros_for_empty_prompt=False,  # trained with the empty caption, not with zeros
        add_watermarker=False,
    )
    half = out / "model.tmp"
    shutil.rmtree(half, ignore_errors=True)
    pipeline.save_pretrained(half, max_shard_size=SHARD)
    for path in half.glob("tokenizer*/tokenizer.json"):  # a third is spaces
        told = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps(told, ensure_ascii=False, separators=(",", ":")), "utf-8")
    for config in half.glob("*/config.json"):
        told = json.loads(config.read_text())
        told.pop("_name_or_path", None)  # where it was trained is nobody's matter
        if config.parent.name in names:
            # Else transformers would load halves where diffusers loads float32: they do not add.
            told["dtype"] = "float32"
        config.write_text(json.dumps(told, indent=2) + "\n")
    shutil.copy(SHIPPED["pocket-sdxl"] / CAPTIONS, half)  # what `scenes` says of a thing
    size = sum(path.stat().st_size for path in half.rglob("*") if path.is_file())
    if size > LARGEST:
        raise SystemExit(f"{size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}: {half}")
    shutil.rmtree(out / "model", ignore_errors=True)
    half.rename(out / "model")
    return out / "model"


def drawn(folder: Path, prompt: str, seed: int = 0) -> Any:
    """A picture of an assembled folder, by Limner's own loader."""
    from limner.tools.image_models.base import ImageRequest
    from limner.tools.image_models.diffusion import Diffusion

    model = Diffusion.load(str(folder))
    return model.generate(ImageRequest(prompt, seed=seed), lambda done, steps, preview: None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Assemble, tell the size, draw a cat."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo/pocket"))
    given = parser.parse_args(arguments)
    folder = assembled(given.out)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            print(f"{path.stat().st_size:>10,}  {path.relative_to(folder)}")
    made = drawn(folder, "a cat")
    made.image.save(given.out / "cat.png")
    print(f"{made.seconds:.2f} s, {made.steps} steps, {made.dtype}: {given.out / 'cat.png'}")


if __name__ == "__main__":
    main()
