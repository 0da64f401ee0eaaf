"""An agent for the tests of runs: its answer is known from its question, and fails on demand.

``python parrot.py`` is a warm process for tests that kill: each line of standard input, a JSON list
of a folder, a number of questions and seconds per answer, is a run in a fork, whose process id is
printed; then how it ended.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from langchain_core.messages import BaseMessage
from pydantic import Field, PrivateAttr

from limner.agent.agent import Agent
from limner.agent.evaluation.questions import Question
from limner.errors import ModelError
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted

__all__ = ["Parrot", "questions", "seaside"]


class Parrot(Scripted):
    """Answers ``Q7: …`` with a sentence about 7.

    Attributes:
        failures: how often it fails at a question before it answers, by number.
        said: in place of its sentence; ``{n}`` is the number.
    """

    replies: list[str] = Field(default_factory=list)
    failures: dict[int, int] = Field(default_factory=dict)
    said: str = "High water {n} is at noon. [1]"
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _now: int = PrivateAttr(default=0)
    _most: int = PrivateAttr(default=0)
    _heard: list[int] = PrivateAttr(default_factory=list)

    @property
    def most(self) -> int:
        """Questions that it was asked at the same time."""
        return self._most

    @property
    def heard(self) -> list[int]:
        """The numbers of the questions that it was asked, in order."""
        return self._heard

    def _reply(self, messages: list[BaseMessage]) -> str:
        found = re.findall(r"\bQ(\d+):", str(messages[-1].content))
        number = int(found[-1])
        with self._lock:
            self._heard.append(number)
            self._now += 1
            self._most = max(self._most, self._now)
            left = self.failures.get(number, 0)
            self.failures[number] = left - 1
        try:
            time.sleep(self.delay)
            if left > 0:
                raise ModelError(f"the parrot has no word for {number}", "ask again")
            return self.said.format(n=number)
        finally:
            with self._lock:
                self._now -= 1


def questions(count: int, start: int = 0) -> tuple[Question, ...]:
    """``Q0: …`` and so on; every third has a reference that the parrot says."""
    return tuple(
        Question(
            f"q{n}",
            f"Q{n}: when is high water?",
            references=(f"High water {n} is at noon.",) if n % 3 == 0 else ("at midnight",),
            category="even" if n % 2 == 0 else "odd",
        )
        for n in range(start, start + count)
    )


def seaside(folder: Path, parrot: Scripted | None = None, **options: object) -> Agent:
    """An agent over a small library."""
    library = Library.open(folder / "library", HashEmbeddings())
    if not library.exists:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tides.md").write_text("# Tides\n\nHigh water at the harbour is at noon.\n")
        library.add(folder / "tides.md")
    return Agent(library, chat_model=parrot or Parrot(), **options)  # type: ignore[arg-type]


def _run(folder: Path, count: int, delay: float) -> None:
    from limner.agent.evaluation.evaluate import evaluate

    agent = seaside(folder.parent / "seaside", Parrot(delay=delay))
    evaluate(agent, questions(count), ["text"], out=folder, max_connections=2)


def _main(lines: Sequence[str]) -> None:
    import limner.agent.evaluation.evaluate
    import limner.agent.evaluation.task
    import limner.agent.graph  # noqa: F401

    print("warm", flush=True)
    for line in lines:
        folder, count, delay = json.loads(line)
        child = os.fork()
        if not child:
            code = 1
            try:
                _run(Path(folder), count, delay)
                code = 0
            except KeyboardInterrupt:
                code = 130
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _main(sys.stdin)  # type: ignore[arg-type]
