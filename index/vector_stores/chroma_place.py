"""Where Chroma runs: a folder that several processes share, or a server that may be gone.

Knows collections by name; nothing of vectors.

**A folder belongs to one process at a time.** Chroma keeps the index in memory and does not look
again: a process that had a folder open while another wrote to it does not find the new rows,
fails with "Error finding id", and may write its old index over the newer one. So every call takes a
lock beside the data and opens the folder anew where another process, or another store of this one,
has changed it since (25 ms, and the index is read again). Threads and processes wait for each
other; where that is too slow, or Chroma itself is to run elsewhere, run a server. Even reading
writes to the folder.

**A killed process must not tear the index.** Chroma writes an index out in several files, in place,
and then deletes those vectors from SQLite; a process that was killed in between has left an index
that could not be opened again. So a folder is copied before a step in which that happens, and
whoever finds the copy goes back to it. A server has no such care taken of it, nor has a power cut.

**A server may be gone.** Every request has a time limit, and what is refused or cut off is asked
again for a while, which is safe as every request may be repeated. A time limit that runs out is
not. ``LIMNER_CHROMA_TOKEN`` is sent as a bearer token.

Chroma's own client is not used, only the layer beneath: its requests have no time limit, and it
keeps a folder's index alive for as long as the process runs.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from ...errors import LibraryDamaged, LibraryLocked, LibraryUnreachable, ModelMissing
from ..durable import writable

__all__ = ["REPAIR", "SYNC", "Folder", "Place", "Server", "chroma"]

_T = TypeVar("_T")

SYNC = 2000
"""So many new rows make Chroma write out an index, whole; fewer are put into it anew by each
opening."""

_LOCK_SECONDS = 60.0
_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 30.0  # a batch of 2,000 rows takes 1.5 s
_PATIENCE_SECONDS = 10.0  # a server that is started again answers after 1 s
REPAIR = "limner doctor --repair"
_WHERE = "start it (chroma run --path FOLDER --port PORT), or look at the address"


class Place:
    """Where Chroma runs, and its collections by name. What it is asked may be asked again."""

    def __init__(self, name: str, **settings: object) -> None:
        self.name = name
        self._settings = settings
        self._system: Any = None
        self._collections: dict[str, Any] = {}
        self._most_rows = -1

    def run(self, work: Callable[[Any], _T]) -> _T:
        """What ``work`` makes of Chroma's API."""
        raise NotImplementedError

    def ask(self, name: str, verb: str, **named: Any) -> Any:
        """What a method of a collection returns."""
        return self.run(lambda api: getattr(self._found(api, name), verb)(**named))

    def most_rows(self) -> int:
        """How many rows it takes at once; 0 for any number."""
        if self._most_rows < 0:
            self._most_rows = max(0, self.run(lambda api: int(api.get_max_batch_size())))
        return self._most_rows

    def metadata(self, name: str) -> dict[str, Any]:
        """What was noted when a collection was made."""
        return self.run(lambda api: self._found(api, name).metadata or {})

    def create(self, name: str, **made: Any) -> None:
        """Make a collection where there is none."""
        self.run(lambda api: api.get_or_create_collection(name, **made))

    def drop(self, name: str) -> bool:
        """Delete a collection, and say whether there was one."""
        from chromadb.errors import NotFoundError

        def work(api: Any) -> bool:
            try:
                api.delete_collection(name)
            except NotFoundError:
                return False
            return True

        self._collections.pop(name, None)
        return self.run(work)

    def close(self) -> None:
        """Let go of it; it is opened again when it is asked."""
        if self._system is not None:
            self._system.stop()
        self._system, self._collections = None, {}

    def _api(self) -> Any:
        system_class, settings_class, api_class = chroma()
        if self._system is None:
            fixed: dict[str, Any] = {"_env_file": None, "anonymized_telemetry": False}
            system = system_class(settings_class(**fixed, **self._settings))
            api = system.instance(api_class)
            if hasattr(api, "_session"):  # there is no setting for it
                api._session.timeout = (_CONNECT_SECONDS, *3 * [_ANSWER_SECONDS])
            system.start()
            self._system = system
        return self._system.instance(api_class)

    def _found(self, api: Any, name: str) -> Any:
        from chromadb.api.models.Collection import Collection

        if name not in self._collections:
            model = api.get_collection(name)
            self._collections[name] = Collection(api, model, embedding_function=None)
        return self._collections[name]


class Folder(Place):
    """A folder, which is ours alone for as long as something is asked of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), is_persistent=True, persist_directory=str(folder))
        self._folder = folder
        self._seen: object = None
        self._lock = FileLock(folder / "limner.lock")
        self._before = folder / "before"
        self._unfinished = folder / "before.part"

    def create(self, name: str, **made: Any) -> None:
        """Make the folder and a collection where there is none."""
        with writable(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        super().create(name, **made)

    def ask(self, name: str, verb: str, **named: Any) -> Any:
        """What a method of a collection returns; where it writes, as one step."""
        rows = len(named["ids"]) if verb in ("upsert", "delete") else 0

        def work(api: Any) -> Any:
            collection = self._found(api, name)
            if not rows or self._queued() + rows < SYNC:
                return getattr(collection, verb)(**named)
            self._copy()
            result = getattr(collection, verb)(**named)
            self._forget()
            return result

        return self.run(work)

    def drop(self, name: str) -> bool:
        """Delete a collection, what Chroma leaves of it included, and say whether there was one."""
        dropped = super().drop(name)
        if dropped:
            self.run(lambda _: self._vacuum())
        return dropped

    def run(self, work: Callable[[Any], _T]) -> _T:
        """What ``work`` makes of it, opened anew where others have written to it."""
        if not self._folder.is_dir():
            raise LibraryDamaged(f"{self.name}: the vectors are missing", REPAIR)
        with writable(self._folder), self._held(), _said(self.name):
            if self._before.is_dir():
                self._go_back()
            if self._state() != self._seen:
                self.close()
            try:
                return work(self._api())
            finally:
                self._seen = self._state()

    def _held(self) -> AbstractContextManager[object]:
        try:
            return self._lock.acquire(_LOCK_SECONDS, 0.01)
        except Timeout:
            raise LibraryLocked(
                f"{self.name}: another process does not let go of it",
                "wait for it to end and run the same command again",
            ) from None

    def _vacuum(self) -> None:
        self.close()
        with closing(sqlite3.connect(self._folder / "chroma.sqlite3")) as book:
            live = {name for (name,) in book.execute("SELECT id FROM segments")}
            book.execute("VACUUM")
        for path in self._files():
            if path.is_dir() and path.name not in live:
                shutil.rmtree(path)

    def _queued(self) -> int:
        """So many rows are in SQLite only; an index is written out when there are `SYNC`."""
        with closing(sqlite3.connect(self._folder / "chroma.sqlite3")) as book:
            return int(book.execute("SELECT COUNT(*) FROM embeddings_queue").fetchone()[0])

    def _copy(self) -> None:
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir()
        for path in self._files():
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, self._unfinished / path.name)
        self._unfinished.rename(self._before)

    def _forget(self) -> None:
        self._before.rename(self._unfinished)
        shutil.rmtree(self._unfinished)

    def _go_back(self) -> None:
        """To the copy, which nobody would have left who had not failed or died while writing."""
        self.close()
        for path in self._files():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in self._before.iterdir():
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, self._folder / path.name)
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._forget()

    def _files(self) -> list[Path]:
        ours = {self._before.name, self._unfinished.name, "limner.lock"}
        return [path for path in self._folder.iterdir() if path.name not in ours]

    def _state(self) -> object:
        """Another one once anybody has written: SQLite writes to this file in every commit."""
        try:
            found = (self._folder / "chroma.sqlite3").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


class Server(Place):
    """A server, which may be gone for a while."""

    def __init__(self, address: str) -> None:
        try:
            url = urlsplit(address)
            port = url.port or (443 if url.scheme == "https" else 8000)
        except ValueError:
            raise LibraryUnreachable(f"{address}: no address", "give http://HOST:PORT") from None
        secret = os.environ.get("LIMNER_CHROMA_TOKEN")
        super().__init__(
            address,
            chroma_api_impl="chromadb.api.fastapi.FastAPI",
            chroma_server_host=url.hostname,
            chroma_server_http_port=port,
            chroma_server_ssl_enabled=url.scheme == "https",
            chroma_server_headers={"Authorization": f"Bearer {secret}"} if secret else None,
        )

    def run(self, work: Callable[[Any], _T]) -> _T:
        """What ``work`` makes of it; where the connection breaks, for a while once more."""
        import httpx

        ends, known = time.monotonic() + _PATIENCE_SECONDS, self._system is not None
        pause = 0.1
        while True:
            try:
                with _said(self.name, httpx.TransportError):
                    return work(self._api())
            except httpx.TransportError as error:
                hangs = isinstance(error, httpx.TimeoutException)
                if hangs or not known or time.monotonic() + pause > ends:
                    what = "does not answer in time" if hangs else "does not answer"
                    raise LibraryUnreachable(f"{self.name}: Chroma {what}", _WHERE) from error
            time.sleep(pause)
            pause = min(2 * pause, 2.0)


@contextmanager
def _said(place: str, passed: type[Exception] = OSError) -> Iterator[None]:
    """Chroma's errors as ours.

    Its client raises bare ``Exception`` for an answer that it does not know, and whatever parsing
    raises for one that is not JSON; its engine panics where files are damaged.
    """
    from chromadb import errors

    try:
        yield
    except (passed, OSError, LibraryDamaged):
        raise
    except errors.NotFoundError as error:
        raise LibraryDamaged(f"{place}: the collection is missing", REPAIR) from error
    except (errors.ChromaAuthError, errors.AuthorizationError) as error:
        hint = "set LIMNER_CHROMA_TOKEN to the token that it wants"
        raise LibraryUnreachable(f"{place}: Chroma does not let us in", hint) from error
    except errors.ChromaError as error:
        raise LibraryDamaged(f"{place}: Chroma says: {error}", REPAIR) from error
    except Exception as error:
        raise LibraryUnreachable(f"{place}: no answer that Chroma gives", _WHERE) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise LibraryDamaged(f"{place}: Chroma cannot read its files", REPAIR) from error


def chroma() -> tuple[Any, Any, Any]:
    """The ``System``, ``Settings`` and ``ServerAPI``; ModelMissing where it is not there."""
    try:
        from chromadb.api import ServerAPI
        from chromadb.config import Settings, System
    except ImportError as error:
        hint = "pip install 'limner[chroma]'"
        raise ModelMissing("the package chromadb is missing", hint) from error
    return System, Settings, ServerAPI
