"""Every metric by name, and what each score says. Loads no model until one is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ....errors import UserError
from ....tools.sentences import Encoder
from ...answer import Answer
from ..questions import Question
from .abstaining import abstaining
from .base import Metric, Scores
from .citing import citing
from .grounding import grounding
from .pictures import pictures
from .retrieval import retrieval
from .text import text

__all__ = ["DESCRIPTIONS", "METRICS", "metrics_named"]

METRICS: Mapping[str, Metric] = {
    "text": text,
    "pictures": pictures,
    "retrieval": retrieval,
    "citing": citing,
    "abstaining": abstaining,
    "grounding": grounding,
}
"""Those that need no model."""

_PLACEMENT = "placement"

DESCRIPTIONS: Mapping[str, str] = {
    "exact_match": "the answer is a reference, in SQuAD's normal form",
    "token_f1": "words shared with the closest reference (F1), in SQuAD's normal form",
    "contains": "a reference stands in the answer, white space aside",
    "anls": "likeness to the closest reference by edit distance; 0 below one half",
    "relaxed_accuracy": "the answer is a reference, numbers within 5 %",
    "rouge_l": "longest common subsequence of words with the closest reference (F1)",
    "picture_precision": "share of the answer's pictures that the reference has",
    "picture_recall": "share of the reference's pictures that the answer shows",
    "picture_f1": "pictures shared by answer and reference, over their mean number",
    "picture_order": "order of the matched pictures (Kendall's τ-b, −1 to 1)",
    "structure": "texts and pictures follow each other as in the reference",
    "pictures_resolved": "share of picture references that lead to a picture (1 − dangling rate)",
    "parsed": "the answer could be parsed: it holds something, and no slot is left in its text",
    "recall@1": "share of the relevant places that were found first",
    "recall@5": "share of the relevant places among the first 5 found",
    "recall@10": "share of the relevant places among the first 10 found",
    "mrr@10": "1 / rank of the first relevant place among the first 10",
    "ndcg@10": "relevant places among the first 10, those further up counting more",
    "recall@10_text": "recall@10 of text passages, for evidence in text",
    "mrr@10_text": "mrr@10 of text passages, for evidence in text",
    "ndcg@10_text": "ndcg@10 of text passages, for evidence in text",
    "recall@10_pictures": "recall@10 of figures and screenshots, for evidence in pictures",
    "mrr@10_pictures": "mrr@10 of figures and screenshots, for evidence in pictures",
    "ndcg@10_pictures": "ndcg@10 of figures and screenshots, for evidence in pictures",
    "sentences_cited": "share of sentences with a citation",
    "citations_supported": "share of cited passages that hold the claim's numbers and quotations",
    "page_recall": "share of the relevant files and pages that are cited",
    "box_recall": "share of the reference boxes that a cited passage overlaps (IoU ≥ 0.5)",
    "right_no_picture": "no picture where none is wanted",
    "right_abstention": "“not in your library” where nothing answers the question",
    "no_false_abstention": "no “not in your library” where something answers the question",
    "right_refusal": "declined what should be declined",
    "no_false_refusal": "did not decline what should be answered",
    "box_iou": "overlap (IoU) of the question's boxes with the best marked ones",
    "point_in_box": "share of the question's boxes that hold the centre of a marked one",
    _PLACEMENT: "likeness of the words around a picture in answer and reference",
}
"""What each score says, in a line, for reports. All are 0 to 1 but ``picture_order``."""


def metrics_named(names: Iterable[str], encoder: Encoder | None = None) -> dict[str, Metric]:
    """The metrics of some names, in that order.

    Args:
        names: of `METRICS` or ``placement``, or of a single score of `DESCRIPTIONS`.
        encoder: what ``placement`` compares sentences with; the embedded model where None is given.

    Raises:
        UserError: there is no metric of a name.
        ModelMissing: ``placement`` is named, and the embedded model is not installed.
    """
    wanted = list(names)
    for name in wanted:
        if name not in METRICS and name not in DESCRIPTIONS:
            known = f"{', '.join([*METRICS, _PLACEMENT])}, or one score: {', '.join(DESCRIPTIONS)}"
            raise UserError(f"no metric {name!r}", f"one of: {known}")
    return {name: _named(name, encoder) for name in wanted}


def _named(name: str, encoder: Encoder | None) -> Metric:
    if name == _PLACEMENT:
        return _placement(encoder)
    return METRICS[name] if name in METRICS else _only(name)


def _only(score: str) -> Metric:
    """One score of the metric that has it."""
    nothing = Question("", ""), Answer(parts=())
    whole = next(metric for metric in METRICS.values() if score in metric(*nothing))

    def one(question: Question, answer: Answer) -> Scores:
        return {score: whole(question, answer)[score]}

    return one


def _placement(encoder: Encoder | None) -> Metric:
    from .placement import placement

    if encoder is None:
        from ....index.embeddings import embedded
        from ....tools.sentences import CachedEncoder

        encoder = CachedEncoder(embedded())
    return placement(encoder)
