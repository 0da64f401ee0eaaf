"""The cache of vectors: what it saves, what it forgets, and what may happen to its file."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from limner.errors import DeveloperError, UserError
from limner.index import embedding_cache
from limner.index.embedding_cache import EmbeddingCache
from limner.index.embeddings import HashEmbeddings, Vectors

TEXTS = [f"note {n} speaks of word{n}" for n in range(600)]
A, B = "/libraries/a", "/libraries/b"

# What each child process does: encode, and say what it had to embed.
CHILD = """
import os, sys, time
from pathlib import Path
from limner.index.embedding_cache import EmbeddingCache
from limner.index.embeddings import HashEmbeddings
import filelock
path, first, last, pause, user = sys.argv[1], *map(int, sys.argv[2:6])
class Model(HashEmbeddings):
    def encode_document(self, texts):
        time.sleep(pause / 1000)
        print("slice", flush=True)
        return super().encode_document(texts)
cache, texts = EmbeddingCache(Path(path)), [f"note {n} speaks of word{n}" for n in range(600)]
model = Model()
model.recipe = "hash one"
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
vectors = cache.encode(model, texts[first:last], "/libraries/child")
assert (vectors == HashEmbeddings().encode_document(texts[first:last])).all()
print(len(model.encoded), flush=True)
"""


class Model(HashEmbeddings):
    """Has a recipe, and remembers the slices that it was asked for."""

    def __init__(self, recipe: str = "hash one", dimensions: int = 64) -> None:
        super().__init__(dimensions)
        self.recipe = recipe
        self.slices: list[int] = []

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        self.slices.append(len(texts))
        return super().encode_document(texts)


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache" / "embeddings.db")


def right(texts: Sequence[str], dimensions: int = 64) -> Vectors:
    return HashEmbeddings(dimensions).encode_document(texts)


def asked(cache: EmbeddingCache, texts: Sequence[str], library: str = A, **model: object) -> int:
    """How many texts had to be embedded; the vectors are right in any case."""
    fake = Model(**model)  # type: ignore[arg-type]
    assert np.array_equal(cache.encode(fake, texts, library), right(texts, fake.dimensions))
    return len(fake.encoded)


def rows(cache: EmbeddingCache, table: str = "vectors") -> int:
    connection = sqlite3.connect(cache.path)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


def change(cache: EmbeddingCache, statement: str, *values: object) -> None:
    connection = sqlite3.connect(cache.path)
    with connection:
        connection.execute(statement, values)
    connection.close()


def spawn(cache: EmbeddingCache, first: int, last: int, pause: int = 0, user: int = 0):
    command = [sys.executable, "-c", CHILD, str(cache.path)]
    command += map(str, (first, last, pause, user))
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_each_text_is_embedded_once_and_the_order_kept(cache: EmbeddingCache) -> None:
    mixed = [*TEXTS[:40], *TEXTS[20:60][::-1], TEXTS[0], "", "\ud800 lone"]
    assert asked(cache, mixed) == 62
    assert asked(cache, mixed[::-1]) == 0
    assert asked(cache, TEXTS[50:70]) == 10
    vectors = cache.encode(Model(), mixed, A)
    assert vectors.dtype == np.float32 and vectors.flags.writeable
    assert cache.encode(Model(), [], A).shape == (0, 64)


def test_slices(cache: EmbeddingCache) -> None:
    model = Model()
    cache.encode(model, TEXTS, A)
    assert model.slices == [256, 256, 88]


def test_a_model_switch_and_back_computes_nothing_again(cache: EmbeddingCache) -> None:
    assert asked(cache, TEXTS) == 600
    assert asked(cache, TEXTS, recipe="hash two", dimensions=32) == 600
    assert asked(cache, TEXTS) == 0
    assert asked(cache, TEXTS, recipe="hash two", dimensions=32) == 0


def test_forget_across_two_libraries(cache: EmbeddingCache) -> None:
    asked(cache, TEXTS[:20], A)
    asked(cache, TEXTS[:20], A, recipe="hash two")
    assert asked(cache, TEXTS[10:30], B) == 10
    assert cache.forget(TEXTS[:20], A)
    assert rows(cache) == 30  # 10 to 29 of one recipe, 10 to 19 of the other
    assert rows(cache, "uses") == 20
    assert asked(cache, TEXTS[10:30], B) == 0 and asked(cache, TEXTS[:10], A) == 10
    assert cache.forget(TEXTS, A) and cache.forget([], A) and cache.forget(["unknown"], "/other")
    assert cache.forget_library(B)
    assert rows(cache) == rows(cache, "uses") == 0


def test_what_is_forgotten_is_not_on_the_disk(cache: EmbeddingCache) -> None:
    kept = {row.tobytes() for row in right(TEXTS[500:])}
    needles = {row.tobytes() for row in right(TEXTS[:500])} - kept
    asked(cache, TEXTS)

    def found() -> int:
        data = b"".join(path.read_bytes() for path in cache.path.parent.iterdir())
        return sum(needle in data for needle in needles)

    assert found() > 200
    size = cache.path.stat().st_size
    for at in range(400, 0, -100):  # neighbours are moved, and then forgotten too
        assert cache.forget(TEXTS[at : at + 100], A)
    assert cache.forget(TEXTS[:100], A)
    assert found() == 0 and cache.path.stat().st_size < size / 2
    assert asked(cache, TEXTS[500:]) == 0


def test_many_texts(cache: EmbeddingCache) -> None:
    class Quick(Model):
        def encode_document(self, texts: Sequence[str]) -> Vectors:
            self.encoded.extend(texts)
            numbers = np.array([int(text) for text in texts], np.float32)
            return np.stack([np.cos(numbers), np.sin(numbers)], axis=1)

    texts, model = [str(n) for n in range(20_000)], Quick(dimensions=2)
    first = cache.encode(model, texts, A)
    assert np.array_equal(cache.encode(model, texts, B), first) and len(model.encoded) == 20_000
    assert cache.forget(texts, A) and rows(cache) == 20_000
    assert cache.forget(texts, B) and rows(cache) == 0


def test_a_model_that_fails_or_misbehaves_stores_nothing(cache: EmbeddingCache) -> None:
    for answer in (np.full((3, 64), np.nan), np.zeros((4, 64)), np.zeros((3, 63))):
        model = Model()
        model.encode_document = lambda texts, answer=answer: answer  # type: ignore[method-assign]
        with pytest.raises(DeveloperError):
            cache.encode(model, TEXTS[:3], A)
    model.encode_document = lambda texts: open("/nowhere")  # type: ignore # noqa: SIM115, PTH123
    with pytest.raises(FileNotFoundError):  # the model's own trouble is not taken for the cache's
        cache.encode(model, TEXTS[:3], A)
    assert asked(cache, TEXTS[:3]) == 3


def test_two_processes_at_once(cache: EmbeddingCache) -> None:
    processes = [spawn(cache, first, first + 400) for first in (0, 200, 0, 200)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert rows(cache) == 600 and asked(cache, TEXTS) == 0
    assert not cache.path.with_name("embeddings.db.damaged").exists()


def test_threads(cache: EmbeddingCache) -> None:
    faults: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for _ in range(5):
                asked(cache, TEXTS[first : first + 100], f"/{first}")
                cache.forget(TEXTS[first : first + 50], f"/{first}")
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 50, 100, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_killed_in_the_middle(cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed embeds at most one slice again."""
    dice = random.Random(3)
    for _ in range(6):
        process = spawn(cache, 0, 600, pause=20)
        assert process.stdout
        for _ in range(dice.randint(1, 3)):
            process.stdout.readline()
        time.sleep(dice.uniform(0, 0.05))
        process.kill()
        slices = process.communicate()[0].count("slice")
        assert slices <= 3
        known = rows(cache) if cache.path.exists() else 0
        assert known in (0, 256, 512, 600)
        assert asked(cache, TEXTS) == 600 - known
        assert cache.forget_library(A) and cache.forget_library("/libraries/child")
    process = spawn(cache, 0, 600, pause=300)
    assert process.stdout
    for _ in range(3):  # the third slice is being embedded, so two are stored
        process.stdout.readline()
    process.kill()
    process.communicate()
    assert 600 - asked(cache, TEXTS) >= 512


def test_damaged_rows_are_dropped(cache: EmbeddingCache) -> None:
    asked(cache, TEXTS[:10])
    blob, short = right(["other"])[0].tobytes(), b"1234"
    change(cache, "UPDATE vectors SET vector = ? WHERE id = 1", blob)
    change(cache, "UPDATE vectors SET vector = ? WHERE id = 2", short)
    change(cache, "UPDATE vectors SET checksum = ? WHERE id = 3", b"")
    change(cache, "UPDATE vectors SET vector = 'words', used = 'words' WHERE id = 4")
    change(cache, "UPDATE vectors SET vector = 17 WHERE id = 5")
    change(cache, "UPDATE vectors SET used = 'words' WHERE id = 6")
    other = "(SELECT {0} FROM vectors AS v WHERE v.id = 8)"  # a whole row, but of another text
    both = ", ".join(f"{c} = {other.format(c)}" for c in ("vector", "checksum"))
    change(cache, f"UPDATE vectors SET {both} WHERE id = 7")
    assert asked(cache, TEXTS[:10]) == 6
    assert asked(cache, TEXTS[:10]) == 0 and rows(cache) == 10


def test_damaged_files_never_give_a_wrong_vector(cache: EmbeddingCache) -> None:
    asked(cache, TEXTS)
    good, dice, again = cache.path.read_bytes(), random.Random(7), []
    for trial in range(60):
        data = bytearray(good)
        if trial % 3 == 0:
            del data[dice.randrange(len(data)) :]
        else:
            for _ in range(1 if trial % 3 == 1 else 200):
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        for path in cache.path.parent.iterdir():
            path.unlink()
        cache.path.write_bytes(data)
        again.append(asked(EmbeddingCache(cache.path), TEXTS))  # and the vectors are right
    assert min(again) < 10 and max(again) == 600


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 500, b"SQLite format 3\0"])
def test_a_file_that_is_none_is_set_aside(cache: EmbeddingCache, content: bytes) -> None:
    cache.path.parent.mkdir()
    cache.path.write_bytes(content)
    aside = cache.path.with_name("embeddings.db.damaged")
    assert asked(cache, TEXTS[:5]) == 5
    assert aside.read_bytes() == content
    assert asked(cache, TEXTS[:5]) == 0
    assert cache.forget(TEXTS[:1], A) and not aside.exists()
    cache.path.write_bytes(b"damaged " * 1000)
    assert cache.forget(TEXTS[:1], A) and not aside.exists()


def test_the_oldest_are_evicted(cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr(embedding_cache.time, "time", lambda: now)
    cache.max_bytes = 400_000
    for day in range(30):
        now += 86_400
        texts = [f"day {day} text {n}" for n in range(100)]
        asked(cache, texts)
        asked(cache, ["day 0 text 0", "day 0 text 1"])  # used every day
        assert cache.path.stat().st_size < cache.max_bytes * 1.2
    assert 100 < rows(cache) < 1200 and rows(cache, "uses") == rows(cache)
    assert asked(cache, ["day 0 text 0", "day 0 text 1"]) == 0
    assert asked(cache, texts) == 0 and asked(cache, ["day 0 text 2"]) == 1
    cache.max_bytes = 1
    assert asked(cache, ["something else"]) == 1 and rows(cache) == 0


def test_a_locked_file(cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_cache, "_PATIENCE", 0.05)
    asked(cache, TEXTS[:5])
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert asked(cache, TEXTS[:10]) in (5, 10)
    assert not cache.forget(TEXTS[:5], A)
    other.execute("ROLLBACK")
    other.close()
    assert asked(cache, TEXTS[:10]) == 10  # let alone for a while
    monkeypatch.setattr(cache, "_paused_until", 0.0)
    assert asked(cache, TEXTS[:10]) == 5 and cache.forget(TEXTS[:5], A)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_read_only_folder(open_folder: Path) -> None:
    cache = EmbeddingCache(open_folder / "embeddings.db")
    for expected in (100, 100):  # without a file; then with one that may not be read
        process = spawn(cache, 0, 100, user=65534)
        said = process.communicate(timeout=60)[0].split()
        assert process.returncode == 0 and said[-1] == str(expected)
        assert asked(cache, TEXTS[:100]) in (0, 100)
    cache.path.chmod(0o644)
    process = spawn(cache, 0, 100, user=65534)
    assert process.communicate(timeout=60)[0] and process.returncode == 0


def test_a_place_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "embeddings.db").mkdir(parents=True)
    for folder in ("file", "file/below", "folder"):
        cache = EmbeddingCache(tmp_path / folder / "embeddings.db")
        assert asked(cache, TEXTS[:5]) == 5


def test_a_full_disk(cache: EmbeddingCache) -> None:
    asked(cache, TEXTS[:10])
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))\n"
    command = [sys.executable, "-c", code + CHILD, str(cache.path), "0", "600", "0", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) == 590
    asked(cache, TEXTS)
    assert asked(cache, TEXTS) == 0


def test_only_the_owner_may_read_it(cache: EmbeddingCache) -> None:
    before = os.umask(0)
    try:
        asked(cache, TEXTS[:5])
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700
    for path in cache.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LIMNER_CACHE", "LIMNER_CACHE_BYTES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    default = EmbeddingCache.default()
    assert default and default.path.name == "embeddings.db" and default.max_bytes == 2_000_000_000
    if sys.platform == "linux":
        assert default.path.parent == tmp_path / "limner"
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("LIMNER_CACHE_BYTES", "5000")
    other = EmbeddingCache.default()
    assert other and other.path == tmp_path / "elsewhere" / "embeddings.db"
    assert other.max_bytes == 5000
    monkeypatch.setenv("LIMNER_CACHE_BYTES", "2 GB")
    with pytest.raises(UserError, match="LIMNER_CACHE_BYTES"):
        EmbeddingCache.default()
    monkeypatch.setenv("LIMNER_CACHE", "off")
    assert EmbeddingCache.default() is None
