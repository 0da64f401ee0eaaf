"""An answer out of a draft and its pictures, or out of the reason why there is none. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..index.passage import Passage
from .answer import Answer, Part, Picture, Text
from .draft import cited, parse
from .state import Dropped, TurnState
from .supporting import checked_text
from .workbench import Workbench

__all__ = ["composed", "partial"]

_CITATION = re.compile(r"[ \t]*\[(a?[1-9]\d{0,3})\]")


def composed(state: TurnState, work: Workbench) -> Answer:
    """The answer of a finished turn."""
    if state["refusal"]:
        return Answer((Text(state["refusal"]),), refused=True)
    if not state["answerable"]:
        return Answer((Text(_abstention(state, work)),), state["passages"], abstained=True)
    made = {m.slot.number: m.result for m in state["checked"]}
    return Answer(
        parts=tuple(_parts(state, made, work.reads)),
        passages=_numbered(state),
        usage=state["usage"],
    )


def partial(draft: str, passages: tuple[Passage, ...]) -> Answer:
    """What had been written when a turn was cut short, without pictures."""
    texts = (p for p in parse(draft) if isinstance(p, str))
    parts = tuple(_text(text, len(passages), 0) for text in texts)
    return Answer(tuple(p for p in parts if p.content), passages, partial=True)


def _numbered(state: TurnState) -> tuple[Passage, ...]:
    """The passages as they are cited: the library's, then the attachments."""
    attached = (a.as_passage(n) for n, a in enumerate(state["attachments"], 1))
    return (*state["passages"], *attached)


def _parts(state: TurnState, made: Mapping[int, Picture | Dropped], check: bool) -> Iterator[Part]:
    searchable = [passage.searchable for passage in state["passages"]]
    for piece in parse(state["draft"]):
        if isinstance(piece, str):
            if check:  # what quotes need not be checked for words of its own
                piece = checked_text(piece, searchable)
            text = _text(piece, len(state["passages"]), len(state["attachments"]))
            if text.content:
                yield text
            continue
        result = made.get(piece.number)
        if isinstance(result, Picture):
            yield result
        elif result is not None:
            yield Text(f"(No picture of “{piece.words}”: {result.reason}.)")


def _text(content: str, passages: int, attachments: int) -> Text:
    """Text whose citations count through: a1 follows the last passage. Others are taken out."""

    def renumbered(match: re.Match[str]) -> str:
        label = match[1]
        number = int(label.removeprefix("a"))
        limit = attachments if label.startswith("a") else passages
        if number > limit:
            return ""
        return f" [{number + passages if label.startswith('a') else number}]"

    content = _CITATION.sub(renumbered, content).strip()
    return Text(content, tuple(int(label) for label in cited(content)))


def _abstention(state: TurnState, work: Workbench) -> str:
    if not work.library.exists or (not state["passages"] and not state["attachments"]):
        return "This is not in your library, which is empty or holds nothing like it."
    nearest = list(dict.fromkeys(p.place for p in state["passages"]))[:3]
    if not nearest:
        return "This is not in your library, nor on the attached picture."
    return "This is not in your library. The nearest places are: " + "; ".join(nearest) + "."
