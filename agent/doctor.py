"""Looks for what is missing, damaged or at odds. Reports; changes nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from ..errors import LimnerError
from ..index.embeddings import Embeddings, find_embeddings
from ..index.library import Library
from .grading import CALIBRATIONS
from .sessions import Sessions

__all__ = ["Finding", "examine"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        status: ``ok``; ``note`` is worth knowing; ``error`` keeps something from working.
        what: what was looked at.
        detail: what was found.
        hint: what to type, where there is something to mend.
    """

    status: Literal["ok", "note", "error"]
    what: str
    detail: str
    hint: str = ""


def examine(folder: Path, embedding_model: str) -> list[Finding]:
    """Look at the installation, the models and a library.

    Args:
        folder: the library's.
        embedding_model: as for ``Library.open``.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _packages,
        lambda: _model(embedding_model),
        lambda: _library(folder, embedding_model),
    )
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except LimnerError as error:
            findings.append(Finding("error", type(error).__name__, str(error), error.hint))
    return findings


def _packages() -> Iterator[Finding]:
    yield Finding("ok", "python", sys.version.split()[0])
    for name in ("limner", "torch", "transformers", "sentence-transformers", "langgraph"):
        yield Finding("ok", name, version(name))
    cpu, gpu = _version("faiss-cpu"), _version("faiss-gpu") or _version("faiss-gpu-cu12")
    if cpu and gpu:
        yield Finding(
            "error",
            "faiss",
            "faiss-cpu and faiss-gpu are both installed and overwrite each other",
            "pip uninstall -y faiss-cpu faiss-gpu && pip install faiss-gpu",
        )
    else:
        yield Finding("ok", "faiss", f"faiss-gpu {gpu}" if gpu else f"faiss-cpu {cpu}")
    graphics = _version("textual-image")
    detail = f"textual-image {graphics}" if graphics else "half blocks (textual-image is not there)"
    yield Finding("ok", "pictures in the terminal", detail)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _model(embedding_model: str) -> Iterator[Finding]:
    embeddings: Embeddings = find_embeddings(embedding_model)
    vectors = embeddings.encode_query(["Does the model load?"])
    detail = f"{embeddings.name}, {vectors.shape[1]} dimensions, {embeddings.max_tokens} tokens"
    yield Finding("ok", "embedding model", detail)
    fitted = CALIBRATIONS.get(embeddings.name.partition("@")[0])
    if fitted is None:
        yield Finding(
            "note",
            "threshold",
            f"none was fitted for {embeddings.name}: no question is held to be unanswerable",
        )
    else:
        yield Finding("ok", "threshold", f"{fitted.threshold} fitted for {fitted.model}")


def _library(folder: Path, embedding_model: str) -> Iterator[Finding]:
    with Library.open(folder, embedding_model) as library:
        if not library.exists:
            yield Finding("note", "library", f"none at {folder} yet", "limner add PATH")
            return
        if not os.access(folder, os.W_OK):
            yield Finding("note", "library", f"{folder} cannot be written, only searched")
        stats = library.stats()
        library.search("a search reads every vector and checks it")
        broken = [image for image in sorted(library.images()) if not _readable(library, image)]
        if broken:
            yield Finding(
                "error",
                "pictures",
                f"{len(broken)} missing or damaged in {folder}",
                "limner rm the files they come from, then limner add them again",
            )
        sessions = Sessions(folder)
        for summary in sessions.ls():
            sessions.open(summary.name)
        yield Finding(
            "ok", "library", f"{stats.files} files, {stats.passages} passages in {folder}"
        )


def _readable(library: Library, image: str) -> bool:
    try:
        library.media.open(image)
    except LimnerError:
        return False
    return True
