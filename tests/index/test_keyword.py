from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from limner.errors import DeveloperError, LibraryDamaged
from limner.index import postings
from limner.index.keyword import KeywordIndex
from limner.tools.sentences import stems

TEXTS = {
    3: "The laser cutter cuts plywood.",
    7: "Error E-26 means that the cooling water of the laser is warm.",
    9: "Batteries and boxes. A box of batteries.",
}
KEYS = st.integers(-3, 12)
LETTERS = st.text(st.sampled_from("ab é\ud800\u00df"), max_size=12)


def indexed(folder: Path, texts: Mapping[int, str]) -> KeywordIndex:
    index = KeywordIndex(folder)
    index.add(list(texts), list(texts.values()))
    index.commit()
    return index


@pytest.fixture
def index(tmp_path: Path) -> KeywordIndex:
    return indexed(tmp_path, TEXTS)


def test_the_best_match_comes_first_and_what_shares_no_word_not_at_all(
    index: KeywordIndex,
) -> None:
    assert [key for key, _ in index.search("cooling of the laser", 5)] == [7, 3]
    assert [key for key, _ in index.search("BATTERY", 5)] == [9]  # case and number do not count
    assert index.search("submarine", 5) == index.search("the of", 5) == index.search("", 5) == []
    assert len(index.search("laser", 1)) == 1
    assert index.search("laser", 0) == []


def test_scores_are_bm25(index: KeywordIndex) -> None:
    ((key, score),) = index.search("plywood", 5)
    lengths = [len(stems(text)) for text in TEXTS.values()]
    norm = 1.2 * (1 - 0.75 + 0.75 * lengths[0] / (sum(lengths) / 3))
    expected = math.log(1 + (3 - 1 + 0.5) / 1.5) / (1 + norm) / math.log(4)
    assert key == 3
    assert score == pytest.approx(expected, rel=1e-6)


def bm25s_scores(texts: list[str], query: str) -> np.ndarray:
    import bm25s

    tokens = [stems(text) for text in texts]
    known = [word for word in stems(query) if any(word in text for text in tokens)]
    if not known:
        return np.zeros(len(texts), np.float32)
    bm25 = bm25s.BM25(k1=1.2, b=0.75)
    bm25.index(tokens, show_progress=False)
    return bm25.get_scores(known) / math.log(len(texts) + 1)


WORDS = st.lists(st.sampled_from([f"{a}{b}x" for a in "kpt" for b in "aeiou"]), max_size=25)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=30), WORDS, st.integers(1, 9))
def test_scores_are_those_of_bm25s(texts: list[str], words: list[str], step: int) -> None:
    query, keys = " ".join(words), list(range(len(texts)))
    expected = bm25s_scores(texts, query)
    with TemporaryDirectory() as folder:
        index = KeywordIndex(Path(folder))
        for i in range(0, len(texts), step):
            index.add(keys[i : i + step], texts[i : i + step])
            index.commit()
        assert np.abs(index.scores(query, keys) - expected).max() < 1e-5
        found = index.search(query, len(texts))
        assert {key for key, _ in found} == set(np.flatnonzero(expected).tolist())
        assert all(abs(score - expected[key]) < 1e-5 for key, score in found)


def test_which_words_it_knows(index: KeywordIndex) -> None:
    assert stems("boxes")[0] in index and "submarine" not in index and 3 not in index
    index.remove([9])
    index.commit()
    assert stems("boxes")[0] not in index


@pytest.mark.parametrize("texts", [{}, {1: ""}, {1: "the of"}, {1: "\ud800 …"}])
def test_nothing_to_find(tmp_path: Path, texts: dict[int, str]) -> None:
    index = indexed(tmp_path, texts)
    assert index.search("laser the", 5) == index.explain("laser", 1) == []
    assert index.scores("laser", [1, 2]).tolist() == [0, 0]
    assert len(index) == len(index.keys) == len(texts)


def test_changes_count_once_committed(tmp_path: Path) -> None:
    index = indexed(tmp_path, TEXTS)
    before = index.search("laser", 5)
    index.add([11], ["Laser, laser, laser."])
    index.remove([3, 11, 999])
    index.add([12], ["One more laser."])
    assert index.search("laser", 5) == before and len(index) == 3
    index.commit()
    assert [key for key, _ in index.search("laser", 5)] == [12, 7]
    assert index.keys.tolist() == [7, 9, 12]


def test_a_token_opens_its_state_until_it_is_swept(tmp_path: Path) -> None:
    index = KeywordIndex(tmp_path)
    index.add(list(TEXTS), list(TEXTS.values()))
    first = index.commit()
    index.remove([7])
    index.compact()
    second = index.commit()
    assert KeywordIndex(tmp_path, first).keys.tolist() == [3, 7, 9]
    index.sweep()
    assert KeywordIndex(tmp_path, second).keys.tolist() == [3, 9]
    with pytest.raises(LibraryDamaged):
        KeywordIndex(tmp_path, first)
    (path,) = tmp_path.iterdir()
    assert b"cool" not in path.read_bytes()
    index.close()
    assert len(index) == 0 and index.search("laser", 5) == []


def test_known_and_repeated_keys_are_refused(index: KeywordIndex) -> None:
    index.add([20], ["one"])
    for keys in ([3], [20], [21, 21]):
        with pytest.raises(DeveloperError):
            index.add(keys, ["text"] * len(keys))
    with pytest.raises(DeveloperError):
        index.add([22, 23], ["text"])
    index.commit()
    assert index.keys.tolist() == [3, 7, 9, 20]


def test_only_some_keys(index: KeywordIndex) -> None:
    among = np.array([1, 3, 9], np.int64)
    assert [key for key, _ in index.search("laser", 5, among)] == [3]
    assert index.search("laser", 5, among[:1]) == index.search("laser", 5, among[:0]) == []
    assert dict(index.search("laser", 5, among))[3] == dict(index.search("laser", 5))[3]


def test_of_equals_the_smaller_key_comes_first(tmp_path: Path) -> None:
    index = KeywordIndex(tmp_path)
    for keys in ([5, 1], [4, 2], [3, 0]):  # in several files
        index.add(keys, ["laser"] * 2)
        index.commit()
    for k in range(1, 8):
        assert [key for key, _ in index.search("laser", k)] == [0, 1, 2, 3, 4, 5][:k]


def test_the_parts_of_a_score_are_its_sum(index: KeywordIndex) -> None:
    query = "cooling lasers in warm water, laser, laser: submarine"
    parts = index.explain(query, 7)
    assert parts[0][0] == "laser"  # said three times
    assert {stem for stem, _ in parts} == set(stems("cooling lasers warm water"))
    assert [part for _, part in parts] == sorted((part for _, part in parts), reverse=True)
    assert sum(part for _, part in parts) == pytest.approx(dict(index.search(query, 9))[7])
    assert index.explain(query, 8) == index.explain("submarine", 7) == []


def test_few_rows_are_scored_as_all_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = {i: " ".join(f"w{w}" for w in rng.zipf(1.5, 20) % 50) for i in range(400)}
    index = indexed(tmp_path, texts)
    everything = index.scores("w1 w2 w3 w17", list(texts))
    for key in (0, 7, 399):
        assert index.scores("w1 w2 w3 w17", [key])[0] == everything[key]
    best = index.search("w1 w2 w3 w17", 400)
    assert best[:10] == index.search("w1 w2 w3 w17", 10)
    assert best == index.search("w1 w2 w3 w17", 400, np.arange(400))
    assert [p for p in best if p[0] in (5, 6)] == index.search("w1 w2 w3 w17", 9, np.array([5, 6]))


class Changes(RuleBasedStateMachine):
    """Whatever is done, the index is as one made at once of the texts that are left."""

    def __init__(self) -> None:
        super().__init__()
        self._scratch = TemporaryDirectory()
        self._folder = Path(self._scratch.name) / "index"
        self._index = KeywordIndex(self._folder)
        self._token = ""
        self._texts: dict[int, str] = {}
        self._committed: dict[int, str] = {}

    @initialize()
    def fill(self) -> None:
        """So many that removing a few does not rewrite their file."""
        self.add({key: ("b ab", "aa aa", "é b b ß", "ab")[key % 4] for key in range(5, 40)})
        self.commit(compact=False, sweep=True)

    @rule(texts=st.dictionaries(KEYS, LETTERS, max_size=6))
    def add(self, texts: dict[int, str]) -> None:
        new = {key: text for key, text in texts.items() if key not in self._texts}
        self._index.add(list(new), list(new.values()))
        self._texts |= new

    @rule(keys=st.lists(KEYS, max_size=6))
    def remove(self, keys: list[int]) -> None:
        self._index.remove(keys)
        for key in keys:
            self._texts.pop(key, None)

    @rule(compact=st.booleans(), sweep=st.booleans())
    def commit(self, compact: bool, sweep: bool) -> None:
        if compact:
            self._index.compact()
        self._token = self._index.commit()
        self._committed = dict(self._texts)
        if sweep:
            self._index.sweep()

    @rule()
    def open(self) -> None:
        self._index.close()
        self._index = KeywordIndex(self._folder, self._token)
        self._texts = dict(self._committed)

    @invariant()
    def is_as_made_at_once(self) -> None:
        with TemporaryDirectory() as folder:
            fresh = indexed(Path(folder), self._committed)
            assert self._index.keys.tolist() == sorted(self._committed)
            assert len(self._index) == len(self._committed)
            for query in ("a", "b ab aa", "é ß ss a a"):
                for k in (3, 50):
                    assert self._index.search(query, k) == fresh.search(query, k)
                keys = range(-4, 41)
                assert (self._index.scores(query, keys) == fresh.scores(query, keys)).all()
                for key in (1, 5, 9):
                    assert self._index.explain(query, key) == fresh.explain(query, key)
            for stem in ("aa", "b", "ab", "zz"):
                assert (stem in self._index) == (stem in fresh)

    def teardown(self) -> None:
        self._scratch.cleanup()


TestChanges = Changes.TestCase
TestChanges.settings = settings(
    max_examples=30,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("_BATCH", "_MANY"):
        monkeypatch.setattr(postings, name, 7)
    yield


def test_small_batches_make_the_same_index(tmp_path: Path, small_batches: None) -> None:
    texts = {i: f"word{i % 5} word{i % 7} word{i % 3} common" for i in range(100)}
    index = KeywordIndex(tmp_path / "parts")
    for key in (*range(0, 100, 2), *range(99, 0, -2)):
        index.add([key], [texts[key]])
    index.commit()
    postings._BATCH = 1 << 20
    fresh = indexed(tmp_path / "whole", texts)
    for query in ("word1 word3", "common", "word6"):
        assert index.search(query, 50) == fresh.search(query, 50)


def test_removed_rows_of_a_file_that_stays_count_no_more(tmp_path: Path) -> None:
    texts = {i: "laser beam" if i % 2 else "laser" for i in range(20)} | {20: "prism"}
    index = indexed(tmp_path / "changed", texts)
    index.remove([1, 4, 20])
    index.commit()
    index.add([4], ["prism laser"])  # a removed key comes again
    index.remove([5])
    index.commit()
    left = {k: t for k, t in texts.items() if k not in (1, 5, 20)} | {4: "prism laser"}
    fresh = indexed(tmp_path / "fresh", left)
    for query in ("laser", "beam prism"):
        assert index.search(query, 30) == fresh.search(query, 30)
        among = np.arange(3, 21)
        assert index.search(query, 30, among) == fresh.search(query, 30, among)
        assert (index.scores(query, range(22)) == fresh.scores(query, range(22))).all()
    assert "prism" in index
    index.remove([4])
    index.commit()
    assert "prism" not in index and index.explain("laser", 4) == []


def test_damage_is_noticed(tmp_path: Path) -> None:
    index = KeywordIndex(tmp_path)
    index.add(list(TEXTS), list(TEXTS.values()))
    token = index.commit()
    expected = index.search("cooling laser battery", 5)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    noticed = 0
    for at in range(0, len(data), 5):
        path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        try:
            found = KeywordIndex(tmp_path, token).search("cooling laser battery", 5)
        except LibraryDamaged:
            noticed += 1
        else:
            assert found == expected  # what fills the gaps between arrays
    assert noticed > len(data) / 10
    for length in (0, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(LibraryDamaged):
            KeywordIndex(tmp_path, token)


def test_a_failed_commit_can_be_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    folder.touch()  # a file where the folder is to be
    index = KeywordIndex(folder)
    index.add([1], ["one laser"])
    with pytest.raises(OSError):
        index.commit()
    folder.unlink()
    index.add([2], ["two lasers"])
    token = index.commit()
    assert [key for key, _ in KeywordIndex(folder, token).search("laser", 5)] == [1, 2]


def test_opening_reads_headers_alone(tmp_path: Path) -> None:
    index = KeywordIndex(tmp_path)
    index.add(list(TEXTS), list(TEXTS.values()))
    token = index.commit()
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-65] + bytes(65))
    opened = KeywordIndex(tmp_path, token)
    assert len(opened) == 3
    with pytest.raises(LibraryDamaged):
        opened.search("laser", 5)
