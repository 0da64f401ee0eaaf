"""Row: what came of one question of a run. A pure value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from ..answer import Answer
from .questions import Question

__all__ = ["Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """What came of asking one question once.

    Attributes:
        question: what was asked.
        epoch: 1-based; a question may be asked several times.
        answer: what was answered; None where asking failed. Its picture references point into
            the run's ``media`` folder.
        error: why there is no answer, or what broke it off; empty where nothing went wrong.
        seconds: end to end.
        first_text: seconds until the first word; None where none came.
        picture_seconds: seconds that each picture drawn took.
        peak_memory: bytes, highest of the process so far; None where it was not measured.
        attempts: how often the question was asked until it was answered or given up.
        model: the chat model's label.
        scores: by metric; None where a metric does not apply.
    """

    question: Question
    epoch: int = 1
    answer: Answer | None = None
    error: str = ""
    seconds: float = 0.0
    first_text: float | None = None
    picture_seconds: tuple[float, ...] = ()
    peak_memory: int | None = None
    attempts: int = 1
    model: str = ""
    scores: Mapping[str, float | None] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "picture_seconds", tuple(self.picture_seconds))

    @property
    def failed(self) -> bool:
        """Whether there is no answer; such a row stays in every denominator, as 0."""
        return self.answer is None

    @property
    def key(self) -> tuple[str, int]:
        """Which row of a run this is: the question's digest and the epoch."""
        return self.question.digest, self.epoch

    def with_scores(self, scores: Mapping[str, float | None]) -> Self:
        """The same row with other scores."""
        return replace(self, scores=dict(scores))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping of every field."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["question"] = self.question.to_dict()
        plain["answer"] = None if self.answer is None else self.answer.to_dict()
        plain["scores"] = None if self.scores is None else dict(self.scores)
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], media: str = "") -> Self:
        """The inverse of ``to_dict``; unknown keys are ignored.

        Args:
            values: what ``to_dict`` made, also after a round through JSON.
            media: folder that the answer's picture references are kept in.
        """
        known = {f.name for f in fields(cls)}
        given = {k: v for k, v in values.items() if k in known}
        given["question"] = Question.from_dict(given["question"])
        if given.get("answer") is not None:
            given["answer"] = Answer.from_dict(given["answer"], media)
        return cls(**given)
