"""The models that Limner knows, of the hub and its own, whether they are here, and fetching one.

Looks into the Hugging Face cache; loads no model. Only `pull` asks the network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from ..errors import ModelError, ModelMissing, UserError
from ..tools.model_files import HUB_REVISIONS, SHIPPED, need_safetensors, wanted_files
from ..tools.paths import typed_path

__all__ = ["KNOWN", "Known", "Place", "cache_folder", "place_of", "pull"]

_MORE = {"--chat-model": ("preprocessor_config.json",), "--embedding-model": ("modules.json",)}

_PARTS = (
    *("model_index.json", "unet/config.json", "vae/config.json"),
    "scheduler/scheduler_config.json",
)


@dataclass(frozen=True, slots=True)
class Known:
    """A model that Limner is made for.

    Attributes:
        name: on the hub; a word without a slash is shipped with Limner.
        role: the option that takes it.
    """

    name: str
    role: str


def _family(role: str, pattern: str, *sizes: str) -> Iterator[Known]:
    return (Known(pattern.format(size), role) for size in sizes)


KNOWN = (
    *_family("--chat-model", "Qwen/Qwen2-VL-{}-Instruct", "2B", "7B", "72B"),
    *_family("--chat-model", "Qwen/Qwen2.5-VL-{}-Instruct", "3B", "7B", "32B", "72B"),
    *_family("--chat-model", "Qwen/Qwen3-VL-{}-Instruct", "2B", "4B", "8B", "32B"),
    *_family("--chat-model", "llava-hf/llava-onevision-qwen2-{}-ov-hf", "0.5b", "7b"),
    *_family("--image-model", "{}", *SHIPPED),
    *_family("--image-model", "stabilityai/stable-diffusion-xl-{}-1.0", "base", "refiner"),
    *_family("--image-model", "{}", "stabilityai/sdxl-turbo"),
    *_family("--image-model", "stable-diffusion-v1-5/{}", "stable-diffusion-v1-5"),
    *_family("--image-model", "deepseek-community/Janus-Pro-{}", "1B", "7B"),
    *_family("--embedding-model", "Qwen/Qwen3-Embedding-{}", "0.6B", "4B", "8B"),
    *_family("--reranker", "Qwen/Qwen3-Reranker-{}", "0.6B", "4B", "8B"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is looked for, and what is there.

    Attributes:
        name: of the model, or its folder.
        folder: where its files are, or would be.
        revision: the commit that is used; empty where the hub's newest is.
        missing: the files without which it does not load.
        size: bytes of what is there.
    """

    name: str
    folder: Path
    revision: str
    missing: tuple[str, ...]
    size: int

    @property
    def here(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def cache_folder() -> Path:
    """The Hugging Face cache: ``HF_HUB_CACHE``, else ``hub`` in ``HF_HOME``."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def place_of(name: str) -> Place:
    """Where a model is looked for.

    Args:
        name: of the hub, as ``Qwen/Qwen2-VL-2B-Instruct``, of one that is shipped, or a folder.

    Raises:
        UserError: neither.
    """
    if name in SHIPPED or typed_path(name).is_dir():
        folder, revision = SHIPPED.get(name) or typed_path(name), ""
    else:
        _hub_name(name)
        revision = HUB_REVISIONS.get(name, "")
        kept = cache_folder() / f"models--{name.replace('/', '--')}"
        folder = kept / "snapshots" / (revision or _newest(kept))
    missing = tuple(_missing(folder, name))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Place(name, folder, revision, missing, size)


def pull(name: str) -> Place:
    """Download a model's weights, settings and tokenizer into the cache; no other file.

    What is shipped is there.

    Args:
        name: of the hub.

    Raises:
        UserError: not a name of the hub.
        ModelMissing: it cannot be downloaded from here, and which of its files are not here.
        ModelError: it came without safetensors weights.
    """
    if name in SHIPPED:
        return place_of(name)
    _hub_name(name)
    failure = _fetched(name, HUB_REVISIONS.get(name, "") or None)
    place = place_of(name)
    if failure is None:
        drawn = (place.folder / "model_index.json").is_file()
        need_safetensors(place.folder / "unet" if drawn else place.folder)
        return place
    if place.here:
        return place
    reason, remedy = failure
    raise ModelMissing(
        f"{name} cannot be downloaded ({reason}); missing: {', '.join(place.missing)}; "
        f"looked for in {place.folder}",
        remedy,
    )


def _fetched(name: str, revision: str | None) -> tuple[str, str] | None:
    """Nothing where all went well; else why not, and what to do."""
    from huggingface_hub import HfApi, constants, snapshot_download

    elsewhere = "or give a folder that holds these files in place of the name"
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set", f"unset HF_HUB_OFFLINE, {elsewhere}"
    try:
        told = HfApi().model_info(
            name, revision=revision, timeout=10.0
        )  # fails at once, if it must
        files = wanted_files([file.rfilename for file in told.siblings or ()])
        snapshot_download(name, revision=revision, allow_patterns=[escape(file) for file in files])
    except Exception as error:  # the hub's client raises of many kinds; each says what happened
        kind = type(error).__name__
        reason = " ".join(str(error).split())[:120] or kind
        remedies = {
            "GatedRepoError": f"ask for access at hf.co/{name}, then: hf auth login",
            "RepositoryNotFoundError": "limner models ls names those that Limner knows",
        }
        return reason, remedies.get(kind, f"run it where there is a network, {elsewhere}")
    return None


def _hub_name(name: str) -> None:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith((".", "-")):
        raise UserError(
            f"{name!r} is neither a folder nor a name of the hub", "limner models ls names some"
        )


def _newest(kept: Path) -> str:
    """The commit that was the newest when the model was fetched; ``main`` where it was not."""
    try:
        return (kept / "refs" / "main").read_text("ascii").strip() or "main"
    except (OSError, ValueError):
        return "main"


def _missing(folder: Path, name: str) -> Iterator[str]:
    """The files that a model needs and has not, as far as can be told without the hub."""
    if _is_of_diffusers(folder, name):
        yield from (file for file in _PARTS if not (folder / file).is_file())
        weights = (f"{part}/*.safetensors" for part in ("unet", "vae"))
        yield from (pattern for pattern in weights if not any(folder.glob(pattern)))
        return
    needed = ["config.json", "tokenizer_config.json", *_weights(folder)]
    role = next((known.role for known in KNOWN if known.name == name), "")
    needed += _MORE.get(role, ())
    yield from (file for file in needed if not (folder / file).is_file())


def _is_of_diffusers(folder: Path, name: str) -> bool:
    if (folder / "model_index.json").is_file():
        return True
    drawing = Known(name, "--image-model") in KNOWN and "Janus" not in name
    return drawing and not (folder / "config.json").is_file()


def _weights(folder: Path) -> list[str]:
    """The files of weights: those that the index names, or the only one."""
    index = folder / "model.safetensors.index.json"
    try:
        parts = json.loads(index.read_bytes())["weight_map"].values()
    except FileNotFoundError:
        return ["model.safetensors"]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{index}: cannot be read ({error})", "delete it, then: limner models pull NAME"
        ) from None
    return sorted({str(part) for part in parts})
