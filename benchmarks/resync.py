"""What a re-sync costs: 10,000 files, 100,000 passages; nothing, touched, renamed, 1 % changed.

The embedder counts what it is asked for and how long it takes; its time is taken off. After every
round the library is compared with one that was built from scratch. Beside it: what other stores
take to delete and add the same 1 % of the vectors, and to be on the disk again.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from common import arguments, seconds, show, spread, spread_text, write  # first: pins the threads

from limner.index.embeddings import Vectors
from limner.index.library import Library
from limner.index.report import Report

PARAGRAPHS = 10
DIMENSIONS = 384
WORDS = [f"{a}{b}{c}" for a in ("ka", "mo", "ri", "te", "lu") for b in "bdfgklmnprst" for c in
         ("an", "el", "is", "or", "um", "eth", "ing", "ward")]  # fmt: skip


class Counting:
    """Vectors out of a text's hash; knows how many it gave and how long that took."""

    name = recipe = "counting-384"
    dimensions = DIMENSIONS
    max_tokens = 256

    def __init__(self) -> None:
        self.texts = 0
        self.seconds = 0.0

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """Float32 ``(n, 384)``, L2-normalised; the same for equal texts within one process."""
        rows = [np.random.default_rng(abs(hash(t))).standard_normal(DIMENSIONS) for t in texts]
        vectors = np.asarray(rows, np.float32).reshape(len(texts), DIMENSIONS)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        """The same, counted."""
        started = time.perf_counter()
        vectors = self.encode_query(texts)
        self.texts += len(texts)
        self.seconds += time.perf_counter() - started
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words of each text."""
        return [text.count(" ") + 1 for text in texts]


def paragraph(dice: random.Random) -> str:
    """About 50 words: long enough to be a passage of its own."""
    return " ".join(dice.choices(WORDS, k=50)).capitalize() + "."


def fill(folder: Path, files: int, dice: random.Random) -> list[Path]:
    """Write files of ten paragraphs, a hundred to a folder."""
    paths = []
    for n in range(files):
        path = folder / f"{n // 100:03}" / f"{n:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(paragraph(dice) for _ in range(PARAGRAPHS)))
        paths.append(path)
    return paths


def change(paths: list[Path], dice: random.Random) -> int:
    """Write one paragraph of each file anew, and say how many that is."""
    for path in paths:
        paragraphs = path.read_text().split("\n\n")
        paragraphs[dice.randrange(PARAGRAPHS)] = paragraph(dice)
        path.write_text("\n\n".join(paragraphs))
    return len(paths)


def delete(paths: list[Path], _: random.Random) -> int:
    for path in paths:
        path.unlink()
    return 0


def rename(paths: list[Path], _: random.Random) -> int:
    for path in paths:
        path.rename(path.with_stem(f"{path.stem}-moved"))
    return 0


def touch(paths: list[Path], _: random.Random) -> int:
    for path in paths:
        path.touch()
    return 0


def nothing(_: list[Path], __: random.Random) -> int:
    return 0


def mixed(paths: list[Path], dice: random.Random) -> int:
    """A third each changed, deleted and renamed."""
    third = len(paths) // 3
    delete(paths[:third], dice)
    rename(paths[third : 2 * third], dice)
    return change(paths[2 * third :], dice)


WAYS: dict[str, Callable[[list[Path], random.Random], int]] = {
    "nothing": nothing,
    "1 % touched": touch,
    "1 % renamed": rename,
    "1 % changed": change,
    "1 % deleted": delete,
    "1 % of all three kinds": mixed,
}


def contents(library: Library) -> set[tuple[str, str]]:
    """Every passage with its file."""
    with library._states.reading() as book:
        passages = book.passages(book.keys().tolist())
    return {(p.source, p.text) for p in passages.values()}


def fingerprint(library: Library, queries: Sequence[str]) -> list[list[tuple[str, str, float]]]:
    """What searches find, with scores to four digits."""
    return [
        [(p.source, p.text, p.score or 0.0) for p in library.search(query, 5)] for query in queries
    ]


def equal_to_fresh(library: Library, docs: Path, queries: Sequence[str]) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        fresh = Library.open(Path(folder) / "fresh", Counting())
        fresh.add(docs)
        same = contents(fresh) == contents(library)
        return same and fingerprint(fresh, queries) == fingerprint(library, queries)


def run(files: int, rounds: int, verify: bool) -> list[dict[str, object]]:
    dice = random.Random(11)
    place = Path(tempfile.mkdtemp())
    docs, model = place / "docs", Counting()
    fill(docs, files, dice)
    library = Library.open(place / "library", model)
    built = seconds(lambda: library.add(docs))
    print(f"built {library.stats().passages} passages in {built:.1f} s "
          f"({model.seconds:.1f} s of it the embedder)", file=sys.stderr)  # fmt: skip
    queries = [paragraph(dice)[:60] for _ in range(20)]
    rows = []
    for name, way in WAYS.items():
        times, wholes, exact = [], [], True
        for _ in range(rounds):
            paths = sorted(docs.rglob("*.txt"))
            expected = way(dice.sample(paths, max(len(paths) // 100, 3)), dice)
            model.texts, model.seconds = 0, 0.0
            gc.collect()
            report: list[Report] = []
            whole = seconds(lambda: report.append(library.sync()))  # noqa: B023
            exact &= model.texts == expected
            times.append(whole - model.seconds)
            wholes.append(whole)
        rows.append(
            {
                "what": name,
                "seconds": spread(times),
                "text": spread_text(times, "s"),
                "embedded exactly what changed": exact,
                "with embedding": spread(wholes),
            }
        )
    again = seconds(lambda: library.search(queries[0]))
    rows.append({"what": "the first search after it", "seconds": spread([again]),
                 "text": f"{again:.3f} s"})  # fmt: skip
    if verify:
        rows.append({"what": "equal to a build from scratch",
                     "exact": equal_to_fresh(library, docs, queries)})  # fmt: skip
    library.close()
    shutil.rmtree(place)
    return rows


def main() -> None:
    parser = arguments(__doc__ or "", "resync")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-verify", action="store_true")
    options: argparse.Namespace = parser.parse_args()
    rows = run(options.files, options.rounds, not options.no_verify)
    show(
        f"re-sync of {options.files} files, {options.files * PARAGRAPHS} passages, the embedder's "
        "time taken off",
        ("what", "median (min–max)", "embedded exactly what changed"),
        [
            (
                r["what"],
                r.get("text", "yes" if r.get("exact") else "NO"),
                r.get("embedded exactly what changed", ""),
            )
            for r in rows
        ],
    )
    body: dict[str, object] = {"files": options.files, "rows": rows}
    if not options.no_peers:
        from resync_peers import beside

        body["peers"] = beside(options.files * PARAGRAPHS, DIMENSIONS, options.rounds)
    write(options.out, body)


if __name__ == "__main__":
    main()
