from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.errors import DeveloperError, LibraryDamaged
from limner.index.vector_stores.faiss import FaissStore

D = 8


def vectors(ids: list[int], generation: int = 0) -> np.ndarray:
    """A random direction of its own for every id."""
    found = [np.random.default_rng([i, generation]).normal(size=D) for i in ids]
    rows = np.array(found, np.float32).reshape(len(ids), D)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def segments(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


class Model:
    """What a store should be: a dict searched with numpy, and its last committed state."""

    def __init__(self) -> None:
        self.now: dict[int, np.ndarray] = {}
        self.committed: dict[int, np.ndarray] = {}

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        ids = np.array(list(self.now), np.int64)
        matrix = np.array([self.now[i] for i in ids.tolist()], np.float32).reshape(len(ids), D)
        scores = queries @ matrix.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, 1), ids[order]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 40)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 300), max_size=12)),
        st.tuples(st.just("commit"), st.none()),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps=steps, k=st.integers(0, 30))
def test_equals_brute_force_after_any_history(steps: list, k: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, model, token, following = Path(name) / "vectors", Model(), "", 0
        store = FaissStore(folder, D)
        queries = vectors([10_001, 10_002, 10_003])
        for action, argument in steps:
            if action == "add":
                ids = list(range(following, following + argument))
                following += argument
                store.add(ids, vectors(ids))
                model.now |= dict(zip(ids, vectors(ids), strict=True))
            elif action == "remove":
                store.remove(argument)
                model.now = {i: v for i, v in model.now.items() if i not in argument}
            elif action == "commit":
                token = store.commit()
                store.sweep()
                model.committed = dict(model.now)
                assert segments(folder) == json.loads(token)
                assert len(segments(folder)) <= 9
            else:
                store = FaissStore(folder, D, token)
                model.now = dict(model.committed)
            assert store.ids == model.now.keys()
            scores, ids = store.search(queries, k)
            expected_scores, expected_ids = model.search(queries, k)
            assert ids.tolist() == expected_ids.tolist()
            assert np.allclose(scores, expected_scores, atol=1e-5)
            some = list(model.now)[:5]
            assert np.array_equal(
                store.get(some), np.array([model.now[i] for i in some]).reshape(len(some), D)
            )


def test_a_removed_vector_is_gone_from_the_disk(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1, 2, 3], vectors([1, 2, 3]))
    store.commit()
    store.remove([2])
    token = store.commit()
    store.sweep()
    written = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert vectors([2])[0].tobytes() not in written
    assert vectors([3])[0].tobytes() in written
    assert FaissStore(tmp_path, D, token).ids == {1, 3}


def test_removing_everything_leaves_no_file(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1], vectors([1]))
    store.commit()
    store.remove([1])
    assert store.commit() == "[]"
    store.sweep()
    assert segments(tmp_path) == []


def test_the_earlier_state_stays_readable_until_the_sweep(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1, 2], vectors([1, 2]))
    before = store.commit()
    store.remove([1])
    after = store.commit()
    assert FaissStore(tmp_path, D, before).ids == {1, 2}
    store.sweep()
    assert FaissStore(tmp_path, D, after).ids == {2}
    with pytest.raises(LibraryDamaged, match="missing"):
        FaissStore(tmp_path, D, before)


def test_few_segments_and_little_rewriting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.index.durable.os.fsync", lambda _: None)
    store, written = FaissStore(tmp_path, D), 0
    for n in range(600):
        store.add([n], vectors([n]))
        before = set(segments(tmp_path))
        store.commit()
        store.sweep()
        written += sum((tmp_path / s).stat().st_size for s in set(segments(tmp_path)) - before)
        assert len(segments(tmp_path)) <= 9
    row = 8 + 4 * D
    assert written < 600 * row * 12  # each vector about log2(600) times


def test_few_segments_though_each_is_smaller_than_the_last(tmp_path: Path) -> None:
    store, following = FaissStore(tmp_path, D), 0
    for size in (2**n for n in reversed(range(11))):
        ids = list(range(following, following + size))
        following += size
        store.add(ids, vectors(ids))
        store.commit()
        store.sweep()
        assert len(segments(tmp_path)) <= 9


def test_a_commit_without_a_change_writes_nothing(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1, 2], vectors([1, 2]))
    token = store.commit()
    stamps = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert store.commit() == token
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == stamps


def test_the_sweep_removes_strays_only(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1], vectors([1]))
    token = store.commit()
    (tmp_path / f"{'0' * 64}.vectors").write_bytes(b"left by a killed run")
    (tmp_path / "half.vectors.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("somebody's")
    store.sweep()
    assert segments(tmp_path) == sorted([*json.loads(token), "notes.txt"])


@pytest.mark.parametrize("ids", [[1], [5, 5]])
def test_known_or_repeated_ids_are_refused(tmp_path: Path, ids: list[int]) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1], vectors([1]))
    with pytest.raises(DeveloperError, match="new"):
        store.add(ids, vectors(ids))
    assert store.ids == {1}


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
    assert not store.ids
    store.add([1], vectors([1]))
    with pytest.raises(DeveloperError), np.errstate(over="ignore"):
        store.search(bad[:1], 1) if bad.shape != (2, D) else store.search(bad[:, :3], 1)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    store = FaissStore(tmp_path, D)
    store.add([1, 2], vectors([1, 2]))
    token = store.commit()
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(LibraryDamaged):
            FaissStore(tmp_path, D, token)
    for length in (0, 7, len(good) - 1):
        path.write_bytes(good[:length])
        with pytest.raises(LibraryDamaged):
            FaissStore(tmp_path, D, token)
    path.write_bytes(good)
    with pytest.raises(LibraryDamaged):
        FaissStore(tmp_path, D + 1, token)
    assert FaissStore(tmp_path, D, token).ids == {1, 2}
