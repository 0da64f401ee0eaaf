"""Libraries that are damaged on purpose: seeded damages to their files, and what came of each.

Used by ``damage.py`` and by ``tests/index/test_repair.py``. Knows `limner.index` from outside only.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from limner.errors import LibraryError, LibraryMismatch
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.index.manifest import Manifest

KINDS = ("flipped", "overwritten", "truncated", "emptied", "deleted", "swapped", "older")
FOREIGN = ("other dimension", "other model")
QUERIES = ("a red disc", "harbour light", "printer offline", "word7", "tide of note 3", "thing11")
_PARTS = {"library.db": 6, "vectors": 3, "words": 3, "media": 2, "write.lock": 1}
_THINGS = ("harbour", "light", "tide", "printer", "ink", "rope", "sail", "jam", "paper", "lamp")


def model(name: str = "") -> HashEmbeddings:
    """The model of the library, or one that differs from it."""
    if name == "other dimension":
        return HashEmbeddings(32)
    embeddings = HashEmbeddings()
    if name == "other model":
        embeddings.name = "other-64"
    return embeddings


@dataclass(frozen=True)
class World:
    """A library, earlier states of it, and libraries of the same files by other models."""

    folder: Path

    @property
    def sources(self) -> Path:
        """Where its documents are."""
        return self.folder / "sources"

    @property
    def library(self) -> Path:
        """The one that is damaged, in copies."""
        return self.folder / "library"

    def states(self) -> list[Path]:
        """The earlier states."""
        return sorted(self.folder.glob("older-*"))

    def foreign(self, name: str) -> Path:
        """The library that another model made."""
        return self.folder / name.replace(" ", "-")


def build(folder: Path, notes: int = 24) -> World:
    """Make the documents and the libraries."""
    world, dice = World(folder), random.Random(3)
    world.sources.mkdir(parents=True)
    (folder / "alone.md").write_text(_note(99, dice))
    for n in range(notes):
        (world.sources / f"note{n:02}.md").write_text(_note(n, dice))
    for colour in ("red", "blue", "green"):
        picture = Image.new("RGB", (120, 90), "white")
        ImageDraw.Draw(picture).ellipse((20, 10, 90, 80), fill=colour)
        picture.save(world.sources / f"{colour}.png")
        caption = f"# Discs\n\nBefore the {colour} one.\n\n![A {colour} disc]({colour}.png)\n"
        (world.sources / f"{colour}.md").write_text(caption)
        (world.sources / f"{colour}.png").rename(world.sources / f".{colour}.png")
        text = (world.sources / f"{colour}.md").read_text()
        (world.sources / f"{colour}.md").write_text(text.replace("(", "(.", 1))
    with Library.open(world.library, model()) as library:
        for step in _steps(world, library, notes, dice):
            library.close()
            shutil.copytree(world.library, folder / f"older-{step}")
    for name in FOREIGN:
        with Library.open(world.foreign(name), model(name)) as library:
            library.add([world.sources, folder / "alone.md"])
            library.remove(world.sources / "note02.md")
    return world


def _steps(world: World, library: Library, notes: int, dice: random.Random) -> Iterator[int]:
    """Fill the library in steps, so that it has several segments and some were rewritten."""
    library.add([world.sources / f"note{n:02}.md" for n in range(notes // 2)])
    yield 1
    library.add([world.sources, world.folder / "alone.md"])
    yield 2
    (world.sources / "note01.md").write_text(_note(1, dice) + "\nIt was changed.\n")
    library.remove(world.sources / "note02.md")
    yield 3
    library.sync()


def _note(n: int, dice: random.Random) -> str:
    words = " ".join(dice.sample(_THINGS, 5))
    other = " ".join(dice.sample(_THINGS, 5))
    return (
        f"# Note {n}\n\nThe word{n} stands in note {n}: {words}.\n\n"
        f"## More of {n}\n\nHere is thing{n} with {other}, {n * 7} of them.\n"
    )


# ── damages ──────────────────────────────────────────────────────────────────────────────────


def damage(world: World, folder: Path, seed: int) -> tuple[str, str]:
    """Damage one file of a library.

    Returns:
        Which part of the library it belongs to, and the kind of damage.
    """
    dice = random.Random(seed)
    files: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        files.setdefault(path.relative_to(folder).parts[0], []).append(path)
    part = dice.choices(list(files), [_PARTS.get(name, 1) for name in files])[0]
    path, kind = dice.choice(files[part]), dice.choice((*KINDS, *KINDS[:3], *FOREIGN))
    if kind == "older":
        _replace(path, [s / path.relative_to(folder) for s in world.states()], dice)
    elif kind in FOREIGN:
        _replace(path, [world.foreign(kind) / path.relative_to(folder)], dice)
    elif kind == "swapped":
        _swap(path, dice.choice([p for group in files.values() for p in group if p != path]))
    else:
        _DAMAGES[kind](path, dice)
    return part, kind


def _flip(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if data:
        used = [at for at, byte in enumerate(data) if byte]
        at = dice.choice(used) if used and dice.random() < 0.8 else dice.randrange(len(data))
        data[at] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def _overwrite(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    at, size = dice.randrange(len(data) or 1), dice.choice((2, 16, 512, 4096))
    data[at : at + size] = dice.randbytes(len(data[at : at + size]))
    path.write_bytes(data)


def _truncate(path: Path, dice: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: dice.randrange(len(data) or 1)])


_DAMAGES: dict[str, Callable[[Path, random.Random], object]] = {
    "flipped": _flip,
    "overwritten": _overwrite,
    "truncated": _truncate,
    "emptied": lambda path, dice: path.write_bytes(b""),
    "deleted": lambda path, dice: path.unlink(),
}


def _replace(path: Path, candidates: list[Path], dice: random.Random) -> None:
    """By the file of the same name, or by one of the same kind: segments bear their hash."""
    alike = [q for p in candidates for q in sorted(p.parent.glob(f"*{p.suffix}")) if q.is_file()]
    same = [p for p in candidates if p.is_file()]
    others = [p for p in same or alike if p.read_bytes() != path.read_bytes()]
    if others:
        path.write_bytes(dice.choice(others).read_bytes())
    else:
        _flip(path, dice)


def _swap(one: Path, other: Path) -> None:
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


# ── what came of it ──────────────────────────────────────────────────────────────────────────


def content(folder: Path) -> dict[str, Any]:
    """Everything that a library gives: passages, searches, pictures; ids do not matter."""
    with Library.open(folder, model()) as library:
        found = {
            query: [(*_told(p), p.score) for p in library.search(query, k=99)] for query in QUERIES
        }
        pictures = {
            image: hashlib.sha256(library.media.open(image).tobytes()).hexdigest()
            for image in sorted(library.images())
        }
        sources = library.sources()
    passages = _passages(folder) if (folder / "library.db").exists() else []
    found = {q: sorted(rows, key=lambda r: (-r[-1], repr(r))) for q, rows in found.items()}
    return {"passages": passages, "search": found, "pictures": pictures, "sources": sources}


def _passages(folder: Path) -> list[tuple[object, ...]]:
    book = Manifest(folder / "library.db", None)
    try:
        return sorted((_told(p) for p in book.passages(book.keys().tolist()).values()), key=repr)
    finally:
        book.close()


def _told(p: Any) -> tuple[object, ...]:
    return (p.source, p.text, p.heading, p.context, p.page, p.box, p.image, p.modality)


def outcome(folder: Path, expected: dict[str, Any]) -> tuple[str, str]:
    """What a reader is told: ``detected``, ``harmless``, ``silently wrong`` or ``crashed``."""
    try:
        found = content(folder)
    except LibraryError as error:
        return "detected", f"{type(error).__name__}: {error}"
    except Exception as error:
        return "crashed", repr(error)
    if found == expected:
        return "harmless", ""
    wrong = [part for part in expected if found[part] != expected[part]]
    return "silently wrong", ", ".join(wrong)


def mended(world: World, folder: Path, expected: dict[str, Any]) -> tuple[str, str]:
    """Repair a library, as a user would who types what the messages say.

    Returns:
        ``rebuilt``; ``after migrate``, where another model's book had taken the place of its own;
        ``after add``, where the names of its files were lost; ``not rebuilt``; and why.
    """
    how = "rebuilt"
    try:
        try:
            done = Library.repair(folder, model())
        except LibraryMismatch as error:
            how, made_with = "after migrate", str(error).partition("embedding model ")[2]
            name = next(n for n in FOREIGN if made_with.startswith(model(n).name))
            done = Library.repair(folder, model(name))
            Library.migrate(folder, embedding_model=model())
        if any("limner add" in problem.reason for problem in done.lost):
            how = "after add"
            with Library.open(folder, model()) as library:
                library.add([world.sources, world.folder / "alone.md"])
                library.remove(world.sources / "note02.md")
        if problems := Library.diagnose(folder):
            return "not rebuilt", f"still damaged: {problems[0]}"
        found = content(folder)
    except Exception as error:
        return "not rebuilt", f"{type(error).__name__}: {error}"
    wrong = [part for part in expected if found[part] != expected[part]]
    return ("not rebuilt", f"{', '.join(wrong)} differ") if wrong else (how, "")
