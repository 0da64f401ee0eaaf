"""Each source of an answer stands once, and its number is the one that is cited."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from limner.agent import steps
from limner.agent.agent import Agent
from limner.agent.composing import composed
from limner.agent.state import Attachment, fresh
from limner.errors import LimnerError
from limner.index.library import Library
from limner.index.passage import Passage
from limner.tools.chat_models.scripted import Scripted
from limner.tools.media import MediaStore

Shot = Callable[[str], Path]


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    """Paints a screen that says something."""

    def paint(words: str) -> Path:
        image = Image.new("RGB", (640, 160), "white")
        font = ImageFont.load_default(28)
        ImageDraw.Draw(image).text((40, 60), words, fill="black", font=font)
        image.save(tmp_path / f"{words}.png")
        return tmp_path / f"{words}.png"

    return paint


SHOT = "ab" * 32 + ".png"
FIGURE = Passage("4", "The alarm's panel.", "manual.pdf", image=SHOT, modality="figure")
HEAD = Passage("1", "High water", "shot.png", image=SHOT, modality="screenshot")
REST = Passage("2", "Save  Cancel", "shot.png", image=SHOT, modality="screenshot")
TEXT = Passage("3", "At noon.", "tides.md")


@pytest.mark.parametrize(
    ("passages", "draft", "text", "ids"),
    [
        ((HEAD, TEXT, REST, FIGURE), "A [1] b [2] c [3] d [4] e [a1] f [a2] g [5].",
         "A [3] b [1] c [3] d [2] e [3] f g.", ["3", "4", "a1"]),
        ((TEXT, FIGURE), "A [1] b [2] c [a1].", "A [1] b [2] c [3].", ["3", "4", "a1"]),
        ((HEAD, REST), "A [1] b [2].", "A [1] b [1].", ["a1"]),
        ((), "A [a1].", "A [1].", ["a1"]),
    ],
)  # fmt: skip
def test_a_screenshot_of_the_library_that_is_attached_stands_once(
    library: Library, passages: tuple[Passage, ...], draft: str, text: str, ids: list[str]
) -> None:
    state = fresh("What is it?", (Attachment(SHOT, "shot.png"),))
    state = {**state, "passages": passages, "draft": draft}
    work = Agent(library, chat_model=Scripted(replies=[]))._work
    answer = composed(state, work)
    assert answer.text == text
    assert [passage.id for passage in answer.passages] == ids


def test_it_is_the_picture_that_counts(library: Library, shot: Shot) -> None:
    """However it came, the file that was added and the file that is attached are one."""
    screen = shot("High water alarm")
    library.add(screen)
    agent = Agent(library, chat_model=Scripted(replies=["An alarm. [a1]"]))
    answer = agent.ask("What is the high water alarm?", [screen])
    assert [p.id for p in answer.passages if p.source == screen.name] == ["a1"]
    assert answer.text == f"An alarm. [{len(answer.passages)}]"


def test_equal_attachments_stand_once(library: Library, shot: Shot) -> None:
    one, two = shot("Save"), shot("Cancel")
    draft = "Yes. [a1] No. [a2] Yes. [a3] What? [a4]"
    answer = Agent(library, chat_model=Scripted(replies=[draft])).ask("Save?", [one, two, one])
    attached = [(n, p.text) for n, p in enumerate(answer.passages, 1) if p.id.startswith("a")]
    (first, save), (second, cancel) = attached
    assert (save, cancel) == ("Save", "Cancel")
    assert answer.text == f"Yes. [{first}] No. [{second}] Yes. [{first}] What?"


def test_a_picture_is_read_once(
    library: Library, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is attached, in one turn or the next."""
    read: list[tuple[int, int]] = []

    def read_lines(image: Image.Image) -> list[object]:
        read.append(image.size)
        return []

    monkeypatch.setattr(steps, "read_lines", read_lines)
    one, two = shot("Save"), shot("Cancel")
    agent = Agent(library, chat_model=Scripted(replies=["Yes. [a1]"] * 2), session="s")
    agent.ask("Save?", [one, two, *[one] * 20])
    assert len(read) == 2
    agent.ask("And now?", [two, one])
    assert len(read) == 2
    store = MediaStore(library.folder / "elsewhere")
    for _ in range(2):  # a failure is not remembered
        with pytest.raises(LimnerError):
            steps._read(store, SHOT)
