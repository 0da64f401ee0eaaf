"""Conversations: nothing acknowledged is lost, and a killed turn goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

from limner.agent.agent import Agent
from limner.agent.answer import Answer, Text
from limner.agent.events import AnswerReady, Failed, StepStarted
from limner.agent.sessions import Sessions
from limner.agent.state import fresh
from limner.errors import LibraryDamaged, QuestionError, UserError
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted

SCRIPT = Path(__file__).with_name("killed_turn.py")


def talk(library: Library, session: str, *replies: str) -> Agent:
    return Agent(library, chat_model=Scripted(replies=list(replies)), session=session)


def test_a_conversation_is_kept_and_taken_up_again(library: Library) -> None:
    with talk(library, "tides", "Noon. [1]") as agent:
        answer = agent.ask("When is high water?")
    with talk(library, "tides", "Six hours later. [1]") as again:
        assert again.session is not None
        assert [t.question for t in again.session.turns] == ["When is high water?"]
        assert again.session.turns[0].answer == answer
        again.ask("And low water?")
        assert [s.turns for s in again.sessions.ls()] == [2]


def test_a_long_conversation_holds_its_last_turns_in_memory(tmp_path: Path) -> None:
    session = Sessions(tmp_path).open("long")
    for n in range(20):
        session.append(f"question {n}", (), Answer((Text(f"answer {n}"),)))
    for known in (session, Sessions(tmp_path).open("long")):
        assert known.count == len(known.turns) == 20
        assert [t.question for t in known.turns] == [f"question {n}" for n in range(20)]
        assert [t.question for t in known.recent] == [f"question {n}" for n in range(12, 20)]
        assert known.history()[-1].answer == "answer 19"


def test_text_comes_back_byte_for_byte(library: Library, tmp_path: Path) -> None:
    odd = "Tide \ud800 \u202e naïve 🌊 \x00 " + "x" * 10_000_000
    session = Sessions(tmp_path).open("odd")
    session.append(odd, (), Answer((Text(odd),)))
    (turn,) = Sessions(tmp_path).open("odd").turns
    assert turn.question == odd
    assert turn.answer.text == odd


def test_a_changed_row_is_detected(tmp_path: Path) -> None:
    Sessions(tmp_path).open("s").append("q", (), Answer((Text("truth"),)))
    with sqlite3.connect(tmp_path / "sessions.db") as db:
        (body,) = db.execute("SELECT body FROM turns").fetchone()
        fraud = zlib.compress(zlib.decompress(body).replace(b"truth", b"fraud"))
        db.execute("UPDATE turns SET body = ?", (fraud,))
    with pytest.raises(LibraryDamaged, match="turn 1 of 's'"):
        Sessions(tmp_path).open("s")


def test_two_writers_of_one_conversation_do_not_overwrite(tmp_path: Path) -> None:
    one, two = Sessions(tmp_path).open("s"), Sessions(tmp_path).open("s")
    one.append("first", (), Answer(()))
    with pytest.raises(UserError, match="in use elsewhere"):
        two.append("second", (), Answer(()))
    assert [t.question for t in Sessions(tmp_path).open("s").turns] == ["first"]


def test_a_deleted_conversation_is_gone_from_the_disk(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    sessions.open("s").append("my secret question", (), Answer((Text("my secret answer"),)))
    with sqlite3.connect(tmp_path / "sessions.db") as db:
        (body,) = db.execute("SELECT body FROM turns").fetchone()
    assert body in (tmp_path / "sessions.db").read_bytes()
    assert sessions.rm("s") == 1
    assert body[20:] not in (tmp_path / "sessions.db").read_bytes()
    assert sessions.ls() == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", "x" * 65, "-x", "a\nb", "\x1b[31m"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="not a session name"):
        Sessions(tmp_path).open(name)


def test_an_interrupted_answer_is_kept_and_labelled(library: Library) -> None:
    agent = talk(library, "s", "High water is at noon. [1] It rises again at midnight. [1]")
    events = agent.stream("When is high water?")
    for event in events:
        if type(event).__name__ == "TextDelta":
            last = events.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
            break
    assert isinstance(last, Failed) and last.interrupted
    (turn,) = Sessions(library.folder).open("s").turns
    assert turn.answer.partial
    assert turn.answer.text.startswith("High wa")


def test_a_failed_turn_can_be_gone_on_with(library: Library) -> None:
    failing = Scripted(replies=[ConnectionError("gone")])
    with Agent(library, chat_model=failing, session="s") as agent:
        assert isinstance(list(agent.stream("When is high water?"))[-1], Failed)
    with talk(library, "s", "Noon. [1]") as again:
        assert again.pending == "When is high water?"
        events = list(again.resume())
        steps = [e.step for e in events if isinstance(e, StepStarted)]
        assert steps == ["reason", "check", "compose"]  # nothing is done twice
        assert isinstance(events[-1], AnswerReady)
        assert again.pending is None
        with pytest.raises(QuestionError):
            again.resume()


def test_a_turn_that_an_earlier_version_began_begins_anew(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def earlier(*asked: Any, **options: Any) -> dict[str, Any]:
        state = fresh(*asked, **options)
        return {name: value for name, value in state.items() if name != "kept"}

    failing = Scripted(replies=[ConnectionError("gone")])
    with monkeypatch.context() as patch, Agent(library, chat_model=failing, session="s") as agent:
        patch.setattr("limner.agent.agent.fresh", earlier)
        assert isinstance(list(agent.stream("When is high water?"))[-1], Failed)
    with talk(library, "s", "Noon. [1]") as again:
        assert again.pending == "When is high water?"
        events = list(again.resume())
        assert next(e.step for e in events if isinstance(e, StepStarted)) == "guard"
        assert isinstance(events[-1], AnswerReady) and again.pending is None


def test_a_new_question_puts_a_failed_turn_aside(library: Library) -> None:
    with Agent(
        library, chat_model=Scripted(replies=[ConnectionError("gone"), "Noon. [1]"]), session="s"
    ) as agent:
        list(agent.stream("Lost?"))
        assert agent.ask("When is high water?").text == "Noon. [1]"
        assert agent.pending is None


STEPS = ("guard", "look", "retrieve", "grade", "reason", "illustrate", "check", "compose")


@pytest.mark.slow
@pytest.mark.parametrize("step", [*STEPS, "acknowledge"])
def test_killed_at_each_step(tmp_path: Path, harbour: Path, step: str) -> None:
    """A real process, killed at a step of its third turn; two turns are there, byte for byte."""
    library = Library.open(tmp_path / "library", HashEmbeddings())
    library.add(harbour / "tides.md")
    library.close()
    run = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "library"), step],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    acknowledged = [json.loads(line) for line in run.stdout.splitlines()]
    with talk(library, "s", "unused", "Again. [1]") as agent:
        assert agent.session is not None
        turns = agent.session.turns
        assert [t.answer.text for t in turns] == acknowledged
        assert len(turns) == (3 if step == "acknowledge" else 2)
        if step in STEPS[1:]:  # its first step was finished: the turn goes on
            assert agent.pending == "Question 3?"
            answer = next(e.answer for e in agent.resume() if isinstance(e, AnswerReady))
            assert answer.parts
        else:
            assert agent.ask("Question 3?").parts


def test_storage_grows_linearly(library: Library) -> None:
    """What 100 turns of about 1 kB take, however long the conversation."""
    size = []
    with talk(library, "long", "x" * 800 + " [1]") as agent:
        for n in range(100):
            agent.ask(f"Question {n}?")
            if n in (49, 99):
                names = ("sessions.db", "running.db")
                size.append(sum((library.folder / name).stat().st_size for name in names))
    assert size[1] < 2.2 * size[0]
