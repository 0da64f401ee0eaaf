from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.index.postings import Pending, encoded, merged, postings_of
from limner.tools.sentences import stems

LONG = ["x" * 99, "x" * 98, "x" * 8, "x" * 9]
WORDS = st.lists(st.sampled_from(["ab", "abc", "b", "Ünï", "日本", "𝄞x", *LONG]), max_size=9)


@settings(deadline=None)
@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=9), st.sets(st.integers(0, 8)))
def test_every_word_is_counted_where_it_stands(texts: list[str], gone: set[int]) -> None:
    pending = Pending()
    keys = list(range(len(texts)))[::-1]
    pending.add(keys, texts)
    pending.remove(gone)
    part = merged(pending.parts())
    left = {k: stems(t) for k, t in zip(keys, texts, strict=True) if k not in gone}
    assert len(pending) == len(left) and pending.keys == list(left)
    if part is None:
        assert not left
        return
    assert part["keys"].tolist() == sorted(left)
    assert part["lengths"].tolist() == [len(left[key]) for key in sorted(left)]
    for stem in {stem for held in left.values() for stem in held} | {"a", "zz", ""}:
        place = postings_of(part, stem)
        found = zip(part["keys"][part["rows"][place]], part["counts"][place], strict=True)
        assert dict(found) == {k: held.count(stem) for k, held in left.items() if stem in held}


def test_a_word_that_is_gone_is_in_the_arrays_no_more() -> None:
    pending = Pending()
    pending.add([1, 2], ["alpha beta", "beta"])
    first = merged(pending.parts())
    assert first is not None
    second = merged([(first, np.array([False, True]))])
    assert second is not None
    assert second["words"].tobytes() == b"beta"
    assert merged([(first, np.zeros(2, np.bool_))]) is None is merged([])


def test_counts_are_as_wide_as_they_must() -> None:
    pending = Pending()
    pending.add([1, 2], ["echo " * 70_000, "echo"])
    wide = merged(pending.parts())
    assert wide is not None
    assert wide["counts"].tolist() == [70_000, 1] and wide["counts"].dtype == np.uint32
    narrow = merged([(wide, np.array([False, True]))])
    assert narrow is not None and narrow["counts"].dtype == np.uint8


@settings(deadline=None)
@given(st.lists(st.text(st.characters(), max_size=3)))
def test_bytes_sort_as_characters_do(words: list[str]) -> None:
    assert sorted(map(encoded, words)) == [encoded(word) for word in sorted(words)]
