"""Moves a library to another vector store or another embedding model, all or nothing.

Knows stores and texts; reads no document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .durable import writable
from .embeddings import Vectors
from .ingest import Embed
from .segments import Keys
from .vector_stores import StoreChoice, open_store
from .writer import Writer

__all__ = ["Migration", "move"]

_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Migration:
    """Where a move stands.

    Attributes:
        done: passages moved.
        total: passages in all.
    """

    done: int
    total: int


def move(
    writer: Writer,
    choice: StoreChoice | None,
    on_progress: Callable[[Migration], None] | None = None,
    model: str = "",
    embed: Embed | None = None,
) -> None:
    """Put every vector into another store, and then let that one count.

    Args:
        writer: of the library.
        choice: the store; None for the kind that it has.
        on_progress: called after each batch.
        model: the embedding model's name, where it changes.
        embed: it; None copies the vectors there are.
    """
    book, before = writer.book, StoreChoice.from_text(writer.book.store)
    choice = choice or before.again()
    if choice.engine == before.engine == "faiss" and embed is None:
        return
    keys, dimensions = book.keys(), book.dimensions
    if embed is not None and len(keys):
        dimensions = embed(["how long is a vector?"]).shape[1]
    old, new = writer.store, open_store(choice, writer.folder, dimensions or 1, "")
    with writable(writer.folder):
        for at in range(0, len(keys), _BATCH):
            some = keys[at : at + _BATCH]
            new.add(some, _embedded(writer, some, embed) if embed else old.get(some))
            if on_progress:
                on_progress(Migration(at + len(some), len(keys)))
        token = new.commit()
        with book.transaction():
            book.note(store=str(choice), vectors=token, dimensions=str(dimensions))
            if model:
                book.note(model=model)
        if before.engine == "chroma":
            old.remove(old.ids)
            old.commit()
            old.sweep()
        new.sweep()
        new.close()
    writer.reopen()
    writer.collect()


def _embedded(writer: Writer, keys: Keys, embed: Embed) -> Vectors:
    passages = writer.book.passages(keys.tolist())
    return embed([passage.searchable for passage in passages.values()])
