"""Whether a picture stands among the words that it belongs to. Knows an encoder by contract only.

The words around a picture are the last sentence before it and the first behind it, over other
pictures if need be. Of each picture that matches one of the reference answer the cosine of both
surroundings is taken, 0 where it is negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....tools.sentences import Encoder, split_sentences
from ...answer import Answer, Part, Text
from ..questions import Place, Question
from .base import Metric, Scores
from .places import matched
from .words import without_marks, without_remarks

__all__ = ["placement", "surroundings"]


def placement(encoder: Encoder) -> Metric:
    """The metric ``placement``: the mean cosine over the matched pictures, 0 to 1.

    None where the question has no reference answer in parts, or no picture matches. A picture
    without words around it in both answers scores 1, in one of them 0.

    Args:
        encoder: embeds the surroundings; not asked before there are some.
    """

    def measure(question: Question, answer: Answer) -> Scores:
        parts = question.reference_parts
        pairs = matched(answer, [part for part in parts if isinstance(part, Place)])
        if not pairs:
            return {"placement": None}
        ours = surroundings(answer.parts, len(answer.passages))
        theirs = surroundings(parts)
        values = [_likeness(encoder, ours[i], theirs[j]) for i, j in pairs]
        return {"placement": sum(values) / len(values)}

    return measure


def surroundings(parts: Sequence[Part | Place | str], count: int = 0) -> list[str]:
    """The words around each picture of an answer, in order.

    Args:
        parts: texts and pictures.
        count: passages; the marks of those are no words.
    """
    texts = [_sentences(part, count) for part in parts]
    found = []
    for at, sentences in enumerate(texts):
        if sentences is None:
            before = next((t[-1] for t in reversed(texts[:at]) if t), "")
            after = next((t[0] for t in texts[at + 1 :] if t), "")
            found.append(f"{before} {after}".strip())
    return found


def _sentences(part: Part | Place | str, count: int) -> list[str] | None:
    """The sentences of a text, None for a picture."""
    if isinstance(part, Text):
        return split_sentences(without_marks(without_remarks(part.content), count))
    return split_sentences(part) if isinstance(part, str) else None


def _likeness(encoder: Encoder, ours: str, theirs: str) -> float:
    if ours == theirs:
        return 1.0
    if not ours or not theirs:
        return 0.0
    a, b = encoder.encode_document([ours, theirs])
    return float(np.clip(np.dot(a, b), 0.0, 1.0))
