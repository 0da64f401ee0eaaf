"""The forms in which a judge answers, and how its words are read as one. Knows no model.

Words are read strictly: JSON that stands amid prose is not looked for, since it may be quoted from
the very answer that is judged.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["Form", "Fulfilment", "PictureMarks", "Preference", "read"]

Mark = Annotated[int, Field(ge=0, le=10)]

_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)
_NAMED = 3  # faults of a reply that are told


class Form(BaseModel):
    """What every form has: its fields, all of them, of exactly their types, and no others."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    reason: str


class Fulfilment(Form):
    """Whether an answer does what was asked."""

    verdict: Literal["fully", "partly", "not"]


class PictureMarks(Form):
    """What a picture does for the answer that it stands in, each from 0 to 10."""

    coherence: Mark
    helpfulness: Mark
    reference: Mark


class Preference(Form):
    """Which of two answers is the better one."""

    better: Literal["A", "B", "tie"]


F = TypeVar("F", bound=Form)


def read(words: str, form: type[F]) -> tuple[F | None, str]:
    """A judge's words as a form.

    Args:
        words: JSON and nothing else, but for thoughts before it and a code fence around it.
        form: that was asked for.

    Returns:
        The form and nothing, or None and what is wrong with the words, in a line.
    """
    words = _THOUGHT.sub("", words, count=1).strip() if _THOUGHT.match(words) else words.strip()
    fenced = _FENCED.fullmatch(words)
    try:
        return form.model_validate_json(fenced[1] if fenced else words), ""
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
    return None, "; ".join(
        ": ".join(filter(None, (".".join(map(str, fault["loc"]))[:80], fault["msg"][:200])))
        for fault in faults[:_NAMED]
    )
