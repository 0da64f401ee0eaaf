"""Grading: how likely is it that the passages found, or an attachment, answer the question.

A logistic formula over three things anyone can follow: the closest sentence, the closest passage,
and the share of the question's content words that one passage holds. Its weights belong to one
embedding model and are fitted by ``benchmarks/fit_extractive.py``. Knows passages and an encoder;
nothing of the graph, the library or the chat model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..index.passage import Passage
from ..tools.entries import codes, entries, kinds
from ..tools.quoting import Quote, asks_advice, asks_to_see, in_full, names, quotable, weigh
from ..tools.screens import is_copy, remedies
from ..tools.sentences import Encoder, stems

__all__ = ["CALIBRATIONS", "Calibration", "evidence", "relevance"]

_DEPTH = 5
"""How many of the passages are looked at: the same ones that the chat model quotes from."""

_PICTURE = 0.5
_ATTACHED = 0.8
_CODE_KNOWN = 2.5
_CODE_UNKNOWN = -1.0
"""Log-odds that are judgement, not fitted: a picture is asked for and one was found; a question
comes with a screen and is likely about it; a code on that screen is in a passage, or in none."""

_REMEDY = 0.9
"""Relevance of an attached screen that tells what to do about the trouble that it reports."""

_STRANGE_NAME = -1.5
"""Log-odds of a name that the library does not hold: on half of XQuAD's articles 3 % of the
questions that can be answered have one, and 55 % of those about the other half."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted for one embedding model.

    Attributes:
        model: its name.
        sentence: weight of the closest sentence's cosine with the question.
        passage: weight of the closest passage's cosine, taken from the mean of its sentences.
        words: weight of the largest share of the question's content words in one passage.
        bias: added to the weighted sum.
        threshold: the relevance from which on the question counts as answerable.
        picture: cosine of a slot's words and a picture's own from which on the picture shows them;
            of the handbook's figures the right ones have 0.35 to 0.65, the others at most 0.48.
    """

    model: str
    sentence: float
    passage: float
    words: float
    bias: float
    threshold: float
    picture: float


CALIBRATIONS = {
    "all-MiniLM-L6-v2": Calibration(
        "all-MiniLM-L6-v2",
        sentence=6.0,
        passage=5.0,
        words=2.0,
        bias=-5.8,
        threshold=0.32,
        picture=0.45,
    )
}
"""By embedding model name. A model that is not here has no threshold: nothing is held back."""


def relevance(
    question: str,
    passages: Sequence[Passage],
    encoder: Encoder,
    calibration: Calibration,
    *,
    queries: Sequence[str] = (),
    attachments: Sequence[Passage] = (),
    knows: Callable[[str], bool] = lambda stem: True,
) -> float:
    """How likely it is that the library or an attachment answers the question.

    Args:
        question: as it was asked.
        passages: what was found, best first; the first five count.
        encoder: best the ``CachedEncoder`` that the chat model holds too.
        calibration: of the encoder's model.
        queries: the question's other forms, used for retrieval. They are not held against the
            attachments, whose own words they may be.
        attachments: the attached pictures as passages, their text read off them.
        knows: whether any passage of the library holds a stem.

    Returns:
        0 to 1; at ``calibration.threshold`` and above the question counts as answerable.
    """
    attached = [quotable(p.text, "screenshot") for p in attachments]
    if any(remedies(question, rows) for rows in attached):
        return _REMEDY
    found = [p for p in passages if not _is_attached(p, attached)][:_DEPTH]
    if _of_another_code(question, found, attachments):
        return 0.0
    library = [quotable(p.text, p.modality) for p in found]
    pairs = zip(found, library, strict=True)
    titles = [rows[:1] if p.modality == "screenshot" else [] for p, rows in pairs]
    contexts = [" ".join([p.above, *title]) for p, title in zip(found, titles, strict=True)]
    library = [[*_heading(p), *pieces] for p, pieces in zip(found, library, strict=True)]
    asked, forms = in_full(question, queries, [row for rows in attached for row in rows])
    quotes = weigh(asked, library, encoder, queries=forms, contexts=contexts)
    return max(
        _logistic(
            quotes,
            calibration,
            _in_favour(question, found, attachments) + _unheard(question, attached, knows),
        ),
        0.0
        if asks_advice(question)  # a screen shows what is wrong, not what to do about it
        else _logistic(weigh(question, attached, encoder), calibration, _ATTACHED),
    )


def _is_attached(passage: Passage, attached: Sequence[Sequence[str]]) -> bool:
    """Whether it is an attached picture over again, which would answer by being alike."""
    rows = quotable(passage.text, "screenshot") if passage.modality == "screenshot" else []
    return is_copy(rows, attached)


def _heading(passage: Passage) -> list[str]:
    """What a section is called says what it is about, as much as any of its sentences."""
    return [heading] if (heading := passage.heading.rpartition(" › ")[2]) else []


def _in_favour(question: str, found: Sequence[Passage], attachments: Sequence[Passage]) -> float:
    """Log-odds that no similarity shows: a picture that is asked for, a code on the screen."""
    pictured = asks_to_see(question) and any(p.modality == "figure" for p in found)
    on_screen = {code for p in attachments for code in codes(p.text)}
    known = any(on_screen & codes(p.text) for p in found)
    code = _CODE_KNOWN if known else _CODE_UNKNOWN if on_screen else 0.0
    return _PICTURE * pictured + code


def _of_another_code(
    question: str, found: Sequence[Passage], attachments: Sequence[Passage]
) -> bool:
    """Whether a code is asked about where codes of its kind are listed, and not this one."""
    screen = {code for p in attachments for code in codes(p.text)}
    asked = codes(question) or (screen if asks_advice(question) else set())
    if not asked or (asked & screen and not asks_advice(question)):
        return False
    said = {code for p in found for code in codes(f"{p.above}\n{p.text}")}
    listed = {code for p in found for code in entries(p.text) if code}
    return asked.isdisjoint(said) and not kinds(asked).isdisjoint(kinds(listed))


def _unheard(
    question: str, attached: Sequence[Sequence[str]], knows: Callable[[str], bool]
) -> float:
    """Log-odds of a question that names what neither the library nor an attachment mentions."""
    on_screen = {stem for rows in attached for row in rows for stem in stems(row)}
    named = [stem for name in names(question) for stem in stems(name)]
    strange = any(not (stem in on_screen or knows(stem)) for stem in named)
    return _STRANGE_NAME if strange else 0.0


def evidence(quotes: Sequence[Quote]) -> tuple[float, float, float]:
    """What the formula sees: closest sentence, closest passage, best share of words."""
    return (
        max(quote.features.cosine for quote in quotes),
        max(quote.features.whole for quote in quotes),
        max(quote.covered for quote in quotes),
    )


def _logistic(quotes: Sequence[Quote], calibration: Calibration, more: float = 0.0) -> float:
    if not quotes:
        return 0.0
    sentence, passage, words = evidence(quotes)
    total = (
        calibration.sentence * sentence
        + calibration.passage * passage
        + calibration.words * words
        + calibration.bias
        + more
    )
    return 1 / (1 + math.exp(-total))
