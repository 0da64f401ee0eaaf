"""Which model fills which role. Knows names; loads nothing until a role is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from ..errors import DeveloperError, ModelMissing
from ..tools.sentences import Encoder

__all__ = ["PROFILES", "Profile", "chat_model_of", "profile_of"]


@dataclass(frozen=True, slots=True)
class Profile:
    """The models of one way to run.

    Attributes:
        name: ``embedded``, ``local`` or ``server``.
        summary: for people, in a line.
        ready: whether this version can run it.
    """

    name: str
    summary: str
    ready: bool


PROFILES = {
    "embedded": Profile("embedded", "no download, runs on a CPU; answers by quoting", True),
    "local": Profile("local", "Qwen3 embeddings, Qwen2-VL and SDXL on one machine", False),
    "server": Profile("server", "any OpenAI-compatible endpoint", False),
}


def profile_of(name: str) -> Profile:
    """The profile of a name.

    Raises:
        DeveloperError: there is none of that name.
        ModelMissing: this version cannot run it yet.
    """
    if name not in PROFILES:
        raise DeveloperError(f"no profile {name!r}", f"one of: {', '.join(PROFILES)}")
    profile = PROFILES[name]
    if not profile.ready:
        raise ModelMissing(
            f"the profile {name!r} is not part of this version yet",
            "use --profile embedded, or give Agent(chat_model=…) any LangChain chat model",
        )
    return profile


def chat_model_of(profile: Profile, encoder: Encoder) -> BaseChatModel:
    """The chat model of a profile.

    Args:
        profile: one that is ready.
        encoder: what the embedded one compares sentences with.
    """
    from ..tools.chat_models.extractive import Extractive

    return Extractive(encoder=encoder)
