"""inspect-ai at work for a run: what it is told to do, and what it must not. Decides no answer.

It asks for the rows, as many at a time as it may, tries again what failed, and writes a log into
the run's ``logs`` that ``inspect view`` shows. It shows nothing itself, opens no port, and sends
nothing anywhere.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ...errors import ModelError, ModelMissing
from .questions import Question
from .recording import Recorder
from .runs import Manifest
from .settings import Settings

__all__ = ["as_they_were", "drive"]

_TRACE = "INSPECT_TRACE_FILE"

_BUFFER = 200  # rows that the log is behind: what is lost of it stands in the journal


def drive(
    recorder: Recorder,
    folder: Path,
    manifest: Manifest,
    questions: Mapping[str, Question],
    settings: Settings,
) -> None:
    """Have inspect-ai ask for every row of a run; those that are there take it no time.

    Args:
        recorder: gives the rows.
        folder: of the run.
        manifest: of the run.
        questions: by the id that they have in the log.
        settings: how many at a time, how often.

    Raises:
        ModelMissing: inspect-ai is not installed.
        ModelError: it gave up.
        KeyboardInterrupt: the person stopped it.
    """
    if find_spec("inspect_ai") is None:
        raise ModelMissing("asking a question set needs inspect-ai", "pip install 'limner[eval]'")

    def work() -> str:
        try:
            return _evaluated(recorder, folder, manifest, questions, settings)
        except ModuleNotFoundError as error:  # of ipywidgets, in a notebook
            raise ModelMissing(
                f"inspect-ai needs {error.name or error}", "pip install ipywidgets 'limner[eval]'"
            ) from error

    status = _in_thread(work, recorder) if _in_a_loop() else work()
    if recorder.fault is not None:
        return
    if status == "cancelled":
        raise KeyboardInterrupt
    if status != "success":
        raise ModelError(f"inspect-ai ended with the status {status!r}", "the same command goes on")
    _tidy(folder / "logs")


def _evaluated(
    recorder: Recorder,
    folder: Path,
    manifest: Manifest,
    questions: Mapping[str, Question],
    settings: Settings,
) -> str:
    from inspect_ai import eval as run_task  # not Python's own

    from .task import asking, task_of

    told = {"model": manifest.model, "library": manifest.library, "seed": manifest.seed}
    task = task_of(manifest.name, questions, manifest.metrics, **told)
    logs_folder = folder / "logs"
    with as_they_were(), _traced_in(logs_folder), asking(recorder):
        logs = run_task(
            task,
            model=None,
            epochs=manifest.epochs,
            max_samples=settings.connections,
            retry_on_error=settings.retries,
            fail_on_error=False,
            score_on_error=True,
            log_dir=str(logs_folder),
            log_format="eval",
            log_buffer=_BUFFER,
            log_level="critical",
            log_header_only=True,
            log_images=False,
            log_realtime=False,
            score_display=False,
            ctl_server=False,
            display="log",  # goes nowhere; "none" would draw tables and throw them away
        )
    return str(logs[0].status) if logs else "cancelled"


@contextmanager
def as_they_were() -> Iterator[None]:
    """Give a program its log and its last words back, which inspect-ai takes over for good."""
    root, hook = logging.getLogger(), sys.excepthook
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        sys.excepthook = hook
        root.setLevel(level)
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)


@contextmanager
def _traced_in(folder: Path) -> Iterator[None]:
    """Have inspect-ai's trace of this process in a folder, not in the user's home."""
    if _TRACE in os.environ:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    os.environ[_TRACE] = str(folder.resolve() / "trace.log")
    try:
        yield
    finally:
        os.environ.pop(_TRACE, None)


def _in_a_loop() -> bool:
    """Whether this thread runs an event loop, as a notebook's does: it cannot run another."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(work: Callable[[], str], recorder: Recorder) -> str:
    """What comes of work in a thread of its own."""
    found: list[str] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # handed over, and raised where somebody waits
            faults.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return found[0]


def _tidy(logs: Path) -> None:
    """Delete logs of commands that were stopped: all that they tell stands in the last one."""
    from inspect_ai.log import list_eval_logs, read_eval_log

    for info in list_eval_logs(str(logs)):
        if read_eval_log(info, header_only=True).status in ("started", "cancelled"):
            Path(info.name.removeprefix("file://")).unlink(missing_ok=True)
