"""Which model fills which role. Knows names; loads nothing until a role is asked for.

A profile names the chat model. What passages are found with is the library's own matter, since its
vectors are of one embedding model: ``Library.open`` and ``--embedding-model`` say which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DeveloperError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ..tools.sentences import Encoder

__all__ = ["LOCAL_CHAT_MODEL", "PROFILES", "Profile", "amounts_to", "chat_model_of", "profile_of"]

LOCAL_CHAT_MODEL = "Qwen/Qwen2-VL-2B-Instruct"
"""The chat model of the profile ``local`` where no other is named."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The chat model of one way to run.

    Attributes:
        name: ``embedded``, ``local`` or ``server``.
        summary: for people, in a line.
    """

    name: str
    summary: str


PROFILES = {
    "embedded": Profile("embedded", "no download, runs on a CPU; answers by quoting"),
    "local": Profile("local", "Qwen2-VL on this machine, or another model: --chat-model"),
    "server": Profile("server", "any OpenAI-compatible server: --endpoint"),
}


def profile_of(name: str) -> Profile:
    """The profile of a name.

    Raises:
        DeveloperError: there is none of that name.
    """
    if name not in PROFILES:
        raise DeveloperError(f"no profile {name!r}", f"one of: {', '.join(PROFILES)}")
    return PROFILES[name]


def amounts_to(profile: Profile, chat_model: str | None, endpoint: str | None) -> Profile:
    """The profile that a profile and what was named beside it come to.

    The chat model ``embedded`` comes first, then an endpoint, then the profile ``server``, then
    any other chat model, and last the profile.
    """
    if chat_model == "embedded":
        return PROFILES["embedded"]
    if endpoint or profile.name == "server":
        return PROFILES["server"]
    return PROFILES["local"] if chat_model else profile


def chat_model_of(
    profile: Profile,
    encoder: Encoder,
    chat_model: str | None = None,
    endpoint: str | None = None,
) -> BaseChatModel:
    """The chat model of a profile.

    Args:
        profile: where nothing else is named.
        encoder: what the embedded one compares sentences with.
        chat_model: ``embedded``, a folder or a name of the hub; on a server, its name there.
        endpoint: of a server, as ``http://host:8000/v1``.

    Raises:
        DeveloperError: the profile ``server`` without an endpoint, or not such an address.
        ModelMissing: weights, a package or a server are not there.
        ModelError: they are there, and not as they should be.
    """
    kind = amounts_to(profile, chat_model, endpoint).name
    if kind == "embedded":
        from ..tools.chat_models.extractive import Extractive

        return Extractive(encoder=encoder)
    if kind == "local":
        from ..tools.chat_models.qwen2_vl import Qwen2VL

        return Qwen2VL.load(chat_model or LOCAL_CHAT_MODEL)
    if not endpoint:
        raise DeveloperError(
            "the profile 'server' needs the address of one",
            "--endpoint http://HOST:PORT/v1, or set LIMNER_ENDPOINT",
        )
    from ..tools.chat_models.server import connect

    return connect(endpoint, chat_model or "")
