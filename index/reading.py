"""Reads documents in limited processes, a little ahead of whoever takes their blocks.

Documents are untrusted: a parser that crashes, hangs or takes too much memory ends its own process
(``loaders.worker``), the file is named, and the next one is read in a new process. Knows processes,
pipes and deadlines; nothing of formats, passages or the library.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from ..errors import LimnerError, SourceError
from .loaders.base import LONGEST_STEP, Block
from .loaders.confined import Memory, memory_for
from .loaders.wire import HEADER, MAX_BYTES, block_of, error_of, pack

__all__ = ["Reader", "Result"]

Result = list[Block] | LimnerError
"""What became of a file: its blocks, or why there are none."""

_AHEAD = 64  # files read before their turn
_AHEAD_BYTES = 50_000_000  # of files read before their turn
_START = 60.0  # seconds
_LARGEST_STEP = 600.0  # seconds that a worker may ask for
_LARGEST_REPLY = 1 << 29  # bytes of messages about one document
_KEPT = ("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV")
_KEPT_GROUPS = ("DYLD_", "LC_", "LD_", "MKL_", "NIX_", "OMP_", "OPENBLAS_", "PYTHON")
_LIKE_ANY = "open it in its own program, save a copy and add that"
_LOADERS = Path(__file__).parent / "loaders"


class Reader:
    """Reads documents, several at a time; its processes start with the first file.

    Args:
        media_folder: where their pictures are kept; the only place that is written.
        workers: processes at the most; 0 for two, or one on a single core.

    Example:
        >>> with Reader(folder / "media") as reader:
        ...     for path, result in reader.read(paths):
        ...         print(path, result if isinstance(result, LimnerError) else len(result))
    """

    def __init__(self, media_folder: Path, workers: int = 0) -> None:
        cores = os.cpu_count() or 1
        self._count = min(workers, cores) if workers > 0 else min(2, cores)
        self._folder = media_folder
        self._pool = ThreadPoolExecutor(self._count, "limner-reader")
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []  # the last one used is used first, and others may not start
        self._all: set[_Worker] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Start a process now, while the caller still looks which files are to be read."""
        self._pool.submit(self._prepared)

    def close(self) -> None:
        """End every process, at work or not."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
        for worker in workers:
            worker.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.end()

    def read(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Result]]:
        """Read files in the order given, some ahead of the caller.

        Args:
            paths: consumed as files are read, in the caller's thread.

        Yields:
            Each path with its blocks, or with the error of ``load``: `SourceError` also where the
            file crashed its process, took more than 10 s without a sign of progress, or needed
            more memory than its size allows (240 MB and 40 times its size, 1 GB at most).

        Raises:
            LimnerError: no process can be started.
        """
        waiting: deque[tuple[Path, int, Future[Result]]] = deque()
        ahead = 0
        try:
            for path in paths:
                size = _size(path)
                waiting.append((path, size, self._pool.submit(self._read, path)))
                ahead += size
                while waiting and (len(waiting) > _AHEAD or ahead > _AHEAD_BYTES):
                    first, size, future = waiting.popleft()
                    ahead -= size
                    yield first, future.result()
            while waiting:
                first, _, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, _, future in waiting:
                future.cancel()

    def read_one(self, path: Path) -> list[Block]:
        """Every block of a document.

        Raises:
            LimnerError: as ``read`` gives or raises it.
        """
        result = self._pool.submit(self._read, path).result()
        if isinstance(result, LimnerError):
            raise result
        return result

    def _read(self, path: Path) -> Result:
        worker = self._take()
        try:
            return worker.read(path)
        except _Ended as ended:
            return SourceError(f"{path}: {ended}", _LIKE_ANY)
        except BrokenPipeError:  # it was ended from outside before it was asked
            self._drop(worker)
            worker = self._start()
            try:
                return worker.read(path)
            except (_Ended, BrokenPipeError):
                return SourceError(f"{path}: crashed the reader", _LIKE_ANY)
        finally:
            if worker.usable:
                with self._lock:
                    self._idle.append(worker)
            else:
                self._drop(worker)

    def _prepared(self) -> None:
        worker = self._take()
        with self._lock:
            self._idle.append(worker)

    def _take(self) -> _Worker:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._start()

    def _start(self) -> _Worker:
        worker = _Worker(self._folder)
        with self._lock:
            self._all.add(worker)
            closed = self._closed
        if closed:
            worker.kill()
        return worker

    def _drop(self, worker: _Worker) -> None:
        worker.end()
        with self._lock:
            self._all.discard(worker)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0  # the loader says what is wrong


class _Ended(Exception):
    """A worker was lost over a document; the message says why."""


class _Worker:
    """One process, and the deadline of what it does."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-P", "-X", f"utf8={sys.flags.utf8_mode}"]
        command += ["-m", f"{__package__}.loaders.worker", str(folder)]
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal reaches only the foreground
            )
        except OSError as error:
            raise _unstarted(error.strerror or str(error)) from error
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self.usable = True
        self._share = 0
        self._greet()

    @property
    def _out(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _greet(self) -> None:
        assert self._process.stderr is not None
        try:
            message = self._received(time.monotonic() + _START)
        except _Ended:
            self._process.kill()
            words = self._process.stderr.read().decode("utf-8", "replace").strip()
            self.end()
            raise _unstarted(words.rpartition("\n")[2] or "it ended at once") from None
        self._process.stderr.close()
        if not Path(str(message.get("hello"))).samefile(_LOADERS):
            self.end()
            raise _unstarted(f"{sys.executable} finds another limner: {message.get('hello')}")

    def read(self, path: Path) -> Result:
        """The blocks of a document, or why it has none.

        Raises:
            _Ended: the process was lost, or had to be ended.
            BrokenPipeError: it had ended before.
        """
        assert self._process.stdin is not None
        try:
            self._share = memory_for(path)
            self._process.stdin.write(pack(str(path)))
            return self._result()
        except (_Ended, BrokenPipeError):
            self.usable = False
            raise
        except (KeyError, TypeError, ValueError):  # no parser's doing, unless it was taken over
            self.usable = False
            raise _Ended("crashed the reader") from None

    def _result(self) -> Result:
        blocks: list[Block] = []
        allowed, size = LONGEST_STEP, 0
        while True:
            message = self._received(time.monotonic() + allowed, allowed)
            if "step" in message:
                allowed = min(float(message["step"]), _LARGEST_STEP)
            elif "blocks" in message:
                blocks += map(block_of, message["blocks"])
                size += sum(len(block.text) for block in blocks[-len(message["blocks"]) :])
                if size > _LARGEST_REPLY:
                    raise _Ended("holds more text than is accepted")
            elif "error" in message:
                self.usable = not message["tired"]
                return error_of(message["error"])
            elif message["end"] == len(blocks):
                self.usable = not message["tired"]
                return blocks
            else:
                raise ValueError("blocks are missing")

    def _received(self, deadline: float, allowed: float = _START) -> dict[str, Any]:
        size = int.from_bytes(self._exactly(HEADER, deadline, allowed), "big")
        if size > MAX_BYTES:
            raise ValueError("a message that is too long")
        message = json.loads(self._exactly(size, deadline, allowed))
        if not isinstance(message, dict):
            raise ValueError("not a message")
        return message

    def _exactly(self, count: int, deadline: float, allowed: float) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise _Ended(f"took more than {allowed:.0f} s")
            part = os.read(self._out, min(count - len(parts), 1 << 20))
            if not part:
                raise _Ended(self._cause())
            parts += part
        return bytes(parts)

    def _cause(self) -> str:
        """Why the process ended by itself."""
        peak = self._waited()
        code = self._process.returncode
        most, inherited = 0.9 * self._share, _own_peak()
        # A process inherits the peak of the one that started it, so only what is above counts.
        if code == Memory.EXIT or peak > max(most, inherited):
            return f"needed more than {self._share // 10**6} MB of memory"
        if code == -signal.SIGALRM:
            return f"took more than {LONGEST_STEP:.0f} s"
        if inherited > most:
            return f"crashed the reader, or needed more than {self._share // 10**6} MB of memory"
        return "crashed the reader"

    def _waited(self) -> int:
        """Wait for the end and give the most memory that was resident, in bytes."""
        try:
            for _ in range(20):
                pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
                if pid:
                    break
                time.sleep(0.05)
            else:  # it has closed its output, and lives
                return 0
        except ChildProcessError:  # waited for already
            return 0
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return _bytes(usage)

    def kill(self) -> None:
        """End the process; whoever waits for it hears of it."""
        self.usable = False
        self._process.kill()

    def end(self) -> None:
        """End the process and let go of it; once is enough."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def _own_peak() -> int:
    return _bytes(resource.getrusage(resource.RUSAGE_SELF))


def _bytes(usage: resource.struct_rusage) -> int:
    """The most memory that was resident; the systems count it in different units."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _unstarted(reason: str) -> LimnerError:
    return LimnerError(
        f"the process that reads documents cannot be started ({reason})",
        f"{sys.executable} -m {__package__}.loaders.worker says more",
    )


def _environment() -> dict[str, str]:
    """What a worker may know: how to find Python's files, and no keys or tokens."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(_KEPT_GROUPS)}
    kept.pop("PYTHONSTARTUP", None)
    package = _LOADERS.parents[1]
    if package.name == "limner" and "site-packages" not in package.parts:
        # It may have been found in the folder where Python was started, which -P leaves out.
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(package.parent), *_old(kept))))
    return kept


def _old(environment: dict[str, str]) -> list[str]:
    return environment.get("PYTHONPATH", "").split(os.pathsep)
