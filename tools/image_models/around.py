"""An image model around another: says of itself what the other says. Draws nothing."""

from __future__ import annotations

from .base import Capabilities, ImageModel

__all__ = ["Around"]


class Around:
    """What stays as it is where a model is wrapped.

    Args:
        model: within.
    """

    def __init__(self, model: ImageModel) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """The model's."""
        return self.model.name

    @property
    def revision(self) -> str:
        """The model's."""
        return self.model.revision

    @property
    def capabilities(self) -> Capabilities:
        """The model's."""
        return self.model.capabilities
