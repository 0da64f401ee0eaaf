"""The rows of a sweep on disk. Knows rows, draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..journal import Journal

__all__ = ["Row", "Rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one picture.

    Attributes:
        key: which picture: see `cache.key_of`.
        failed: why there is none; empty where there is one.
        file: of the picture, relative to the sweep's folder.
        digest: SHA-256 of the file.
        width: in pixels.
        height: in pixels.
        steps: as asked for.
        guidance: scale.
        scheduler: by name.
        model: its name.
        revision: which weights.
        device: that drew it.
        checked: a safety checker has looked at it.
        seconds: of drawing, without loading; of a batch its share.
        batch: pictures that were drawn in one pass, this one among them.
        before: it was drawn before this sweep; then ``seconds`` are of that time.
        peak_memory: bytes of the pass, of the GPU's memory or the process's; None where it was not
            measured.
        sharpness: variance of the Laplacian of the grey picture.
        agreement: with the prompt, cosine −1 to 1; None without a scorer.
    """

    key: str
    failed: str = ""
    file: str = ""
    digest: str = ""
    width: int = 0
    height: int = 0
    steps: int = 0
    guidance: float = 0.0
    scheduler: str = ""
    model: str = ""
    revision: str = ""
    device: str = ""
    checked: bool = False
    seconds: float = 0.0
    batch: int = 1
    before: bool = False
    peak_memory: int | None = None
    sharpness: float = 0.0
    agreement: float | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``asdict``; what is not known is passed over."""
        return cls(**{k: v for k, v in values.items() if k in cls.__slots__})


class Rows:
    """The file of a sweep's rows.

    Args:
        path: made with the first row.
    """

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)

    def by_key(self) -> dict[str, Row]:
        """Every whole row by its key; of several the last."""
        rows = map(Row.from_dict, self._journal)
        return {row.key: row for row in rows}

    def append(self, row: Row) -> None:
        """Write a row; when this returns, it is on the disk.

        Raises:
            OSError: it cannot be written; rows that were written before stay.
        """
        self._journal.append(asdict(row))
