"""An image model as a LangChain tool, so that any agent can draw. Knows the contract only."""

from __future__ import annotations

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from ...errors import LimnerError
from ..safety import drawing_refusal
from .base import GeneratedImage, ImageModel, ImageRequest
from .vocabulary import remark

__all__ = ["as_tool"]


def as_tool(model: ImageModel) -> BaseTool:
    """A tool ``draw_picture``; the picture is its artifact, a `GeneratedImage`.

    What the safety policy declines, and every fault of a request, is told to the model that
    called, as text.

    Args:
        model: draws.

    Example:
        >>> from limner.tools.image_models.fake import HashPainter
        >>> tool = as_tool(HashPainter())
        >>> call = {"name": "draw_picture", "args": {"prompt": "a boat"}, "id": "1"}
        >>> tool.invoke(call | {"type": "tool_call"}).artifact.image.size
        (64, 64)
    """

    def draw_picture(
        prompt: str,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        seed: int = 0,
    ) -> tuple[str, GeneratedImage]:
        if rule := drawing_refusal(prompt):
            raise ToolException(rule.message)
        size = (width, height) if width is not None and height is not None else None
        request = ImageRequest(prompt, negative_prompt, size, seed=seed)
        try:
            drawn = model.generate(request, lambda k, n, preview: None)
        except LimnerError as error:
            raise ToolException(f"{error}. {error.hint}".rstrip(". ") + ".") from error
        told = f"Drawn: “{drawn.prompt}”, {drawn.size[0]}×{drawn.size[1]}, seed {drawn.seed}."
        return f"{told} {remark(model, drawn.prompt)}".rstrip(), drawn

    return StructuredTool.from_function(
        draw_picture,
        description=_description(model),
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _description(model: ImageModel) -> str:
    sizes = model.capabilities.sizes
    width, height = sizes.own
    said = [f"Draw a new picture from a description in words, {width}×{height} pixels"]
    if sizes.smallest != sizes.largest:
        said.append(
            f"or with sides of {sizes.smallest} to {sizes.largest} that are divisible by "
            f"{sizes.multiple_of}"
        )
    return " ".join(said) + ". The same seed draws the same picture."
