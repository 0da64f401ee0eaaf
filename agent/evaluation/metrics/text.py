"""Whether an answer's words are those of a reference. The best over the references counts.

The words are the answer's text without citation marks; nothing where it abstains or was refused.
A reference without words is met by an answer without words only. Knows no pictures.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from decimal import Decimal

from ...answer import Answer
from ..questions import Question
from .alignment import common_length, edit_distance
from .base import Scores
from .words import normalised, plain_text, squad_words, squeezed, words

__all__ = [
    "MEASURES",
    "anls",
    "contains",
    "exact_match",
    "number",
    "relaxed_accuracy",
    "rouge_l",
    "text",
    "token_f1",
]

_THRESHOLD = 0.5
_TOLERANCE = Decimal("0.05")
_NUMBER = re.compile(
    r"[-+−]?(?P<digits>\d{1,3}(?:[,'’\u00a0\u2009\u202f]\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)"
    r"(?P<power>[eE][-+]?\d{1,3})?"
)
_SEPARATOR = re.compile(r"[,'’\s]")


def text(question: Question, answer: Answer) -> Scores:
    """Every measure of `MEASURES`; None where the question gives no reference text."""
    said = plain_text(answer)
    return {
        name: max((measure(said, reference) for reference in question.references), default=None)
        for name, measure in MEASURES.items()
    }


def exact_match(said: str, reference: str) -> float:
    """1 where both are the same in SQuAD's normal form (see `words.normalised`), else 0.

    Rajpurkar et al., *SQuAD: 100,000+ Questions for Machine Comprehension of Text* (2016).
    """
    return float(normalised(said) == normalised(reference))


def token_f1(said: str, reference: str) -> float:
    """F1 of the words of two texts in SQuAD's normal form, as multisets.

    Both without words: 1; one only: 0.
    """
    ours, theirs = squad_words(said), squad_words(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = (Counter(ours) & Counter(theirs)).total()
    return 2 * shared / (len(ours) + len(theirs))


def contains(said: str, reference: str) -> float:
    """1 where the reference stands in the text, white space squeezed, case kept; else 0.

    A number does not stand in a longer one: 5 is not in 15, 1.5 or 5,000.
    """
    wanted = squeezed(reference)
    if not wanted:
        return float(not squeezed(said))
    before = r"(?<!\d)(?<!\d[.,])" if wanted[0].isdigit() else ""
    after = r"(?!\d|[.,]\d)" if wanted[-1].isdigit() else ""
    return float(re.search(before + re.escape(wanted) + after, squeezed(said)) is not None)


def anls(said: str, reference: str) -> float:
    """1 − edit distance over the longer length where that distance is below 0.5, else 0.

    Lower case, white space squeezed; spaces count. Biten et al., *Scene Text Visual Question
    Answering* (2019), equation 1. Both empty: 1.
    """
    ours, theirs = squeezed(said).lower(), squeezed(reference).lower()
    longest = max(len(ours), len(theirs))
    if not longest:
        return 1.0
    if abs(len(ours) - len(theirs)) >= _THRESHOLD * longest:
        return 0.0
    apart = edit_distance(ours, theirs) / longest
    return 1 - apart if apart < _THRESHOLD else 0.0


def relaxed_accuracy(said: str, reference: str) -> float:
    """1 where two numbers differ by at most 5 % of the reference, or two other texts not at all.

    Methani et al., *PlotQA* (2020), as Masry et al. take it for *ChartQA* (2022). Public scorers
    agree on plain numbers and differ beyond. Here thousands separators and a currency sign do not
    count; of 12 % and 12, and of 12 % and 0.12, each is right for the other; for a reference of 0
    only 0 is right; the border counts, in decimal arithmetic. Texts are compared in lower case
    without outer quotes and closing punctuation. The whole text must be the number.
    """
    ours, theirs = number(said), number(reference)
    if ours is None or theirs is None:
        return float(_closed(said) == _closed(reference))
    (value, percent), (wanted, wanted_percent) = ours, theirs
    if percent == wanted_percent or _near(value, wanted):
        return float(_near(value, wanted))
    return float(_near(value / (100 if percent else 1), wanted / (100 if wanted_percent else 1)))


def _near(value: Decimal, wanted: Decimal) -> bool:
    return abs(value - wanted) <= _TOLERANCE * abs(wanted)


def _closed(said: str) -> str:
    plain = squeezed(said).lower()
    return plain.strip("\"'“”„«»‘’ ").rstrip(".!?;:, ") or plain


def number(said: str) -> tuple[Decimal, bool] | None:
    """The number that a text is, and whether it is a percentage; None where it is none.

    A full stop behind it, one currency sign and thousands separators (comma, apostrophe, no-break
    space; groups of three) are dropped. Infinity, NaN and ``1_000`` are no numbers.

    Example:
        >>> number("$1,250.50"), number("12 %."), number("1,5")
        ((Decimal('1250.50'), False), (Decimal('12'), True), None)
    """
    bare = said.strip().rstrip(".").rstrip()
    percent = bare.endswith(("%", "％"))
    bare = bare[:-1].rstrip() if percent else bare
    sign = next((c for c in bare if unicodedata.category(c) == "Sc"), "")
    bare = re.sub(rf"\s*{re.escape(sign)}\s*", "", bare, count=1) if sign else bare
    found = _NUMBER.fullmatch(bare)
    if found is None:
        return None
    value = Decimal(_SEPARATOR.sub("", found["digits"]) + (found["power"] or ""))
    return -value if bare[0] in "-−" else value, percent


def rouge_l(said: str, reference: str) -> float:
    """F1 of precision and recall of the longest common subsequence of words; no stemming.

    Lin, *ROUGE: A Package for Automatic Evaluation of Summaries* (2004), with β = 1. Words are runs
    of letters and digits in lower case. Both without words: 1; one only: 0.
    """
    ours, theirs = words(said), words(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * common_length(ours, theirs) / (len(ours) + len(theirs))


MEASURES: Mapping[str, Callable[[str, str], float]] = {
    "exact_match": exact_match,
    "token_f1": token_f1,
    "contains": contains,
    "anls": anls,
    "relaxed_accuracy": relaxed_accuracy,
    "rouge_l": rouge_l,
}
"""From what was said and a reference to a score from 0 to 1, by name."""
