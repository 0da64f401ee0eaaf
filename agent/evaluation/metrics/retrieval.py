"""Whether the passages that hold the answer were found, and how far up. Knows ranks, no texts.

The ranking is that of ``Answer.passages`` without attachments. What counts once in it is a place: a
page where any relevant place is a page, else a file; later passages of a place already met are left
out. A relevant file that is named whole counts once, whatever its pages. Relevance is binary.

By modality, a question is measured on its evidence of that kind within the ranking of that kind:
``_text`` is of text passages against the relevant places that are no picture files, ``_pictures``
of figures and screenshots against the reference pictures that did not come with the question. None
where the question names no such evidence.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from pathlib import PurePath

from ....index.passage import Passage
from ...answer import Answer
from ..questions import Place, Question
from .base import Scores
from .places import LEAST_OVERLAP, best_overlap, is_attachment, is_page, meets, wanted_places

__all__ = ["ndcg", "recall", "reciprocal_rank", "retrieval"]

_CUT = 10
_CUTS = (1, 5, _CUT)
_PICTURE_FILES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")


def retrieval(question: Question, answer: Answer) -> Scores:
    """Recall at 1, 5 and 10, MRR and nDCG at 10; recall, MRR and nDCG at 10 by modality.

    None where the question names nothing relevant (of that modality).
    """
    found = [passage for passage in answer.passages if not is_attachment(passage)]
    wanted = wanted_places(question.relevant)
    hits = _hits(found, wanted)
    cuts = {f"recall@{k}": recall(hits, len(wanted), k) for k in _CUTS}
    written = [item for item in wanted if not _is_picture_file(item)]
    texts = _hits([passage for passage in found if passage.modality == "text"], written)
    drawn = _pictures_wanted(question)
    shown = _picture_hits([passage for passage in found if passage.modality != "text"], drawn)
    return {
        **cuts,
        **_at_ten(hits, len(wanted)),
        **_at_ten(texts, len(written), "_text"),
        **_at_ten(shown, len(drawn), "_pictures"),
    }


def recall(hits: Sequence[bool], wanted: int, k: int) -> float | None:
    """Share of the wanted that stand among the first ``k``; None where nothing is wanted."""
    return sum(hits[:k]) / wanted if wanted else None


def reciprocal_rank(hits: Sequence[bool], wanted: int, k: int) -> float | None:
    """1 / rank of the first hit among the first ``k``, else 0; None where nothing is wanted."""
    first = next((1 / rank for rank, hit in enumerate(hits[:k], 1) if hit), 0.0)
    return first if wanted else None


def ndcg(hits: Sequence[bool], wanted: int, k: int) -> float | None:
    """Discounted cumulative gain over the first ``k``, over that of the best ranking.

    Järvelin and Kekäläinen (2002) with binary gains and the discount log2(rank + 1). None where
    nothing is wanted.
    """
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(wanted, k) + 1))
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits[:k], 1) if hit)
    return gain / best if wanted else None


def _at_ten(hits: Sequence[bool], wanted: int, suffix: str = "") -> dict[str, float | None]:
    return {
        f"recall@{_CUT}{suffix}": recall(hits, wanted, _CUT),
        f"mrr@{_CUT}{suffix}": reciprocal_rank(hits, wanted, _CUT),
        f"ndcg@{_CUT}{suffix}": ndcg(hits, wanted, _CUT),
    }


def _hits(passages: Sequence[Passage], wanted: Sequence[str]) -> list[bool]:
    """Of each place in the ranking, whether it is wanted."""
    paged = any(map(is_page, wanted))
    ranked: dict[Hashable, bool] = {}
    for passage in passages:
        met = next((item for item in wanted if meets(passage, item)), None)
        other = (passage.source, passage.page if paged else None)
        ranked.setdefault(("wanted", met) if met else ("other", other), met is not None)
    return list(ranked.values())


def _picture_hits(passages: Sequence[Passage], wanted: Sequence[Place]) -> list[bool]:
    """Of each picture in the ranking, whether it is a wanted one that stood nowhere above it."""
    ranked: dict[str, list[Passage]] = {}
    for passage in passages:
        ranked.setdefault(passage.image or passage.id, []).append(passage)
    left, hits = list(wanted), []
    for same in ranked.values():
        at = [place for place in wanted if best_overlap(same, place) >= LEAST_OVERLAP]
        met = next((place for place in at if place in left), None)
        if met is not None:
            left.remove(met)
        if met is not None or not at:
            hits.append(met is not None)
    return hits


def _pictures_wanted(question: Question) -> list[Place]:
    """The reference pictures, each once, but those that came with the question."""
    attached = {PurePath(path).name for path in question.images}
    places = dict.fromkeys(question.reference_images or ())
    return [place for place in places if place.source not in attached]


def _is_picture_file(item: str) -> bool:
    return item.lower().endswith(_PICTURE_FILES)
