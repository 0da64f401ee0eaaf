"""What a user's names stand for, and taking it out of the library. The counterpart of `ingest`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from .document import Document
from .files import Places
from .report import Problem, Tally
from .writer import Writer

__all__ = ["take_out"]


def take_out(writer: Writer, names: Sequence[str | Path]) -> Tally:
    """Remove what some names stand for; a name that stands for nothing is told as failed.

    Args:
        writer: of the library.
        names: paths of files and folders, or sources as passages give them.
    """
    tally = Tally()
    places, documents = writer.book.places(), writer.book.documents()
    gone: dict[int, Document] = {}
    for name in names:
        targets = _meant(name, documents, places)
        if not targets:
            tally.failed.append(Problem(str(name), "not in the library"))
        for path in targets:
            places = places.remove(path)
            gone |= {doc.id: doc for doc in documents if doc.path.is_relative_to(path)}
    removed = list(gone.values())
    tally.forgotten = writer.apply(removed=removed, places=places, compact=bool(gone))
    tally.removed = [doc.source for doc in removed]
    return tally


def _meant(name: str | Path, documents: Iterable[Document], places: Places) -> list[Path]:
    """The paths that a user's name stands for: itself where the library holds it, or a source's."""
    try:
        path = Path(name).expanduser().resolve()
        held = {*(doc.path for doc in documents), *places.added}
        if any(p.is_relative_to(path) for p in held) or (places.hold(path) and path.exists()):
            return [path]
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL: no path at all
        pass
    return [doc.path for doc in documents if doc.source == str(name)]
