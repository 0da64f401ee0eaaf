"""The demo: a small handbook, four questions, a page. Uses only what any program could."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

from ..index.library import Library, Progress
from .agent import Agent
from .answer import Answer
from .render import save_page
from .terminal import Screen

__all__ = ["QUESTIONS", "run"]

QUESTIONS: tuple[tuple[str, str | None], ...] = (
    ("Which machines are the loudest?", None),
    ("How do I fix this?", "mac-vpn.png"),
    ("Show me the floor plan of the workshop.", None),
    ("Draw a hammer.", None),
)
"""Questions to the handbook, the second with a screenshot; the last asks for a new picture."""


def run(out: Path, screen: Screen, on_progress: Callable[[Progress], None] | None = None) -> Path:
    """Index the handbook that comes with Limner, ask it four questions, write a page.

    Args:
        out: gets ``library/`` and ``answer.html``; a second run re-embeds nothing.
        screen: where the answers are shown.
        on_progress: told of every file that is read.

    Returns:
        The page.
    """
    with (
        as_file(files("limner.examples") / "handbook") as handbook,
        as_file(files("limner.examples") / "shots") as shots,
        Library.open(out / "library") as library,
    ):
        report = library.add(handbook, on_progress)
        read = len(report.added) + len(report.changed)
        passages = library.stats().passages
        screen.say(f"{read} files read, {len(report.unchanged)} unchanged; {passages} passages")
        turns: list[tuple[str, Answer]] = []
        with Agent(library) as agent:
            for question, shot in QUESTIONS:
                images = [shots / shot] if shot else []
                screen.print_question(question, [shot] if shot else [])
                turns.append((question, agent.ask(question, images)))
                screen.print_answer(turns[-1][1])
            page = save_page(turns, out / "answer.html", "Four questions to a handbook")
    screen.print(f"The answers as a page: {page}")
    return page
