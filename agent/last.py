"""The latest answer of a conversation, and what is known of how it came about. Loads no model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..tools.ocr import Line
from .answer import Answer
from .sessions import Session
from .state import Attachment, Exchange

__all__ = ["Last", "attached_to", "last_of"]

_ATTACHED = re.compile(r"a[1-9]\d*")


@dataclass(frozen=True, slots=True)
class Last:
    """The latest answer and what is known of how it came about.

    Attributes:
        question: as asked.
        answer: what it ended in.
        attachments: the pictures that came with it, with what was read off them.
        history: the exchanges before it.
        searches: how many times the library was searched; 0 where it was not or that is unknown.
        dropped: pictures that were left out, and why.
    """

    question: str
    answer: Answer
    attachments: tuple[Attachment, ...] = ()
    history: tuple[Exchange, ...] = ()
    searches: int = 0
    dropped: tuple[str, ...] = ()

    @property
    def wordings(self) -> tuple[str, ...]:
        """What the library was searched for, worded as the step ``retrieve`` words it."""
        steps = dict(self.answer.timings)
        if self.answer.refused or (steps and "retrieve" not in steps):
            return ()
        from .wording import wordings  # loads numpy, which the prompt need not wait for

        return wordings(self.question, self.history, self.attachments)

    @property
    def rewordings(self) -> tuple[str, ...]:
        """What it was searched for the second time, worded as the step ``grade`` words it."""
        if self.searches < 2:
            return ()
        from .wording import reworded

        return reworded(self.question, self.wordings)


def attached_to(answer: Answer) -> tuple[Attachment, ...]:
    """The attachments of a turn with what was read off them: passages a1, a2 and so on."""
    return tuple(
        Attachment(p.image or "", p.source, (Line(p.text, p.box or (0, 0, 0, 0), 1.0),))
        for p in answer.passages
        if _ATTACHED.fullmatch(p.id)
    )


def last_of(session: Session) -> Last | None:
    """The latest answer of a conversation that was left; None where there is none."""
    if not session.count:
        return None
    turn = session.recent[-1]
    return Last(turn.question, turn.answer, attached_to(turn.answer), session.history()[:-1])
