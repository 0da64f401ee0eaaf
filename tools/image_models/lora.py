"""LoRA adapters: found, held against a model, put into its parts and taken out again.

They are never fused: a part's own weights are not touched, so taking adapters out brings back the
same picture to the last bit. Only safetensors files are read. Knows diffusers' ways of loading
them; nothing of requests, pictures or training.
"""

from __future__ import annotations

import json
import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from logging import CRITICAL
from pathlib import Path
from typing import Any

from ...errors import LimnerError, ModelMissing, UserError
from ..model_files import sha256_of, snapshot
from ..paths import typed_path
from .assembly import quiet

__all__ = [
    "Adapter",
    "Adapters",
    "adapter_file",
    "check_settings",
    "chosen",
    "digest_of",
    "find",
    "foreign",
    "need_peft",
    "unreadable",
    "user_folder",
]

_NAME = re.compile(r"[\w][\w.-]*", re.ASCII)
_OWN = "pytorch_lora_weights.safetensors"  # as diffusers calls it in a folder
_METADATA = "lora_adapter_metadata"  # as diffusers keeps peft's settings in a file
_HARMLESS = {
    *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "exclude_modules"),
    *("use_rslora", "bias", "lora_dropout", "peft_type", "peft_version", "task_type"),
    *("inference_mode", "base_model_name_or_path", "revision"),
    *("megatron_core", "qalora_group_size"),  # set always; of use with refused ones only
}


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter that is there.

    Attributes:
        path: its file.
        digest: SHA-256 of the file.
        weight: how strongly it works; not 0.
    """

    path: Path
    digest: str
    weight: float


def user_folder() -> Path:
    """Where trained adapters are kept: ``LIMNER_ADAPTERS``, else in the user's data folder."""
    from platformdirs import user_data_dir

    said = os.environ.get("LIMNER_ADAPTERS", "").strip()
    return Path(said).expanduser() if said else Path(user_data_dir("limner")) / "adapters"


def find(name: str) -> Path:
    """The file of an adapter. Downloads nothing.

    Args:
        name: a safetensors file, a folder that holds one, the name of an adapter that was trained
            here, or a repository of the hub that was downloaded before.

    Raises:
        UserError: a file of another format, a folder that leaves a choice, or no path at all.
        ModelMissing: it is not there.
    """
    path = typed_path(name, "lora")
    if path.is_dir():
        return _in_folder(path, name)
    if path.is_file():
        if path.suffix != ".safetensors":
            raise UserError(
                f"lora {name}: only .safetensors files are read; others may run code when loaded",
                "take the adapter's .safetensors file",
            )
        return path
    if _NAME.fullmatch(name) and (kept := user_folder() / f"{name}.safetensors").is_file():
        return kept
    if name.count("/") == 1 and all(_NAME.fullmatch(part) for part in name.split("/")):
        return _in_folder(snapshot(name)[0], name)
    raise ModelMissing(
        f"lora {name}: no such file, and no adapter of that name in {user_folder()}",
        "limner lora ls",
    )


def adapter_file(name: str) -> Path:
    """The file that a new adapter goes to.

    Args:
        name: a path that ends in ``.safetensors``, or a name in the user's folder.

    Raises:
        UserError: neither, or no path at all.
    """
    if name.endswith(".safetensors"):
        return typed_path(name)
    if _NAME.fullmatch(name):
        return user_folder() / f"{name}.safetensors"
    raise UserError(f"{name}: neither a name nor a .safetensors file", f"{name}.safetensors")


def _in_folder(folder: Path, name: str) -> Path:
    if (folder / _OWN).is_file():
        return folder / _OWN
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return files[0]
    if not files:
        raise ModelMissing(f"lora {name}: no .safetensors file in {folder}", "limner lora ls")
    raise UserError(
        f"lora {name}: {len(files)} files, {files[0].name} among them", f"--lora {files[0]}"
    )


def digest_of(path: Path) -> str:
    """SHA-256 of an adapter's file; read again only after it has changed."""
    told = path.stat()
    return _digest(path, told.st_mtime_ns, told.st_size, told.st_ino)


@lru_cache(maxsize=64)
def _digest(path: Path, changed: int, size: int, inode: int) -> str:
    return sha256_of(path)


def chosen(lora: Iterable[tuple[str, float]]) -> tuple[Adapter, ...]:
    """The adapters that a request names, in an order of their own.

    What is named twice counts with the sum of its weights; a weight of 0 is as if it were not
    named. The order in which they are named changes nothing.

    Args:
        lora: names as `find` takes them, each with its weight.

    Raises:
        UserError: a file of another format.
        ModelMissing: an adapter, or the package that loads them, is not there.
    """
    weights: dict[str, list[float]] = {}
    paths: dict[str, Path] = {}
    for name, weight in lora:
        path = find(name)
        digest = digest_of(path)
        weights.setdefault(digest, []).append(weight)
        paths.setdefault(digest, path)
    summed = {digest: math.fsum(given) for digest, given in weights.items()}
    found = tuple(Adapter(paths[d], d, weight) for d, weight in sorted(summed.items()) if weight)
    if found:
        need_peft()
    return found


def need_peft() -> None:
    """See that the package that adapters need is there.

    Raises:
        ModelMissing: it is not.
    """
    if find_spec("peft") is None:
        raise ModelMissing("LoRA adapters need the package peft", "pip install 'limner[lora]'")


class Adapters:
    """Those that are in the parts of one model. They stay there until others are asked for."""

    def __init__(self) -> None:
        self._there: tuple[str, ...] = ()
        self._weights: tuple[float, ...] = ()
        self._pipeline: Any = None

    def put(self, pipeline: Any, adapters: tuple[Adapter, ...], model: str) -> None:
        """Have these adapters, and no others, in a pipeline's parts.

        Args:
            pipeline: of diffusers; others that share its parts draw with the adapters too.
            adapters: from `chosen`.
            model: its name, for messages.

        Raises:
            UserError: one was made for another model; all are taken out.
        """
        wanted = tuple(adapter.digest for adapter in adapters)
        weights = tuple(adapter.weight for adapter in adapters)
        if wanted != self._there:
            self.clear()
            self._pipeline = pipeline
            try:
                for adapter in adapters:
                    _load(pipeline, adapter, model)
            except BaseException:
                self.clear()
                raise
            self._there = wanted
        if adapters and weights != self._weights:
            pipeline.set_adapters([_key(digest) for digest in wanted], list(weights))
            self._weights = weights

    def clear(self) -> None:
        """Take all out; what is left are the parts as they were loaded."""
        if self._pipeline is not None:
            self._pipeline.unload_lora_weights()
        self._there, self._weights, self._pipeline = (), (), None


def _key(digest: str) -> str:
    return f"adapter_{digest[:32]}"


def _load(pipeline: Any, adapter: Adapter, model: str) -> None:
    """Load one adapter, and see that all of it has found its place.

    Raises:
        UserError: it has not.
    """
    import torch
    from diffusers.utils import logging
    from safetensors import SafetensorError

    try:
        check_settings(adapter.path)
        options = {"local_files_only": True, "use_safetensors": True}
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.set_verbosity(CRITICAL)  # what diffusers would say is said below
            pipeline.load_lora_weights(
                str(adapter.path), adapter_name=_key(adapter.digest), **options
            )
            told, *_ = pipeline.lora_state_dict(
                str(adapter.path), unet_config=pipeline.unet.config, **options
            )
    except (torch.OutOfMemoryError, MemoryError, LimnerError):
        raise
    except (OSError, SafetensorError) as error:
        raise unreadable(adapter.path, error) from error
    except Exception as error:  # whatever foreign names and shapes lead diffusers and peft to
        why = "its weights have other shapes" if "size mismatch" in str(error) else str(error)
        raise foreign(adapter.path, model, why) from error
    expected = sum(1 for name in told if not name.endswith(".alpha"))
    found = sum(1 for _ in _weights(pipeline, _key(adapter.digest)))
    if not found or found != expected:
        raise foreign(adapter.path, model, f"{found} of its {expected} weights have a place in it")


def foreign(path: Path, model: str, why: str) -> UserError:
    """What to say of an adapter that was made for another model.

    Args:
        path: its file.
        model: the name of the one at hand.
        why: as far as it is known.
    """
    return UserError(
        f"lora {path}: it does not fit {model} ({' '.join(why.split())[:200]})",
        "take an adapter that was trained for this model",
    )


def unreadable(path: Path, error: Exception) -> UserError:
    """What to say of a file that is no adapter's."""
    return UserError(
        f"lora {path}: no safetensors file that can be read ({error})", "download it again"
    )


def check_settings(path: Path) -> None:
    """Refuse settings by which peft would change a model's own weights, or do more than LoRA.

    Args:
        path: of the adapter.

    Raises:
        UserError: the file has such settings.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        told = (file.metadata() or {}).get(_METADATA)
    if told is None:
        return
    try:
        settings = dict(json.loads(told))
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"lora {path}: its settings cannot be read", "download it again") from error
    for name, value in settings.items():
        option = name.rpartition(".")[2]
        started = option == "init_lora_weights" and value in (True, False, "gaussian")
        if value and option not in _HARMLESS and not started:
            raise UserError(
                f"lora {path}: its setting {option[:80]!r} is not known here",
                "take a plain LoRA adapter",
            )


def _weights(pipeline: Any, key: str) -> Iterator[Any]:
    """The weights of one adapter in a pipeline's parts."""
    for part in ("unet", "text_encoder", "text_encoder_2"):
        model = getattr(pipeline, part, None)
        if model is not None:
            yield from (w for name, w in model.named_parameters() if f".{key}." in f"{name}.")
