"""Whether an answer shows the pictures that it should, in order, and nothing that is not there.

P are the pictures that the answer refers to: those it shows, drawn ones too, those whose file is
gone and slots left in its text; the last two match nothing. G are the reference pictures of the
question. Both are multisets: a picture shown twice counts twice and matches once. What matches is
decided in `places`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...answer import Answer, Part, Text
from ..questions import Place, Question
from .alignment import kendall_tau_b
from .base import Scores
from .places import count_slots, matched, resolves

__all__ = ["overlap_scores", "pictures", "reading_order", "structure"]


def pictures(question: Question, answer: Answer) -> Scores:
    """Precision, recall, F1, order, structure, resolved and parsed.

    ``picture_order`` is Kendall's τ-b, −1 to 1; all else is 0 to 1. ``pictures_resolved`` is the
    share of references that lead to a picture, 1 − the dangling rate; None where there are none.
    ``parsed`` is 1 where the answer holds something and no slot is left in its text.
    """
    slots = count_slots(answer)
    references = len(answer.pictures) + slots
    found = sum(resolves(picture, answer.folder) for picture in answer.pictures)
    places = question.reference_images
    pairs = matched(answer, places) if places else []
    return {
        **overlap_scores(len(pairs), references, None if places is None else len(places)),
        "picture_order": reading_order(pairs),
        "structure": structure(question, answer),
        "pictures_resolved": found / references if references else None,
        "parsed": float(not slots and bool(_shape(answer.parts))),
    }


def overlap_scores(shared: int, given: int, wanted: int | None) -> dict[str, float | None]:
    """Picture precision, recall and F1; None where pictures are not scored.

    Both sides empty: 1; one only: 0.

    Args:
        shared: how many match.
        given: how many the answer refers to.
        wanted: how many the reference has; None where it says nothing of pictures.
    """
    names = ("picture_precision", "picture_recall", "picture_f1")
    if wanted is None:
        return dict.fromkeys(names)
    if not given or not wanted:
        return dict.fromkeys(names, float(given == wanted))
    values = (shared / given, shared / wanted, 2 * shared / (given + wanted))
    return dict(zip(names, values, strict=True))


def reading_order(pairs: Sequence[tuple[int, int]]) -> float | None:
    """Kendall's τ-b of the matched pictures' places in answer and reference; None below two."""
    return kendall_tau_b([i for i, _ in pairs], [j for _, j in pairs])


def structure(question: Question, answer: Answer) -> float | None:
    """1 where texts and pictures follow each other just as in the reference answer, else 0.

    Neighbouring texts are one, blank ones none; None without a reference answer. Chen et al.,
    *Interleaved Scene Graphs for Interleaved Text-and-Image Generation Assessment* (2024).
    """
    if not question.reference_parts:
        return None
    return float(_shape(answer.parts) == _shape(question.reference_parts))


def _shape(parts: Sequence[Part | Place | str]) -> list[str]:
    """``text`` and ``picture`` in turn."""
    kinds: list[str] = []
    for part in parts:
        words = part.content if isinstance(part, Text) else part
        if not isinstance(words, str):
            kinds.append("picture")
        elif words.strip() and kinds[-1:] != ["text"]:
            kinds.append("text")
    return kinds
