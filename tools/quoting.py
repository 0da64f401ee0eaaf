"""Quoting: which sentences of some texts answer a question, by one linear formula.

A sentence scores by its cosine with the question, by the share of the question's content words
that it holds (rare ones among the candidates count more), by whether it holds what the question's
kind asks for (a number, a time, a name, a reason), by the cosine of its whole text, and by the
question's words in the sentence before it. The five weights are fitted by
``benchmarks/fit_extractive.py``. Knows nothing of passages, citations or chat models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import numpy as np

from .sentences import STOP_WORDS, Encoder, Vectors, split_rows, split_sentences, stems

__all__ = [
    "MINILM",
    "Features",
    "Quote",
    "Weights",
    "asks_advice",
    "asks_to_see",
    "asks_what_to_do",
    "in_full",
    "names",
    "quotable",
    "troubles",
    "weigh",
]


@dataclass(frozen=True, slots=True)
class Weights:
    """What each feature of a sentence is worth; see ``Features``."""

    cosine: float
    words: float
    kind: float
    whole: float
    before: float


MINILM = Weights(cosine=5.0, words=7.4, kind=1.8, whole=4.2, before=3.1)
"""Fitted with all-MiniLM-L6-v2; the scale is that of a softmax over the candidates."""

_FOUND = 5.0
"""Taken off for each point by which a text's score in the search is behind the best one's."""

_LEAD_IN = 2.0
"""Taken off a sentence that ends in a colon: it introduces an answer and is none."""


@dataclass(frozen=True, slots=True)
class Features:
    """What the formula sees of one sentence.

    Attributes:
        cosine: of the question and the sentence, -1 to 1; the best over the question's forms.
        words: share of the question's content words in the sentence, 0 to 1, weighted by rarity.
        kind: 1 where the sentence holds what the question's kind asks for, else 0.
        whole: cosine of the question and the mean of the text's sentences.
        before: share of the question's words that the sentence lacks and that stand in the
            sentence before, in a line ending in a colon further up, or above the text.
    """

    cosine: float
    words: float
    kind: float
    whole: float
    before: float


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence that could be quoted.

    Attributes:
        text: the sentence, white space squeezed.
        source: which of the texts it stands in, from 0.
        position: which sentence of that text it is, from 0.
        features: what the formula saw.
        covered: share of the question's content words in its whole text and above it, 0 to 1.
        score: the formula's value; only differences between candidates mean something.
    """

    text: str
    source: int
    position: int
    features: Features
    covered: float
    score: float


def quotable(text: str, modality: str) -> list[str]:
    """What can be quoted from a text.

    Args:
        text: its blocks, one a line.
        modality: ``screenshot`` for rows that are quoted whole; all else is split at sentence ends.
    """
    if modality == "screenshot":
        return split_rows(text)
    return [sentence for line in text.splitlines() for sentence in split_sentences(line)]


def weigh(
    question: str,
    texts: Sequence[Sequence[str]],
    encoder: Encoder,
    *,
    queries: Sequence[str] = (),
    contexts: Sequence[str] = (),
    found: Sequence[float] = (),
    weights: Weights = MINILM,
) -> list[Quote]:
    """Score every sentence of some texts as an answer to a question.

    Args:
        question: as it was asked.
        texts: the sentences of each text.
        encoder: called once for the question's forms and once for all sentences.
        queries: other forms of the question; a word that only they have counts half.
        contexts: what stands above each text; its words count as said before each sentence.
        found: how well a search found each text; only differences count.
        weights: of the formula.

    Returns:
        Every sentence, in the order given.
    """
    flat = [sentence for text in texts for sentence in text]
    if not flat:
        return []
    forms = encoder.encode_query([question, *_parts(question), *queries])
    vectors = iter(encoder.encode_document(flat))
    held = [[set(stems(sentence)) for sentence in text] for text in texts]
    above = [set(stems(context)) for context in contexts] or [set[str]() for _ in texts]
    words = _rarity(question, queries, [stem for text in held for stem in text])
    judge = _Judge(forms, words, _Kind(question), weights)
    quotes = [
        quote
        for source, text in enumerate(texts)
        for quote in judge.quotes(
            source, text, np.array([next(vectors) for _ in text]), held[source], above[source]
        )
    ]
    if not found:
        return quotes
    behind = [_FOUND * (score - max(found)) for score in found]
    return [replace(quote, score=quote.score + behind[quote.source]) for quote in quotes]


def _parts(question: str) -> list[str]:
    """What is asked at the end of a question that first tells a story."""
    sentences = split_sentences(question)
    return [s for s in sentences if s.endswith("?")] if len(sentences) > 1 else []


@dataclass(frozen=True, slots=True)
class _Judge:
    """A question as the formula needs it."""

    forms: Vectors
    words: Mapping[str, float]
    kind: _Kind
    weights: Weights

    def quotes(
        self,
        source: int,
        text: Sequence[str],
        vectors: Vectors,
        found: Sequence[set[str]],
        above: set[str],
    ) -> Iterator[Quote]:
        """The sentences of one text."""
        if not text:
            return
        cosines = (vectors @ self.forms.T).max(axis=1)
        mean = vectors.mean(axis=0)
        whole = float((self.forms @ mean).max() / max(float(np.linalg.norm(mean)), 1e-9))
        covered = self._share(above.union(*found))
        before, lead = above, above
        for position, sentence in enumerate(text):
            own = self._share(found[position])
            more = self._share(found[position] | before) - own
            kind = float(self.kind.answered_by(sentence))
            features = Features(float(cosines[position]), own, kind, whole, more)
            score = float(np.dot(astuple(features), astuple(self.weights)))
            score -= _LEAD_IN * sentence.endswith(":")
            yield Quote(sentence, source, position, features, covered, score)
            if sentence.endswith(":"):
                lead = lead | found[position]
            before = lead | found[position]

    def _share(self, found: set[str]) -> float:
        total = sum(self.words.values())
        held = sum(weight for stem, weight in self.words.items() if stem in found)
        return held / total if total else 0.0


def _rarity(question: str, queries: Iterable[str], found: Sequence[set[str]]) -> dict[str, float]:
    own = set(stems(question))
    other = {stem for query in queries for stem in stems(query)} - own
    weights = {}
    for stem in sorted(own | other):
        seen = sum(stem in words for words in found)
        if stem in own or seen:  # what only a reworded form says and no text knows is no loss
            half = 1.0 if stem in own else 0.5
            weights[stem] = half * math.log(1 + (len(found) + 1) / (seen + 0.5))
    return weights


_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DAYS = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_COUNTS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    "sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|"
    "hundred|thousand|million|billion|dozen|half|quarter|third|twice|once|several|double"
)
_TIMES = "century|centurie|decade|noon|midnight|morning|afternoon|evening|until|daily|weekly"
_UNITS = "degrees|euros|dollars|pounds|people|mm|cm|km|m|kg|g|rpm|dB"
_MEASURE = "many|much|long|old|far|fast|often|large|big|tall|high|deep|wide|heavy|late|early"
_PLACE = "city|country|state|place|town|area|region|location|building|room|street|river|county"
_AUXILIARY = "is|are|was|were|do|does|did|will|can|could|should|must|may|has|have|had"

_NOTHING: frozenset[str] = frozenset()

_KINDS = (  # the first that fits counts: how it is asked, what answers it, what does not
    (
        rf"\bhow (?:{_MEASURE})\b|\bwhat (?:percent\w*|number|age|amount|size|share|proportion)\b",
        rf"(?i:\b(?:{_COUNTS})\b)|\d[\d.,:]*",
        _NOTHING,
    ),
    (
        rf"\bwhen (?:{_AUXILIARY})\b|\b(?:what|which) (?:year|date|day|month|century|decade|time)",
        rf"\b(?:1\d{{3}}|20\d\d)s?\b(?! ?(?:{_UNITS})\b)"
        r"|\b\d+(?:st|nd|rd|th)\b|\b\d+(?::\d\d| ?[ap]\.?m)\b"
        rf"|(?i:\b(?:{_MONTHS}|{_DAYS}|{_TIMES})s?\b)",
        _NOTHING,
    ),
    (r"\bwho(?:m|se)?\b", r"\b[A-Z][\w’'-]*", STOP_WORDS),
    (
        rf"\bwhere\b|\b(?:what|which) (?:\w+ )?(?:{_PLACE})\b",
        r"(?<!^)\b[A-Z][\w’'-]*",
        STOP_WORDS,
    ),
    (
        r"\bwhy\b|\bwhat (?:reason|cause)",
        r"(?i)\b(?:because|due to|since|so that|in order|therefore|thus|caus\w+|reasons?)\b",
        _NOTHING,
    ),
)


class _Kind:
    """What a question asks for: a number, a time, a name, a place, a reason, or none of these."""

    def __init__(self, question: str) -> None:
        asked = (kind for kind in _KINDS if re.search(kind[0], question, re.IGNORECASE))
        _, answer, never = next(asked, ("", "", _NOTHING))
        self._answer = re.compile(answer) if answer else None
        self._known = never | set(re.findall(r"\w+", question.lower()))

    def answered_by(self, sentence: str) -> bool:
        """Whether the sentence holds such a thing that the question does not say itself."""
        if self._answer is None:
            return False
        return any(m.group().lower() not in self._known for m in self._answer.finditer(sentence))


_SEE = re.compile(
    r"\b(?:picture|photo|image|figure|diagram|chart|graph|plot|map|plan|drawing|sketch"
    r"|illustration)s?\b|\blooks? like\b|\bshow (?:me|us|the|a|an|where|which|how)\b",
    re.IGNORECASE,
)
_TROUBLE = re.compile(
    r"\b(?:error|fail|cannot|can't|could not|unable|denied|refused|invalid|warning|locked|held"
    r"|taken|expired|missing|did not|not (?:found|connected|available|supported|responding))"
    r"|\b[A-Z]{1,4}-?\d{2,}\b|\b0x[0-9a-f]+\b",
    re.IGNORECASE,
)
_ADVICE = re.compile(
    r"\bhow (?:do|does|did|can|could|should|to|would)\b|\bwhy\b"
    r"|\b(?:should|can|could|must) (?:i|we)\b|\bwhat (?:do|does|did)\b.*\b(?:mean|do)\b",
    re.IGNORECASE,
)
_THING = re.compile(
    rf"\W*(?:what|which)\s+(?!(?:{_AUXILIARY}|can|would|steps|ways?|to|now|next)\b)\w+",
    re.IGNORECASE,
)
_TO_DO = re.compile(
    r"\bhow (?:do|does|can|could|should|shall|must|would) (?:i|we|you|one)\b|\bhow to\b"
    r"|\bwhat (?:can|could|do|must|shall|should|would) (?:i|we|you|one)\b.*\bdo\b"
    r"|\bwhat (?:to do|now|next)\b|\bnow what\b|\bget rid of\b|\bwork ?around\b"
    r"|\b(?:fix|solve|resolve|repair|clear|help|mend|cure|remedy|solution|troubleshoot)\b",
    re.IGNORECASE,
)


def asks_to_see(question: str) -> bool:
    """Whether a question asks for a picture."""
    return _SEE.search(question) is not None


def troubles(rows: Sequence[str]) -> list[str]:
    """The rows of a screen that report that something is wrong, or carry a code.

    Example:
        >>> troubles(["New booking", "BK-409: the cutter is taken", "Cancel"])
        ['BK-409: the cutter is taken']
    """
    return [row for row in rows if _TROUBLE.search(row)]


def asks_advice(question: str) -> bool:
    """Whether a question asks what to do or why, and not for something written somewhere."""
    if asks_what_to_do(question):
        return True
    return _ADVICE.search(question) is not None and not _THING.match(question)


def asks_what_to_do(question: str) -> bool:
    """Whether a question asks what to do, and not only why or what something means.

    Example:
        >>> asks_what_to_do("How do I fix this?"), asks_what_to_do("What does E-42 mean?")
        (True, False)
    """
    return _TO_DO.search(question) is not None and not _THING.match(question)


def in_full(
    question: str, queries: Sequence[str], screen: Sequence[str]
) -> tuple[str, Sequence[str]]:
    """What the library is really asked: the words of a screen take the place of "this".

    Args:
        question: as it was asked.
        queries: its other forms.
        screen: the rows of the attached pictures; may be empty.

    Returns:
        The question and its other forms. Where something on the screen is to be explained or
        mended, the rows that report trouble (or else all of them) are part of the question; where
        the screen itself holds the answer, the library is asked the bare question.
    """
    if not screen:
        return question, queries
    if not asks_advice(question):
        return question, ()
    rows = troubles(screen)[:2] or [" ".join(screen)]
    first, *others = [f"{question} {row}" for row in rows]
    return first, others


def names(question: str) -> list[str]:
    """What a question calls by name: capitalised words that do not begin it, and numbers.

    Example:
        >>> names("How do I reach the VPN from Linux?")
        ['I', 'VPN', 'Linux']
    """
    _, *others = re.findall(r"[^\W_]+(?:[.-][^\W_]+)*", question) or [""]
    return [word for word in others if word[0].isupper() or word[0].isdigit()]
