"""How fast the keyword index is built, opened, changed and searched, beside bm25s.

Claims: 100,000 passages of 80 words are indexed in 5 s and opened in a millisecond; a search takes
5 ms among them and 50 ms among a million; scores differ from those of bm25s by at most 1e-5.

    python benchmarks/keyword.py [--sizes 10000 100000] [--beside 100000]

Beside the time on the clock stands that of the processor, which others on the machine disturb less.
Texts are seeded: 40 to 120 words, drawn by Zipf's law from 200,000 made-up ones. bm25s, which keeps
everything in memory, gets the same stems; making them counts for both.
"""

from __future__ import annotations

import math
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, seconds, show, spread, write

from limner.index.keyword import KeywordIndex
from limner.tools.sentences import stems

_WORDS = 200_000
_BATCH = 20_000  # texts in memory at a time
_QUERIES = 300
_FEW = 100  # texts that are added to a full index
_K = 50


class Corpus:
    """Made-up texts and queries; the same for the same seed."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
        lengths = rng.integers(3, 11, _WORDS)
        self._words = np.array(["".join(rng.choice(letters, n)) for n in lengths], object)
        weights = np.cumsum(1 / np.arange(1, _WORDS + 1))
        self._ranks = weights / weights[-1]

    def texts(self, start: int, end: int) -> list[str]:
        """Those of some numbers."""
        rng = np.random.default_rng([1, start])
        return [self._text(rng, n) for n in rng.integers(40, 121, end - start)]

    def queries(self) -> list[str]:
        """Of three to eight words."""
        rng = np.random.default_rng(2)
        return [self._text(rng, n) for n in rng.integers(3, 9, _QUERIES)]

    def _text(self, rng: np.random.Generator, words: int) -> str:
        return " ".join(self._words[np.searchsorted(self._ranks, rng.random(words))])


def batches(corpus: Corpus, size: int) -> Iterator[tuple[range, list[str]]]:
    for start in range(0, size, _BATCH):
        keys = range(start, min(start + _BATCH, size))
        yield keys, corpus.texts(keys.start, keys.stop)


class Stopwatch:
    """Seconds on the clock and of the processor, summed over its uses."""

    def __init__(self) -> None:
        self.clock = self.processor = 0.0

    def __enter__(self) -> Stopwatch:
        self._started = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.clock += time.perf_counter() - self._started[0]
        self.processor += time.process_time() - self._started[1]


def built(corpus: Corpus, size: int, folder: Path) -> tuple[str, Stopwatch]:
    """The token of an index, and what adding and committing took."""
    index, taken = KeywordIndex(folder), Stopwatch()
    for keys, texts in batches(corpus, size):
        with taken:
            index.add(keys, texts)
    with taken:
        token = index.commit()
    return token, taken


def built_bm25s(corpus: Corpus, size: int) -> tuple[Any, Stopwatch]:
    """What bm25s makes of the same texts, and how long it took."""
    import bm25s

    tokens: list[list[str]] = []
    taken = Stopwatch()
    for _, texts in batches(corpus, size):
        with taken:
            tokens += map(stems, texts)
    bm25 = bm25s.BM25(k1=1.2, b=0.75)
    with taken:
        bm25.index(tokens, show_progress=False)
    return bm25, taken


def times(search: Callable[[str], object], queries: Sequence[str]) -> dict[str, float]:
    """Milliseconds of a query, after the first."""
    taken = [Stopwatch() for _ in queries]
    for query, stopwatch in zip(queries, taken, strict=True):
        with stopwatch:
            search(query)
    clock = [1e3 * stopwatch.clock for stopwatch in taken]
    processor = [1e3 * stopwatch.processor for stopwatch in taken[1:]]
    return {
        "first": clock[0],
        "p50": float(np.percentile(clock[1:], 50)),
        "p99": float(np.percentile(clock[1:], 99)),
        "processor p50": float(np.percentile(processor, 50)),
        "processor p99": float(np.percentile(processor, 99)),
    }


def measured(corpus: Corpus, size: int, beside: bool) -> dict[str, Any]:
    """Everything at one size."""
    queries = corpus.queries()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        token, taken = built(corpus, size, folder)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        opening = [1e3 * seconds(lambda: KeywordIndex(folder, token)) for _ in range(20)]
        index = KeywordIndex(folder, token)
        found: dict[str, Any] = {
            "texts": size,
            "build s": {"clock": taken.clock, "processor": taken.processor},
            "peak MiB of the process so far": peak,
            "size MiB": sum(path.stat().st_size for path in folder.iterdir()) / 2**20,
            "open ms": spread(opening),
            "query ms": times(lambda query: index.search(query, _K), queries),
        }
        if beside:
            found["bm25s"] = compared(corpus, size, queries, index)
        found["add ms"] = 1e3 * seconds(lambda: added(corpus, size, index))
        after = times(lambda query: index.search(query, _K), queries)
        found["query ms, two files and removed texts"] = after
    return found


def added(corpus: Corpus, size: int, index: KeywordIndex) -> None:
    index.remove(range(_FEW))
    index.add(range(size, size + _FEW), corpus.texts(size, size + _FEW))
    index.commit()


def compared(
    corpus: Corpus, size: int, queries: Sequence[str], index: KeywordIndex
) -> dict[str, Any]:
    bm25, taken = built_bm25s(corpus, size)

    def search(query: str) -> object:
        known = [stem for stem in stems(query) if stem in bm25.vocab_dict]
        return known and bm25.retrieve([known], k=min(_K, size), show_progress=False)

    apart = 0.0
    for query in queries[:100]:
        known = [stem for stem in stems(query) if stem in bm25.vocab_dict]
        if known:
            wanted = bm25.get_scores(known) / math.log(size + 1)
            apart = max(apart, float(np.abs(index.scores(query, range(size)) - wanted).max()))
    return {
        "build s": {"clock": taken.clock, "processor": taken.processor},
        "query ms": times(search, queries),
        "largest difference": apart,
    }


def rows(found: dict[str, Any]) -> Iterator[list[str]]:
    opening = f"{found['open ms']['median']:.2f}"
    yield [f"{found['texts']:,}, limner", *figures(found), opening, ""]
    if other := found.get("bm25s"):
        apart = f"{other['largest difference']:.1e}"
        yield [f"{found['texts']:,}, bm25s", *figures(other), "", apart]


def figures(found: dict[str, Any]) -> list[str]:
    return [f"{value:.2f}" for part in ("build s", "query ms") for value in found[part].values()]


def main() -> None:
    parser = arguments(__doc__ or "", "keyword")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--beside", type=int, default=100_000, help="the most that bm25s gets")
    args = parser.parse_args()
    corpus = Corpus()
    found = [measured(corpus, size, size <= args.beside) for size in args.sizes]
    head = ["texts", "build s", "(processor)", "first ms", "p50 ms", "p99 ms"]
    head += ["(processor)", "(processor)", "open ms", "difference"]
    show("Keyword search", head, [row for one in found for row in rows(one)])
    for one in found:
        texts, taken = one["texts"], one["add ms"]
        print(f"  {_FEW} texts added to {texts:,} and {_FEW} removed: {taken:.0f} ms")
    write(args.out, {"sizes": found})


if __name__ == "__main__":
    main()
