"""From a name or a folder to the image model that draws with it. Loads no weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ModelError, UserError
from ..model_files import folder_of
from .base import ImageModel

__all__ = ["open_model"]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A row of the table.

    Attributes:
        name: for people.
        file: whose presence in a folder tells of this kind.
        tells: what must be true of what it says.
        load: from the name or folder, and that of a refiner, which may be empty.
    """

    name: str
    file: str
    tells: Callable[[dict[str, Any]], bool]
    load: Callable[[str, str], ImageModel]


def _diffusion(name: str, refiner: str) -> ImageModel:
    from .diffusion import Diffusion

    return Diffusion.load(name, refiner=refiner)


def _janus(name: str, refiner: str) -> ImageModel:
    from .janus import Janus

    if refiner:
        raise UserError(f"{name}: Janus takes no refiner", f"--image-model {name}")
    return Janus.load(name)


_KINDS = (
    _Kind("a folder of diffusers (SDXL, SDXL-Turbo, SD 1.5, LCM)", "model_index.json",
          lambda told: True, _diffusion),
    _Kind("a folder of Janus in transformers' form", "config.json",
          lambda told: told.get("model_type") in ("janus", "multi_modality"), _janus),
)  # fmt: skip


def open_model(name: str) -> ImageModel:
    """The image model of a name or a folder; its weights are loaded when it first draws.

    Args:
        name: see `folder_of`; for SDXL with its refiner both, joined by `` + ``.

    Raises:
        ModelMissing: it is not there.
        ModelError: it is there, and is no image model that Limner knows.
        UserError: a refiner for what takes none, a ``+`` without a model on either side, or no
            path at all.
    """
    base, refiner = _both(name)
    folder, _ = folder_of(base)
    for kind in _KINDS:
        if (folder / kind.file).is_file() and kind.tells(_read(folder / kind.file)):
            return kind.load(base, refiner)
    known = "; ".join(kind.name for kind in _KINDS)
    raise ModelError(
        f"{base}: no image model that is known; known are: {known}", "limner models ls"
    )


def _both(name: str) -> tuple[str, str]:
    """A model and its refiner, which may be empty."""
    base, *others = re.split(r"(?:^|\s+)\+(?:\s+|$)", name.strip())
    if not base or others == [""] or len(others) > 1:
        raise UserError(
            f"{name!r}: a model is expected before the + and its refiner behind it",
            "--image-model 'BASE + REFINER'",
        )
    return base, "".join(others)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error})", "download it again") from None
    return found if isinstance(found, dict) else {}
