"""Which model fills which role. Knows names; loads nothing until a role is asked for.

A profile names the chat model and what draws. What a person says now beats what a variable says
for always: a variable that goes against the command line is left aside, so that ``--profile
embedded`` sends nothing to the server that ``LIMNER_ENDPOINT`` names. Two of equal standing that
contradict each other are an error. What passages are found with is the library's own matter, since
its vectors are of one embedding model: ``Library.open`` and ``--embedding-model`` say which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import DeveloperError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from ..tools.image_models.base import ImageModel
    from ..tools.picture_checker import PictureChecker
    from ..tools.sentences import Encoder

__all__ = [
    "LOCAL_CHAT_MODEL",
    "NO_IMAGE_MODEL",
    "PROFILES",
    "TIMEOUT",
    "Choice",
    "Contradiction",
    "Profile",
    "chat_model_of",
    "checker_of",
    "image_model_of",
    "label_of",
    "painter_of",
    "profile_of",
]

LOCAL_CHAT_MODEL = "Qwen/Qwen2-VL-2B-Instruct"
"""The chat model of the profile ``local`` where no other is named."""

NO_IMAGE_MODEL = "none"
"""Named as an image model: nothing is to be drawn."""

TIMEOUT = 120.0
"""Seconds without a word after which a server is given up, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The models of one way to run.

    Attributes:
        name: ``embedded``, ``local`` or ``server``.
        summary: for people, in a line.
        image_model: draws where nothing else is named; empty for nothing.
        picture_checker: looks at what that image model drew, and at no other's pictures; empty
            where the chat model does, or nobody.
    """

    name: str
    summary: str
    image_model: str = ""
    picture_checker: str = ""


PROFILES = {
    "embedded": Profile(
        "embedded",
        "no download, runs on a CPU; answers by quoting",
        image_model="pocket-sdxl",
        picture_checker="pocket-janus",
    ),
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


def image_model_of(profile: Profile, named: str | None) -> str:
    """The name of what draws; empty for nothing.

    Args:
        profile: whose own it is where nothing was named.
        named: a folder, a name of the hub or of a model that is shipped, or ``none``; empty says
            nothing, as an empty variable does.
    """
    name = (named or "").strip() or profile.image_model
    return "" if name.lower() == NO_IMAGE_MODEL else name


def painter_of(profile: Profile, named: ImageModel | str | None) -> ImageModel | None:
    """What draws; None for nothing. One by name does not draw again what it has drawn before.

    Args:
        profile: whose own it is where nothing was named.
        named: itself, or as for ``image_model_of``.

    Raises:
        ModelMissing, ModelError: as ``open_model``.
    """
    from ..tools.image_models.cache import PictureCache, Remembering
    from ..tools.image_models.opening import open_model

    if named is not None and not isinstance(named, str):
        return named
    name = image_model_of(profile, named)
    return Remembering(open_model(name), PictureCache.of_user()) if name else None


def checker_of(profile: Profile, named: ImageModel | str | None) -> PictureChecker | None:
    """What looks at drawings by itself: it knows what the profile's own image model draws, no more.

    Args:
        profile: whose own it is.
        named: what draws, as it was named; None or empty for the profile's own.

    Returns:
        None where something else draws, or the profile has none.
    """
    if not profile.picture_checker or (named and named != profile.image_model):
        return None
    from ..tools.pocket_checker import PocketChecker

    return PocketChecker(profile.picture_checker)


class Contradiction(DeveloperError):
    """What was named cannot all be meant."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was named of a chat model; None where nothing was.

    Attributes:
        profile: ``embedded``, ``local`` or ``server``.
        chat_model: ``embedded``, a folder or a name of the hub; on a server, its name there.
        endpoint: of a server, as ``http://host:8000/v1``; empty says that there is none.
    """

    profile: str | None = None
    chat_model: str | None = None
    endpoint: str | None = None

    def amounts_to(self) -> Profile:
        """The profile that all this comes to; ``embedded`` where nothing was named.

        A chat model overrides the profile's own.

        Raises:
            DeveloperError: there is no such profile.
            Contradiction: an endpoint beside what answers on this machine.
        """
        profile = profile_of(self.profile) if self.profile else None
        here = profile and profile.name != "server"
        if self.endpoint and (here or self.chat_model == "embedded"):
            one = f"the profile {self.profile!r}" if here else "the chat model 'embedded'"
            raise Contradiction(
                f"{one} answers on this machine, an endpoint names a server: they contradict",
                "leave one of them out (LIMNER_PROFILE, LIMNER_CHAT_MODEL and LIMNER_ENDPOINT "
                "count too)",
            )
        if self.chat_model == "embedded":
            return PROFILES["embedded"]
        if self.endpoint or self.profile == "server":
            return PROFILES["server"]
        return PROFILES["local"] if self.chat_model else profile or PROFILES["embedded"]

    def server(self) -> str:
        """The address of the server that the profile ``server`` asks.

        Raises:
            DeveloperError: none was named.
        """
        if not self.endpoint:
            raise DeveloperError(
                "the profile 'server' needs the address of one",
                "--endpoint http://HOST:PORT/v1, or set LIMNER_ENDPOINT",
            )
        return self.endpoint

    def completed(self, variables: Choice) -> Choice:
        """What was said, and what variables add to it where they do not go against it.

        Raises:
            DeveloperError, Contradiction: as `amounts_to`; of variables, too, where nothing that
                was said decides between them.
        """
        if variables.profile and self.profile is None:
            profile_of(variables.profile)  # one that is misspelt would go with nothing
        kinds, whole = _kinds(self), self
        for name in ("profile", "chat_model", "endpoint"):
            alone = Choice(**{name: getattr(variables, name)})
            if getattr(self, name) is None and kinds & _kinds(alone):
                whole = replace(whole, **{name: getattr(variables, name)})
        whole.amounts_to()
        return whole


def _kinds(choice: Choice) -> set[str]:
    """The profiles that go with all that was named."""
    kinds = {choice.profile} if choice.profile else set(PROFILES)
    if choice.chat_model:
        kinds &= {"embedded"} if choice.chat_model == "embedded" else {"local", "server"}
    if choice.endpoint is not None:
        kinds &= {"server"} if choice.endpoint else {"embedded", "local"}
    return kinds


def chat_model_of(choice: Choice, encoder: Encoder, timeout: float = TIMEOUT) -> BaseChatModel:
    """The chat model that was chosen.

    Args:
        choice: what was named.
        encoder: what the embedded one compares sentences with.
        timeout: seconds without a word after which a server is given up.

    Raises:
        DeveloperError: a contradiction, the profile ``server`` without an endpoint, not such an
            address, or not such a time.
        ModelMissing: weights, a package or a server are not there.
        ModelError: they are there, and not as they should be.
    """
    kind = choice.amounts_to().name
    if kind == "embedded":
        from ..tools.chat_models.extractive import Extractive

        return Extractive(encoder=encoder)
    if kind == "local":
        from ..tools.chat_models.qwen2_vl import Qwen2VL

        return Qwen2VL.load(choice.chat_model or LOCAL_CHAT_MODEL)
    from ..tools.chat_models.server import connect

    return connect(choice.server(), choice.chat_model or "", timeout=timeout)


def label_of(chat_model: BaseChatModel) -> str:
    """What a chat model is called: ``embedded``, a folder or name, or ``NAME at ADDRESS``."""
    from ..tools.chat_models.extractive import Extractive

    if isinstance(chat_model, Extractive):
        return "embedded"
    name = str(getattr(chat_model, "model_name", "") or type(chat_model).__name__)
    address = getattr(chat_model, "openai_api_base", None)
    return f"{name} at {address}" if address else name
