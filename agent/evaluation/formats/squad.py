"""SQuAD 1.1, SQuAD 2.0 and XQuAD: questions about the paragraphs of articles.

The form is the one of https://rajpurkar.github.io/SQuAD-explorer/ and
https://github.com/google-deepmind/xquad. Paragraphs become documents that a library is made of.
Their names are bare numbers: an article's title in them would give the answer's place away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..questions import Question
from .base import BadRow, Faults, Found, Record, questions_of
from .own import line_of_text

__all__ = ["matches", "read"]


def matches(values: Mapping[str, Any]) -> bool:
    """Whether an object is such a file: ``data`` holds articles with ``paragraphs``."""
    data = values.get("data")
    return isinstance(data, list) and any(isinstance(a, dict) and "paragraphs" in a for a in data)


def read(records: Sequence[Record], path: Path, faults: Faults) -> Found:
    """The questions, numbered from 1, and the paragraphs.

    A question of SQuAD 2.0 that its paragraph does not answer is not answerable, and no passage is
    relevant to it.

    Args:
        records: the one object.
        path: of the file.
        faults: takes what is malformed.
    """
    paragraphs = list(_paragraphs(records[0].values, faults))
    texts = dict.fromkeys(context for _, context, _ in paragraphs)
    digits = len(str(len(texts)))
    names = {text: f"{number:0{digits}}.txt" for number, text in enumerate(texts, 1)}
    rows = (
        (title, names[context], qa) for title, context, questions in paragraphs for qa in questions
    )
    numbered = [
        Record(number, {"title": title, "name": name, "qa": qa})
        for number, (title, name, qa) in enumerate(rows, 1)
    ]
    documents = tuple((name, text) for text, name in names.items())
    return Found(questions_of(numbered, faults, _question), documents)


def _paragraphs(
    values: Mapping[str, Any], faults: Faults
) -> Iterator[tuple[str, str, Sequence[Any]]]:
    """Each paragraph's article, text and questions."""
    for number, article in enumerate(values["data"], 1):
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            faults.add(number, f"article {number} has no paragraphs")
            continue
        title = article.get("title")
        name = line_of_text(title) if isinstance(title, str) and title else f"article {number}"
        for place, paragraph in enumerate(paragraphs, 1):
            where = f"article {number}, paragraph {place}"
            told = paragraph if isinstance(paragraph, dict) else {}
            context, questions = told.get("context"), told.get("qas")
            if not isinstance(context, str) or not context.strip():
                faults.add(number, f"{where} has no context")
            elif not isinstance(questions, list):
                faults.add(number, f"{where} has no list of questions")
            else:
                yield name, line_of_text(context), questions


def _question(record: Record) -> Question:
    qa, name = record.values["qa"], record.values["name"]
    if not isinstance(qa, dict):
        raise BadRow("no object of a question")
    text = line_of_text(qa.get("question", ""))
    if not text.strip():
        raise BadRow("no question")
    impossible = qa.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise BadRow("is_impossible: neither true nor false")
    references = () if impossible else _answers(qa.get("answers"))
    return Question(
        id=line_of_text(qa.get("id") or f"question-{record.line}"),
        question=text,
        references=references,
        relevant=() if impossible else (name,),
        document=record.values["title"],
        task="qa",
        answerable=not impossible,
    )


def _answers(value: Any) -> tuple[str, ...]:
    """The different texts of the answers, in order."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadRow("answers: no list of objects")
    texts = (one.get("text") for one in value)
    found = dict.fromkeys(line_of_text(text) for text in texts if isinstance(text, str) and text)
    if not found:
        raise BadRow("answers: none has a text")
    return tuple(found)
