"""The 40 questions about the example handbook, asked as a person asks them.

Claims: at least 36 of 40 right, and every figure that is asked for shown. Right is, for a text or a
screenshot, that one of the reference texts stands in the answer; for a figure, that the picture of
the reference stands in it; for what the handbook does not hold, that the answer says so.

    python benchmarks/handbook.py
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import arguments, limner, show, squeezed, write

# isort: split
from limner.agent.agent import Agent
from limner.agent.answer import Answer
from limner.index.library import Library

_EXAMPLES = Path(__file__).parents[1] / "examples"
_SET = _EXAMPLES / "questions" / "handbook.jsonl"

Question = Mapping[str, Any]


def wanted(library: Library, question: Question) -> set[str]:
    """The media references of the figures that the question asks for."""
    everything = library.search(question["question"], k=10_000)
    places = {(image["source"], image["page"]) for image in question["reference_images"]}
    return {p.image for p in everything if p.image and (p.source, p.page) in places}


def right(question: Question, answer: Answer, library: Library) -> bool:
    """Whether an answer is what the question's author had in mind."""
    if question["category"] == "not-in-library":
        return answer.abstained
    if question["category"] == "figure":
        figures = wanted(library, question)
        assert figures, f"{question['id']}: the library holds no such figure"
        return bool(figures & {picture.media for picture in answer.pictures})
    said = squeezed(answer.text)
    return not answer.abstained and any(squeezed(r) in said for r in question["reference"])


def described(question: Question, answer: Answer) -> dict[str, Any]:
    """A failure in full, for whoever mends it."""
    pictures = [f"{p.caption} ({p.origin.label})" for p in answer.pictures]
    return {
        **{key: question[key] for key in ("id", "question", "images", "reference", "relevant")},
        "answer": answer.text,
        "abstained": answer.abstained,
        "pictures": pictures,
        "found": [passage.place for passage in answer.passages],
    }


def main() -> None:
    args = arguments(__doc__ or "", "handbook").parse_args()
    lines = _SET.read_text(encoding="utf-8").splitlines()
    questions: list[Question] = [json.loads(line) for line in lines]
    tally: dict[str, list[bool]] = {}
    failures, texts = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "library"
        limner("add", _EXAMPLES / "handbook", "--library", folder)
        with Library.open(folder) as library, Agent(library) as agent:
            for question in questions:
                images = [_SET.parent / name for name in question["images"]]
                answer = agent.ask(question["question"], images)
                texts.append(answer.text)
                good = right(question, answer, library)
                tally.setdefault(question["category"], []).append(good)
                if not good:
                    failures.append(described(question, answer))
    tally["all"] = [good for goods in tally.values() for good in goods]
    rows = [[name, f"{sum(goods)} of {len(goods)}"] for name, goods in tally.items()]
    show("The example handbook", ["category", "right"], rows)
    for failure in failures:
        print(json.dumps(failure, indent=1, ensure_ascii=False))
    counts = {name: [sum(goods), len(goods)] for name, goods in tally.items()}
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    write(args.out, {"right": counts, "digest": digest, "failures": failures})


if __name__ == "__main__":
    main()
