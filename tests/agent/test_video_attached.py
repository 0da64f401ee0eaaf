"""A screen recording that comes with a question."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

import limner.examples
from limner.agent.agent import Agent
from limner.agent.answer import Marked
from limner.agent.attaching import attached
from limner.agent.conversation import Conversation
from limner.errors import ModelMissing, SourceError
from limner.index.library import Library
from limner.tests.tiny_videos import film

SHOT = Path(limner.examples.__path__[0]) / "shots" / "mac-vpn.png"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a quiet screen, then two of one that shows an error."""
    quiet = Image.new("RGB", (960, 600), (236, 239, 244))
    pen, font = ImageDraw.Draw(quiet), ImageFont.load_default(28)
    pen.text((24, 12), "Harbour VPN Client", font=font, fill="black")
    failed = quiet.copy()
    pen = ImageDraw.Draw(failed)
    pen.rectangle((200, 200, 760, 400), fill="white", outline="black", width=3)
    pen.text((230, 230), "Error 809", font=font, fill=(160, 0, 0))
    pen.text((230, 300), "Port 1701 is closed.", font=font, fill="black")
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    path.write_bytes(film([quiet] * 8 + [failed] * 8, 4))
    return path


@pytest.mark.slow
def test_an_answer_cites_and_marks_the_moment(tmp_path: Path, clip: Path) -> None:
    with Library.open(tmp_path / "empty") as library, Agent(library) as agent:
        answer = agent.ask("What error is shown?", images=[clip])
        attached = [p for p in answer.passages if p.id.startswith("a")]
        assert [p.source for p in attached] == ["clip.mp4 at 0:00.0", "clip.mp4 at 0:02.0"]
        assert "809" not in attached[0].text and "809" in attached[1].text
        assert "809" in answer.text and len(answer.passages) in answer.citations
        (picture,) = answer.pictures
        assert isinstance(picture.origin, Marked)
        assert picture.origin.passage.source == "clip.mp4 at 0:02.0"


def test_bytes_are_numbered_among_what_comes_along(library: Library, clip: Path) -> None:
    with Agent(library) as agent:
        kept = [
            attachment
            for number, source in enumerate([SHOT, clip.read_bytes(), str(clip)], 1)
            for attachment in attached(source, number, agent._work.media)
        ]
    assert [one.name for one in kept] == [
        "mac-vpn.png",
        *("video 2 at 0:00.0", "video 2 at 0:02.0"),
        *("clip.mp4 at 0:00.0", "clip.mp4 at 0:02.0"),
    ]
    assert [one.media for one in kept[1:3]] == [one.media for one in kept[3:]]


def test_a_damaged_recording_is_told_at_once(
    library: Library, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:1000])
    talk = Conversation(library, "embedded", "s")
    with pytest.raises(SourceError, match=r"broken\.mp4"):
        talk.attach(broken)
    assert talk.attach(clip).name == "clip.mp4" and len(talk.queued) == 1
    with Agent(library) as agent:
        with pytest.raises(SourceError, match=r"broken\.mp4"):
            agent.ask("What error is shown?", images=[broken])
        monkeypatch.setitem(sys.modules, "av", None)
        with pytest.raises(ModelMissing, match="PyAV"):
            agent.ask("What error is shown?", images=[clip])
    talk.close()
