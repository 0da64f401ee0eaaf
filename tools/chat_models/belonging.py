"""Belonging: which sentences are quoted together, because one is of little use without the others.

The entry of a code, an explanation and what it tells to do, the steps of a list. Knows where the
sentences of the passages stand; nothing of scores, questions or pictures.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..entries import codes, heads
from ..instructions import instructs, is_step
from .quoted import Chosen

__all__ = ["about_codes", "is_of_steps", "steps_around", "told_after"]

_ENTRY = 5
"""Sentences of a listed entry that are quoted, besides those that tell what to do."""


def about_codes(
    asked: Collection[str],
    ranked: Sequence[Chosen],
    library: Sequence[Chosen],
    *,
    best: Collection[Chosen],
    to_do: bool,
) -> list[Chosen]:
    """What the library says about some codes and is quoted whole.

    Args:
        asked: the codes.
        ranked: sentences that could be quoted, best first.
        library: every sentence of the passages, in their order.
        best: what would be quoted without regard to what belongs together.
        to_do: whether what to do is asked, and not only what a code means.

    Returns:
        For each code the entry of a list that is about it; or, of the first place that tells what
        to do about it, that and the best of the rest. In the order of the passages.
    """
    found: list[Chosen] = []
    for code in asked:
        for place in _places(code, ranked, library):
            listed = place[:_ENTRY] if any(heads(c.quote.text) for c in place) else []
            told = _told(place) if to_do else []
            if listed or told:
                found += [*listed, *told, *(c for c in best if c in place)]
                break
    return list({c.quote.text: c for c in library if c in found}.values())


def _places(code: str, ranked: Sequence[Chosen], library: Sequence[Chosen]) -> list[list[Chosen]]:
    """Where a code is dealt with, best first: in its entries, and under headings that name it."""
    found: list[list[Chosen]] = []
    for chosen in ranked:
        if chosen.entry == code:
            place = _around(chosen, library)
        elif not (chosen.entry or chosen.source.rows) and code in codes(chosen.source.context):
            section = (c for c in library if c.source.context == chosen.source.context)
            place = [c for c in section if not (c.entry or c.source.rows)]
        else:
            continue
        if place not in found:
            found.append(place)
    return found


def _around(chosen: Chosen, library: Sequence[Chosen]) -> list[Chosen]:
    """What stands together with a sentence."""
    return [c for c in library if c.source == chosen.source and c.place == chosen.place]


def _told(place: Sequence[Chosen]) -> list[Chosen]:
    """What a place tells to do, with the lines that lead to it."""
    texts = [c.quote.text for c in place]
    follows = [*map(instructs, texts[1:]), False]
    return [
        c
        for c, text, follow in zip(place, texts, follows, strict=False)
        if instructs(text) or (follow and text.endswith(":"))
    ]


def told_after(chosen: Chosen, library: Sequence[Chosen]) -> list[Chosen]:
    """What the place of a sentence tells to do behind it."""
    place = _around(chosen, library)
    return _told([c for c in place if c.quote.position > chosen.quote.position])


def is_of_steps(chosen: Chosen, library: Sequence[Chosen]) -> bool:
    """Whether a sentence is a numbered step, or introduces some."""
    if not chosen.quote.text.endswith(":"):
        return is_step(chosen.quote.text)
    text = [c for c in library if c.source == chosen.source]
    after = text[chosen.quote.position + 1 : chosen.quote.position + 2]
    return any(is_step(c.quote.text) for c in after)


def steps_around(step: Chosen, library: Sequence[Chosen]) -> list[Chosen]:
    """All numbered steps around one of them, and the line that introduces them."""
    text = [c for c in library if c.source == step.source]
    steps = [c for c in text if is_step(c.quote.text) and c.entry == step.entry]
    first = steps[0].quote.position
    lead = [c for c in text[:first][-1:] if c.quote.text.endswith(":")]
    return [*lead, *steps]
