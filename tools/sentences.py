"""Sentences: where they end, which words they hold, and a small memory of their embeddings.

Splits prose at sentence ends and screens at line ends, reduces words to stems, and remembers the
embeddings of the last few hundred texts so that two steps of one turn pay for them once. Knows
nothing of passages, citations or scores; English abbreviations and stop words only.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CachedEncoder",
    "Encoder",
    "Vectors",
    "sentence_spans",
    "split_rows",
    "split_sentences",
    "stems",
]

Vectors = NDArray[np.float32]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_TITLES = _set(
    "mr mrs ms dr prof rev hon gen col lt sgt capt cmdr adm gov sen rep pres st mt ft "
    "e.g i.e cf vs viz approx ca al fig figs eq eqs sec ch vol pp art nos op ed eds "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
"""Words whose full stop never ends a sentence, because something must follow them."""

_CLOSERS = _set("etc inc ltd co corp jr sr bros dept est u.s u.k u.n e.u a.m p.m b.c a.d")
"""Words whose full stop ends a sentence only where a new one plainly begins."""

_STARTERS = _set(
    "a after all also although an and another as at because before both but by during each every "
    "finally first for from having he her here his how however i if in instead it its later many "
    "most my no not on once one only other our others several she since so some such that the "
    "their then there these they this those though thus to under until we what when where "
    "whereas whether which while who why with without you your"
)

_AHEAD = 200  # characters after a full stop that can tell whether it ends a sentence
_END = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”’）]*")
_ENUMERATOR = re.compile(r"\s*(?:[-*•‣▪–]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4})[.)])\s*")
_BREAK = re.compile(r"\n[ \t]*(?:\n\s*|(?=(?:[-*•‣▪–]|\(?\d{1,3}[.)]|\(?[a-z]\))[ \t]+\S))")
_ROW = re.compile(r"^[^\n]*(?:\t| \| )[^\n]*", re.MULTILINE)
_WORD = re.compile(
    r"\d+(?:[.,]\d+)+(?![^\W_])"  # 2.5  10,000  10.0.0.1
    r"|(?:[^\W\d_]\.){2,}"  # u.s.  e.g.
    r"|[^\W_]+(?:['’][^\W_]+|(?<=\d)\.\d+)*"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where each sentence of a text begins and ends.

    A blank line, a list item and a table row (a line with a tab or `` | ``) always begin anew; a
    single line break does not. Full stops after titles, initials, abbreviations, list numbers and
    within numbers end nothing.

    Args:
        text: prose, at most lightly marked up.

    Returns:
        ``(start, end)`` in characters, in order, without the white space between; together they
        hold every character that is not white space.
    """
    spans: list[tuple[int, int]] = []
    for start, end in _blocks(text):
        spans.extend(_split_block(text, start, end))
    return spans


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, each with its white space squeezed to single blanks.

    Example:
        >>> split_sentences("Dr. Ito waited 2.5 hours. Then it worked!")
        ['Dr. Ito waited 2.5 hours.', 'Then it worked!']
    """
    return [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]


def split_rows(text: str) -> list[str]:
    """The lines of a text that have words, as a screen or form shows them."""
    return [row for row in (" ".join(line.split()) for line in text.splitlines()) if row]


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    cuts = {0, len(text)}
    for found in _BREAK.finditer(text):
        cuts.add(found.end())
    for found in _ROW.finditer(text):
        cuts.update(found.span())
    edges = sorted(cuts)
    yield from pairwise(edges)


def _split_block(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    begin = start
    for found in _END.finditer(text, start, end):
        if _ends(
            text[begin : found.start()],
            found.group(),
            text[found.end() : min(end, found.end() + _AHEAD)],
        ):
            yield from _trimmed(text, begin, found.end())
            begin = found.end()
    yield from _trimmed(text, begin, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    if piece.strip():
        yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())


def _ends(before: str, mark: str, after: str) -> bool:
    rest = after.lstrip().lstrip("\"'“‘«([")
    if mark[0] in "。！？" or not rest:
        return True
    if rest[0].islower() or _ENUMERATOR.fullmatch(before + mark[0]):
        return False
    if not mark.startswith(".") or mark.startswith(".."):
        return True
    last = before.split()[-1].lstrip("\"'“‘«([") if before.split() else ""
    following = re.match(r"[^\W\d_]+(?!\.)", rest)
    begins = following is not None and following.group().lower() in _STARTERS
    if last.lower() == "no":
        return not rest[0].isdigit()
    if last.lower() in _TITLES or (len(last) == 1 and last.islower()):
        return False
    initial = re.fullmatch(r"(?:[A-Z]\.)*[A-Z]", last) is not None
    return begins or not (initial or last.lower() in _CLOSERS)


STOP_WORDS = _set(
    "a about above after again all also am an and any are as at be because been before being "
    "below between both but by can could did do does doing done down during each else ever few "
    "for from further get gets got had has have having he her here hers him his how i if in into "
    "is it its itself just let many may me might more most much must my no nor not of off on once "
    "one only or other our out over own please same shall she should so some such than that the "
    "their them then there these they this those through to too under until up upon us use used "
    "very was we were what when where whether which while who whom whose why will with would yet "
    "you your yours 's"
)
"""Words that say nothing about what a question is about."""


def stems(text: str) -> list[str]:
    """The content words of a text, lower-cased and cut to their stems, in order, with repeats.

    Plural, ``-ing``, ``-ed``, a last ``e`` and a possessive are cut; ``y`` becomes ``i``. Words
    with digits stay as they are, numbers lose their thousands separators.

    Example:
        >>> stems("How do I reset the printers?")
        ['reset', 'printer']
    """
    # No word reaches over white space, and most pieces between it come again and again.
    return list(chain.from_iterable(map(_pieces.__getitem__, text.lower().split())))


class _Pieces(dict[str, tuple[str, ...]]):
    """The stems in a piece of lower-cased text without white space; remembers the short ones."""

    _MOST = 1 << 16
    _LONGEST = 64

    def __missing__(self, piece: str) -> tuple[str, ...]:
        words = (word.replace("’", "'").removesuffix("'s") for word in _WORD.findall(piece))
        found = tuple(_stem(word) for word in words if word not in STOP_WORDS)
        if len(self) >= self._MOST:
            self.clear()
        if len(piece) <= self._LONGEST:
            self[piece] = found
        return found


_pieces = _Pieces()


def _stem(word: str) -> str:
    if not word.isalpha() and any(letter.isdigit() for letter in word):
        return re.sub(r",(?=\d{3}\b)", "", word)
    if word.endswith(("ss", "us")):
        return word
    for ending, put in (("ies", "y"), ("sses", "ss"), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            word = word.removesuffix(ending) + put
            break
    word = _without_participle(word)
    if len(word) > 3 and word[-1] in "ey":
        word = word[:-1] + ("i" if word[-1] == "y" else "")
    return word


def _without_participle(word: str) -> str:
    for ending in ("ing", "edly", "ed"):
        root = word.removesuffix(ending)
        if word.endswith("eed"):
            break
        if len(word) > len(root) >= 3 and any(vowel in root for vowel in "aeiouy"):
            double = len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz"
            return root[:-1] if double else root
    return word


class Encoder(Protocol):
    """What embeds queries and documents, as a ``SentenceTransformer`` does."""

    def encode_query(self, inputs: list[str]) -> Any:
        """Embed queries: float32 ``(n, d)``, L2-normalised."""

    def encode_document(self, inputs: list[str]) -> Any:
        """Embed documents: float32 ``(n, d)``, L2-normalised."""


class CachedEncoder:
    """An encoder that remembers what it embedded last.

    Grading and quoting look at the same sentences in one turn; shared between them, this makes
    the second look free.

    Args:
        encoder: embeds what is not remembered, in one call.
        size: how many texts to remember; the longest unused goes first.
    """

    def __init__(self, encoder: Encoder, size: int = 512) -> None:
        self._encoder = encoder
        self._size = size
        self._kept: OrderedDict[tuple[str, str], Vectors] = OrderedDict()
        self._lock = threading.Lock()

    def encode_query(self, inputs: list[str]) -> Vectors:
        """Embed queries: float32 ``(n, d)``, L2-normalised."""
        return self._encode("query", inputs)

    def encode_document(self, inputs: list[str]) -> Vectors:
        """Embed documents: float32 ``(n, d)``, L2-normalised."""
        return self._encode("document", inputs)

    def _encode(self, kind: str, inputs: list[str]) -> Vectors:
        with self._lock:
            known = {text: self._kept.get((kind, text)) for text in inputs}
        missing = [text for text, vector in known.items() if vector is None]
        if missing:
            encode = getattr(self._encoder, f"encode_{kind}")
            fresh = np.asarray(encode(missing), dtype=np.float32)
            known.update(zip(missing, fresh, strict=True))
        with self._lock:
            for text, vector in known.items():
                self._kept[kind, text] = vector  # type: ignore[assignment]
                self._kept.move_to_end((kind, text))
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)
        vectors = [known[text] for text in inputs]
        return np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)  # type: ignore[arg-type]
