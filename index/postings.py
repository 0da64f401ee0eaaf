"""Which words stand in which rows, and how often: arrays made of texts, and merged.

A set of texts is seven arrays: ``keys`` (int64, n) and ``lengths`` (uint32, n: words counted with
repeats) say what the rows are; ``words`` (uint8) holds the v stems in UTF-8, in ascending order,
one after the other, ``word_starts`` (int64, v + 1) where each begins, and ``heads`` (uint64, v) the
first eight bytes of each as a big-endian number, by which they are found; the p postings of all
stems, ``rows`` (int32, ascending for each stem) and ``counts`` (unsigned, as narrow as they fit),
are cut at ``posting_starts`` (int64, v + 1).

Knows texts and arrays; nothing of files, scores or queries.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..tools.sentences import stems

__all__ = ["Live", "Part", "Pending", "encoded", "merged", "postings_of"]

Live = NDArray[np.bool_] | None
"""Which rows count; None where all do."""

_BATCH = 1 << 22  # words sealed, and postings merged, at a time: 150 MB while it lasts
_HEAD = 8  # bytes
_WORD = 32  # a posting is sorted as one integer: its word above this bit, its row below
_MANY = 1 << 19  # pieces of text to know at a time: 100 MB
_LONG = 64  # characters of a piece of text that is not likely to come again


class Part(Protocol):
    """The seven arrays by name, in memory or in a file."""

    def __getitem__(self, name: str, /) -> NDArray[Any]: ...


class Pending:
    """Texts on their way into a file: their words counted, in memory.

    Six bytes a posting: a million passages of 100 words need 0.3 GB.
    """

    def __init__(self) -> None:
        self._runs: list[dict[str, NDArray[Any]]] = []
        self._rows: dict[int, int] = {}  # of a live key, counted over all runs
        self._known = _Known()
        self._start()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    @property
    def keys(self) -> list[int]:
        """Of what is left, in the order in which it came."""
        return list(self._rows)

    def add(self, keys: Iterable[int], texts: Iterable[str]) -> None:
        """Count the words of texts, whose keys are new or were removed."""
        for key, text in zip(keys, texts, strict=True):
            self._rows[key] = self._before + len(self._keys)
            self._keys.append(key)
            pieces = text.lower().split()  # no word reaches over white space
            self._ids.extend(chain.from_iterable(map(self._known.__getitem__, pieces)))
            self._ends.append(len(self._ids))
            if len(self._ids) >= _BATCH:
                self._seal()

    def remove(self, keys: Iterable[int]) -> None:
        """Texts of these keys count no more; unknown keys are no error."""
        for key in keys:
            self._rows.pop(key, None)

    def parts(self) -> list[tuple[Part, Live]]:
        """What was added, as arrays, with what of it is left."""
        if self._keys:
            self._seal()
        live = np.zeros(self._before, np.bool_)
        live[list(self._rows.values())] = True
        cuts = accumulate((len(run["keys"]) for run in self._runs), initial=0)
        return [(run, live[a:b]) for run, (a, b) in zip(self._runs, pairwise(cuts), strict=True)]

    def _start(self) -> None:
        self._before = sum(len(run["keys"]) for run in self._runs)
        if len(self._known) > _MANY:
            self._known = _Known()
        self._keys: list[int] = []
        self._ids: list[int] = []
        self._ends: list[int] = []

    def _seal(self) -> None:
        ids = np.fromiter(self._ids, np.int32, len(self._ids))
        lengths: NDArray[np.int64] = np.diff([0, *self._ends])
        self._runs.append(_sealed(self._keys, lengths, ids, list(self._known.ids)))
        self._start()


class _Known(dict[str, tuple[int, ...]]):
    """The numbers of the stems in a piece of text without white space, looked up as one."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def __missing__(self, piece: str) -> tuple[int, ...]:
        found = tuple(self.ids.setdefault(stem, len(self.ids)) for stem in stems(piece))
        if len(piece) <= _LONG:
            self[piece] = found
        return found


def encoded(stem: str) -> bytes:
    """A stem as the arrays hold it; the order of the bytes is that of the characters."""
    return stem.encode("utf-8", "surrogatepass")


def postings_of(part: Part, stem: str) -> slice:
    """Where the postings of a stem are; an empty slice if no row has it."""
    wanted = encoded(stem)
    head = np.uint64(int.from_bytes(wanted[:_HEAD].ljust(_HEAD, b"\0")))
    heads = part["heads"]
    low, none = int(heads.searchsorted(head)), slice(0, 0)
    if low == len(heads) or heads[low] != head:
        return none
    high = int(heads.searchsorted(head, "right"))
    starts, data = part["word_starts"], part["words"].data

    def word(i: int) -> bytes:
        return bytes(data[starts[i] : starts[i + 1]])

    at = bisect_left(range(high), wanted, low, key=word)
    if at == high or word(at) != wanted:
        return none
    first, last = part["posting_starts"][at : at + 2].tolist()
    return slice(first, last)


def merged(parts: Sequence[tuple[Part, Live]]) -> dict[str, NDArray[Any]] | None:
    """The live rows of several parts as one part, by ascending key; None where none is left.

    The postings are merged a few million at a time, range by range of the words; beside its
    result this takes the words themselves and the place of each row.
    """
    keys, lengths, places = _placed(parts)
    if not len(keys):
        return None
    vocabularies = [_words(part) for part, _ in parts]
    words = list(dict.fromkeys(sorted(chain.from_iterable(vocabularies))))
    number = {word: i for i, word in enumerate(words)}
    numbers = [np.array([number[w] for w in held], np.int64) for held in vocabularies]
    del vocabularies, number
    sources = [_Source(*s) for s in zip((p for p, _ in parts), numbers, places, strict=True)]
    rows, counts, sizes = _merge(sources, len(words))
    kept = [word for word, size in zip(words, sizes.tolist(), strict=True) if size]
    return {
        "keys": keys,
        "lengths": lengths,
        **_vocabulary(kept),
        **_cut(sizes[sizes > 0], rows, counts),
    }


class _Source:
    """A part on its way into another: the new numbers of its words and of its rows (or -1)."""

    def __init__(self, part: Part, numbers: NDArray[np.int64], places: NDArray[np.int32]) -> None:
        self._numbers = numbers
        self._places = places
        self._rows, self._counts = part["rows"], part["counts"]
        self.kind = self._counts.dtype
        self._starts = part["posting_starts"]

    def __len__(self) -> int:
        return len(self._rows)

    def sizes(self, words: int) -> NDArray[np.int64]:
        """How many postings each word has, dead rows included."""
        sizes = np.zeros(words, np.int64)
        sizes[self._numbers] = np.diff(self._starts)
        return sizes

    def read(self, low: int, high: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The live postings of the words from ``low`` to below ``high``, and their counts."""
        a, b = np.searchsorted(self._numbers, (low, high))
        span = slice(self._starts[a], self._starts[b])
        rows = self._places[self._rows[span]]
        words = np.repeat(self._numbers[a:b], np.diff(self._starts[a : b + 1]))
        live = rows >= 0
        return (words << _WORD | rows)[live], self._counts[span][live]


def _merge(
    sources: Sequence[_Source], words: int
) -> tuple[NDArray[np.int32], NDArray[Any], NDArray[np.int64]]:
    """Rows, counts, and how many of them each word has."""
    most = sum(map(len, sources))
    rows = np.empty(most, np.int32)
    counts = np.empty(most, np.result_type(*(source.kind for source in sources)))
    sizes = np.zeros(words, np.int64)
    filled = 0
    ends = np.cumsum(sum(source.sizes(words) for source in sources))
    steps = np.searchsorted(ends, np.arange(_BATCH, most, _BATCH))
    for low, high in pairwise(np.unique([0, *steps, words]).tolist()):
        read = [source.read(low, high) for source in sources]
        codes, held = (np.concatenate(arrays) for arrays in zip(*read, strict=True))
        order = np.argsort(codes, kind="stable")  # which merges what each source had in order
        codes, span = codes[order], slice(filled, filled + len(codes))
        rows[span], counts[span] = codes & (1 << _WORD) - 1, held[order]
        sizes[low:high] = np.bincount((codes >> _WORD) - low, minlength=high - low)
        filled += len(codes)
    return rows[:filled], counts[:filled], sizes


def _placed(
    parts: Sequence[tuple[Part, Live]],
) -> tuple[NDArray[np.int64], NDArray[np.uint32], list[NDArray[np.int32]]]:
    """Keys and lengths of the live rows, by key, and the new row of each old one, or -1."""
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.uint32), []
    keys = np.concatenate([part["keys"] for part, _ in parts])
    lengths = np.concatenate([part["lengths"] for part, _ in parts])
    masks = [np.ones(len(p["keys"]), np.bool_) if live is None else live for p, live in parts]
    old = np.flatnonzero(np.concatenate(masks))
    old = old[np.argsort(keys[old], kind="stable")]
    places = np.full(len(keys), -1, np.int32)
    places[old] = np.arange(len(old), dtype=np.int32)
    cuts = np.cumsum([len(mask) for mask in masks])[:-1]
    return keys[old], lengths[old], np.split(places, cuts)


def _sealed(
    keys: Sequence[int], lengths: NDArray[np.int64], ids: NDArray[np.int32], names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """The arrays of texts whose words are numbers of names; rows in the order of the texts."""
    used = np.flatnonzero(np.bincount(ids, minlength=len(names))).tolist()
    words = sorted((encoded(names[i]), i) for i in used)
    rank = np.zeros(len(names), np.int64)
    rank[[i for _, i in words]] = np.arange(len(words)) << _WORD
    codes = rank[ids]
    codes |= np.repeat(np.arange(len(keys)), lengths)
    codes.sort()
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    counts = np.diff(first, append=len(codes))
    codes = codes[first]
    return {
        "keys": np.array(keys, np.int64),
        "lengths": lengths.astype(np.uint32),
        **_vocabulary([word for word, _ in words]),
        **_cut(
            np.bincount(codes >> _WORD, minlength=len(words)),
            (codes & (1 << _WORD) - 1).astype(np.int32),
            counts,
        ),
    }


def _cut(
    sizes: NDArray[np.int64], rows: NDArray[np.int32], counts: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    narrow = np.min_scalar_type(int(counts.max(initial=0)))
    return {
        "posting_starts": np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]),
        "rows": rows,
        "counts": counts.astype(narrow, copy=False),
    }


def _vocabulary(words: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    heads = np.array([word[:_HEAD] for word in words], f"S{_HEAD}").view(">u8")
    return {
        "heads": heads.astype(np.uint64),
        "words": np.frombuffer(b"".join(words), np.uint8),
        "word_starts": np.cumsum([0, *map(len, words)], dtype=np.int64),
    }


def _words(part: Part) -> list[bytes]:
    data = part["words"].tobytes()
    return [data[a:b] for a, b in pairwise(part["word_starts"].tolist())]
