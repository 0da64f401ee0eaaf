"""What a training leaves on the disk: checkpoints, a log, samples, the adapter and its card.

Every file but the log is there whole or not at all; the log is cut back to the checkpoint that a
run goes on from. Knows files and tensors by name; no model.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import UserError
from .checking import digest_of

__all__ = ["Checkpoint", "State", "remembering", "write", "write_picture"]

_ANEW = "delete the folder to start anew"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a training stands.

    Attributes:
        step: how many are done.
        tensors: weights and the optimizer's, by name.
        scaler: of the losses in float16; empty for other widths.
    """

    step: int
    tensors: Mapping[str, Any]
    scaler: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class State:
    """The folder of one training.

    Attributes:
        folder: where.
        asked: what was asked for, in words and numbers; a checkpoint of other wishes is refused.
    """

    folder: Path
    asked: Mapping[str, Any]

    @property
    def log(self) -> Path:
        """One JSON object a line, for every step and every validation."""
        return self.folder / "log.jsonl"

    def sample(self, step: int) -> Path:
        """The sheet of samples after a step."""
        return self.folder / f"samples-{step:06d}.png"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second run out of the folder.

        Raises:
            UserError: another one is at work, or the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.folder}: another training is at work here", "wait for it, or stop it"
            ) from None
        except OSError as error:
            raise _unwritable(self.folder, error, "choose another --out") from error
        try:
            yield
        finally:
            lock.release()

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the last one.

        Raises:
            UserError: it cannot be written; the last one is still there.
        """
        from safetensors.torch import save

        told = {"step": checkpoint.step, "scaler": dict(checkpoint.scaler), "asked": self._key}
        data = save(dict(checkpoint.tensors), {"limner": json.dumps(told)})
        write(self._file, data, "make room and type the same again: the last checkpoint is kept")

    def load(self) -> Checkpoint | None:
        """The last checkpoint; None before the first.

        Raises:
            UserError: it is damaged, or of a training that was asked for otherwise.
        """
        from safetensors import SafetensorError, safe_open

        if not self._file.is_file():
            return None
        try:
            with safe_open(self._file, "pt") as file:
                told = json.loads(file.metadata()["limner"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{self._file}: cannot be read ({error})", _ANEW) from error
        if told.get("asked") != self._key:
            raise UserError(
                f"{self.folder}: a training with other settings, pictures or captions was begun "
                "here",
                f"type the settings of then, take another --out, or {_ANEW}",
            )
        return Checkpoint(int(told["step"]), tensors, told["scaler"])

    def cut_log(self, step: int) -> None:
        """Forget what the log says of steps that are not in the checkpoint."""
        try:
            lines = self.log.read_text("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        kept = [line for line in lines if (at := _step(line)) is not None and at <= step]
        write(self.log, "".join(f"{line}\n" for line in kept).encode(), _ANEW)

    def note(self, **values: float) -> None:
        """Write a line of the log.

        Raises:
            UserError: it cannot be written.
        """
        try:
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(values) + "\n")
        except OSError as error:
            raise _unwritable(self.log, error, "make room and type the same again") from error

    def validations(self) -> dict[int, float]:
        """What the log says of the loss on fixed pictures, by step."""
        rows = [json.loads(line) for line in self.log.read_text("utf-8").splitlines()]
        return {int(row["step"]): row["validation"] for row in rows if "validation" in row}

    @property
    def _file(self) -> Path:
        return self.folder / "checkpoint.safetensors"

    @property
    def _key(self) -> str:
        return hashlib.sha256(json.dumps(dict(self.asked), sort_keys=True).encode()).hexdigest()


def _step(line: str) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return None  # half a line: the process was killed as it wrote


def write(path: Path, data: bytes, hint: str) -> None:
    """Write a file whole, flushed to the disk, in place of the one before.

    Raises:
        UserError: it cannot be written; what was there before still is.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _unwritable(path, error, hint) from error


def remembering(describe: Callable[[Image.Image], str], path: Path) -> Callable[[Image.Image], str]:
    """A captioner that is asked about a picture once, however often a run is cut short.

    Args:
        describe: says what a picture shows.
        path: keeps what it said.
    """
    try:
        known: dict[str, str] = {str(k): str(v) for k, v in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError):
        known = {}

    def described(image: Image.Image) -> str:
        key = digest_of(image, "RGB")
        if key not in known:
            known[key] = describe(image)
            write(path, json.dumps(known).encode(), "make room and type the same again")
        return known[key]

    return described


def write_picture(path: Path, image: Image.Image) -> None:
    """Write a picture as a PNG file, as ``write`` does."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write(path, buffer.getvalue(), "make room and type the same again")


def _unwritable(path: Path, error: OSError, hint: str) -> UserError:
    return UserError(f"{path}: cannot be written ({(error.strerror or str(error)).lower()})", hint)
