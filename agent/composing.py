"""An answer out of a draft and its pictures, or out of the reason why there is none. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from ..errors import ModelError
from ..index.passage import Passage
from ..tools.drawing_requests import named
from ..tools.image_models.vocabulary import remark
from ..tools.safety import drawing_refusal
from .answer import Answer, Generated, Part, Picture, Text
from .draft import cited, parse, readable
from .edits import drawings_of, numbers_told
from .redrawing import told
from .requested import draws_first, wants_an_answer
from .state import Dropped, TurnState
from .supporting import checked_text
from .workbench import Workbench

__all__ = ["composed", "partial"]

_CITATION = re.compile(r"[ \t]*\[(a?[1-9]\d{0,3})\]")


def composed(state: TurnState, work: Workbench) -> Answer:
    """The answer of a finished turn."""
    if state["refusal"]:
        return Answer((Text(state["refusal"]),), refused=True)
    if state["edit"] is not None:
        redrawn = told(state, work)
        return replace(redrawn, parts=tuple(_remarked(redrawn.parts, work)))
    if not state["answerable"]:
        said = Text(_abstention(state, work) + _offer(state, work))
        return Answer((said,), state["passages"], abstained=True)
    made = {m.slot.number: m.result for m in state["checked"]}
    sources, numbers = _numbered(state)
    parts = tuple(_remarked(_parts(state, made, numbers, work.reads), work))
    if state["unanswered"] and not work.reads and wants_an_answer(state):
        untold = (Text(_abstention(state, work)),)
        parts = (*parts, *untold) if draws_first(state) else (*untold, *parts)
    new = len(drawings_of([Answer(parts)]))
    called = numbers_told(len(state["drawn"]), new) if state["kept"] else ""
    return Answer(
        parts=(*parts, Text(called)) if called else parts,
        passages=sources,
        usage=state["usage"],
        partial=state["cut"],
    )


def partial(draft: str, passages: tuple[Passage, ...]) -> Answer:
    """What had been written when a turn was cut short, without pictures."""
    texts = (readable(p) for p in parse(draft) if isinstance(p, str))
    numbers = {str(n): n for n in range(1, len(passages) + 1)}
    parts = tuple(_text(text, numbers) for text in texts)
    return Answer(tuple(p for p in parts if p.content), passages, partial=True)


def _numbered(state: TurnState) -> tuple[tuple[Passage, ...], dict[str, int]]:
    """The sources, the library's and then the attachments, and the number of each label there.

    A screenshot of the library that is attached too stands once, as attached, and so do equal
    attachments.
    """
    attached: dict[str | None, Passage] = {}
    for n, attachment in enumerate(state["attachments"], 1):
        attached.setdefault(attachment.media, attachment.as_passage(n))
    library = enumerate(state["passages"], 1)
    twice = {n: p.image for n, p in library if p.modality == "screenshot" and p.image in attached}
    once = [n for n in range(1, len(state["passages"]) + 1) if n not in twice]
    numbers = {str(n): number for number, n in enumerate(once, 1)}
    places = {media: number for number, media in enumerate(attached, len(once) + 1)}
    numbers |= {str(n): places[media] for n, media in twice.items()}
    numbers |= {f"a{n}": places[a.media] for n, a in enumerate(state["attachments"], 1)}
    return (*(state["passages"][n - 1] for n in once), *attached.values()), numbers


def _parts(
    state: TurnState,
    made: Mapping[int, Picture | Dropped],
    numbers: Mapping[str, int],
    check: bool,
) -> Iterator[Part]:
    searchable = [passage.searchable for passage in state["passages"]]
    for piece in parse(state["draft"]):
        if isinstance(piece, str):
            piece = readable(piece)
            if check:  # what quotes need not be checked for words of its own
                piece = checked_text(piece, searchable, len(state["attachments"]))
            text = _text(piece, numbers)
            if text.content:
                yield text
            continue
        result = made.get(piece.number)
        if isinstance(result, Picture):
            yield result
        elif result is not None:
            yield Text(f"(No picture of “{piece.words}”: {result.reason}.)")


def _remarked(parts: Iterable[Part], work: Workbench) -> Iterator[Part]:
    """The parts, and beside each drawing what of its words the image model was not taught."""
    for part in parts:
        yield part
        if work.image_model and isinstance(part, Picture) and isinstance(part.origin, Generated):
            with suppress(ModelError):  # what cannot be read there costs the remark only
                if said := remark(work.image_model, part.origin.prompt):
                    yield Text(said)


def _text(content: str, numbers: Mapping[str, int]) -> Text:
    """Text whose citations count through: a1 follows the last passage. Others are taken out."""

    def renumbered(match: re.Match[str]) -> str:
        return f" [{numbers[match[1]]}]" if match[1] in numbers else ""

    content = _CITATION.sub(renumbered, content).strip()
    return Text(content, tuple(int(label) for label in cited(content)))


def _abstention(state: TurnState, work: Workbench) -> str:
    if not work.library.exists or (not state["passages"] and not state["attachments"]):
        return "This is not in your library, which is empty or holds nothing like it."
    nearest = list(dict.fromkeys(p.place for p in state["passages"]))[:3]
    if not nearest:
        return "This is not in your library, nor on the attached picture."
    return "This is not in your library. The nearest places are: " + "; ".join(nearest) + "."


def _offer(state: TurnState, work: Workbench) -> str:
    """How to have a thing drawn that was named and not found; empty where no thing was."""
    thing = named(state["question"])
    if not thing or work.image_model is None or drawing_refusal(thing):
        return ""
    return f" To have it drawn: “draw {thing}”."
