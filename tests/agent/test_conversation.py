"""The parts of the REPL without a terminal: the conversation, paths, completion, clipboard."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageGrab
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from limner.agent.clipboard import clipboard_picture
from limner.agent.conversation import Conversation
from limner.agent.events import AnswerReady, Event, Failed, TextDelta
from limner.agent.repl_commands import Commands, _path, _paths
from limner.agent.repl_input import Offer, _Commands
from limner.agent.sessions import Sessions
from limner.agent.terminal import Screen
from limner.errors import QuestionError, SourceError, UserError
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted

TIDE = "High water is at noon on Friday. [1]"


@pytest.fixture
def shot(tmp_path: Path, paint: Callable[[str], Image.Image]) -> Path:
    """A picture whose name has spaces."""
    path = tmp_path / "my first shot.png"
    paint("shot").save(path)
    return path


def test_loading_waits_for_a_pause_and_a_question_does_not(library: Library) -> None:
    talk = Conversation(library, "embedded", "s", chat_model=Scripted(replies=[TIDE]))
    talk.typing()
    talk.warm_up()
    time.sleep(0.2)
    assert talk._agent is None
    assert isinstance(talk.ask("When is high water?", lambda event: None), AnswerReady)
    talk.close()


def test_ctrl_c_while_an_event_is_shown_ends_the_turn_as_any(library: Library) -> None:
    def show(event: Event) -> None:
        if isinstance(event, TextDelta):
            raise KeyboardInterrupt

    talk = Conversation(library, "embedded", "s", chat_model=Scripted(replies=[TIDE], piece=11))
    last = talk.ask("When is high water?", show)
    assert isinstance(last, Failed) and last.interrupted
    assert talk.last is not None and talk.last.answer.text == "High water"
    assert [turn.answer.partial for turn in talk.session.turns] == [True]
    talk.close()


def test_a_library_that_cannot_be_written_still_answers(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    talk = Conversation(library, "embedded", chat_model=Scripted(replies=[TIDE]))
    assert isinstance(talk.ask("When is high water?", lambda event: None), AnswerReady)
    assert not talk.kept and len(talk.session.turns) == 1
    assert Sessions(library.folder).ls() == []
    talk.close()


def test_paths_are_read_as_they_are_typed(shot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _paths(str(shot)) == _paths(f'"{shot}"') == [shot]
    assert _paths("a.png 'b c.png'") == [Path("a.png"), Path("b c.png")]
    assert _paths("it's.png") == [Path("it's.png")]
    monkeypatch.setenv("HOME", str(shot.parent))
    assert _paths("~/my first shot.png") == [shot]
    for typed in ("my answers.html", "'my answers.html'", "my\\ answers.html"):
        assert _path(typed) == Path("my answers.html")
    assert _path("it's a page.md") == Path("it's a page.md")
    assert _path("~/my new page.md") == shot.with_name("my new page.md")


def offered(completer: _Commands, text: str) -> list[str]:
    found = completer.get_completions(Document(text), CompleteEvent(completion_requested=True))
    return [text[: len(text) + c.start_position] + c.text for c in found]


def test_tab_offers_commands_pictures_and_names(
    shot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "shot\x1b]0;evil\x07.png").write_bytes(b"")
    (tmp_path / "pictures").mkdir()
    completer = _Commands(
        {"/attach": Offer("", (".png",)), "/resume": Offer("", None, lambda: ["one", "o\x1bno"])}
    )
    monkeypatch.chdir(tmp_path)
    assert offered(completer, "/at") == ["/attach"]
    assert offered(completer, "/attach my") == ["/attach my first shot.png"]
    assert offered(completer, "/attach 'my") == ["/attach 'my first shot.png"]
    assert offered(completer, f"/attach {tmp_path}/pi") == [f"/attach {tmp_path}/pictures"]
    assert offered(completer, "/attach no") == offered(completer, "/attach shot") == []
    assert offered(completer, "/resume o") == ["/resume one"]
    assert offered(completer, "a question") == []


def test_a_line_that_begins_with_a_path_is_a_question() -> None:
    commands = Commands(None, Screen(), lambda turn: None)  # type: ignore[arg-type]
    assert not commands.run("/tmp/shot.png what is this?")
    assert not commands.run("what is /help?")
    with pytest.raises(UserError, match="there is no command /"):
        commands.run("/ what")


def test_the_clipboard(monkeypatch: pytest.MonkeyPatch) -> None:
    def grab(result: object) -> None:
        def grabclipboard() -> object:
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(ImageGrab, "grabclipboard", grabclipboard)

    grab(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    assert clipboard_picture().startswith(b"\x89PNG")
    for result in (None, ["a.png"], NotImplementedError("no"), ChildProcessError("xclip error")):
        grab(result)
        with pytest.raises(SourceError) as caught:
            clipboard_picture()
        assert "/attach PATH" in caught.value.hint


def test_a_question_that_an_error_cut_short_can_be_gone_on_with(library: Library) -> None:
    model = Scripted(replies=[ConnectionError("gone"), "High water is at noon. [1]"])
    talk = Conversation(library, "embedded", "s", chat_model=model)
    assert isinstance(talk.ask("When is high water?", lambda _: None), Failed)
    last = talk.retry(lambda _: None)
    assert isinstance(last, AnswerReady)
    assert last.answer.text == "High water is at noon. [1]"
    assert talk.last is not None and talk.last.question == "When is high water?"
    with pytest.raises(QuestionError):
        talk.retry(lambda _: None)
    talk.close()
