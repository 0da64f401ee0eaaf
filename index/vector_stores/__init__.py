"""Where the vectors live: one contract, one file per engine, and which engine a library uses."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from ...errors import UserError
from .base import VectorStore

__all__ = ["StoreChoice", "open_store"]

_ENGINES = ("faiss", "chroma")


@dataclass(frozen=True, slots=True)
class StoreChoice:
    """Which engine holds a library's vectors, and where.

    Attributes:
        engine: ``faiss`` or ``chroma``.
        address: of a Chroma server; empty for files in the library's folder.
        collection: of Chroma; the library's own.
    """

    engine: str = "faiss"
    address: str = ""
    collection: str = ""

    @classmethod
    def named(cls, name: str) -> Self:
        """The engine that a user names: ``faiss``, ``chroma``, or ``http://host:8000`` for Chroma.

        Raises:
            UserError: there is none of that name.
        """
        if name.startswith(("http://", "https://")):
            return cls("chroma", name.rstrip("/"), f"limner-{uuid4().hex}")
        if name not in _ENGINES:
            raise UserError(
                f"no vector store {name!r}", "one of: faiss, chroma, http://HOST:PORT of a server"
            )
        return cls(name, collection=f"limner-{uuid4().hex}" if name == "chroma" else "")

    def again(self) -> Self:
        """The same kind at the same place, with a collection of its own."""
        return self.named(self.address or self.engine)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The inverse of ``str``."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def open_store(choice: StoreChoice, folder: Path, dimensions: int, token: str) -> VectorStore:
    """The vectors of a library in the state that a token names.

    Args:
        choice: which engine.
        folder: the library's own.
        dimensions: length of a vector.
        token: what the last commit returned; empty for an empty store.

    Raises:
        LibraryDamaged: something is missing or does not match its checksum.
        LibraryUnreachable: the server does not answer.
        ModelMissing: the engine is not installed.
    """
    if choice.engine == "chroma":
        from .chroma import ChromaStore

        place = None if choice.address else folder / "chroma"
        return ChromaStore(
            dimensions, token, folder=place, address=choice.address, collection=choice.collection
        )
    from .faiss import FaissStore

    return FaissStore(folder / "vectors", dimensions, token)
