"""The stages' folders out of an assembled model, so that its U-Net can be trained further.

    python examples/pocket/going_on.py --out demo/pocket
    torchrun --nproc-per-node 2 examples/pocket/unet.py --out demo/pocket --total 90

What was learnt is there, in half precision; the optimizer's moments are not. Trains nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limner.examples.pocket.training import save_shards
from limner.tools.model_files import SHIPPED

__all__ = ["unpacked"]


def unpacked(model: Path, out: Path) -> None:
    """Write ``vae``, ``text`` and a first checkpoint of ``unet``.

    Args:
        model: a folder as `assemble` writes it.
        out: of the recipe.

    Raises:
        SystemExit: a folder of the U-Net is there already.
    """
    import diffusers as untyped
    import torch
    import transformers

    diffusers: Any = untyped
    if (out / "unet").exists():
        raise SystemExit(f"{out / 'unet'} is there already; move it away, or name another --out")
    vae = diffusers.AutoencoderKL.from_pretrained(model / "vae").float()
    vae.save_pretrained(out / "vae" / "model")
    texts = out / "text"
    for kind, name in (
        (transformers.CLIPTextModel, "text_encoder"),
        (transformers.CLIPTextModelWithProjection, "text_encoder_2"),
    ):
        kind.from_pretrained(model / name, dtype=torch.float32).save_pretrained(texts / name)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(model / "tokenizer")
    tokenizer.save_pretrained(texts / "tokenizer")
    unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet").float()
    weights = {f"unet.{name}": weight for name, weight in unet.named_parameters()}
    folder = out / "unet" / "checkpoint-00000000"
    folder.mkdir(parents=True)
    for stem, letter in (("weights", "w"), ("average", "a")):
        save_shards({f"{letter}.{name}": w for name, w in weights.items()}, folder, stem)
    (folder / "state.json").write_text(json.dumps({"step": 0, "seconds": 0.0}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Unpack the shipped model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo/pocket"))
    parser.add_argument("--model", type=Path, default=SHIPPED["pocket-sdxl"], help="a folder")
    given = parser.parse_args(arguments)
    unpacked(given.model, given.out)
    print(f"written: {given.out}/vae, text and unet, which goes on training")


if __name__ == "__main__":
    main()
