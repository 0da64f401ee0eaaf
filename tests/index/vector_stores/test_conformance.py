"""What every vector store promises; each test name is a promise.

======================================  =================  ==================================
promise                                 FaissStore         ChromaStore
======================================  =================  ==================================
vectors come back bit for bit           yes                yes, folder and server
scores                                  exact              exact
which rows a search finds               all (flat)         recall@10 >= 0.98 (HNSW)
up to 256 candidates, or k of all       exact              exact
an old token, before the sweep          exactly its state  exactly its state
an old token, after the sweep           LibraryDamaged     LibraryDamaged, when opened or read
changes before their commit             shown              not shown
a vector removed and compacted          not on the disk    not on the disk of a folder
damage                                  when first read    of what is read, when it is read
======================================  =================  ==================================
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from limner.errors import DeveloperError, LibraryDamaged
from limner.index.vector_stores.base import VectorStore
from limner.index.vector_stores.chroma import ChromaStore
from limner.index.vector_stores.faiss import FaissStore

D = 8
RECALL = 0.98


@dataclass
class Place:
    """Where the stores of one test are, and those that it has opened."""

    engine: str
    folder: Path
    make: Callable[[int, str], VectorStore]
    opened: list[VectorStore] = field(default_factory=list)

    def open(self, token: str = "", dimensions: int = D) -> VectorStore:
        self.opened.append(self.make(dimensions, token))
        return self.opened[-1]

    def filled(self, ids: list[int] | range, **named: int) -> tuple[VectorStore, str]:
        store = self.open()
        store.add(list(ids), vectors(ids))
        token = store.commit()
        store.sweep()
        return store, token


@pytest.fixture(params=["faiss", "chroma", "chroma-server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    folder, name = tmp_path / "vectors", f"limner-{uuid4().hex}"
    if request.param == "faiss":
        place = Place("faiss", folder, lambda d, token: FaissStore(folder, d, token))
    else:
        pytest.importorskip("chromadb")
        where: dict[str, Any] = {"folder": folder}
        if request.param == "chroma-server":
            where = {"address": request.getfixturevalue("chroma_server").address}
        place = Place(
            request.param, folder, lambda d, t: ChromaStore(d, t, collection=name, **where)
        )
    yield place
    for store in place.opened:
        store.close()


def vectors(ids: list[int] | range, dimensions: int = D) -> np.ndarray:
    """A random direction of its own for every id."""
    rows = [np.random.default_rng(i).normal(size=dimensions) for i in ids]
    rows = np.array(rows, np.float32).reshape(len(ids), dimensions)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def expected(ids: list[int] | range, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    names = np.sort(np.array(ids, np.int64))
    scores = queries @ vectors(names.tolist()).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), names[order]


def assert_finds(store: VectorStore, ids: list[int] | range, k: int = 10) -> None:
    queries = vectors([10_001, 10_002, 10_003])
    scores, found = store.search(queries, k)
    expected_scores, expected_ids = expected(ids, queries, k)
    assert found.tolist() == expected_ids.tolist()
    assert np.allclose(scores, expected_scores, atol=1e-5)
    assert (scores.dtype, found.dtype) == (np.float32, np.int64)


def test_a_new_store_is_empty(place: Place) -> None:
    store = place.open()
    assert len(store) == 0
    assert store.ids.tolist() == []
    assert store.summary


def test_an_empty_store_finds_nothing(place: Place) -> None:
    scores, ids = place.open().search(vectors([1, 2]), 5)
    assert scores.shape == ids.shape == (2, 0)


def test_an_empty_store_can_be_committed_swept_compacted_and_opened(place: Place) -> None:
    store = place.open()
    store.compact()
    token = store.commit()
    store.sweep()
    assert len(place.open(token)) == 0


def test_ids_ascend_and_len_counts_them(place: Place) -> None:
    store, _ = place.filled([5, 1, 9])
    assert store.ids.tolist() == [1, 5, 9]
    assert store.ids.dtype == np.int64
    assert len(store) == 3


def test_vectors_come_back_bit_for_bit_in_the_order_asked(place: Place) -> None:
    store, token = place.filled(range(300))
    for opened in (store, place.open(token)):
        got = opened.get([7, 299, 0, 7])
        assert got.dtype == np.float32
        assert np.array_equal(got, vectors([7, 299, 0, 7]))
    assert store.get([]).shape == (0, D)


def test_tiny_and_huge_numbers_come_back_bit_for_bit(place: Place) -> None:
    odd = np.array([[1e-45, -1e-38, 1e19, -3.4e18, 0.1, -0.0, 1 / 3, 16777217]], np.float32)
    store = place.open()
    store.add([1], odd)
    assert place.open(store.commit()).get([1]).tobytes() == odd.tobytes()


def test_ids_beyond_2_to_the_53_stay_apart(place: Place) -> None:
    ids = [2**53, 2**53 + 1, 2**62 + 1, 2**63 - 2]
    store, token = place.filled(ids)
    assert place.open(token).ids.tolist() == ids
    assert np.array_equal(store.get([ids[1]]), vectors([ids[1]]))
    assert store.search(vectors([ids[2]]), 1)[1].tolist() == [[ids[2]]]


def test_an_id_is_added_once(place: Place) -> None:
    store, _ = place.filled([1, 2])
    for ids in ([2], [3, 3]):
        with pytest.raises(DeveloperError, match="once"):
            store.add(ids, vectors(ids))
    store.add([4], vectors([4]))
    with pytest.raises(DeveloperError, match="once"):
        store.add([4], vectors([4]))


@pytest.mark.parametrize("wrong", [np.zeros((2, D)), np.zeros((1, D + 1)), np.zeros(D)])
def test_vectors_of_another_shape_are_refused(place: Place, wrong: np.ndarray) -> None:
    store, _ = place.filled([1])
    with pytest.raises(DeveloperError, match="shape"):
        store.add([2], wrong.astype(np.float32))
    with pytest.raises(DeveloperError, match="shape"):
        store.search(np.zeros((1, D + 1), np.float32), 1)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(place: Place, odd: float) -> None:
    store, _ = place.filled([1])
    wrong = vectors([2])
    wrong[0, 3] = odd
    with pytest.raises(DeveloperError, match="NaN"):
        store.add([2], wrong)
    with pytest.raises(DeveloperError, match="NaN"):
        store.search(wrong, 1)
    assert place.open(store.commit()).ids.tolist() == [1]


def test_the_callers_array_may_change_after_it_was_added(place: Place) -> None:
    store, mine = place.open(), vectors([1, 2])
    store.add([1, 2], mine)
    mine[:] = 0
    store.commit()
    assert np.array_equal(store.get([1, 2]), vectors([1, 2]))


def test_a_vector_that_is_not_there_cannot_be_had(place: Place) -> None:
    store, _ = place.filled([1, 2])
    with pytest.raises(LibraryDamaged):
        store.get([1, 3])


def test_the_nearest_come_first_with_the_scores_of_numpy(place: Place) -> None:
    store, token = place.filled(range(200))
    assert_finds(store, range(200))
    assert_finds(place.open(token), range(200))


def test_scores_are_inner_products_also_of_long_vectors(place: Place) -> None:
    store = place.open()
    store.add([1, 2, 3], vectors([1, 2, 3]) * np.array([[1], [100], [0.01]], np.float32))
    store.commit()
    scores, ids = store.search(vectors([2]) * 10, 3)
    assert ids[0, 0] == 2
    assert scores[0, 0] == pytest.approx(1000, rel=1e-5)


@pytest.mark.parametrize("n", [40, 600])
def test_of_equals_the_smaller_id_comes_first(place: Place, n: int) -> None:
    store, same = place.open(), vectors([1])
    equal = list(range(n, n + 30))
    store.add(list(range(n)), vectors(range(100, 100 + n)))
    store.add(equal[::-1], np.repeat(same, 30, axis=0))
    store.commit()
    scores, ids = store.search(same, 7)
    assert ids[0].tolist() == equal[:7]
    assert len(set(scores[0].tolist())) == 1


@pytest.mark.parametrize("n", [3, 700])
def test_k_beyond_the_store_gives_all(place: Place, n: int) -> None:
    store, _ = place.filled(range(n))
    assert_finds(store, range(n), k=n)
    assert_finds(store, range(n), k=n + 1000)


def test_no_k_and_no_queries_find_nothing(place: Place) -> None:
    store, _ = place.filled([1, 2, 3])
    assert store.search(vectors([1, 2]), 0)[1].shape == (2, 0)
    assert store.search(vectors([]), 2)[1].shape[0] == 0


@pytest.mark.parametrize("n", [50, 900])
def test_only_what_is_among_is_found(place: Place, n: int) -> None:
    store, _ = place.filled(range(n))
    queries = vectors([10_001])
    for among in (range(0, n, 2), range(3), range(n)):
        ids = store.search(queries, 10, np.array(among, np.int64))[1]
        assert ids.tolist() == expected(among, queries, 10)[1].tolist()


def test_among_none_and_among_unknown_ids_find_nothing(place: Place) -> None:
    store, _ = place.filled(range(50))
    for among in ([], [1000, 2000]):
        assert store.search(vectors([1]), 5, np.array(among, np.int64))[1].shape == (1, 0)
    assert store.search(vectors([1]), 5, np.array([7, 1000]))[1].tolist() == [[7]]


@pytest.mark.parametrize("n", [40, 600])
def test_what_was_removed_is_not_found(place: Place, n: int) -> None:
    store, _ = place.filled(range(n))
    gone = list(range(0, n, 3))
    kept = [i for i in range(n) if i % 3]
    store.remove(gone)
    token = store.commit()
    for opened in (store, place.open(token)):
        assert opened.ids.tolist() == kept
        assert_finds(opened, kept)
        with pytest.raises(LibraryDamaged):
            opened.get([3])
    store.sweep()
    assert_finds(store, kept)
    assert_finds(place.open(token), kept)


def test_removing_unknown_ids_is_no_error(place: Place) -> None:
    store, _ = place.filled([1, 2])
    store.remove([7, 2, 7])
    store.remove([])
    assert place.open(store.commit()).ids.tolist() == [1]


def test_all_can_be_removed_and_others_added(place: Place) -> None:
    store, _ = place.filled([1, 2])
    store.remove([1, 2])
    token = store.commit()
    store.sweep()
    assert len(place.open(token)) == 0
    store.add([3], vectors([3]))
    token = store.commit()
    store.sweep()
    assert_finds(place.open(token), [3])


def test_what_is_added_and_removed_before_a_commit_was_never_there(place: Place) -> None:
    store = place.open()
    store.add([1, 2], vectors([1, 2]))
    store.remove([1])
    assert_finds(place.open(store.commit()), [2])


def test_what_was_not_committed_is_not_there_after_reopening(place: Place) -> None:
    store, token = place.filled([1, 2])
    store.add([3], vectors([3]))
    store.remove([1])
    assert_finds(place.open(token), [1, 2])


def test_the_earlier_state_can_be_read_until_the_sweep(place: Place) -> None:
    store, before = place.filled(range(300))
    store.remove(range(100))
    store.add([1000, 1001], vectors([1000, 1001]))
    after = store.commit()
    old = place.open(before)
    assert old.ids.tolist() == list(range(300))
    assert_finds(old, range(300))
    assert np.array_equal(old.get([5]), vectors([5]))
    store.sweep()
    assert_finds(place.open(after), [*range(100, 300), 1000, 1001])
    with pytest.raises(LibraryDamaged):
        place.open(before).get([5])


def test_a_state_whose_token_was_lost_leaves_nothing_behind(place: Place) -> None:
    _, token = place.filled(range(300))
    cut_off = place.open(token)
    cut_off.add([400, 401], vectors([500, 501]))
    cut_off.remove([0])
    cut_off.commit()
    store = place.open(token)
    assert_finds(store, range(300))
    store.add([400], vectors([400]))
    token = store.commit()
    store.sweep()
    assert_finds(place.open(token), [*range(300), 400])


def test_compacting_keeps_what_counts(place: Place) -> None:
    store, _ = place.filled(range(400))
    store.remove(range(0, 400, 4))
    before = store.commit()
    store.compact()
    store.add([1000], vectors([1000]))
    token = store.commit()
    kept = [i for i in range(400) if i % 4]
    assert_finds(place.open(before), kept)
    store.sweep()
    for opened in (store, place.open(token)):
        assert_finds(opened, [*kept, 1000])
        assert np.array_equal(opened.get([1, 1000]), vectors([1, 1000]))


def test_nothing_of_a_removed_vector_is_on_the_disk_once_compacted(place: Place) -> None:
    if place.engine == "chroma-server":
        pytest.skip("a server's disk is its own: chroma vacuum")
    store, _ = place.filled(range(300))
    store.remove([7])
    store.compact()
    store.commit()
    store.sweep()
    store.close()
    files = [path.read_bytes() for path in place.folder.rglob("*") if path.is_file()]
    assert not any(vectors([7]).tobytes() in data for data in files)
    assert any(vectors([8]).tobytes() in data for data in files)


def test_many_commits_are_as_good_as_one(place: Place) -> None:
    store = place.open()
    for start in range(0, 200, 10):
        store.add(list(range(start, start + 10)), vectors(range(start, start + 10)))
        token = store.commit()
        store.sweep()
    assert_finds(place.open(token), range(200))


def test_many_batches_in_one_commit(place: Place) -> None:
    store, token = place.filled(range(6000))
    assert len(place.open(token)) == 6000
    ids = list(range(0, 6000, 7))
    assert np.array_equal(store.get(ids), vectors(ids))


def test_any_history_ends_as_its_commits_say(place: Place) -> None:
    rng, token, following = np.random.default_rng(3), "", 0
    store, now, committed = place.open(), set(), set()
    for step in rng.integers(0, 4, 40).tolist():
        if step == 0:
            ids = list(range(following, following := following + int(rng.integers(1, 40))))
            store.add(ids, vectors(ids))
            now |= set(ids)
        elif step == 1:
            gone = rng.integers(0, following + 5, 6).tolist()
            store.remove(gone)
            now -= set(gone)
        elif step == 2:
            token = store.commit()
            store.sweep()
            committed = set(now)
            assert_finds(store, sorted(committed))
        else:
            store = place.open(token)
            now = set(committed)
            assert_finds(store, sorted(committed))


def test_a_store_that_is_missing_is_damaged_and_the_hint_mends_it(place: Place) -> None:
    store, token = place.filled([1, 2])
    if place.engine == "chroma-server":
        token = token.replace('"generation": 1', '"generation": 9')
    store.close()
    shutil.rmtree(place.folder, ignore_errors=True)
    with pytest.raises(LibraryDamaged) as caught:
        place.open(token)
    assert caught.value.hint == "limner doctor --repair"


def test_a_store_can_be_closed_twice(place: Place) -> None:
    store, _ = place.filled([1])
    store.close()
    store.close()


def test_both_engines_find_the_same_among_clustered_vectors(place: Place) -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 64))
    rows = centres[rng.integers(0, 40, 2050)] + 0.5 * rng.normal(size=(2050, 64))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    rows, queries = rows[:2000], rows[2000:]
    store = place.open(dimensions=64)
    store.add(np.arange(2000), rows)
    store.commit()
    scores, ids = store.search(queries, 10)
    exact = queries @ rows.T
    best = np.argsort(-exact, axis=1, kind="stable")[:, :10]
    recall = np.mean([np.isin(found, near).mean() for found, near in zip(ids, best, strict=True)])
    assert recall >= (1 if place.engine == "faiss" else RECALL)
    assert np.allclose(scores, np.take_along_axis(exact, ids, 1), atol=1e-6)
