"""The adapters in the user's folder: which there are, what each says of itself, deleting one."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UserError
from .lora import user_folder

__all__ = ["Kept", "kept", "remove"]


@dataclass(frozen=True, slots=True)
class Kept:
    """An adapter in the user's folder. What it says of itself is not to be trusted.

    Attributes:
        name: to draw with it.
        path: its file.
        base: the model that it was trained for; empty where the file does not say.
        trigger: words to call it by.
        steps: that it was trained for; 0 where the file does not say.
    """

    name: str
    path: Path
    base: str = ""
    trigger: str = ""
    steps: int = 0


def kept() -> tuple[Kept, ...]:
    """The adapters, by name."""
    return tuple(_read(path) for path in sorted(user_folder().glob("*.safetensors")))


def _read(path: Path) -> Kept:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            told: Any = json.loads((file.metadata() or {}).get("limner", "{}"))
        steps = told.get("steps", 0)
        return Kept(
            path.stem,
            path,
            str(told.get("base", "")),
            str(told.get("trigger", "")),
            steps if isinstance(steps, int) else 0,
        )
    except (OSError, SafetensorError, ValueError, AttributeError, RecursionError):
        return Kept(path.stem, path)


def remove(name: str) -> None:
    """Delete an adapter, its card, and the checkpoint, log and samples of its training.

    Args:
        name: as `kept` has it.

    Raises:
        UserError: there is none of this name, or it cannot be deleted.
    """
    folder = user_folder()
    path, training = folder / f"{name}.safetensors", folder / f"{name}.training"
    if Path(name).name != name or not (path.is_file() or training.is_dir()):
        raise UserError(f"no adapter {name!r} in {folder}", "limner lora ls")
    try:
        path.unlink(missing_ok=True)
        path.with_suffix(".md").unlink(missing_ok=True)
        if training.is_dir():
            shutil.rmtree(training)
    except OSError as error:
        raise UserError(f"{path}: cannot be deleted ({error})", f"rm {path}") from error
