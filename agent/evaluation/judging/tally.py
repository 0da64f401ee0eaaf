"""What bouts come to between two runs, and how the judge leaned. Knows bouts, no judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .pairwise import Bout

__all__ = ["Leaning", "Tally", "leaning_of", "tallies"]


@dataclass(frozen=True, slots=True)
class Tally:
    """What two runs' meetings came to.

    Attributes:
        first: name of the one run.
        second: name of the other.
        wins: of the first, walkovers among them.
        losses: of the first, likewise.
        ties: alike answers and flips among them.
        flips: meetings in which the two orders came to different ends.
        judged: meetings with a verdict in both orders.
        unjudged: meetings that the judge was asked about and gave no two verdicts on.
        alike: meetings of answers without a difference, which are ties.
        walkovers: meetings in which one run had no answer, which the other wins.
    """

    first: str
    second: str
    wins: int
    losses: int
    ties: int
    flips: int
    judged: int
    unjudged: int
    alike: int
    walkovers: int

    @property
    def flip_rate(self) -> float | None:
        """Share of the judged meetings that flipped; None where none was judged."""
        return self.flips / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Leaning:
    """What may sway a judge beside the answers' worth.

    Attributes:
        flips: meetings in which the two orders came to different ends.
        judged: meetings with a verdict in both orders.
        first: share of the verdicts for an answer that were for the one shown first; a judge that
            does not mind comes near 0.5; None where there is no such verdict.
        winners: mean length of the winning answers' text, in characters; None without any.
        losers: of the losing ones.
        longer: share of the decided meetings that the longer text won; those of equal length are
            left out.
    """

    flips: int
    judged: int
    first: float | None
    winners: float | None
    losers: float | None
    longer: float | None

    @property
    def flip_rate(self) -> float | None:
        """Share of the judged meetings that flipped; None where none was judged."""
        return self.flips / self.judged if self.judged else None


def tallies(bouts: Sequence[Bout]) -> list[Tally]:
    """One for every two runs that met, in the order in which they first did."""
    pairs: dict[tuple[str, str], list[Bout]] = {}
    for bout in bouts:
        pairs.setdefault((bout.meeting.first, bout.meeting.second), []).append(bout)
    return [_tally(first, second, found) for (first, second), found in pairs.items()]


def _tally(first: str, second: str, bouts: Sequence[Bout]) -> Tally:
    points = [bout.points for bout in bouts]
    return Tally(
        first=first,
        second=second,
        wins=points.count(1.0),
        losses=points.count(0.0),
        ties=points.count(0.5),
        flips=sum(bout.flipped for bout in bouts),
        judged=sum(bool(bout.said) for bout in bouts),
        unjudged=points.count(None),
        alike=sum(bout.meeting.alike for bout in bouts),
        walkovers=sum(bout.meeting.one.failed or bout.meeting.other.failed for bout in bouts),
    )


def leaning_of(bouts: Sequence[Bout]) -> Leaning:
    """How the judge leaned, over the meetings that it gave two verdicts on."""
    judged = [bout for bout in bouts if bout.said]
    letters = [letter for bout in judged for letter in bout.said if letter != "tie"]
    sizes = [_sizes(bout) for bout in judged if bout.points != 0.5]
    uneven = [(won, lost) for won, lost in sizes if won != lost]
    return Leaning(
        flips=sum(bout.flipped for bout in judged),
        judged=len(judged),
        first=_share(letters.count("A"), len(letters)),
        winners=fmean(won for won, _ in sizes) if sizes else None,
        losers=fmean(lost for _, lost in sizes) if sizes else None,
        longer=_share(sum(won > lost for won, lost in uneven), len(uneven)),
    )


def _sizes(bout: Bout) -> tuple[int, int]:
    """Characters of the winner's text and of the loser's."""
    rows = (bout.meeting.one, bout.meeting.other)
    one, other = (len(row.answer.text) if row.answer else 0 for row in rows)
    return (one, other) if bout.points == 1.0 else (other, one)


def _share(count: int, of: int) -> float | None:
    return count / of if of else None
