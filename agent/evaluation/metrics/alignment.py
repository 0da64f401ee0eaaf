"""Sequences and sets laid against each other: edit distance, common subsequence, pairs, rank order.

Pure and exact; knows nothing of answers.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

__all__ = ["best_pairs", "common_length", "edit_distance", "kendall_tau_b"]


def edit_distance(a: str, b: str) -> int:
    """Insertions, deletions and substitutions of characters that turn one text into the other.

    Bit-parallel, a column of the table in one integer: Myers, *A fast bit-vector algorithm for
    approximate string matching* (J. ACM 46, 1999), in Hyyrö's form for whole strings (2003).
    """
    if not a:
        return len(b)
    places, full = _places(a), (1 << len(a)) - 1
    last = 1 << (len(a) - 1)
    more, less, distance = full, 0, len(a)
    for sign in b:
        here = places.get(sign, 0)
        down = here | less
        across = (((here & more) + more) ^ more) | here
        rises, falls = less | ~(across | more) & full, more & across
        distance += bool(rises & last) - bool(falls & last)
        rises = (rises << 1 | 1) & full
        more = falls << 1 & full | ~(down | rises) & full
        less = rises & down
    return distance


def common_length(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The length of the longest common subsequence.

    Bit-parallel: Hyyrö, *Bit-parallel LCS-length computation revisited* (2004).
    """
    places, full = _places(a), (1 << len(a)) - 1
    unmatched = full
    for item in b:
        found = unmatched & places.get(item, 0)
        unmatched = (unmatched + found | unmatched - found) & full
    return len(a) - unmatched.bit_count()


def _places(items: Sequence[Hashable]) -> dict[Hashable, int]:
    places: dict[Hashable, int] = {}
    for at, item in enumerate(items):
        places[item] = places.get(item, 0) | 1 << at
    return places


def best_pairs(worth: Mapping[tuple[int, int], int]) -> list[tuple[int, int]]:
    """Pairs of which no two share a row or a column: as many as can be, of these the worthiest.

    One pair more at a time, along the path that gains most (successive augmentation); exact, and
    quick for the few pictures that an answer has.

    Args:
        worth: of each (row, column) that may be paired; any whole number.

    Returns:
        The pairs, by row.
    """
    row_of: dict[int, int] = {}
    while path := _best_path(worth, row_of):
        for row, column in path:
            row_of[column] = row
    return sorted((row, column) for column, row in row_of.items())


def _best_path(
    worth: Mapping[tuple[int, int], int], row_of: Mapping[int, int]
) -> list[tuple[int, int]]:
    """The pairs that take the place of others so that one pair more stands; empty: none can."""
    taken = set(row_of.values())
    gain = {row: 0 for row, _ in worth if row not in taken}
    via: dict[int, tuple[int, int]] = {}  # to a taken row: the row that takes its column
    changed = True
    while changed:
        changed = False
        for (row, column), value in worth.items():
            other = row_of.get(column)
            if row not in gain or other is None or other == row:
                continue
            reached = gain[row] + value - worth[other, column]
            if other not in gain or reached > gain[other]:
                gain[other], via[other], changed = reached, (row, column), True
    ends = [pair for pair in worth if pair[0] in gain and pair[1] not in row_of]
    if not ends:
        return []
    path = [max(ends, key=lambda pair: gain[pair[0]] + worth[pair])]
    while path[-1][0] in via:
        path.append(via[path[-1][0]])
    return path


def kendall_tau_b(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Kendall's rank correlation with ties, −1 to 1; None below two or where all of one are tied.

    Kendall, *The treatment of ties in ranking problems* (Biometrika 33, 1945).
    """
    score = tied_x = tied_y = 0
    pairs = len(x) * (len(x) - 1) // 2
    for i in range(len(x)):
        for j in range(i):
            dx = (x[i] > x[j]) - (x[i] < x[j])
            dy = (y[i] > y[j]) - (y[i] < y[j])
            score, tied_x, tied_y = score + dx * dy, tied_x + (not dx), tied_y + (not dy)
    most = (pairs - tied_x) * (pairs - tied_y)
    return score / math.sqrt(most) if most else None
