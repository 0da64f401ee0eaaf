from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.errors import DeveloperError, LibraryDamaged
from limner.index.segments import Segment, Segments


def some(*keys: int) -> dict[str, np.ndarray]:
    ids = np.array(keys, np.int64)
    return {"keys": ids, "squares": (ids**2).astype(np.float32)[:, None]}


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_arrays_come_back_read_only_with_their_shapes(tmp_path: Path) -> None:
    segments = Segments(tmp_path, ".s")
    new = some(2, 3, 5) | {"empty": np.zeros((0, 4), np.uint8), "half": np.ones(3, np.float16)}
    token = segments.commit(new)
    (segment,) = Segments(tmp_path, ".s", token)
    for name, array in new.items():
        assert np.array_equal(segment[name], array)
        assert (segment[name].dtype, segment[name].shape) == (array.dtype, array.shape)
        assert segment.shape(name) == array.shape
        assert not segment[name].flags.writeable
    assert (len(segment), "half" in segment, "none" in segment) == (3, True, False)
    assert segment.shape("none") == (0,)


def test_pieces_make_the_same_file_as_the_whole(tmp_path: Path) -> None:
    array = np.arange(70, dtype=np.float32).reshape(10, 7)
    keys = np.arange(10)
    whole = Segments(tmp_path, ".s").commit({"keys": keys, "v": array})
    pieces = {"keys": [keys[:3], keys[3:]], "v": [array[:1], array[1:1], array[1:9], array[9:]]}
    assert Segments(tmp_path, ".s").commit(pieces) == whole


def test_a_segment_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments = Segments(tmp_path, ".s")
    before = segments.token

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="space"):
        patch.setattr("limner.index.durable.os.fsync", full)
        segments.commit(some(1, 2))
    assert (files(tmp_path), segments.token, len(segments)) == ([], before, 0)


@pytest.mark.parametrize("keys", [(), (2, 1), (1, 1)])
def test_keys_must_ascend(tmp_path: Path, keys: tuple[int, ...]) -> None:
    with pytest.raises(DeveloperError, match="ascend"):
        Segments(tmp_path, ".s").commit(some(*keys))


def test_every_byte_counts(tmp_path: Path) -> None:
    token = Segments(tmp_path, ".s").commit(some(1, 2, 3))
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()

    def use() -> None:
        (segment,) = Segments(tmp_path, ".s", token)
        _ = segment.keys, segment["squares"]

    spoiled = [good[:at] + bytes([good[at] ^ 128]) + good[at + 1 :] for at in range(len(good))]
    spoiled += [good[:length] for length in range(0, len(good), 5)]
    spoiled += [good + b"\0", good[64:] + good[:64], bytes(len(good)), good + good]
    for data in spoiled:
        path.write_bytes(data)
        with pytest.raises(LibraryDamaged):
            use()
    path.unlink()
    with pytest.raises(LibraryDamaged, match="missing"):
        use()
    path.mkdir()
    with pytest.raises(LibraryDamaged):
        use()


def test_arrays_are_verified_when_touched_not_when_opened(tmp_path: Path) -> None:
    token = Segments(tmp_path, ".s").commit(some(1, 2, 3))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-60] + bytes([9] * 60))
    (segment,) = Segments(tmp_path, ".s", token)
    assert segment.keys.tolist() == [1, 2, 3]
    with pytest.raises(LibraryDamaged, match="damaged"):
        _ = segment["squares"]


@pytest.mark.parametrize(
    "token",
    [
        "{",
        "[]",
        '{"segments": []}',
        '{"segments": [1], "removed": ""}',
        '{"segments": [], "removed": "zz"}',
        '{"segments": ["../x.s"], "removed": ""}',
        '{"segments": ["/etc/passwd"], "removed": ""}',
    ],
)
def test_a_token_that_says_nothing_is_damage(tmp_path: Path, token: str) -> None:
    with pytest.raises(LibraryDamaged):
        Segments(tmp_path, ".s", token)


def test_the_sweep_removes_strays_of_its_suffix_only(tmp_path: Path) -> None:
    segments = Segments(tmp_path, ".s")
    token = segments.commit(some(1))
    (tmp_path / f"{'0' * 40}.s").write_bytes(b"left by a killed run")
    (tmp_path / "half.s.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("somebody's")
    segments.sweep()
    assert files(tmp_path) == sorted([*json.loads(token)["segments"], "notes.txt"])


def test_a_mapped_segment_outlives_its_file(tmp_path: Path) -> None:
    Segments(tmp_path, ".s").commit(some(1, 2))
    (path,) = tmp_path.iterdir()
    segment = Segment(path)
    path.unlink()
    assert segment["squares"].ravel().tolist() == [1, 4]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 60)),
        st.tuples(st.just("remove"), st.lists(st.integers(0, 400), max_size=40)),
        st.tuples(st.sampled_from(["compact", "reopen"]), st.none()),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_the_keys_are_those_of_a_set_after_any_history(
    steps: list, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("segments")
    segments, known, following = Segments(folder, ".s"), set[int](), 0
    for action, argument in steps:
        if action == "add":
            new = set(range(following, following := following + argument))
            merge(segments, new, segments.due(len(new)))
            known |= new
        elif action == "remove":
            segments.remove(argument)
            known -= set(argument)
        elif action == "compact":
            merge(segments, set(), segments.due(0, compact=True))
            assert all(segments.live(segment) is None for segment in segments)
        else:
            segments = Segments(folder, ".s", segments.token)
        assert segments.keys().tolist() == sorted(known)
        assert len(segments) == len(known)
        segments.sweep()
        assert files(folder) == json.loads(segments.token)["segments"]


def merge(segments: Segments, new: set[int], due: list[Segment]) -> int:
    """Commit new keys with what is live in others; how many rows were written."""
    for segment in due:
        live = segments.live(segment)
        new = new | set((segment.keys if live is None else segment.keys[live]).tolist())
    segments.commit(some(*sorted(new)) if new else None, due)
    return len(new)


@pytest.mark.parametrize("sizes", [[1] * 700, [1, 40] * 60, [2**n for n in range(11)][::-1] * 2])
def test_few_files_and_little_rewriting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    monkeypatch.setattr("limner.index.durable.os.fsync", lambda _: None)
    segments, following, written = Segments(tmp_path, ".s"), 0, 0
    for size in sizes:
        new = set(range(following, following := following + size))
        written += merge(segments, new, segments.due(size))
        assert len(list(segments)) <= 28
    assert written <= 5 * following
