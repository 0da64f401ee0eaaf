"""Emoji are put as their names wherever something is to be drawn."""

from __future__ import annotations

import pytest

from limner.tools.emoji import emoji_named
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.fake import HashPainter
from limner.tools.safety import drawing_refusal


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("🦊", "fox face"),
        ("draw 🦊in snow.", "draw fox face in snow."),
        ("a hat on a 🐱!", "a hat on a cat face!"),
        ("🐱 🐱", "cat face, cat face"),
        ("👩‍🚀", "woman rocket"),
        ("👍🏽 ❤️", "thumbs up sign, heart"),
        ("🇫🇷🇯🇵", "flag fr, flag jp"),
        ("no emoji: 90° → ™ © 漢字 قلم", "no emoji: 90° → ™ © 漢字 قلم"),
        ("  left as it is  ", "  left as it is  "),
        ("", ""),
    ],
)
def test_names(text: str, named: str) -> None:
    assert emoji_named(text) == named
    assert emoji_named(named) == named


def test_a_picture_s_record_tells_what_was_really_drawn() -> None:
    request = ImageRequest("🦊 in snow", "👻")
    assert (request.prompt, request.negative_prompt) == ("fox face in snow", "ghost")
    drawn = HashPainter().generate(ImageRequest("🦊"), lambda k, n, preview: None)
    assert drawn.prompt == "fox face"


def test_the_policy_reads_emoji_too() -> None:
    assert drawing_refusal("a naked 👧") is not None
    assert drawing_refusal("a 👧 with a kite") is None
