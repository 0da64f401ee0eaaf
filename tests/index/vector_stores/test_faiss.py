from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import ClassVar

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.errors import DeveloperError, LibraryDamaged
from limner.index.vector_stores import approximate, gpu, scan
from limner.index.vector_stores import faiss as store_module
from limner.index.vector_stores.faiss import FaissStore

D = 8


def vectors(ids: list[int], kinds: int = 10**6) -> np.ndarray:
    """A random direction for every id; ids that are equal modulo ``kinds`` share theirs."""
    found = [np.random.default_rng(i % kinds).normal(size=D) for i in ids]
    rows = np.array(found, np.float32).reshape(len(ids), D)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def brute(
    known: dict[int, np.ndarray], queries: np.ndarray, k: int, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What a store should say: a dict searched in double precision."""
    ids = np.array([i for i in sorted(known) if among is None or i in among], np.int64)
    matrix = np.array([known[i] for i in ids.tolist()], np.float64).reshape(
        len(ids), queries.shape[1]
    )
    scores = np.array([(matrix * q.astype(np.float64)).sum(axis=1) for q in queries])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1).astype(np.float32), ids[order]


def same(store: FaissStore, known: dict[int, np.ndarray], queries: np.ndarray, k: int) -> None:
    some = np.array(sorted(known), np.int64)[::3]
    few = np.array(sorted(known), np.int64)[:1]
    strangers = np.append(some, [2**40, 2**40 + 1])
    for among in (None, some, few, strangers, some[:0]):
        scores, ids = store.search(queries, k, among)
        expected_scores, expected_ids = brute(known, queries, k, among)
        assert ids.tolist() == expected_ids.tolist()
        assert np.array_equal(scores, expected_scores)
        assert (scores.dtype, ids.dtype) == (np.float32, np.int64)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"], autouse=True)
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(request.param)
    monkeypatch.setattr(scan, "_SLICE", 64)
    yield request.param
    faiss.omp_set_num_threads(before)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 40)),
        st.tuples(st.just("add shuffled"), st.integers(1, 40)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 300), max_size=12)),
        st.tuples(st.just("remove"), st.integers(0, 300).map(lambda n: list(range(n, n + 60)))),
        st.tuples(st.sampled_from(["commit", "compact", "reopen"]), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(steps=steps, k=st.integers(0, 30), kinds=st.sampled_from([3, 10**6]))
def test_equals_brute_force_after_any_history(steps: list, k: int, kinds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, token, following = Path(name) / "vectors", "", 0
        known: dict[int, np.ndarray] = {}
        committed: dict[int, np.ndarray] = {}
        store = FaissStore(folder, D)
        queries = vectors([10_001, 10_002, 10_003])
        for action, argument in steps:
            if action.startswith("add"):
                ids = list(range(following, following + argument))
                if action == "add shuffled":
                    ids = [i * 2 for i in ids[::-1]]
                following = max(ids) + 1
                store.add(ids, vectors(ids, kinds))
                known |= dict(zip(ids, vectors(ids, kinds), strict=True))
            elif action == "remove":
                store.remove(argument)
                known = {i: v for i, v in known.items() if i not in argument}
            elif action == "reopen":
                store = FaissStore(folder, D, token)
                known = dict(committed)
            else:
                if action == "compact":
                    store.compact()
                token = store.commit()
                store.sweep()
                committed = dict(known)
                assert files(folder) == json.loads(token)["segments"]
                if action == "compact":
                    assert not np.frombuffer(store._segments._removed, np.int64).size, (
                        "a removed vector is left"
                    )
            assert store.ids.tolist() == sorted(known)
            assert len(store) == len(known)
            same(store, known, queries, k)
            some = list(known)[:5]
            expected = np.array([known[i] for i in some], np.float32).reshape(len(some), D)
            assert np.array_equal(store.get(some), expected)
        store.close()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e18, 1e37])
def test_exact_whatever_the_lengths(tmp_path: Path, scale: float) -> None:
    rng = np.random.default_rng(3)
    matrix = (rng.normal(size=(500, D)) * scale).astype(np.float32)
    queries = (rng.normal(size=(5, D)) * min(scale, 1e37)).astype(np.float32)
    store = FaissStore(tmp_path, D)
    store.add(np.arange(500), matrix)
    store.commit()
    with np.errstate(over="ignore"):
        same(store, dict(enumerate(matrix)), queries, 10)


def test_near_ties_within_the_rounding_error_are_told_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    base = rng.normal(size=256).astype(np.float32)
    matrix = np.repeat(base[None], 400, axis=0)
    matrix = np.nextafter(matrix, rng.choice([-9, 9], matrix.shape).astype(np.float32))
    store = FaissStore(tmp_path, 256)
    store.add(np.arange(400), matrix)
    store.commit()
    queries = rng.normal(size=(20, 256)).astype(np.float32)
    expected = brute(dict(enumerate(matrix)), queries, 10)[1]
    assert np.array_equal(store.search(queries, 10)[1], expected)
    plain = np.argsort(-(queries @ matrix.T), axis=1)[:, :10]
    assert not np.array_equal(plain, expected)  # float32 alone gets them wrong


def test_a_removed_vector_is_gone_from_the_disk_once_compacted(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add(range(1, 11), vectors(list(range(1, 11))))
    store.commit()
    store.remove([2])
    store.compact()
    token = store.commit()
    store.sweep()
    written = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert vectors([2])[0].tobytes() not in written
    assert vectors([3])[0].tobytes() in written
    assert FaissStore(tmp_path, D, token).ids.tolist() == [1, *range(3, 11)]


def test_removing_everything_leaves_no_file(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1], vectors([1]))
    store.commit()
    store.remove([1])
    token = store.commit()
    store.sweep()
    assert files(tmp_path) == []
    again = FaissStore(tmp_path, D, token)
    assert len(again) == 0 and not again.ids.size
    assert [found.shape for found in again.search(vectors([1]), 3)] == [(1, 0), (1, 0)]


def test_the_earlier_state_stays_readable_until_the_sweep(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1, 2], vectors([1, 2]))
    before = store.commit()
    store.remove([1])
    after = store.commit()
    assert FaissStore(tmp_path, D, before).ids.tolist() == [1, 2]
    store.sweep()
    assert FaissStore(tmp_path, D, after).ids.tolist() == [2]
    with pytest.raises(LibraryDamaged, match="missing"):
        FaissStore(tmp_path, D, before)


def test_an_open_store_answers_after_another_has_swept_its_files(tmp_path: Path) -> None:
    writer = FaissStore(tmp_path, D)
    writer.add(range(20), vectors(list(range(20))))
    reader = FaissStore(tmp_path, D, writer.commit())
    writer.remove(range(15))
    writer.commit()
    writer.sweep()
    assert reader.search(vectors([3]), 1)[1].tolist() == [[3]]


def test_few_segments_and_little_rewriting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.index.durable.os.fsync", lambda _: None)
    store, rows = FaissStore(tmp_path, D), 0
    for n in range(600):
        store.add([n], vectors([n]))
        before = set(files(tmp_path))
        store.commit()
        store.sweep()
        rows += sum(len(s) for s in store._segments if s.name not in before)
        assert len(files(tmp_path)) <= 32
    assert rows < 600 * 6  # each vector once, and again when eight of its size are merged


def test_a_commit_without_a_change_writes_nothing(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1, 2], vectors([1, 2]))
    token = store.commit()
    stamps = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert store.commit() == token
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == stamps


def test_what_was_added_may_change_afterwards(tmp_path: Path) -> None:
    store, mine = FaissStore(tmp_path, D), vectors([1, 2])
    store.add([1, 2], mine)
    mine[:] = 0
    assert np.array_equal(store.get([1, 2]), vectors([1, 2]))


def test_a_commit_that_fails_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1, 2], vectors([1, 2]))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="space"):
        patch.setattr("limner.index.durable.os.fsync", full)
        store.commit()
    assert FaissStore(tmp_path, D, store.commit()).ids.tolist() == [1, 2]


@pytest.mark.parametrize("ids", [[1], [5, 5], [6], [9]])
def test_known_or_repeated_ids_are_refused(tmp_path: Path, ids: list[int]) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1, 7, 8, 9], vectors([1, 7, 8, 9]))
    store.commit()
    store.add([6], vectors([6]))
    store.remove([9])
    with pytest.raises(DeveloperError, match="new"):
        store.add(ids, vectors(ids))
    assert store.ids.tolist() == [1, 6, 7, 8]


def test_an_unknown_id_is_damage(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1, 2, 3, 4, 5, 6], vectors([1, 2, 3, 4, 5, 6]))
    store.commit()
    store.remove([3])
    for ids in ([3], [1, 7]):
        with pytest.raises(LibraryDamaged, match="not there"):
            store.get(ids)
    assert store.get([]).shape == (0, D)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, D), np.float32),
        np.zeros((1, D + 1), np.float32),
        np.zeros(D, np.float32),
        np.full((1, D), np.nan, np.float32),
        np.full((1, D), np.inf, np.float32),
        np.full((1, D), 1e300),
    ],
)
def test_unusable_vectors_are_refused(tmp_path: Path, bad: np.ndarray) -> None:
    store = FaissStore(tmp_path, D)
    with pytest.raises(DeveloperError), np.errstate(over="ignore"):
        store.add([1], bad)
    assert not store.ids.size
    store.add([1], vectors([1]))
    with pytest.raises(DeveloperError), np.errstate(over="ignore"):
        store.search(bad[:1], 1) if bad.shape != (2, D) else store.search(bad[:, :3], 1)


def use(folder: Path, token: str) -> None:
    store = FaissStore(folder, D, token)
    store.search(vectors([1]), 1)


def test_every_flipped_byte_is_noticed(tmp_path: Path, threads: int) -> None:
    if threads > 1:
        pytest.skip("the same files")
    store = FaissStore(tmp_path, D)
    store.add([1, 2], vectors([1, 2]))
    token = store.commit()
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(LibraryDamaged):
            use(tmp_path, token)
    for length in (0, 7, 20, 100, len(good) - 64, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(LibraryDamaged):
            use(tmp_path, token)
    path.write_bytes(good + b"\0")
    with pytest.raises(LibraryDamaged):
        use(tmp_path, token)
    path.write_bytes(good)
    with pytest.raises(LibraryDamaged):
        FaissStore(tmp_path, D + 1, token)
    assert FaissStore(tmp_path, D, token).ids.tolist() == [1, 2]


def test_swapped_segments_are_noticed(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add(range(64), vectors(list(range(64))))
    store.commit()
    store.add([100, 101], vectors([100, 101]))
    token = store.commit()
    one, two = (tmp_path / name for name in files(tmp_path))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    with pytest.raises(LibraryDamaged):
        use(tmp_path, token)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of 3,000 vectors is large."""
    for module in (approximate, store_module):
        monkeypatch.setattr(module, "STORE_ROWS", 3_000)
        monkeypatch.setattr(module, "SEGMENT_ROWS", 2_000)


def clustered(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, 32))
    rows = centres[rng.integers(0, 40, count)] + rng.normal(size=(count, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def filled(folder: Path, count: int = 4_000) -> tuple[FaissStore, np.ndarray, str]:
    store, rows = FaissStore(folder, 32), clustered(count)
    store.add(np.arange(count), rows)
    return store, rows, store.commit()


def recall(store: FaissStore, known: dict[int, np.ndarray], queries: np.ndarray) -> float:
    scores, ids = store.search(queries, 10)
    best_scores, best = brute(known, queries, 10)
    for row, found, score in zip(ids, scores, best_scores, strict=True):
        assert len(set(row.tolist())) == 10
        assert (found <= score).all() and (np.diff(found) <= 0).all()
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, best, strict=True)]))


def test_a_large_store_is_searched_by_lists_and_scored_exactly(small: None, tmp_path: Path) -> None:
    _, rows, token = filled(tmp_path)
    store = FaissStore(tmp_path, 32, token)
    assert "IVF 128 lists" in store.summary and "recall@10" in store.summary
    known, queries = dict(enumerate(rows)), clustered(100, 1)
    assert recall(store, known, queries) > 0.9
    scores, ids = store.search(queries, 10)
    for query, score, row in zip(queries, scores, ids, strict=True):
        exact = (rows[row].astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        assert np.array_equal(score, exact.astype(np.float32))


def test_what_is_new_or_removed_counts_at_once_beside_the_lists(
    small: None, tmp_path: Path
) -> None:
    store, rows, _ = filled(tmp_path)
    query = clustered(1, 1)
    nearest = store.search(query, 5)[1][0]
    store.remove(nearest)
    assert not set(nearest) & set(store.search(query, 500)[1][0])
    store.add([9_000], query)
    assert store.search(query, 1)[1].tolist() == [[9_000]]
    store = FaissStore(tmp_path, 32, store.commit())
    known = {i: v for i, v in enumerate(rows) if i not in nearest} | {9_000: query[0]}
    assert "IVF" in store.summary and recall(store, known, clustered(50, 2)) > 0.9
    assert store.search(query, 1)[1].tolist() == [[9_000]]


def test_as_many_as_are_wanted_come_from_the_lists(small: None, tmp_path: Path) -> None:
    store, rows, _ = filled(tmp_path)
    query = clustered(1, 3)
    far = np.argsort(-(rows @ query[0]))[1_500:]  # the nearest lists hold few of these
    for among in (None, np.sort(far), np.sort(far)[:100]):
        scores, ids = store.search(query, 2_400, among)
        assert ids.shape == scores.shape == (1, 2_400 if among is None else min(len(among), 2_400))
        assert among is None or np.isin(ids[0], among).all()


def test_very_long_vectors_beside_the_lists(small: None, tmp_path: Path) -> None:
    store, _, _ = filled(tmp_path)
    new = clustered(60, 8) * np.float32(1e36)
    store.add(np.arange(9_000, 9_060), new)
    query = clustered(1, 9) * np.float32(1e30)
    known = dict(enumerate(new, 9_000))
    with np.errstate(over="ignore"):
        assert np.array_equal(store.search(query, 12)[1], brute(known, query, 12)[1])


def test_a_store_that_shrinks_is_exact_again(small: None, tmp_path: Path) -> None:
    store, rows, _ = filled(tmp_path)
    store.remove(range(1_100))
    assert store.summary == "FAISS, exact inner product"
    same(store, {i: v for i, v in enumerate(rows) if i >= 1_100}, clustered(3, 4), 10)


def test_the_lists_are_the_same_in_every_run(small: None, tmp_path: Path) -> None:
    assert filled(tmp_path / "a")[2] == filled(tmp_path / "b")[2]


def test_damage_to_the_lists_is_noticed(small: None, tmp_path: Path, threads: int) -> None:
    _, _, token = filled(tmp_path)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    for at in np.linspace(len(good) * 3 // 4, len(good) - 1, 40).astype(int).tolist():
        path.write_bytes(good[:at] + bytes([good[at] ^ 16]) + good[at + 1 :])
        with pytest.raises(LibraryDamaged):
            FaissStore(tmp_path, 32, token).search(clustered(1), 3)


class PretendedGpu:
    """Stands for ``GpuIndexFlatIP``, with its rounding to float16; counts what it is given."""

    made: ClassVar[list[tuple[int, bool, int]]] = []

    def __init__(self, dimensions: int, half: bool) -> None:
        self._index = faiss.IndexFlatIP(dimensions)
        self._half = half
        self.made.append((dimensions, half, 0))

    def add(self, rows: np.ndarray) -> None:
        self.made[-1] = (*self.made[-1][:2], self.made[-1][2] + len(rows))
        self._index.add(rows.astype(np.float16).astype(np.float32) if self._half else rows)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        return self._index.search(queries, k)


@pytest.mark.parametrize("half", [False, True])
def test_a_gpu_holds_the_live_rows_and_its_finds_are_scored_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    monkeypatch.setattr(store_module, "gpus", lambda: 1)
    monkeypatch.setattr(gpu, "_flat", PretendedGpu)
    monkeypatch.setattr(gpu, "_HALF", 0 if half else 1 << 40)
    PretendedGpu.made.clear()
    store, rows, _ = filled(tmp_path, 1_000)
    known, queries = dict(enumerate(rows)), clustered(20, 5)
    for scores, wanted in zip(store.search(queries, 10), brute(known, queries, 10), strict=True):
        assert np.array_equal(scores, wanted)
    store.search(queries, 10)
    assert PretendedGpu.made == [(32, half, 1_000)]
    store.remove(range(0, 1_000, 10))
    known = {i: v for i, v in known.items() if i % 10}
    same(store, known, queries, 10)
    assert PretendedGpu.made[1:] == [(32, half, 900)]
    assert store.search(queries, 900)[1].shape == (20, 900)
    assert "GPU" in store.summary
