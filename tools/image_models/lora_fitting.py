"""Whether an adapter fits a model, told from the headers of both files. Loads no weights.

Names are read as diffusers, peft and kohya's scripts write them. What cannot be told so is left to
the loading of the adapter, which counts whether all of it has found its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from .checkpoint import Checkpoint, shapes_of
from .lora import check_settings, foreign, unreadable

__all__ = ["need_fitting"]

_END = re.compile(
    r"[._](?:lora(?:_linear_layer)?[._])?(?P<half>lora_A|lora_B|down|up)(?:\.[\w-]+)?\.weight$"
)
"""How the name of a weight ends: the half that reads a module's input, or that makes its output."""

_PARTS = {
    "unet": ("unet.", "lora_unet_"),
    "text_encoder": ("text_encoder.", "lora_te_", "lora_te1_"),
    "text_encoder_2": ("text_encoder_2.", "lora_te2_"),
}
"""How names begin that belong to a part of a model."""

_ACROSS = "attn2_to_k"
"""Reads the words of a prompt, in whatever manner the blocks around it are numbered."""

_Module = tuple[str, str, bool, int]  # part, name, whether it is the input's half, its width


def need_fitting(path: Path, checkpoint: Checkpoint) -> None:
    """Refuse an adapter that was made for another model, as far as names and shapes tell.

    Args:
        path: of the adapter.
        checkpoint: of the model.

    Raises:
        UserError: it cannot be read, has settings that are refused, or does not fit.
    """
    from safetensors import SafetensorError

    try:
        check_settings(path)
        modules = list(_modules(shapes_of(path)))
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from error
    for part in _PARTS:
        if part not in checkpoint.parts and any(told == part for told, *_ in modules):
            raise foreign(path, checkpoint.name, f"it changes a {part}, which is not there")
    known = {part: _widths(checkpoint.shapes(part)) for part in {told for told, *_ in modules}}
    across = checkpoint.settings.unet.get("cross_attention_dim")
    for part, name, reads, width in modules:
        wanted = known[part].get(name, {}).get(reads)
        if wanted is None and part == "unet" and reads and name.endswith(_ACROSS):
            wanted = across if isinstance(across, int) else None
        if wanted not in (None, width):
            why = f"its weights have other shapes: {name[-60:]} is {width} wide, not {wanted}"
            raise foreign(path, checkpoint.name, why)
    if not any(name in known[part] or name.endswith(_ACROSS) for part, name, *_ in modules):
        raise foreign(path, checkpoint.name, "none of its weights has a place in it")


def _modules(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[_Module]:
    """The modules that an adapter changes; names are told with ``_`` in place of every dot."""
    for name, shape in shapes.items():
        found = _END.search(name)
        part = next((p for p, begins in _PARTS.items() if name.startswith(begins)), "")
        if found is None or not part or len(shape) < 2:
            continue
        begin = next(begin for begin in _PARTS[part] if name.startswith(begin))
        module = name[len(begin) : found.start()].replace(".processor", "")
        reads = found["half"] in ("lora_A", "down")
        yield part, module.replace(".", "_"), reads, shape[1] if reads else shape[0]


def _widths(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, dict[bool, int]]:
    """Of each module of a part the width of its input, under True, and of its output."""
    return {
        name.removesuffix(".weight").replace(".", "_"): {True: shape[1], False: shape[0]}
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) > 1
    }
