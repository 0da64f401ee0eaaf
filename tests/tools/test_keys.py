"""Keys put together, taken apart and kept: against the plain way of doing it, row by row."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.tools.chat_models.keys import KeptKeys, Keys, can_be_joined, static_width

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def row(length: int, seed: int) -> Keys:
    """Keys of one row of two layers, with heads and sizes that differ."""
    dice = torch.Generator().manual_seed(seed)
    shapes = [((1, 2, length, 3), (1, 2, length, 4)), ((1, 1, length, 5), (1, 1, length, 5))]
    layers = (tuple(torch.rand(s, generator=dice) for s in pair) for pair in shapes)
    return Keys(tuple((k, v) for k, v in layers), (length,))


def same(block: Keys, number: int, one: Keys) -> bool:
    """Whether a row of a block ends in another's keys and has nothing but zeros before."""
    gap = block.width - one.width
    return all(
        torch.equal(whole[number, :, gap:], part[0]) and not whole[number, :, :gap].any()
        for pair, parts in zip(block.layers, one.layers, strict=True)
        for whole, part in zip(pair, parts, strict=True)
    )


@settings(deadline=None)  # the first example imports transformers
@given(LENGTHS, LENGTHS, st.data())
def test_rows_stay_what_they_are(a: list[int], b: list[int], data: st.DataObject) -> None:
    rows = [row(length, n) for n, length in enumerate([*a, *b])]
    first = Keys.joined(rows[: len(a)])
    block = Keys.joined([first, *rows[len(a) :]])
    assert block.lengths == (*a, *b) and block.width == max(*a, *b)
    assert all(same(block, n, one) for n, one in enumerate(rows))
    picked = data.draw(st.lists(st.sampled_from(range(len(rows))), min_size=1, unique=True))
    some = block.rows(picked)
    assert some.width == max(rows[n].width for n in picked)
    assert all(same(some, at, rows[n]) for at, n in enumerate(picked))


@settings(deadline=None)  # the first example imports transformers
@given(LENGTHS, st.integers(0, 2), st.booleans())
def test_the_mask_hides_the_padding_alone(lengths: list[int], more: int, always: bool) -> None:
    block = Keys.joined([row(length, n) for n, length in enumerate(lengths)])
    mask = block.mask(more, always)
    assert (mask is None) == (len(set(lengths)) == 1 and not always)
    if mask is not None:
        assert mask.sum(dim=1).tolist() == [length + more for length in lengths]
        assert mask[:, -1].all() and (mask.diff(dim=1) >= 0).all()


@settings(deadline=None)  # the first example imports transformers
@given(LENGTHS)
def test_a_cache_gives_back_what_it_was_made_of(lengths: list[int]) -> None:
    block = Keys.joined([row(length, n) for n, length in enumerate(lengths)])
    cache = block.dynamic()
    assert can_be_joined(cache) and cache.get_seq_length() == block.width
    for n, (keys, values) in enumerate(block.layers):
        cache.update(keys[:, :, :1], values[:, :, :1], n)
    back = Keys.of(cache, block.lengths)
    for pair, parts in zip(back.layers, block.layers, strict=True):
        assert torch.equal(pair[0], parts[0]) and torch.equal(pair[1], parts[1])
    assert block.layers[0][0].shape[2] == block.width  # nothing was written into it


def test_static_widths_are_few() -> None:
    widths = [static_width(tokens) for tokens in range(3000)]
    assert all(width > tokens for tokens, width in enumerate(widths))
    assert set(widths) == {256, 512, 1024, 2048, 4096}


IDS = st.lists(st.integers(0, 1), min_size=33, max_size=60)
PICTURES = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from([b"a", b"b"])),
    max_size=3,
    unique_by=lambda one: one[0],
).map(sorted)


@settings(deadline=None)  # the first example imports transformers
@given(st.lists(st.tuples(IDS, PICTURES), min_size=2, max_size=6))
def test_the_longest_beginning_that_is_alike_is_found(
    several: list[tuple[list[int], list[tuple[int, bytes]]]],
) -> None:
    kept = KeptKeys()
    for n, (ids, pictures) in enumerate(several[:-1]):
        kept.keep(np.array(ids), pictures, row(len(ids), n))
    ids, pictures = several[-1]

    def named(ids: list[int], pictures: list[tuple[int, bytes]]) -> list[object]:
        """Tokens, with a picture's digest at the place where it begins."""
        digests = dict(pictures)
        return [(token, digests.get(n)) for n, token in enumerate(ids)]

    longest = 0
    for before in several[:-1]:
        pairs = zip(named(*before), named(ids[:-1], pictures), strict=False)
        longest = max(longest, len(list(itertools.takewhile(lambda p: p[0] == p[1], pairs))))
    found = kept.find(np.array(ids), pictures)
    assert (found.width if found else 0) == (longest if longest >= 32 else 0)


def test_keys_used_longest_ago_make_room() -> None:
    kept = KeptKeys(most=3 * row(40, 0).nbytes)
    ids = [np.full(40, n) for n in range(5)]
    for n in range(3):
        kept.keep(ids[n], [], row(40, n))
    assert kept.find(ids[0], []) is not None
    kept.keep(ids[3], [], row(40, 3))
    assert [kept.find(ids[n], []) is not None for n in range(4)] == [True, False, True, True]
    longer = np.concatenate([ids[0], ids[4]])
    kept.keep(longer, [], row(80, 4))  # stands for the shorter one too
    found = kept.find(ids[0], [])
    assert found is not None and found.width == 39
    with pytest.raises(AssertionError):
        Keys.joined([row(2, 0), row(3, 1)]).beginning(1)
