"""Cases: each question with what every run answered, ready for the page's template.

Knows rows and how to make their words harmless; knows no layout. Everything here comes from
elsewhere: Markdown passes through `markdown`, the rest is cleaned here and escaped by the template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .. import markdown
from ..answer import Answer, Generated, Marked, Origin, Picture
from ..citations import cited_passages, notice
from ..plain_text import clean, clean_line, shortened
from .averages import Asked, average, headlines, quality
from .questions import Question
from .rows import Row
from .thumbnails import Album, Thumbnail

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Case", "Chip", "Figure", "Told", "cases_of", "change_of", "state_of"]

_LETTERS = 1_800_000  # of all answers of a page
_MOST, _LEAST = 6_000, 400  # of one answer
_EXCERPT = 280  # of a passage
_CHANGED = 1e-9

Kind = Literal["found", "marked", "generated", "attached"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture: ``small`` where there is one, else ``missing`` says why not."""

    small: Thumbnail | None
    missing: str
    alt: str
    caption: str
    kind: Kind
    badge: str
    origin: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A score of a row; ``change`` is what became of it since the first run."""

    name: str
    value: str
    kind: Literal["good", "middling", "bad"]
    change: Literal["", "better", "worse"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a run answered in one epoch; ``blocks`` are words or figures."""

    epoch: int
    notice: str
    error: str
    blocks: tuple[Markup | Figure, ...]
    cut: int
    sources: tuple[tuple[str, int, str, str], ...]
    chips: tuple[Chip, ...]
    facts: str


@dataclass(frozen=True, slots=True)
class Case:
    """A question.

    Attributes:
        anchor: its id within the page.
        name: its id within its set.
        question: as asked.
        category: of the question.
        task: of the question.
        states: ``failed``, ``wrong``, ``abstained``, ``worse``, ``better``: those that hold.
        qualities: of each run, in words.
        attached: pictures.
        expected: texts and pictures of a right answer, in words.
        told: of each run its epochs.
    """

    anchor: str
    name: str
    question: str
    category: str
    task: str
    states: tuple[str, ...]
    qualities: tuple[str, ...]
    attached: tuple[Figure, ...]
    expected: tuple[str, ...]
    told: tuple[tuple[Told, ...], ...]


def change_of(asked: Sequence[Asked], digest: str) -> float:
    """How much better the last run's quality is than the first's; 0 where that is unknown."""
    first, last = (average({digest: a.get(digest, ())}, "quality") for a in (asked[0], asked[-1]))
    if digest not in first or digest not in last:
        return 0.0
    change = last[digest].value - first[digest].value
    return change if abs(change) > _CHANGED else 0.0


def state_of(rows: Iterable[Row], change: float) -> tuple[str, ...]:
    """What holds for the rows of one question: in any of them, in any run."""
    held = list(rows)
    answers = [row.answer for row in held if row.answer is not None]
    wrong = (min(headlines(row).values(), default=1) < 0.5 for row in held if not row.failed)
    states = {
        "failed": any(row.failed for row in held),
        "wrong": any(wrong),
        "abstained": any(answer.abstained for answer in answers),
        "worse": change < 0,
        "better": change > 0,
    }
    return tuple(name for name, holds in states.items() if holds)


def cases_of(asked: Sequence[Asked], digests: Sequence[str], album: Album) -> list[Case]:
    """The cases of some questions, in that order.

    Args:
        asked: of each run its rows by question.
        digests: of the questions.
        album: takes their pictures.
    """
    count = sum(len(runs.get(digest, ())) for runs in asked for digest in digests)
    letters = min(_MOST, max(_LEAST, _LETTERS // max(1, count)))
    return [_case(asked, digest, n, album, letters) for n, digest in enumerate(digests, 1)]


def _case(asked: Sequence[Asked], digest: str, number: int, album: Album, letters: int) -> Case:
    rows = [runs.get(digest, ()) for runs in asked]
    question = next(row.question for part in rows for row in part)
    means = [average({digest: part}, "quality").get(digest) for part in rows]
    before = {name: a.value for name in _names(rows[0])
              if (a := average({digest: rows[0]}, name).get(digest))}  # fmt: skip
    anchor = f"q{number}"
    return Case(
        anchor=anchor,
        name=shortened(question.id, 80),
        question=shortened(question.question, letters),
        category=clean_line(question.category),
        task=shortened(question.task, 40),
        states=state_of((row for part in rows for row in part), change_of(asked, digest)),
        qualities=tuple("–" if mean is None else f"{mean.value:.2f}" for mean in means),
        attached=tuple(_attached(path, album) for path in question.images),
        expected=tuple(_expected(question)),
        told=tuple(
            tuple(
                _told(row, f"{anchor}-{n}-{row.epoch}", album, letters, before if n else {})
                for row in part
            )
            for n, part in enumerate(rows)
        ),
    )


def _names(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in row.scores or {}))


def _attached(path: str, album: Album) -> Figure:
    name = shortened(path.replace("\\", "/").rpartition("/")[2], 80)
    small = album.attached(path)
    if isinstance(small, str):
        return Figure(None, small, name, name, "attached", "attached", "")
    return Figure(small, "", name, name, "attached", "attached", "")


def _expected(question: Question) -> Iterable[str]:
    for text in question.references[:5]:
        yield shortened(text, _EXCERPT)
    for place in (question.reference_images or ())[:5]:
        page = f", page {place.page}" if place.page else ""
        yield f"the picture {shortened(place.source, 120)}{page}"
    if question.reference_images == ():
        yield "no picture"
    if question.answerable is False:
        yield "that nothing answers it"
    if question.refused:
        yield "that it is declined"


def _told(row: Row, anchor: str, album: Album, letters: int, before: Mapping[str, float]) -> Told:
    answer = row.answer
    blocks, cut = _blocks(answer, anchor, album, letters) if answer else ((), 0)
    return Told(
        epoch=row.epoch,
        notice=notice(answer) if answer else "",
        error=shortened(row.error, 600),
        blocks=blocks,
        cut=cut,
        sources=tuple(
            (f"{anchor}-{n}", n, shortened(passage.place, 160), shortened(passage.text, _EXCERPT))
            for n, passage in (cited_passages(answer) if answer else ())
        ),
        chips=tuple(_chips(row, before)),
        facts=_facts(row),
    )


def _blocks(
    answer: Answer, anchor: str, album: Album, letters: int
) -> tuple[tuple[Markup | Figure, ...], int]:
    """An answer's parts in order, and how many letters of its texts found no room."""
    from markupsafe import Markup

    blocks: list[Markup | Figure] = []
    left, cut = letters, 0
    for part in answer.parts:
        if isinstance(part, Picture):
            blocks.append(_figure(part, answer.folder, album))
            continue
        text = clean(part.content)
        cut += max(0, len(text) - left)
        text, left = text[:left], max(0, left - len(text))
        blocks.append(Markup(markdown.to_html(text, len(answer.passages), anchor)))
    return tuple(blocks), cut


def _figure(picture: Picture, folder: str, album: Album) -> Figure:
    kind, badge = _badge(picture.origin)
    small = album.shown(picture.media, folder)
    held, missing = (None, small) if isinstance(small, str) else (small, "")
    alt = shortened(picture.alt or picture.caption, 200)
    origin = shortened(picture.origin.label, 200)
    return Figure(held, missing, alt, shortened(picture.caption, 300), kind, badge, origin)


def _badge(origin: Origin) -> tuple[Kind, str]:
    if isinstance(origin, Generated):
        return "generated", "generated"
    return ("marked", "marked copy") if isinstance(origin, Marked) else ("found", "from the files")


def _chips(row: Row, before: Mapping[str, float]) -> Iterable[Chip]:
    for name, value in (row.scores or {}).items():
        if value is None:
            continue
        change = value - before.get(name, value)
        change = change if abs(change) > _CHANGED else 0.0
        yield Chip(
            clean_line(name),
            f"{value:.2f}".removesuffix(".00"),
            "good" if value >= 0.8 else "bad" if value < 0.5 else "middling",
            "better" if change > 0 else "worse" if change < 0 else "",
        )


def _facts(row: Row) -> str:
    told = [f"{row.seconds:.3g} s"]
    if row.first_text is not None:
        told.append(f"first text after {row.first_text:.3g} s")
    if row.answer is not None:
        usage = row.answer.usage
        told.append(f"{usage.input_tokens} tokens in, {usage.output_tokens} out")
    if row.attempts > 1:
        told.append(f"{row.attempts} attempts")
    value = quality(row)
    return " · ".join([*told, *([] if value is None else [f"quality {value:.2f}"])])
