"""Chroma gone, hanging, restarted, tampered with; and several processes at one folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limner.errors import (
    DeveloperError,
    LibraryDamaged,
    LibraryLocked,
    LibraryMismatch,
    LibraryReadOnly,
    LibraryUnreachable,
    ModelMissing,
)
from limner.index.vector_stores import chroma, chroma_place
from limner.index.vector_stores.chroma import ChromaStore

pytest.importorskip("chromadb")

D = 16
NAME = "limner-test"


def vectors(ids: list[int] | range) -> np.ndarray:
    rows = [np.random.default_rng(i).normal(size=D) for i in ids]
    return np.array(rows, np.float32).reshape(len(ids), D)


def at(server: Any, token: str = "") -> ChromaStore:
    return ChromaStore(D, token, address=server.address, collection=NAME)


def inside(folder: Path, token: str = "", dimensions: int = D) -> ChromaStore:
    return ChromaStore(dimensions, token, folder=folder, collection=NAME)


def written(store: ChromaStore, ids: range) -> str:
    store.add(ids, vectors(ids))
    token = store.commit()
    store.sweep()
    return token


def assert_whole(store: ChromaStore, ids: range) -> None:
    """Every vector is there, is what was written, and is found."""
    assert store.ids.tolist() == list(ids)
    assert np.array_equal(store.get(ids), vectors(ids))
    for i in ids[::97]:
        rows = vectors([i])
        assert store.search(rows / np.linalg.norm(rows) ** 2, 1)[0][0, 0] >= 1 - 1e-5


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, but the limits are shorter."""
    monkeypatch.setattr(chroma_place, "_CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(chroma_place, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(chroma_place, "_PATIENCE_SECONDS", 0.5)


@pytest.fixture
def answering() -> Iterator[Callable[[int, str], tuple[str, list[dict[str, str]]]]]:
    """Starts a server that always gives one answer; returns its address and the headers it got."""
    servers = []

    def start(status: int, body: str) -> tuple[str, list[dict[str, str]]]:
        heard: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append(dict(self.headers))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}", heard

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_nothing_runs_at_the_address(own_server: Any, within: Any) -> None:
    own_server.kill()
    with within(3), pytest.raises(LibraryUnreachable, match="does not answer") as caught:
        at(own_server)
    assert "chroma run" in caught.value.hint
    assert own_server.address in str(caught.value)


def test_a_server_that_never_answers(impatient: None, within: Any) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with within(3), pytest.raises(LibraryUnreachable, match="in time"):
            ChromaStore(D, address=address, collection=NAME)


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>hello</html>"), (404, "not found"), (502, "bad gateway"), (200, "{}")],
)
def test_another_kind_of_server(answering: Any, status: int, body: str) -> None:
    address, _ = answering(status, body)
    with pytest.raises(LibraryUnreachable, match="no answer that Chroma gives"):
        ChromaStore(D, address=address, collection=NAME)


def test_an_address_that_is_none() -> None:
    for address in ("http://", "http://127.0.0.1:port", "http://no such host"):
        with pytest.raises(LibraryUnreachable):
            ChromaStore(D, address=address, collection=NAME)


def test_the_token_is_sent_and_a_refusal_is_told(
    answering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_CHROMA_TOKEN", "secret")
    address, heard = answering(401, json.dumps({"error": "AuthorizationError", "message": "no"}))
    with pytest.raises(LibraryUnreachable) as caught:
        ChromaStore(D, address=address, collection=NAME)
    assert heard[0]["Authorization"] == "Bearer secret"
    assert "LIMNER_CHROMA_TOKEN" in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_server_that_hangs_in_the_middle(
    own_server: Any, within: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = at(own_server)
    token = written(store, range(50))
    store.add(range(50, 80), vectors(range(50, 80)))
    store.close()
    own_server.hang()
    with monkeypatch.context() as patch:
        patch.setattr(chroma_place, "_ANSWER_SECONDS", 0.5)
        with within(5), pytest.raises(LibraryUnreachable, match="in time"):
            store.commit()
        with within(5), pytest.raises(LibraryUnreachable, match="in time"):
            store.search(vectors([1]), 3)
    store.close()
    own_server.go_on()
    assert_whole(at(own_server, token), range(50))
    assert_whole(at(own_server, store.commit()), range(80))


@pytest.mark.slow
def test_a_restart_between_two_batches_loses_nothing(
    own_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = at(own_server)
    written(store, range(500))
    monkeypatch.setattr(chroma, "_BATCH", 200)
    restart = threading.Timer(0.5, own_server.start)
    upserts = count_upserts(
        store, monkeypatch, at=3, do=lambda: (own_server.kill(), restart.start())
    )
    store.add(range(500, 2500), vectors(range(500, 2500)))
    token = store.commit()
    restart.join()
    assert upserts() == 10
    assert_whole(store, range(2500))
    assert_whole(at(own_server, token), range(2500))


def test_a_server_that_stays_away_leaves_everything_as_it_was(
    own_server: Any, within: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = at(own_server)
    token = written(store, range(500))
    monkeypatch.setattr(chroma, "_BATCH", 200)
    monkeypatch.setattr(chroma_place, "_PATIENCE_SECONDS", 0.5)
    count_upserts(store, monkeypatch, at=2, do=own_server.kill)
    store.add(range(500, 1500), vectors(range(500, 1500)))
    store.remove(range(3))
    with within(10), pytest.raises(LibraryUnreachable, match=r"does not answer$"):
        store.commit()
    assert own_server.process is None
    assert store.ids.tolist() == list(range(500))
    own_server.start()
    assert_whole(at(own_server, token), range(500))  # the half that was written does not show
    later = store.commit()
    store.sweep()
    assert_whole(at(own_server, later), range(3, 1500))


@pytest.mark.slow
def test_what_was_acknowledged_outlives_a_killed_server(own_server: Any) -> None:
    store = at(own_server)
    for start in range(0, 3000, 500):
        token = written(store, range(start, start + 500))
        own_server.kill()
        own_server.start()
        assert_whole(at(own_server, token), range(start + 500))


def count_upserts(
    store: ChromaStore, patch: pytest.MonkeyPatch, at: int, do: Callable[[], object]
) -> Callable[[], int]:
    """Something happens before the n-th batch is sent."""
    seen, ask = 0, store._place.ask

    def counted(name: str, verb: str, **named: Any) -> Any:
        nonlocal seen
        seen += verb == "upsert"
        if verb == "upsert" and seen == at:
            do()
        return ask(name, verb, **named)

    patch.setattr(store._place, "ask", counted)
    return lambda: seen


def test_strays_of_a_crash_before_the_token_are_invisible_and_swept(tmp_path: Path) -> None:
    token = written(inside(tmp_path), range(300))
    crashed = inside(tmp_path, token)
    crashed.add(range(300, 900), vectors(range(300, 900)))
    crashed.commit()
    reader = inside(tmp_path, token)
    assert_whole(reader, range(300))
    assert (reader.search(vectors(range(300, 320)), 50)[1] < 300).all()
    assert reader._ask("count") == 900
    following = inside(tmp_path, token)
    written(following, range(300, 301))
    assert following._ask("count") == 301


def test_removals_of_a_crash_before_the_sweep_are_swept_later(tmp_path: Path) -> None:
    store = inside(tmp_path)
    written(store, range(300))
    store.remove(range(100))
    token = store.commit()
    following = inside(tmp_path, token)
    assert following._ask("count") == 300
    following.sweep()
    assert following._ask("count") == 200
    assert_whole(following, range(100, 300))


def test_a_compaction_that_was_cut_off_is_dropped_or_taken_up(tmp_path: Path) -> None:
    token = written(inside(tmp_path), range(300))
    for _ in range(2):
        cut_off = inside(tmp_path, token)
        cut_off.compact()
        cut_off.commit()
    store = inside(tmp_path, token)
    store.remove([0])
    token = store.commit()
    store.sweep()
    with pytest.raises(LibraryDamaged, match="collection is missing"):
        store._place.ask(f"{NAME}.2", "count")
    assert_whole(inside(tmp_path, token), range(1, 300))


def test_what_a_process_killed_while_writing_has_torn_is_as_it_was_before(tmp_path: Path) -> None:
    store = inside(tmp_path)
    token = written(store, range(2500))
    with store._place._held():  # as a commit begins that makes Chroma write its index out
        store._place._copy()
    store.close()
    index = next(tmp_path.glob("????????-*/data_level0.bin"))
    os.truncate(index, index.stat().st_size // 2)
    (tmp_path / "chroma.sqlite3").write_bytes(b"torn")
    following = inside(tmp_path, token)
    assert_whole(following, range(2500))
    assert not (tmp_path / "before").exists()
    assert_whole(inside(tmp_path, written(following, range(2500, 5000))), range(5000))
    assert not (tmp_path / "before").exists()


def test_a_step_that_fails_is_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chromadb.api.models.Collection import Collection

    store = inside(tmp_path)
    token = written(store, range(1500))
    store.add(range(1500, 2500), vectors(range(1500, 2500)))
    with monkeypatch.context() as patch:

        def full(self: Collection, **named: Any) -> None:
            self.delete(ids=["1", "2"])
            raise OSError(28, "No space left on device")

        patch.setattr(Collection, "upsert", full)
        with pytest.raises(LibraryReadOnly, match="no space left"):
            store.commit()
    assert_whole(inside(tmp_path, token), range(1500))
    assert_whole(inside(tmp_path, store.commit()), range(2500))


def test_damage_is_noticed(tmp_path: Path) -> None:
    store = inside(tmp_path)
    token = written(store, range(600))
    store._ask("update", ids=["5"], embeddings=vectors([77]))
    with pytest.raises(LibraryDamaged, match="vector 5 was damaged") as caught:
        store.get([4, 5])
    assert caught.value.hint == "limner doctor --repair"
    with pytest.raises(LibraryDamaged, match="vector 5 was damaged"):
        store.search(vectors([77]), 3)
    store._ask("delete", ids=["6", "7"])
    with pytest.raises(LibraryDamaged, match="1 vectors are missing"):
        store.get([6, 8])
    with pytest.raises(LibraryDamaged, match="2 vectors are missing"):
        inside(tmp_path, token)


def test_two_vectors_that_changed_places_are_noticed(tmp_path: Path) -> None:
    store = inside(tmp_path)
    written(store, range(10))
    both = store._ask("get", ids=["1", "2"], include=["embeddings", "metadatas"])
    store._ask(
        "upsert", ids=both["ids"][::-1], embeddings=both["embeddings"], metadatas=both["metadatas"]
    )
    with pytest.raises(LibraryDamaged):
        store.get([1])


def test_a_file_that_was_cut_short_is_damage(tmp_path: Path) -> None:
    store = inside(tmp_path)
    token = written(store, range(300))
    store.close()
    os.truncate(tmp_path / "chroma.sqlite3", 30_000)
    with pytest.raises(LibraryDamaged):
        inside(tmp_path, token).get([1])


def test_a_collection_of_other_dimensions_or_of_others(tmp_path: Path, own_server: Any) -> None:
    token = written(inside(tmp_path), range(3))
    with pytest.raises(LibraryMismatch, match="16 numbers"):
        inside(tmp_path, token, dimensions=8)
    others = at(own_server)._place
    others.create(f"{NAME}.1", metadata={"made_by": "somebody"})
    others.ask(f"{NAME}.1", "upsert", ids=["theirs"], embeddings=vectors([1]))
    with pytest.raises(LibraryDamaged, match="not this library's"):
        at(own_server, token)
    with pytest.raises(LibraryDamaged, match="not this library's"):
        written(at(own_server), range(3))
    assert others.ask(f"{NAME}.1", "get")["ids"] == ["theirs"]


WRITER = """
import sys, numpy as np
from pathlib import Path
from limner.index.vector_stores.chroma import ChromaStore
folder, token, start, end, step = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
store = ChromaStore(16, token, folder=Path(folder), collection="limner-test")
for at in range(start, end, step):
    ids = range(at, at + step)
    store.add(ids, np.array([np.random.default_rng(i).normal(size=16) for i in ids], np.float32))
    print(store.commit(), flush=True)
    store.sweep()
"""


def writer(folder: Path, token: str, *numbers: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), token, *map(str, numbers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_reader_sees_what_another_process_has_committed(tmp_path: Path) -> None:
    token = written(reader := inside(tmp_path), range(300))
    for start, end, step in ((300, 900, 600), (900, 2900, 2000), (2900, 3000, 100)):
        reader.search(vectors([1]), 3)
        with writer(tmp_path, token, start, end, step) as process:
            assert process.stdout is not None
            token = process.stdout.read().splitlines()[-1]
        later = inside(tmp_path, token)
        assert_whole(later, range(len(later)))
        assert_whole(reader, range(300))  # the old state is still what it was


@pytest.mark.slow
def test_readers_and_a_writer_share_a_folder(tmp_path: Path) -> None:
    token = written(inside(tmp_path), range(300))
    reader, rounds = inside(tmp_path, token), 0
    with writer(tmp_path, token, 300, 2700, 100) as process:
        while process.poll() is None:
            assert_whole(reader, range(300))
            rounds += 1
        assert process.stdout is not None
        token = process.stdout.read().splitlines()[-1]
    assert process.returncode == 0
    assert rounds > 3
    assert_whole(inside(tmp_path, token), range(2700))


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 2, 4, 7])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, after: int) -> None:
    token = written(inside(tmp_path), range(700))
    with writer(tmp_path, token, 700, 70_700, 700) as process:
        assert process.stdout is not None
        tokens = [process.stdout.readline().strip() for _ in range(after)]
        threading.Event().wait(0.1 * after)
        process.kill()
    store = inside(tmp_path, tokens[-1])
    assert_whole(store, range(700 * (after + 1)))
    written(store, range(100_000, 100_100))


def test_a_folder_that_somebody_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    token = written(inside(tmp_path), range(3))
    monkeypatch.setattr(chroma_place, "_LOCK_SECONDS", 0.3)
    with FileLock(tmp_path / "limner.lock"), pytest.raises(LibraryLocked):
        inside(tmp_path, token)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = inside(tmp_path / "file" / "vectors")
    store.add([1], vectors([1]))
    with pytest.raises(LibraryReadOnly):
        store.commit()


def test_without_the_package_the_install_line_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "chromadb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(ModelMissing) as caught:
        inside(tmp_path)
    assert caught.value.hint == "pip install 'limner[chroma]'"


def test_the_module_imports_nothing_heavy() -> None:
    code = "import sys, limner.index.vector_stores.chroma as c; print('chromadb' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_either_a_folder_or_an_address(tmp_path: Path) -> None:
    for where in ({}, {"folder": tmp_path, "address": "http://localhost:8000"}):
        with pytest.raises(DeveloperError):
            ChromaStore(D, collection=NAME, **where)  # type: ignore[arg-type]


@pytest.mark.slow
def test_threads_share_a_store_while_another_writes(tmp_path: Path) -> None:
    token = written(inside(tmp_path), range(400))
    shared, errors = inside(tmp_path, token), []

    def read() -> None:
        try:
            for _ in range(5):
                assert_whole(shared, range(400))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    other = inside(tmp_path, token)
    for start in range(400, 700, 100):
        token = written(other, range(start, start + 100))
    for thread in threads:
        thread.join()
    assert errors == []
    assert_whole(inside(tmp_path, token), range(700))
