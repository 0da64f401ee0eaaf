"""From scores to what a search returns: figures credited, near-duplicates folded, and the reasons.

Knows passages and matches; nothing of vectors, files or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from ..errors import LibraryDamaged, QuestionError
from ..tools.sentences import split_sentences, stems
from .chunking import CountTokens
from .embeddings import Embeddings
from .hybrid import CODE_WEIGHT, KEYWORD_WEIGHT, HybridIndex, Match
from .manifest import Manifest
from .passage import Passage
from .reranking import Reranker
from .segments import Keys

__all__ = ["Explanation", "explained", "searched", "windows"]

_ALIKE = 0.9  # share of word pairs in common from which two passages say the same
_WINDOWS = 16
_RERANKED = 32  # candidates that a reranker reads, at least
_TELLING = re.compile(r"\d+(?:[.,:/-]\d+)*|\b(?:not?|never|without)\b|n['’]t\b", re.IGNORECASE)
"""Numbers and denials: where they differ, no likeness of words makes two passages the same."""

_Pairs = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A passage that was found, and why.

    Attributes:
        passage: with its score.
        match: the scores it was found by.
        words: each shared stem with its part of ``match.keyword``, largest first.
        shown_by: the passage whose picture this figure shows, where that one was found.
        reranked: the reranker's probability, where there is one; then it is the score.
        repeats: places of passages that say the same and are left out.
    """

    passage: Passage
    match: Match
    words: tuple[tuple[str, float], ...] = ()
    shown_by: str | None = None
    reranked: float | None = None
    repeats: tuple[str, ...] = ()

    def __str__(self) -> str:
        """In a line: ``0.71 = cosine 0.62 + 0.25 × keyword 0.36 (jam 0.21, paper 0.15)``."""
        m = self.match
        line = f"{m.score:.2f} = cosine {m.cosine:.2f} + {KEYWORD_WEIGHT} × keyword {m.keyword:.2f}"
        if m.code:
            line += f" + {CODE_WEIGHT:g} × code {m.code:.2f}"
        if self.words:
            line += f" ({', '.join(f'{word} {part:.2f}' for word, part in self.words)})"
        if self.reranked is not None:
            line = f"{self.reranked:.2f} by the reranker, before it {line}"
        if self.shown_by:
            line += "; through the text read off its picture"
        return line + (f"; also in {', '.join(self.repeats)}" if self.repeats else "")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {**asdict(self), "passage": self.passage.to_dict()}


def windows(queries: Sequence[str], embeddings: Embeddings) -> list[str]:
    """Wordings that the model reads whole: a longer one is cut in halves, best between sentences.

    Raises:
        QuestionError: there would be more than 16.
    """
    most = embeddings.max_tokens - 2
    cut = [part for query in queries for part in _parts(query, most, embeddings.count_tokens)]
    if len(cut) > _WINDOWS:
        raise QuestionError(
            f"the question is longer than {_WINDOWS} times the {most} tokens that the embedding "
            "model reads at once",
            "shorten it, or save it as a file and limner add that",
        )
    return cut


def _parts(query: str, most: int, count: CountTokens) -> list[str]:
    if len(query.encode("utf-8", "replace")) <= most or count([query])[0] <= most:
        return [query]
    pieces = split_sentences(query)
    if len(pieces) < 2:
        pieces = query.split()
    middle = len(pieces) // 2
    halves = " ".join(pieces[:middle]), " ".join(pieces[middle:])
    if len(pieces) < 2:
        halves = query[: len(query) // 2], query[len(query) // 2 :]
    return [part for half in halves for part in _parts(half, most, count)]


def searched(
    index: HybridIndex,
    book: Manifest,
    queries: Sequence[str],
    vectors: Any,
    k: int,
    among: Keys | None,
    reranker: Reranker | None,
) -> list[Explanation]:
    """The best passages, each standing for those that say the same.

    Args:
        index: the state of the library.
        book: its passages, in the same state.
        queries: wordings of one question.
        vectors: of them, float32 ``(len(queries), d)``.
        k: how many at most.
        among: only these keys, ascending; None for all.
        reranker: reads the best once more and orders them.
    """
    wanted = max(k, _RERANKED) if reranker else k
    matches = index.search(queries, vectors, 2 * wanted, among)
    kept = _folded(_credited(matches, book, among, 2 * wanted), wanted)
    if reranker and kept:
        texts = [e.passage.searchable for e in kept]
        given = (float(p) for p in reranker.rerank(queries[0], texts))
        rescored = [
            replace(e, reranked=p, passage=e.passage.with_score(round(p, 4)))
            for e, p in zip(kept, given, strict=True)
        ]
        kept = sorted(rescored, key=lambda e: -(e.reranked or 0.0))
    return kept[:k]


def explained(index: HybridIndex, found: Sequence[Explanation]) -> list[Explanation]:
    """The same with the part that each word has."""
    return [
        replace(e, words=tuple(index.keywords.explain(e.match.query, e.match.key))) for e in found
    ]


def _credited(
    matches: Sequence[Match], book: Manifest, among: Keys | None, some: int
) -> Iterator[Explanation]:
    """Matches with their passages, best first; what is read off a picture finds its figure too."""
    seen: set[int] = set()
    admitted = None if among is None else set(among.tolist())
    for at in range(0, len(matches), some):
        part = matches[at : at + some]
        passages = book.passages(match.key for match in part)
        images = {p.image for p in passages.values() if p.image and p.modality != "figure"}
        figures = book.figures(images)
        shown = book.passages(figures.values())
        for match in part:
            passage = passages.get(match.key)
            if passage is None:
                raise LibraryDamaged(f"passage {match.key} is missing", "limner doctor --repair")
            figure = figures.get(passage.image or "")
            if match.key not in seen:
                seen.add(match.key)
                yield Explanation(passage.with_score(round(match.score, 4)), match)
            if figure and figure not in seen and (admitted is None or figure in admitted):
                seen.add(figure)
                found = shown[figure].with_score(round(match.score, 4))
                yield Explanation(found, match, shown_by=passage.id)


def _folded(found: Iterator[Explanation], k: int) -> list[Explanation]:
    """The first k that differ, with the places of those among them that say the same."""
    kept: list[Explanation] = []
    alike: dict[tuple[Any, ...], list[tuple[_Pairs, int]]] = {}
    for explanation in found:
        passage = explanation.passage
        words = stems(passage.searchable)
        pairs = frozenset(pairwise(words)) or frozenset([(word, "") for word in words])
        telling = tuple(sorted(_TELLING.findall(passage.searchable.lower())))
        image = passage.image if passage.modality != "text" else None
        group = alike.setdefault((passage.modality, image, telling), [])
        twin = next((n for known, n in group if _same(pairs, known)), None)
        if twin is not None:
            places = (*kept[twin].repeats, passage.place)
            kept[twin] = replace(kept[twin], repeats=places)
        elif len(kept) == k:
            break
        else:
            group.append((pairs, len(kept)))
            kept.append(explanation)
    return kept


def _same(a: _Pairs, b: _Pairs) -> bool:
    return bool(a) and len(a & b) >= _ALIKE * len(a | b)
