"""``/redraw`` in a conversation, and a drawing while it is made."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from limner.agent.answer import Generated
from limner.agent.conversation import Conversation
from limner.agent.events import AnswerReady, Event, PictureReady, PictureStep
from limner.agent.preview import Preview
from limner.agent.repl_commands import Commands, Turn
from limner.agent.terminal import Screen
from limner.errors import UserError
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted
from limner.tools.image_models import opening
from limner.tools.image_models.fake import HashPainter

DRAFT = "So. [1]\n[[draw: a red boat]]"


@pytest.fixture
def talk(
    library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Conversation]:
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(opening, "open_model", lambda name: HashPainter())
    talk = Conversation(
        library, "embedded", "s", chat_model=Scripted(replies=[DRAFT]), image_model="a folder"
    )
    yield talk
    talk.close()


def ignored(event: Event) -> None:
    """Shows nothing."""


def origin_of(last: object) -> Generated:
    assert isinstance(last, AnswerReady)
    origin = last.answer.pictures[0].origin
    assert isinstance(origin, Generated)
    return origin


def test_the_command_redraws_and_the_session_keeps_it(talk: Conversation) -> None:
    talk.ask("Draw it", ignored)
    assert origin_of(talk.redraw("seed=7 size=128x64", ignored)).size == (128, 64)
    assert talk.last is not None
    assert talk.last.question == "/redraw size=128x64 seed=7"
    assert talk.last.wordings == ()  # nothing was searched for
    assert origin_of(talk.redraw("2", ignored)).seed == 8
    assert [turn.question for turn in talk.session.turns] == [
        "Draw it", "/redraw size=128x64 seed=7", "/redraw",
    ]  # fmt: skip


def test_its_numbers_count_through_the_conversation(talk: Conversation) -> None:
    talk.ask("Draw it", ignored)
    talk.redraw("prompt='a buoy'", ignored)
    assert origin_of(talk.redraw("1", ignored)).prompt == "a red boat"
    assert origin_of(talk.redraw("2", ignored)).prompt == "a buoy"
    with pytest.raises(UserError, match="no picture 5 to redraw: 4 were drawn"):
        talk.redraw("5", ignored)


def test_it_works_in_a_conversation_that_is_gone_on_with(
    talk: Conversation, library: Library
) -> None:
    talk.ask("Draw it", ignored)
    talk.close()
    again = Conversation(
        library, "embedded", "s", chat_model=Scripted(replies=["x"]), image_model="a folder"
    )
    assert origin_of(again.redraw("seed=9", ignored)).prompt == "a red boat"
    again.close()


def test_what_is_attached_stays_for_the_next_question(talk: Conversation, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "shot.png")
    talk.ask("Draw it", ignored)
    talk.attach(tmp_path / "shot.png")
    talk.redraw("", ignored)
    assert [queued.name for queued in talk.queued] == ["shot.png"]


def test_it_works_where_nothing_can_be_written(
    library: Library, monkeypatch: pytest.MonkeyPatch, talk: Conversation
) -> None:
    talk.kept = False
    talk.ask("Draw it", ignored)
    assert origin_of(talk.redraw("seed=5", ignored)).seed == 5


def test_a_fault_is_told_before_any_model_is_loaded(talk: Conversation) -> None:
    for argument, says in (("sed=7", "no parameter"), ("seed=7", "no picture to redraw")):
        with pytest.raises(UserError, match=says):
            talk.redraw(argument, ignored)
    assert talk._agent is None


def test_the_command_is_one_of_the_repl(talk: Conversation) -> None:
    ends: list[object] = []

    def answer(turn: Turn) -> None:
        ends.append(turn(ignored))

    commands = Commands(talk, Screen(io.StringIO(), io.StringIO()), answer)
    talk.ask("Draw it", ignored)
    assert commands.run("/redraw seed=7")
    assert origin_of(ends[0]).seed == 7
    assert "/redraw" in commands.offers()


def test_what_was_drawn_before_is_not_drawn_again(talk: Conversation) -> None:
    talk.ask("Draw it", ignored)
    steps: list[Event] = []
    talk.redraw("seed=3", lambda event: steps.append(event))
    assert [e.k for e in steps if isinstance(e, PictureStep)] == [1, 2]
    steps.clear()
    talk.redraw("seed=3", lambda event: steps.append(event))
    assert [e.k for e in steps if isinstance(e, PictureStep)] == []
    assert [e for e in steps if isinstance(e, PictureReady)]


@pytest.mark.parametrize("colour", ["truecolor", None])
def test_a_drawing_is_shown_while_it_is_made(
    colour: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tty(io.StringIO):
        encoding = "utf-8"  # type: ignore[assignment]

        def isatty(self) -> bool:
            return True

    console = Console(
        file=Tty(), force_terminal=True, width=80, height=40,
        color_system=colour,  # type: ignore[arg-type]
    )  # fmt: skip
    preview = Preview(console)

    def shown() -> str:
        with console.capture() as capture:
            console.print(preview._render())
        return capture.get()

    step = PictureStep(0, 1, 4)
    preview.show(step)
    assert "step 1 of 4" in shown() and "▀" not in shown()
    preview.show(replace(step, k=2, preview=Image.new("RGB", (16, 16), "red")))
    assert ("▀" in shown()) is (colour is not None)
    preview.show(replace(step, k=3))
    assert ("▀" in shown()) is (colour is not None)  # the last one stays until the next
    preview.show(PictureReady(0, None))  # type: ignore[arg-type]
    assert "▀" not in shown()


def test_a_drawing_needs_no_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from limner.agent import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(opening, "open_model", lambda name: HashPainter())

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["limner", "ask", *arguments])
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    assert run("draw a red boat", "--image-model", "x", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    (drawn,) = [part for part in told["parts"] if part["type"] == "picture"]
    assert drawn["caption"] == "a red boat"
    for arguments, says in (
        (("draw a red boat", "--image-model", "none"), "try: --image-model pocket-sdxl"),
        (("When is high water?", "--image-model", "x"), "no library here yet"),
    ):
        assert run(*arguments) == 1
        assert says in capsys.readouterr().err
