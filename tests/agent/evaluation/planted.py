"""Rows and runs with scores that are known: what changed between two runs is planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from limner.agent.answer import Answer, Text, Usage
from limner.agent.evaluation.questions import Question
from limner.agent.evaluation.rows import Row
from limner.agent.evaluation.runs import Manifest, Run, SetRecord
from limner.agent.journal import Journal

Scores = Mapping[str, float | None]


def question(number: int, **fields: object) -> Question:
    return Question(f"q-{number:03}", f"What is number {number}?", **fields)  # type: ignore[arg-type]


def row(asked: Question, scores: Scores | None = None, **fields: object) -> Row:
    """An answered row; ``error`` makes it a failed one."""
    answer = Answer((Text(f"About {asked.id}."),), usage=Usage(100, 20, 0))
    given = {"seconds": 1.0, "first_text": 0.2, "model": "m", "answer": answer, **fields}
    if given.get("error"):
        given["answer"] = None
    return Row(asked, scores=scores, **given)  # type: ignore[arg-type]


def rows_of(
    values: Sequence[float], questions: Sequence[Question], name: str = "contains"
) -> list[Row]:
    return [row(q, {name: float(v)}) for q, v in zip(questions, values, strict=True)]


def flipped(right: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Scores of 0 and 1 of which a share is the other one, as many up as down on average."""
    out = right.copy()
    count = random.binomial(len(right), share)
    up = random.binomial(count, 0.5)
    for wrong, flips in ((0, up), (1, count - up)):
        places = np.flatnonzero(right == wrong)
        out[random.choice(places, min(flips, len(places)), replace=False)] = 1 - wrong
    return out


def run_on_disk(folder: Path, rows: Sequence[Row], **fields: object) -> Run:
    """Write rows as a run's folder and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = tuple(dict.fromkeys(row.question.digest for row in rows))
    given = {"epochs": max(row.epoch for row in rows), "profile": "embedded",
             "created": "2026-01-02T03:04:05+00:00", **fields}  # fmt: skip
    sets = (SetRecord("planted", "d" * 64, len(digests)),)
    Manifest(folder.name, sets, digests, "m", **given).write(folder)  # type: ignore[arg-type]
    journal = Journal(folder / "rows.jsonl")
    for one in rows:
        journal.append({"row": one.to_dict()})
    return Run.open(folder)


def in_documents(questions: Sequence[Question], size: int) -> list[Question]:
    """The same questions, so many of each document."""
    return [replace(q, document=f"d{n // size}") for n, q in enumerate(questions)]
