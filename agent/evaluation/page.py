"""The page of one or several runs: one HTML file, no script, nothing from elsewhere.

Knows which cases a page shows, in which order, and what its style rules filter them by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..drawn import counted
from ..plain_text import clean_line, shortened
from . import overview
from .averages import Asked, by_question
from .cases import Case, cases_of, change_of, state_of
from .comparing import Comparison
from .overview import Reported
from .thumbnails import Album

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["to_html"]

_MOST = 2_000  # rows that a page shows
_LISTED = 40  # changes for the worse that are listed above the rows
_FILTERS = 40  # categories that have a filter of their own

_STATES = {
    "worse": "worse",
    "better": "better",
    "failed": "failed",
    "wrong": "wrong",
    "abstained": "not answered",
}


def to_html(
    runs: Sequence[Reported], comparisons: Sequence[Comparison], notes: Sequence[str]
) -> str:
    """The page.

    Args:
        runs: at least one; the first is what others are compared with.
        comparisons: of the first with each other one that shares questions with it.
        notes: what a reader should know first.
    """
    asked = [by_question(one.run.rows) for one in runs]
    digests = _ordered(asked)
    shown = _kept(asked, digests)
    album = Album(_pictures(asked, shown))
    cases = cases_of(asked, shown, album)
    anchors = {digest: case.anchor for digest, case in zip(shown, cases, strict=True)}
    names = [clean_line(one.name) for one in runs]
    return _template().render(
        title=" and ".join(names),
        names=names,
        notes=[clean_line(note) for note in (*notes, *_left_out(digests, shown, album))],
        facts=overview.facts(runs),
        scores=overview.score_lines(runs),
        compared=[_compared(one, anchors) for one in comparisons],
        matrices=list(overview.matrices(runs)),
        speeds=list(overview.speed_lines(runs, comparisons)),
        against=[clean_line(one.b) for one in comparisons],
        plots=overview.plots(runs),
        cases=cases,
        states=_states(cases),
        words=_STATES,
        categories=_categories(cases),
        kinds={name: n for n, name in enumerate(_category_names(cases))},
        thumbnails=album.thumbnails,
    )


def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parents[1] / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template("evaluation.html.jinja")


def _ordered(asked: Sequence[Asked]) -> list[str]:
    """The questions in the order of the sets; of several runs those that became worse first."""
    digests = list(dict.fromkeys(digest for runs in asked for digest in runs))
    if len(asked) > 1:
        digests.sort(key=lambda digest: change_of(asked, digest))
    return digests


def _kept(asked: Sequence[Asked], digests: Sequence[str]) -> list[str]:
    """As many as a page has room for, in the same order; what went wrong is kept first."""
    sizes = {digest: sum(len(runs.get(digest, ())) for runs in asked) for digest in digests}
    if sum(sizes.values()) <= _MOST:
        return list(digests)

    def fine(digest: str) -> bool:
        rows = (row for runs in asked for row in runs.get(digest, ()))
        return not {"failed", "wrong", "worse"} & set(state_of(rows, change_of(asked, digest)))

    kept, room = set(), _MOST
    for digest in sorted(digests, key=fine):
        room -= sizes[digest]
        if room < 0:
            break
        kept.add(digest)
    return [digest for digest in digests if digest in kept]


def _pictures(asked: Sequence[Asked], digests: Sequence[str]) -> int:
    """How many different pictures these questions and their answers name."""
    rows = [row for runs in asked for digest in digests for row in runs.get(digest, ())]
    attached = {path for row in rows for path in row.question.images}
    shown = {p.media for row in rows if row.answer is not None for p in row.answer.pictures}
    return len(attached) + len(shown)


def _left_out(digests: Sequence[str], shown: Sequence[str], album: Album) -> Iterator[str]:
    if len(shown) < len(digests):
        yield (
            f"{len(shown):,} of {len(digests):,} questions are shown below, what went wrong before "
            "the rest; results.csv holds every row."
        )
    if album.left_out:
        yield f"{counted(album.left_out, 'picture')} left out, so that this page stays small."


def _compared(one: Comparison, anchors: dict[str, str]) -> dict[str, object]:
    gaps, alike = overview.gaps(one)
    worse = one.regressions
    return {
        "a": clean_line(one.a),
        "b": clean_line(one.b),
        "shared": one.shared,
        "only_a": len(one.only_a),
        "only_b": len(one.only_b),
        "alpha": f"{one.alpha:g}",
        "regression": one.has_regression,
        "gaps": gaps,
        "alike": alike,
        "worse": [
            {
                "anchor": anchors.get(change.question.digest, ""),
                "id": shortened(change.question.id, 60),
                "question": shortened(change.question.question, 120),
                "metric": clean_line(change.metric),
                "a": f"{change.a:.2f}",
                "b": f"{change.b:.2f}",
                "error": shortened(change.error, 120),
            }
            for change in worse[:_LISTED]
        ],
        "more": len(worse[_LISTED:]),
    }


def _states(cases: Sequence[Case]) -> list[tuple[str, str, int]]:
    """Filters that find anything: a class, words and a number of questions."""
    counts = {name: sum(name in case.states for case in cases) for name in _STATES}
    return [(name, _STATES[name], count) for name, count in counts.items() if count]


def _category_names(cases: Sequence[Case]) -> list[str]:
    return list(dict.fromkeys(case.category for case in cases))


def _categories(cases: Sequence[Case]) -> list[tuple[str, int, int]]:
    """Filters by category: its name, its number and how many questions; none where there is one."""
    counts = Counter(case.category for case in cases)
    if len(counts) < 2:
        return []
    names = list(enumerate(_category_names(cases)))[:_FILTERS]
    return [(shortened(name, 40) or "(none)", n, counts[name]) for n, name in names]
