"""What a training shows and hands out: sheets of samples, the adapter's file, its card.

Knows what an adapter was trained with; computes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from .training_model import TARGETS, Learner

__all__ = ["adapter_bytes", "card", "sheet"]

_SEEDS = 2  # samples of each prompt


def sheet(learner: Learner, prompts: Sequence[str], side: int, seed: int, step: int) -> Image.Image:
    """Samples in a grid: a row for each prompt, a column for each seed.

    Args:
        learner: draws them.
        prompts: one at least.
        side: of a sample, in pixels.
        seed: of the first column.
        step: to write above.
    """
    line, gap = 16, 4
    width = _SEEDS * (side + gap) + gap
    made = Image.new("RGB", (max(width, 200), line + len(prompts) * (side + line + gap)), "white")
    pen = ImageDraw.Draw(made)
    pen.text((gap, 2), f"step {step}, seeds {seed} to {seed + _SEEDS - 1}", fill="black")
    for row, prompt in enumerate(prompts):
        top = line + row * (side + line + gap)
        pen.text((gap, top + 2), " ".join(prompt.split())[: made.width // 6], fill="black")
        for column in range(_SEEDS):
            image = learner.sample(prompt, side, seed + column)
            made.paste(image, (gap + column * (side + gap), top + line))
    return made


def adapter_bytes(learner: Learner, facts: Mapping[str, Any]) -> bytes:
    """The adapter as a safetensors file in diffusers' form.

    Args:
        learner: has the weights.
        facts: what it was trained with; kept in the file.
    """
    from safetensors.torch import save

    # Diffusers reads the rank from the weights, and alpha from nowhere but here.
    peft = {"r": facts["rank"], "lora_alpha": facts["alpha"], "target_modules": list(TARGETS)}
    metadata = {
        "format": "pt",
        "lora_adapter_metadata": json.dumps({f"unet.{name}": v for name, v in peft.items()}),
        "limner": json.dumps(dict(facts)),
    }
    return save(learner.adapter(), metadata)


def card(path: Path, facts: Mapping[str, Any], losses: tuple[float, float]) -> str:
    """What people are to know of an adapter, as Markdown.

    Args:
        path: of its file.
        facts: what it was trained with.
        losses: on fixed pictures, before and after.
    """
    rows = "\n".join(f"| {name.replace('_', ' ')} | {_cell(v)} |" for name, v in facts.items())
    calls = f" Begin the prompt with “{_cell(facts['trigger'])}”." if facts["trigger"] else ""
    return f"""# {_cell(path.stem)}

A LoRA adapter for {_cell(facts["base"])}, trained with Limner.{calls}

```sh
limner draw "…" -o picture.png --image-model BASE --lora {path.name}:1
```

| | |
|---|---|
{rows}

Mean loss on fixed pictures, noise and times: {losses[0]:.4f} before, {losses[1]:.4f} after. A fall
says that the pictures were learnt, not that what it draws is good: look at the samples.

The licences of the base and of the pictures apply.
"""


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|").replace("`", "'")
