"""Looks for what is missing, damaged or at odds, and has it rebuilt when that is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from ..errors import LibraryMismatch, LimnerError
from ..index.embeddings import Embeddings, find_embeddings
from ..index.library import Library
from ..index.report import Problem, Progress
from .grading import CALIBRATIONS
from .profiles import LOCAL_CHAT_MODEL, TIMEOUT, Choice
from .sessions import Sessions

__all__ = ["Finding", "examine", "rebuild"]

_REPAIR = "limner doctor --repair"
_MOST = 20  # damages that are named one by one


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


def examine(
    folder: Path,
    embedding_model: str,
    choice: Choice | None = None,
    timeout: float = TIMEOUT,
) -> list[Finding]:
    """Look at the installation, the models and a library.

    Args:
        folder: the library's.
        embedding_model: as for ``Library.open``.
        choice: of the chat model; a server is asked, weights are looked for.
        timeout: seconds without a word after which a server is given up.
    """
    choice = choice or Choice()
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("packages", _packages),
        ("embedding model", lambda: _model(embedding_model)),
        ("library", lambda: _library(folder, embedding_model)),
        ("chat model", lambda: _chat_model(choice, timeout)),
    )
    findings: list[Finding] = []
    for what, check in checks:
        try:
            for finding in check():
                findings.append(finding)
        except LimnerError as error:
            findings.append(Finding("error", what, str(error), error.hint))
    return findings


def rebuild(
    folder: Path,
    embedding_model: str,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[Finding]:
    """Rebuild what is damaged in a library from its sources; conversations are left alone.

    Args:
        folder: the library's.
        embedding_model: as for ``Library.open``.
        on_progress: called before each file and each batch of vectors.

    Returns:
        What was damaged, what was done, and what is lost for good.

    Raises:
        UserError: as `Library.repair`.
    """
    done = Library.repair(folder, embedding_model, on_progress)
    findings = [Finding("note", "damaged", f"{p.path}: {p.reason}") for p in done.found[:_MOST]]
    if len(done.found) > _MOST:
        findings.append(Finding("note", "damaged", f"{len(done.found) - _MOST} more"))
    if done.set_aside:
        detail = f"{done.set_aside} is the book as it was; delete it when nothing is missed"
        findings.append(Finding("note", "set aside", detail))
    if done.embedded:
        findings.append(Finding("ok", "vectors", f"{done.embedded} passages embedded again"))
    read = (*done.report.added, *done.report.changed)
    if read:
        findings.append(Finding("ok", "read again", f"{_files(read)}: {', '.join(read[:_MOST])}"))
    for problem in dict.fromkeys((*done.lost, *done.report.failed)):
        findings.append(Finding("error", "lost", f"{problem.path}: {problem.reason}"))
    if not done.lost:
        whole = "is whole again" if done.found else "was whole"
        findings.append(Finding("ok", "library", f"{folder} {whole}"))
    return [*findings, *_sessions(folder)]


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
    if not (folder / "library.db").is_file():
        yield from _no_library(folder)
        return
    if not os.access(folder, os.W_OK):
        yield Finding("note", "library", f"{folder} cannot be written, only searched")
    try:
        problems = Library.diagnose(folder)
    except LibraryMismatch as error:
        yield Finding("error", "library", str(error), error.hint)
        return
    yield from (_damage(folder, problem) for problem in problems[:_MOST])
    if len(problems) > _MOST:
        yield Finding("error", "library", f"{len(problems) - _MOST} more damages", _REPAIR)
    if not problems:
        yield from _contents(folder, embedding_model)
    yield from _sessions(folder)


def _no_library(folder: Path) -> Iterator[Finding]:
    if any((folder / name).exists() for name in ("library.db.damaged", "vectors", "words")):
        yield Finding("error", "library", f"library.db is missing from {folder}", _REPAIR)
    else:
        yield Finding("note", "library", f"none at {folder} yet", "limner add PATH")


def _damage(folder: Path, problem: Problem) -> Finding:
    return Finding("error", "library", f"{folder}: {problem.path}: {problem.reason}", _REPAIR)


def _contents(folder: Path, embedding_model: str) -> Iterator[Finding]:
    with Library.open(folder, embedding_model) as library:
        stats = library.stats()
    detail = f"{stats.files} files, {stats.passages} passages in {folder}"
    yield Finding("ok", "library", detail)


def _sessions(folder: Path) -> Iterator[Finding]:
    """Each conversation is read; one that is damaged does not hide the others."""
    sessions = Sessions(folder)
    try:
        names = [summary.name for summary in sessions.ls()]
    except LimnerError as error:
        yield Finding("error", "sessions", str(error), "delete that file; nothing else reads it")
        return
    for name in names:
        try:
            sessions.open(name)
        except LimnerError as error:
            yield Finding("error", "session", str(error), error.hint)


def _chat_model(choice: Choice, timeout: float) -> Iterator[Finding]:
    """Which one answers, and whether it can."""
    kind = choice.amounts_to().name
    if kind == "embedded":
        yield Finding("ok", "chat model", "embedded: quotes, on this machine")
    elif kind == "local":
        yield _local(choice.chat_model or LOCAL_CHAT_MODEL)
    else:
        from .server_check import examine_server

        endpoint = choice.server()
        name = choice.chat_model or "the first that it lists"
        detail = f"{name} at {endpoint}: questions, passages and pictures are sent there"
        yield Finding("ok", "chat model", detail)
        yield from examine_server(endpoint, choice.chat_model, timeout)


def _local(name: str) -> Finding:
    from ..tools.model_files import need_whole_weights
    from .known_models import place_of

    place = place_of(name)
    if place.here:
        need_whole_weights(place.folder)
        return Finding("ok", "chat model", f"{name}: reads, on this machine")
    missing = f"{name} is not here: missing {', '.join(place.missing)}"
    return Finding("error", "chat model", missing, f"limner models pull {name}")


def _files(names: Sequence[str]) -> str:
    return f"{len(names)} file{'s' * (len(names) != 1)}"
