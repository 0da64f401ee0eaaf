"""A diffusers folder: is it there, is it safe, what are its parts, how large. Downloads nothing.

A part is made by the class named here, whatever ``model_index.json`` names: nothing that a folder
brings along is ever imported or unpickled.
"""

from __future__ import annotations

import filecmp
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ...errors import ModelError, ModelMissing
from ..model_files import fingerprint, folder_of, loading, need_safetensors
from .families import Settings

__all__ = ["Checkpoint", "shapes_of"]

_AGAIN = "download the model's files again"
_WEIGHTS = ("unet", "vae", "text_encoder", "text_encoder_2", "safety_checker")
_TOKENIZERS = ("tokenizer.json", "vocab.json")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder whose files are all there.

    Attributes:
        folder: where it is.
        name: the folder's name, or the hub's.
        revision: the hub's commit, or twelve digits made of the files.
        settings: what it says of itself.
        parts: that it has, of those that are known here.
    """

    folder: Path
    name: str
    revision: str
    settings: Settings
    parts: tuple[str, ...]

    @classmethod
    def find(cls, name: str) -> Self:
        """Look for a model.

        Args:
            name: see `folder_of`.

        Raises:
            ModelMissing: it is not there, or not in a form that is loaded.
            ModelError: its settings cannot be read.
            UserError: no name and no path.
        """
        folder, revision = folder_of(name)
        index = _read(folder / "model_index.json")
        settings = Settings(
            index,
            _read(folder / "unet" / "config.json"),
            _read(folder / "vae" / "config.json"),
            _read(folder / "scheduler" / "scheduler_config.json"),
        )
        _need_shapes(folder, settings)
        parts = tuple(part for part in _LOADERS if _is_there(folder, index, part))
        revision = revision or fingerprint(folder)
        return cls(folder, name if "/" in name and not Path(name).is_dir() else folder.name,
                   revision, settings, parts)  # fmt: skip

    def parameters(self, part: str) -> int:
        """How many weights a part has, from the headers of its files; 0 for one without weights."""
        return sum(map(math.prod, self.shapes(part).values()))

    def shapes(self, part: str) -> dict[str, tuple[int, ...]]:
        """The weights of a part, from the headers of its files; none for one without weights."""
        files = self._files(part) if part in _WEIGHTS else []
        return {name: shape for path in files for name, shape in _shapes(path).items()}

    def are_equal(self, part: str, other: str) -> bool:
        """Whether two parts are made of the same files, byte by byte.

        Args:
            part: one of ``parts``.
            other: another one.
        """
        one, two = self.folder / part, self.folder / other
        names, others = (sorted(path.name for path in folder.iterdir()) for folder in (one, two))
        return names == others and all(
            filecmp.cmp(one / name, two / name, shallow=False) for name in names
        )

    def load(self, part: str, dtype: str) -> Any:
        """One part, on the CPU.

        Args:
            part: one of ``parts``.
            dtype: of its weights: ``float32``, ``float16`` or ``bfloat16``.

        Raises:
            ModelError: its files are damaged or do not belong together.
        """
        import torch

        settings: dict[str, Any] = {"local_files_only": True}
        if part in _WEIGHTS:
            settings |= {"use_safetensors": True, "output_loading_info": True}
            kind = "dtype" if part.startswith(("text", "safety")) else "torch_dtype"
            settings[kind] = getattr(torch, dtype)
            if ".fp16." in self._files(part)[0].name:
                settings["variant"] = "fp16"
        with loading(f"{self.folder / part}: cannot be loaded"):
            made = _LOADERS[part]()(self.folder / part, **settings)
        if part not in _WEIGHTS:
            return made
        model, told = made
        if missing := sorted(told["missing_keys"]):
            said = f"{len(missing)} weights are missing, {missing[0]} among them"
            raise ModelError(f"{self.folder / part}: {said}", _AGAIN)
        return model.eval()

    def _files(self, part: str) -> list[Path]:
        """Its weights; where they are there in two widths, the full one."""
        found = sorted((self.folder / part).glob("*.safetensors"))
        return [path for path in found if ".fp16." not in path.name] or found


def _is_there(folder: Path, index: Any, part: str) -> bool:
    """Whether a folder has a part; one that it names must be whole, but for the safety checker."""
    named = index.get(part)
    if not (isinstance(named, list) and any(named)):
        return False
    if part in ("safety_checker", "feature_extractor"):
        # It is left out where it cannot be read safely; the picture is labelled as unchecked.
        return (
            any((folder / "safety_checker").glob("*.safetensors"))
            and (folder / "feature_extractor" / "preprocessor_config.json").is_file()
        )
    if not (folder / part).is_dir():
        raise ModelMissing(f"{folder}: {part} is missing", _AGAIN)
    if part in _WEIGHTS:
        need_safetensors(folder / part)
    elif not any((folder / part / name).is_file() for name in _TOKENIZERS):
        raise ModelMissing(f"{folder / part}: no {' or '.join(_TOKENIZERS)}", _AGAIN)
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelMissing(
            f"{path} is missing, so not a folder of diffusers", "limner models ls"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read ({error})", _AGAIN) from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: holds no settings", _AGAIN)
    return found


def _need_shapes(folder: Path, settings: Settings) -> None:
    """Sizes and memory are told from these before anything is loaded."""
    side = settings.unet.get("sample_size")
    blocks: list[Any] = [
        config.get("block_out_channels") for config in (settings.unet, settings.vae)
    ]
    if not (
        isinstance(side, int)
        and 0 < side <= 1024
        and all(isinstance(found, list) and 0 < len(found) <= 8 for found in blocks)
        and all(isinstance(n, int) and 0 < n <= 2**16 for found in blocks for n in found)
    ):
        raise ModelError(f"{folder}: its settings name no sizes that can be", _AGAIN)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError

    try:
        return shapes_of(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: no safetensors file ({error})", _AGAIN) from error


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """The weights of a safetensors file by name, from its header.

    Raises:
        OSError, SafetensorError: it cannot be read.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _diffusers(name: str) -> Callable[[], Any]:
    def loader() -> Any:
        import diffusers

        return getattr(diffusers, name).from_pretrained

    return loader


def _transformers(name: str) -> Callable[[], Any]:
    def loader() -> Any:
        import transformers

        return getattr(transformers, name).from_pretrained

    return loader


def _safety() -> Any:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    return StableDiffusionSafetyChecker.from_pretrained


_LOADERS: dict[str, Callable[[], Any]] = {
    "tokenizer": _transformers("CLIPTokenizer"),
    "tokenizer_2": _transformers("CLIPTokenizer"),
    "text_encoder": _transformers("CLIPTextModel"),
    "text_encoder_2": _transformers("CLIPTextModelWithProjection"),
    "unet": _diffusers("UNet2DConditionModel"),
    "vae": _diffusers("AutoencoderKL"),
    "feature_extractor": _transformers("CLIPImageProcessor"),
    "safety_checker": _safety,
}
