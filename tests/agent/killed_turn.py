"""Run by test_sessions: two turns, and a third that is killed at the step named."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable

from limner.agent import agent as module
from limner.agent import graph
from limner.agent.agent import Agent
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted


def die(*_: object) -> None:
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder: str, step: str) -> None:
    library = Library.open(folder, HashEmbeddings())
    draft = "Noon. [1]\n[[show 1: tide table]]\nSo it is. [1]"
    agent = Agent(library, chat_model=Scripted(replies=[draft]), session="s")
    for n in (1, 2):
        print(json.dumps(agent.ask(f"Question {n}?").text))
    if step == "acknowledge":
        module.Checkpoints.forget = after_acknowledgement(agent)  # type: ignore[method-assign]
    else:
        steps = list(graph._STEPS)
        at = [s.__name__ for s in steps].index(step)
        deadly = lambda state, runtime: die()  # noqa: E731
        deadly.__name__ = step
        steps[at] = deadly
        graph._STEPS = tuple(steps)  # type: ignore[assignment]
        agent.close()
    agent.ask("Question 3?")


def after_acknowledgement(agent: Agent) -> Callable[..., None]:
    calls = []

    def run(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:  # the first clears the way, the second follows the acknowledgement
            assert agent.session is not None
            print(json.dumps(agent.session.turns[-1].answer.text))
            die()

    return run


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
