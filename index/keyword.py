"""BM25 over the words of passages, kept on the disk and changed in place.

Each set of texts that was added is a file of postings (`postings`); a search looks into all of
them and counts what is live, so the scores are those of an index made at once of the same texts.
Knows texts and integer keys; nothing of vectors or passages.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DeveloperError
from ..tools.sentences import stems
from .postings import Pending, merged, postings_of
from .segments import Keys, Segment, Segments

__all__ = ["KeywordIndex"]

_K1 = 1.2
_B = 0.75
_FEW = 16  # rows are looked up one by one where they are less than one in so many

Scores = NDArray[np.float32]


class KeywordIndex:
    """BM25 (Robertson and Zaragoza 2009, k1 = 1.2, b = 0.75) over the stems of a set of texts.

    A text of ``l`` words that holds a word ``t`` times gets ``idf · t / (t + k1 (1 - b + b l /
    mean l))`` for it, with ``idf = ln(1 + (N - n + 0.5) / (n + 0.5))`` where n of N texts hold
    the word (Kamphuis et al. 2020, "Lucene (accurate)"), once for each time that the query says
    it. Scores are divided by ``ln(N + 1)``, the weight of a word that one of N texts holds, so
    that they mean the same in a small set and in a large one.

    Changes count once ``commit`` has returned. What it returns is written down by the caller;
    opening with it gives every text that was there then.

    Args:
        folder: where the files are; created by the first commit.
        token: the state to open; empty for an empty index.

    Raises:
        LibraryDamaged: a file is missing or damaged; also by whatever reads a file first.

    Example:
        >>> index = KeywordIndex(folder)
        >>> index.add([1, 2], ["Reset the printer.", "The door code is 42."])
        >>> token = index.commit()
        >>> KeywordIndex(folder, token).search("How do I reset the printers?", k=5)
        [(1, 0.6246829628944397)]
    """

    def __init__(self, folder: Path, token: str = "") -> None:
        self._segments = Segments(folder, ".words", token)
        self._pending = Pending()
        self._removed: set[int] = set()
        self._compact = False
        self._statistics = _Statistics(self._segments)

    def __len__(self) -> int:
        """How many texts there are; cheap."""
        return len(self._segments)

    @property
    def keys(self) -> Keys:
        """The keys of all texts, ascending."""
        return self._segments.keys()

    def __contains__(self, stem: object) -> bool:
        """Whether any text holds a word of that stem."""
        return isinstance(stem, str) and self._term(stem).documents > 0

    def add(self, keys: Sequence[int] | Keys, texts: Sequence[str]) -> None:
        """Add texts.

        Args:
            keys: new, each once; or removed before.
            texts: one for each key; any characters.

        Raises:
            DeveloperError: a known or repeated key, or not as many texts as keys.
        """
        wanted = np.asarray(keys, np.int64)
        if len(wanted) != len(texts):
            raise DeveloperError(f"{len(texts)} texts for {len(wanted)} keys")
        numbers = wanted.tolist()
        known = {key for key in self._known(wanted).tolist() if key not in self._removed}
        known |= {key for key in numbers if key in self._pending}
        if known or len(set(numbers)) < len(numbers):
            raise DeveloperError(f"keys that are there already: {sorted(known)[:5] or 'repeated'}")
        self._pending.add(numbers, texts)

    def remove(self, keys: Sequence[int] | Keys) -> None:
        """Remove texts, also such as are not committed yet; unknown keys are no error."""
        wanted = np.asarray(keys, np.int64)
        self._pending.remove(wanted.tolist())
        self._removed.update(self._known(wanted).tolist())

    def commit(self) -> str:
        """Make every change durable and return the token of this state.

        Raises:
            OSError: the folder cannot be written; the texts are pending still.
        """
        parts = self._pending.parts()
        # A removed key counts in every file, so one that comes again leaves those it was in.
        new = np.array(self._pending.keys, np.int64)
        again = {segment for segment in self._segments if segment.rows(new)[1].any()}
        self._segments.remove(sorted(self._removed))
        self._statistics = _Statistics(self._segments)
        old = list(again.union(self._segments.due(len(new), self._compact)))
        parts += [(segment, self._segments.live(segment)) for segment in old]
        token = self._segments.commit(merged(parts), old)
        self._pending, self._removed, self._compact = Pending(), set(), False
        self._statistics = _Statistics(self._segments)
        return token

    def compact(self) -> None:
        """Let the next ``commit`` leave nothing of removed texts on the disk."""
        self._compact = True

    def sweep(self) -> None:
        """Delete what only earlier states needed; called once the token is written down."""
        self._segments.sweep()

    def close(self) -> None:
        """Let go of the files; the index is empty then."""
        self._segments = Segments(Path(), ".words")
        self._statistics = _Statistics(self._segments)

    def search(self, query: str, k: int, among: Keys | None = None) -> list[tuple[int, float]]:
        """The best keys with their scores.

        Args:
            query: words; those of no meaning and unknown ones are left out.
            k: how many at most.
            among: only these keys, ascending; None for all.

        Returns:
            Best first, of equals the smaller key; only those that share a word with the query.
        """
        terms = self._terms(query)
        if not terms or k < 1:
            return []
        held = {segment: None for term in terms for segment in term.held}
        found = [self._best(segment, terms, k, among) for segment in held]
        keys, scores = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        order = np.lexsort((keys, -scores))[:k]
        return list(zip(keys[order].tolist(), scores[order].tolist(), strict=True))

    def scores(self, query: str, keys: Sequence[int] | Keys) -> Scores:
        """The scores of some keys: float32 ``(len(keys),)``, 0 where no word is shared.

        Unknown keys are no error; they share no word.
        """
        wanted = np.asarray(keys, np.int64)
        scores = np.zeros(len(wanted), np.float32)
        terms = self._terms(query)
        for segment in self._segments if terms else ():
            at, there = self._rows(segment, wanted)
            scores[there] = self._scored(segment, terms, at[there])
        return scores

    def explain(self, query: str, key: int) -> list[tuple[str, float]]:
        """What each stem of a query adds to the score of a text, most first.

        The parts sum up to the score; stems that the text does not hold are left out.
        """
        parts = []
        for segment in self._segments:
            at, there = self._rows(segment, np.array([key], np.int64))
            for term in self._terms(query) if there.any() else ():
                parts.append((term.stem, float(self._scored(segment, [term], at)[0])))
        return sorted((part for part in parts if part[1]), key=lambda p: (-p[1], p[0]))

    def _known(self, keys: Keys) -> Keys:
        """Those of some keys that are live in a file."""
        found = [keys[self._rows(segment, keys)[1]] for segment in self._segments]
        return np.concatenate(found) if found else keys[:0]

    def _rows(self, segment: Segment, keys: Keys) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """For each key its row, and whether it is there and live."""
        at, there = segment.rows(keys)
        live = self._segments.live(segment)
        return at, there if live is None else there & live[at]

    def _terms(self, query: str) -> list[_Term]:
        said = Counter(stems(query))
        terms = [self._term(stem, times) for stem, times in said.items()]
        return [term for term in terms if term.documents]

    def _term(self, stem: str, times: int = 1) -> _Term:
        held: dict[Segment, _Postings] = {}
        documents = 0
        for segment in self._segments:
            place = postings_of(segment, stem)
            if place.stop > place.start:
                held[segment] = segment["rows"][place], segment["counts"][place]
                documents += self._documents(segment, held[segment][0])
        return _Term(stem, documents, self._statistics.weight(documents) * times, held)

    def _documents(self, segment: Segment, rows: NDArray[np.int32]) -> int:
        live = self._segments.live(segment)
        return len(rows) if live is None else int(np.count_nonzero(live[rows]))

    def _best(
        self, segment: Segment, terms: Sequence[_Term], k: int, among: Keys | None
    ) -> tuple[Keys, Scores]:
        """Keys and scores of the k best rows of a segment, in any order."""
        if among is not None:
            at, there = self._rows(segment, among)
            rows = at[there]
            scores = self._scored(segment, terms, rows)
            best = _largest(scores, k)
            return segment.keys[rows[best]], scores[best]
        scores = self._all_scored(segment, terms)
        live = self._segments.live(segment)
        if live is not None:
            scores *= live
        best = _largest(scores, k)
        return segment.keys[best], scores[best]

    def _all_scored(self, segment: Segment, terms: Sequence[_Term]) -> Scores:
        """The scores of all rows of a segment, dead ones too."""
        norms = self._statistics.norms(segment)
        scores = np.zeros(len(segment), np.float32)
        for term in terms:
            if segment in term.held:
                rows, counts = term.held[segment]
                scores[rows] += _part(term, counts, norms[rows])
        return scores

    def _scored(self, segment: Segment, terms: Sequence[_Term], rows: NDArray[np.intp]) -> Scores:
        """The scores of some rows; few are looked up in the postings of each word."""
        if len(rows) * _FEW > len(segment):
            return self._all_scored(segment, terms)[rows]
        norms = self._statistics.norms(segment)[rows]
        wanted = rows.astype(np.int32)
        scores = np.zeros(len(rows), np.float32)
        for term in terms:
            if segment in term.held:
                held, counts = term.held[segment]
                at = np.minimum(np.searchsorted(held, wanted), len(held) - 1)
                hit = held[at] == wanted
                scores[hit] += _part(term, counts[at[hit]], norms[hit])
        return scores


_Postings = tuple[NDArray[np.int32], NDArray[np.unsignedinteger]]


@dataclass(frozen=True)
class _Term:
    """A stem of a query: how many texts hold it, its weight, its rows and counts in each file."""

    stem: str
    documents: int
    weight: np.float32
    held: dict[Segment, _Postings]


class _Statistics:
    """What BM25 knows of one state of the segments, counted when it is first asked for."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._norms: dict[Segment, Scores] = {}

    def weight(self, documents: int) -> np.float32:
        """Of a word that so many texts hold."""
        texts = max(len(self._segments), 1)
        idf = math.log(1 + (texts - documents + 0.5) / (documents + 0.5))
        return np.float32(idf / math.log(texts + 1))

    def norms(self, segment: Segment) -> Scores:
        """What the length of each row adds below the fraction."""
        if segment not in self._norms:
            lengths = segment["lengths"].astype(np.float32)
            norms = _K1 * (1 - _B) + lengths * np.float32(_K1 * _B / self._mean)
            self._norms[segment] = norms.astype(np.float32)
        return self._norms[segment]

    @cached_property
    def _mean(self) -> float:
        """Words in a text; only asked for where there is one."""
        total = 0
        for segment in self._segments:
            live = self._segments.live(segment)
            total += int(segment["lengths"].sum(where=True if live is None else live))
        return total / len(self._segments)


def _part(term: _Term, counts: NDArray[np.unsignedinteger], norms: Scores) -> Scores:
    """What a word adds to the rows that hold it so many times."""
    times = counts.astype(np.float32)
    norms = norms + times
    times /= norms
    times *= term.weight
    return times


def _largest(scores: Scores, k: int) -> NDArray[np.intp]:
    """The places of the k largest, none of them 0; of equals those that come first."""
    at = np.flatnonzero(scores)
    if len(at) <= k:
        return at
    held = scores[at]
    least = np.partition(held, len(held) - k)[len(held) - k]
    sure = at[held > least]
    return np.concatenate([sure, at[held == least][: k - len(sure)]])
