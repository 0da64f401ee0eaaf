"""What is peculiar to a family of chat models that see. One row each; knows no weights."""

from __future__ import annotations

from dataclasses import dataclass

from ..calling import Format

__all__ = ["FAMILIES", "Family", "family_of"]


@dataclass(frozen=True, slots=True)
class Family:
    """A row of the table.

    Attributes:
        name: for people.
        model_type: as ``config.json`` names it.
        token_side: pixels on the side of the square that becomes one token; 0 where a picture's
            tokens do not follow its pixels.
        calls: the form in which its models call functions.
        video: whether its models read a video as such; the others are shown its frames as
            pictures.
    """

    name: str
    model_type: str
    token_side: int = 0
    calls: Format = "hermes"
    video: bool = False


FAMILIES = {
    family.model_type: family
    for family in (
        Family("Qwen2-VL", "qwen2_vl", 28, "qwen_agent", video=True),
        Family("Qwen2.5-VL", "qwen2_5_vl", 28, video=True),
        Family("Qwen3-VL", "qwen3_vl", 32, video=True),
        Family("LLaVA 1.5", "llava"),
        Family("LLaVA-NeXT", "llava_next"),
        Family("LLaVA-OneVision", "llava_onevision"),
        Family("Chameleon", "chameleon"),
    )
}
"""By ``model_type``; each is held against transformers' own processor and model by the tests."""


def family_of(model_type: str) -> Family:
    """The row of a model; one of a family that is not in the table is tried in the common way."""
    return FAMILIES.get(model_type, Family(model_type, model_type))
