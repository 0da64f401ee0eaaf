"""Folders of model files: where they are and what is in them. Loads no model, downloads nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

from ..errors import LimnerError, ModelError, ModelMissing
from .paths import typed_path

__all__ = [
    "DIFFUSION_PARTS",
    "HUB_FILES",
    "HUB_REVISIONS",
    "SHIPPED",
    "fingerprint",
    "folder_of",
    "loading",
    "need_safetensors",
    "need_whole_weights",
    "sha256_of",
    "snapshot",
    "tensor_shapes",
    "wanted_files",
]

# Commits as pinned by many independent projects: the hub itself could not be asked here.
HUB_REVISIONS = {
    "Qwen/Qwen3-Embedding-0.6B": "97b0c614be4d77ee51c0cef4e5f07c00f9eb65b3",
    "Qwen/Qwen3-Embedding-4B": "5cf2132abc99cad020ac570b19d031efec650f2b",
    "Qwen/Qwen3-Embedding-8B": "1d8ad4ca9b3dd8059ad90a75d4983776a23d44af",
    "Qwen/Qwen3-Reranker-0.6B": "e61197ed45024b0ed8a2d74b80b4d909f1255473",
    "Qwen/Qwen3-Reranker-4B": "22e683669bc0f0bd69640a1354a6d0aebcfeede5",
    "Qwen/Qwen3-Reranker-8B": "77d193c791ed757ca307ee72715aa132723da912",
}

HUB_FILES = (
    *("*.safetensors", "*.json", "*.jinja"),
    *("tokenizer.model", "merges.txt", "vocab.txt", "*/merges.txt"),
)
"""What of a model on the hub is fetched and looked for: weights, settings, tokenizer."""

SHIPPED = {
    name: Path(__file__).parent / "image_models" / "pocket" / name
    for name in ("pocket-sdxl", "pocket-janus")
}
"""Models that come with Limner: their names and their folders."""

DIFFUSION_PARTS = (
    *("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler"),
    *("safety_checker", "feature_extractor"),
)
"""The folders of an image model in the form of diffusers."""

_AGAIN = "download the model's files again"
_SAMPLES = 64  # places at which a file of weights is looked at; the whole may be gigabytes
_OWN_FORM = "take the model in a form that the installed libraries read by themselves"
_PICKLED = ("*.bin", "*.pt", "*.pth")


def folder_of(name: str) -> tuple[Path, str]:
    """The folder of a model, and its commit where it is one of the hub.

    Args:
        name: of one that is shipped, a folder, or a name on the hub that was downloaded before.

    Raises:
        ModelMissing: it is none of these.
        UserError: no name and no path.
    """
    if name in SHIPPED:
        return SHIPPED[name], ""
    folder = typed_path(name)
    if folder.is_dir():
        return folder, ""
    if folder.is_file():
        raise ModelMissing(
            f"{folder} is a file; a model is a folder of files", f"try {folder.parent}"
        )
    if name.count("/") != 1 or folder.is_absolute() or name.startswith((".", "~")):
        meant = get_close_matches(name.lower(), SHIPPED, 1, 0.7)
        hint = f"did you mean {meant[0]}? limner models ls" if meant else "limner models ls"
        raise ModelMissing(f"{name}: no such folder, and no model that is shipped", hint)
    return snapshot(name)


def snapshot(repository: str, revision: str = "") -> tuple[Path, str]:
    """The folder of a hub model in the local Hugging Face cache.

    Args:
        repository: its name on the hub.
        revision: a commit; the pinned one if left out, else the newest that was downloaded.

    Returns:
        The folder and the commit.

    Raises:
        ModelMissing: it was not downloaded, and the hint is the command that does it; or no model
            can have this name.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    pull = f"limner models pull {repository}"
    commit = revision or HUB_REVISIONS.get(repository, "main")
    try:
        folder = Path(
            snapshot_download(
                repository, revision=commit, local_files_only=True, allow_patterns=list(HUB_FILES)
            )
        )
    except LocalEntryNotFoundError:
        raise ModelMissing(
            f"{repository} at {commit[:12]} is not in the local Hugging Face cache",
            f"hf download {repository} --revision {commit}" if revision else pull,
        ) from None
    except HFValidationError:
        raise ModelMissing(
            f"{repository!r} is no folder, and no model of the hub can have such a name",
            "limner models ls",
        ) from None
    return folder, folder.name


def wanted_files(files: Sequence[str]) -> list[str]:
    """Those of a repository's files that are fetched.

    Of an image model in the form of diffusers these are its parts, not the single files of other
    programs; of weights that are there in full and in half width, the half.

    Args:
        files: all of them, as paths inside the repository.
    """
    if "model_index.json" not in files:
        return [file for file in files if any(fnmatch(file, pattern) for pattern in HUB_FILES)]
    parts = [file for file in files if file.partition("/")[0] in DIFFUSION_PARTS]
    full = {file.replace(".fp16.", ".") for file in parts if file.endswith(".fp16.safetensors")}
    kept = (".json", "merges.txt", ".safetensors")
    return ["model_index.json"] + [
        file for file in parts if file.endswith(kept) and file not in full
    ]


def need_safetensors(folder: Path, optional: bool = False) -> None:
    """Refuse a folder whose weights are in another format: those may run code when loaded.

    One with an adapter's settings is refused too: they may name another folder or repository, whose
    weights would be loaded in place of these.

    Args:
        folder: of a model or one of its layers.
        optional: whether a layer may have no weights at all.

    Raises:
        ModelMissing: no safetensors, or only others; or an adapter.
    """
    if (folder / "adapter_config.json").exists():
        raise ModelMissing(
            f"{folder}: an adapter, not a whole model (adapter_config.json)",
            "merge it into its model and give that folder",
        )
    others = any(path for pattern in _PICKLED for path in folder.glob(pattern))
    if not any(folder.glob("*.safetensors")) and (others or not optional):
        raise ModelMissing(
            f"{folder}: no safetensors weights; other formats are not loaded",
            "download the model's *.safetensors files into this folder",
        )


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors of a safetensors file, from its header alone.

    Raises:
        ModelError: the file is cut off, or no safetensors file.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            room = path.stat().st_size - 8 - length
            if room < 0:
                raise ValueError("cut off, or a pointer of git lfs: git lfs pull")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
        if max(ends, default=0) != room:
            raise ValueError(f"cut off: {room:,} of {max(ends, default=0):,} bytes of weights")
        return {name: tuple(map(int, entry["shape"])) for name, entry in header.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{path}: cannot be loaded (no safetensors file: {error})", _AGAIN
        ) from error


def need_whole_weights(folder: Path) -> None:
    """Refuse weights that are cut off or of which files are missing; reads headers alone.

    Raises:
        ModelError: which file, and what of it.
    """
    held = {path.name: tensor_shapes(path) for path in sorted(folder.glob("*.safetensors"))}
    for index in sorted(folder.glob("*.safetensors.index.json")):
        for name, file in _weight_map(index).items():
            if file not in held:
                raise ModelError(f"{folder}: {file[:100]} is missing", _AGAIN)
            if name not in held[file]:
                raise ModelError(f"{folder / file}: {name[:100]} is not in it", _AGAIN)


def _weight_map(index: Path) -> dict[str, str]:
    with loading(f"{index}: cannot be read"):
        found = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(name): str(file) for name, file in found.items()}


@contextlib.contextmanager
def loading(what: str, hint: str = _AGAIN) -> Iterator[None]:
    """Tell in our own words why the files of a model could not be loaded.

    Whatever is raised: the libraries that read them check little of what a folder holds, and what
    a damaged one leads to is not to be foreseen.

    Args:
        what: the folder and what cannot be done, without the cause.
        hint: what to do about files that are damaged.

    Raises:
        ModelError: with the cause in a line.
    """
    try:
        yield
    except LimnerError:
        raise
    except Exception as error:
        if "trust_remote_code=True" in str(error):
            cause, hint = "it brings its own code, which is never run", _OWN_FORM
        else:
            words = str(error).strip().partition("\n")[0][:300]
            cause = f"{type(error).__name__}: {words}"
        raise ModelError(f"{what} ({cause})", hint) from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a whole file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(folder: Path) -> str:
    """Twelve hexadecimal digits for a model's settings and, by samples, its weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.json")):
        digest.update(path.name.encode() + path.read_bytes())
    for path in sorted(folder.rglob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        with path.open("rb") as stream:
            for at in range(0, size, max(size // _SAMPLES, 1)):
                stream.seek(at)
                digest.update(stream.read(4096))
    return digest.hexdigest()[:12]
