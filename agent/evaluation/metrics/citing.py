"""Whether an answer says where its claims come from, and whether they stand there.

A claim is a sentence of the answer; marks behind its full stop belong to it. Whether a passage
bears a claim out is looked at where that needs no judgement: at its numbers and at what it puts in
quotation marks. None throughout where nothing is claimed: no sentence, a refusal, an abstention.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ....index.passage import Passage
from ....tools.sentences import split_sentences
from ...answer import Answer, Text
from ...citations import CITATION, cited_passages
from ..questions import Question
from .base import Scores
from .places import LEAST_OVERLAP, is_attachment, meets, overlap_at, wanted_places
from .words import squeezed, without_marks, without_remarks

__all__ = ["Claim", "bears_out", "checkable", "citing", "claims"]

_ENUMERATOR = re.compile(r"^[\W_]*(?:step\s+)?\(?\d{1,2}[.):](?=[\s*_]|$)", re.IGNORECASE)
_BEHIND = re.compile(
    rf"{_ENUMERATOR.pattern}"  # its full stop ends nothing
    r"|([.!?…。！？]+[\"'”’»)]*)((?:[ \t]*\[[1-9][0-9]{0,3}\])+)",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED = re.compile('“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»|「([^「」]+)」|"([^"\n]+)"|`([^`\n]+)`')
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of an answer.

    Attributes:
        words: without citation marks and the number of a list's item.
        citations: numbers of the passages cited in it or behind it, each once.
    """

    words: str
    citations: tuple[int, ...] = ()


def citing(question: Question, answer: Answer) -> Scores:
    """Sentences cited, citations supported, page recall and box recall, each 0 to 1.

    ``sentences_cited`` is None where the question needs no source (``answerable`` is None);
    ``citations_supported`` where no claim with a number or quotation cites the library (of an
    attachment the answer may tell more than was read off it); ``page_recall`` where nothing is
    relevant, and ``box_recall`` where no reference picture of the library has a box.
    """
    told = list(claims(answer))
    return {
        "sentences_cited": _share([bool(claim.citations) for claim in told])
        if question.answerable is not None
        else None,
        "citations_supported": _share(list(_borne_out(told, answer.passages))),
        "page_recall": _page_recall(question, answer) if told else None,
        "box_recall": _box_recall(question, answer) if told else None,
    }


def claims(answer: Answer) -> Iterator[Claim]:
    """The sentences of an answer that hold a letter or digit."""
    if answer.abstained or answer.refused:
        return
    count = len(answer.passages)
    for part in answer.parts:
        if isinstance(part, Text):
            text = _BEHIND.sub(_moved_in, without_remarks(part.content))
            for sentence in split_sentences(text):
                numbers = dict.fromkeys(int(n) for n in CITATION.findall(sentence))
                words = _ENUMERATOR.sub("", without_marks(sentence, count)).strip()
                if re.search(r"[^\W_]", words):
                    yield Claim(words, tuple(n for n in numbers if n <= count))


def _moved_in(match: re.Match[str]) -> str:
    """Marks behind a full stop, before it."""
    return match[2] + match[1] if match[2] else match[0]


def checkable(text: str) -> set[str]:
    """The numbers of a text, without thousands separators, and what it quotes, squeezed.

    Example:
        >>> sorted(checkable("Press “Reset” for 1,500 ms, at 12:40."))
        ['12:40', '1500', 'reset']
    """
    quoted = {_plain("".join(groups)).strip(" .,;:!?…") for groups in _QUOTED.findall(text)}
    return _numbers(_QUOTED.sub(" ", text)) | (quoted - {""})


def bears_out(contents: set[str], passage: Passage) -> set[str]:
    """Which numbers and quotations of a claim stand in a passage or above it."""
    numbers, said = _numbers(passage.searchable), _plain(passage.searchable)
    return {c for c in contents if c in numbers or (not _NUMBER.fullmatch(c) and c in said)}


def _plain(text: str) -> str:
    return _THOUSANDS.sub("", squeezed(text).lower().replace("’", "'"))


def _numbers(text: str) -> set[str]:
    return {_THOUSANDS.sub("", number) for number in _NUMBER.findall(text)}


def _borne_out(told: Sequence[Claim], passages: Sequence[Passage]) -> Iterator[bool]:
    """Of each citation of a claim that can be checked, whether its passage bears the claim out.

    It does where it holds some of the claim's numbers and quotations, and the passages cited for
    the claim hold all of them together.
    """
    for claim in told:
        cited = [passages[n - 1] for n in claim.citations]
        contents = checkable(claim.words)
        if not contents or any(map(is_attachment, cited)):
            continue
        held = [bears_out(contents, passage) for passage in cited]
        whole = set().union(*held) == contents
        yield from (whole and bool(some) for some in held)


def _page_recall(question: Question, answer: Answer) -> float | None:
    """Share of the relevant files and pages that are cited."""
    cited = [passage for _, passage in cited_passages(answer) if not is_attachment(passage)]
    wanted = wanted_places(question.relevant)
    return _share([any(meets(passage, item) for passage in cited) for item in wanted])


def _box_recall(question: Question, answer: Answer) -> float | None:
    """Share of the reference pictures' boxes that a cited passage overlaps by half."""
    cited = [p for _, p in cited_passages(answer) if p.box and not is_attachment(p)]
    places = [place for place in question.reference_images or () if place.box]
    return _share([any((overlap_at(p, place) or 0.0) >= LEAST_OVERLAP for p in cited)
                   for place in places])  # fmt: skip


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None
