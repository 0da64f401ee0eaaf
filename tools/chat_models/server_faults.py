"""What went wrong with a chat server, as one typed error with the next step.

Knows the exceptions of the openai package and how servers word their refusals; asks nothing but
the list of models, where one is said to be unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import openai

from ...errors import DeveloperError, LimnerError, ModelError, ModelMissing, ModelOutputError
from .server import listed, message_in, models_of, one_line

__all__ = [
    "Fault",
    "Place",
    "cut_off",
    "empty",
    "fault_of",
    "hung",
    "silent",
    "unaskable",
    "unreadable",
]

_AGAIN = (429, 500, 502, 503)
_LONG = re.compile(
    r"context.{0,20}(length|size|window)|(maximum|max).{0,20}tokens|too (long|large|many tokens)"
    r"|exceeds?\b.{0,40}(context|tokens|length)",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(r"model.{0,80}(not found|does not exist|unknown|not loaded|pinned)", re.I)
_TOOLS = re.compile(r"\btools?(\b|_)|\bfunctions?\b[ _-]?(call|$)|\bfunctions\b", re.IGNORECASE)
_BLIND = re.compile(r"image|vision|multi-?modal|mmproj", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Who was asked.

    Attributes:
        base: the address up to ``/v1``.
        model: as the server calls it.
        key: to be left out of every error; empty where none is sent.
        pictures: whether pictures went along.
    """

    base: str
    model: str
    key: str
    pictures: bool = False

    def __repr__(self) -> str:
        return f"Place({self.base!r}, {self.model!r})"


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure.

    Attributes:
        error: what the caller hears.
        again: whether asking again may help.
        wait: seconds that the server asks to wait first.
        words: what the server said.
        no_tools: whether it refuses to be offered tools.
    """

    error: LimnerError
    again: bool = False
    wait: float = 0.0
    words: str = ""
    no_tools: bool = False


def fault_of(error: Exception, place: Place, timeout: float) -> Fault:
    """What an exception means; `timeout` is what the first word had."""
    if isinstance(error, LimnerError):
        return Fault(error)
    if isinstance(error, openai.APIStatusError):
        return _refusal(error, place)
    if isinstance(error, openai.APITimeoutError):
        if type(_root(error)).__name__ == "ConnectTimeout":
            return Fault(_down(place, "no connection in time"))
        return Fault(hung(place, timeout))
    if isinstance(error, openai.APIConnectionError):
        return _unconnected(error, place)
    if isinstance(error, openai.APIError):
        return _broken_off(error, place)
    return Fault(unreadable(place, one_line(f"{type(error).__name__}: {error}", place.key)))


def unreadable(place: Place, why: str) -> ModelOutputError:
    """It is no answer of such a server."""
    return ModelOutputError(
        f"{place.base}: the answer cannot be read ({why})",
        f"is this an OpenAI-compatible server? Try: limner doctor --endpoint {place.base}",
    )


def unaskable(place: Place, error: Exception) -> DeveloperError:
    """Nothing was sent."""
    words = one_line(f"{type(error).__name__}: {error}", place.key)
    return DeveloperError(
        f"{place.base}: this cannot be asked ({words})", "look at the messages and options given"
    )


def hung(place: Place, timeout: float) -> ModelError:
    """Nothing came in time."""
    return ModelError(
        f"{place.base}: no word of an answer within {timeout:g} seconds",
        "look at the server's log; a model that loads slowly needs a longer --timeout",
    )


def silent(place: Place, silence: float) -> ModelError:
    """It began to answer and then said nothing more."""
    return ModelError(
        f"{place.base}: the server fell silent for {silence:g} seconds amid its answer",
        "look at the server's log, then ask again",
    )


def cut_off(place: Place, why: str) -> ModelError:
    """The stream ended before the answer did."""
    return ModelError(
        f"{place.base}: the answer broke off ({why})",
        "look at the server's log, then ask again",
    )


def empty(place: Place, reason: str) -> ModelOutputError:
    """It said that it had answered, and there is no word."""
    hint = "ask again, or ask in other words"
    if reason == "length":
        hint = "the model ran out of tokens before its first word: allow more on the server"
    return ModelOutputError(f"{place.base}: {place.model} gave an empty answer ({reason})", hint)


def _refusal(error: openai.APIStatusError, place: Place) -> Fault:
    status = error.status_code
    words = _words(error.body, place) or one_line(error.message, place.key)
    said = f"{status}: {words or 'no words'}"
    again, wait = status in _AGAIN, _asked_wait(error.response.headers)
    no_tools = (  # llama.cpp says so with 500
        status in (400, 404, 422, 500, 501)
        and _TOOLS.search(words) is not None
        and _LONG.search(words) is None
    )
    return Fault(_refused(status, words, said, wait, place), again, wait, words, no_tools)


def _refused(status: int, words: str, said: str, wait: float, place: Place) -> ModelError:
    if status in (401, 403):
        wanted = "another key" if place.key else "a key"
        return ModelError(
            f"{place.base}: the server wants {wanted} ({said})",
            "set LIMNER_CHAT_KEY to the key that the server expects",
        )
    if status == 404 or (status == 400 and _UNKNOWN.search(words)):
        return _unknown(said, place)
    if status in (400, 413, 422, 500) and _LONG.search(words):
        return ModelError(
            f"{place.base}: the question is longer than {place.model} reads ({said})",
            "start the server with a longer context (vLLM: --max-model-len, llama.cpp: -c), or "
            + ("attach fewer or smaller pictures" if place.pictures else "ask something shorter"),
        )
    if place.pictures and status in (400, 415, 422, 500) and _BLIND.search(words):
        return ModelError(
            f"{place.base}: {place.model} takes no such picture ({said})",
            "serve a model that reads images, or ask without -a",
        )
    if status == 429:
        hint = f"ask again in {wait:.0f} seconds" if wait else "ask again in a minute"
        return ModelError(f"{place.base}: the server is busy ({said})", hint)
    if 300 <= status < 400:
        hint = "give the address that it redirects to; redirects are not followed"
        return ModelError(f"{place.base}: the server refuses ({said})", hint)
    verb = "failed" if status >= 500 else "refuses"
    return ModelError(f"{place.base}: the server {verb} ({said})", "look at the server's log")


def _unknown(said: str, place: Place) -> ModelMissing:
    try:
        models = models_of(place.base)
    except LimnerError:  # it may not list them; that must not hide what it said
        models = []
    if not models:
        hint = f"see what it serves: curl {place.base}/models"
    elif place.model in models:
        hint = "it lists that model all the same: is the path of the endpoint right?"
    else:
        hint = f"name one that it has, --chat-model NAME: {listed(models)}"
    return ModelMissing(f"{place.base}: no model {place.model!r} here ({said})", hint)


def _unconnected(error: openai.APIConnectionError, place: Place) -> Fault:
    cause = _root(error)
    words = one_line(str(cause), place.key) or type(cause).__name__
    if type(cause).__name__ == "ConnectError":
        return Fault(_down(place, words), again="refused" in words)
    return Fault(
        ModelError(
            f"{place.base}: the connection broke ({words})",
            "look at the server's log, then ask again",
        )
    )


def _root(error: BaseException) -> BaseException:
    """What the HTTP library raised, below the openai package's and LangChain's wrappings."""
    while isinstance(error, openai.APIError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _down(place: Place, words: str) -> ModelMissing:
    return ModelMissing(
        f"{place.base}: no chat server answers ({words})",
        f"start it, then try: limner doctor --endpoint {place.base}",
    )


def _broken_off(error: openai.APIError, place: Place) -> Fault:
    """An error that the server put into the stream."""
    words = _words(error.body, place) or one_line(error.message, place.key)
    if _LONG.search(words):
        return Fault(_refused(400, words, words, 0.0, place), words=words)
    return Fault(cut_off(place, words), words=words)


def _words(body: object, place: Place) -> str:
    return one_line(message_in(body), place.key)


def _asked_wait(headers: Mapping[str, str]) -> float:
    """Seconds, from either form of ``Retry-After`` (RFC 9110, section 10.2.3)."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    zoned = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max((zoned - datetime.now(UTC)).total_seconds(), 0.0)
