"""The process in which documents are parsed: ``python -m limner.index.loaders.worker FOLDER``.

Reads paths from its input and writes blocks or errors to its output, as ``wire`` says, until the
input ends. Documents are untrusted, so it takes the limits of ``confined`` upon itself before it
opens one. `limner.index.reading` starts it, and ends it where it must.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

from ...errors import LimnerError, SourceError
from ...tools.media import MediaStore
from . import load
from .base import LONGEST_STEP, watched
from .confined import Memory, confine, memory_for
from .wire import HEADER, error_values, pack, values_of

__all__ = ["main"]

_BATCH = 500  # blocks in a message
_QUIET = 0.5  # seconds between two signs of progress
_GRACE = 5.0  # seconds after which the owner must have ended this process, or is gone
_SPLIT = "split it and add again"
_NO_MEMORY = ("bad_alloc", "bad allocation", "failed to allocate", "insufficient memory")


def main() -> None:
    """Serve until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to hear
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even inside a parser
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)  # what a parser prints is no reply
    folder = Path(sys.argv[1])
    memory = Memory()
    threading.Thread(target=_end_with_owner, args=(requests,), daemon=True).start()
    confine(folder)
    _send(replies, {"hello": str(Path(__file__).parent)})
    os.dup2(nothing, 2)  # until here the owner reads why it did not start
    media = MediaStore(folder)
    while (path := _asked(requests)) is not None:
        _answer(path, media, replies, memory)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(path: Path, media: MediaStore, replies: int, memory: Memory) -> None:
    allowed, said = LONGEST_STEP, time.monotonic()

    def watch(seconds: float, ocr: bool) -> None:
        nonlocal allowed, said
        now = time.monotonic()
        if seconds == allowed and now - said < _QUIET:
            return
        allowed, said = seconds, now
        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE)
        _send(replies, {"step": seconds})
        if ocr:
            memory.allow_ocr()

    share = memory_for(path)
    memory.allow(share)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_STEP + _GRACE)
    try:
        with watched(watch):
            blocks = load(path, media)
    except LimnerError as error:
        if _lacked_memory(error):
            error = SourceError(f"{path}: needed more than {share // 10**6} MB of memory", _SPLIT)
        _send(replies, {"error": error_values(error), "tired": memory.is_high()})
        return
    for start in range(0, len(blocks), _BATCH):
        watch(LONGEST_STEP, False)
        _send(replies, {"blocks": [values_of(block) for block in blocks[start : start + _BATCH]]})
    # A worker that holds on to much is replaced, so that no document suffers from another.
    _send(replies, {"end": len(blocks), "tired": memory.is_high()})


def _lacked_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or any(word in str(error).lower() for word in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def _asked(requests: int) -> Path | None:
    header = os.read(requests, HEADER)
    if len(header) < HEADER:
        return None
    left, body = int.from_bytes(header, "big"), b""
    while len(body) < left:
        part = os.read(requests, left - len(body))
        if not part:
            return None
        body += part
    return Path(json.loads(body))


def _send(replies: int, message: object) -> None:
    rest = memoryview(pack(message))
    while rest:
        rest = rest[os.write(replies, rest) :]


def _end_with_owner(requests: int) -> None:
    """Wait until nobody holds the other end of the input any more."""
    poller = select.poll()
    poller.register(requests, 0)
    poller.poll()
    os._exit(0)


if __name__ == "__main__":
    main()
