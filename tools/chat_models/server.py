"""Chat models behind an address that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, Ollama.

Knows addresses, the key and what a server lists. Needs no extra to be imported; `connect` needs
langchain-openai, and the model it gives is in `limner.tools.chat_models.server_chat`.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...errors import DeveloperError, ModelError, ModelMissing, ModelOutputError

if TYPE_CHECKING:
    import httpx
    from langchain_core.language_models import BaseChatModel

__all__ = [
    "base_of",
    "chat_key",
    "connect",
    "listed",
    "message_in",
    "models_of",
    "one_line",
    "trust",
]

_LARGEST = 4 << 20  # bytes of a list of models
_LIST = 10.0  # seconds for it to come
_LONGEST = 86_400  # seconds; no socket waits for ever longer ones
_FORM = "write it like http://localhost:8000/v1"
_ESCAPES = re.compile(r"(?:\x1b|\\x1b|\\u001b)\[[0-?]*[ -/]*[@-~]", re.IGNORECASE)
_NAMED = 8  # models that an error names


def connect(
    endpoint: str,
    model: str = "",
    *,
    timeout: float = 120.0,
    attempts: int = 4,
    backoff: float = 0.5,
) -> BaseChatModel:
    """A chat model on a server.

    The key comes from the variable ``LIMNER_CHAT_KEY`` and is shown in no error.

    Args:
        endpoint: ``http://host:8000/v1``; ``/v1`` may be left out.
        model: as the server calls it; the first that it lists if left out.
        timeout: seconds without a word after which the server is given up: before the first
            one, further attempts included, and between two.
        attempts: how often a server that refuses the connection, is busy (429) or stumbles
            (500, 502, 503) is asked, before the first word only.
        backoff: seconds before the second attempt; doubled before each further one.

    Raises:
        DeveloperError: not such an address, or not such a time.
        ModelMissing: the extra is not installed, or no server answers, or it lists no model.
        ModelError: the server refuses to list its models, or the key cannot be sent.
    """
    base, key = base_of(endpoint), chat_key()
    if not 0 < timeout <= _LONGEST:
        raise DeveloperError(
            f"a server cannot be given up after {timeout:g} seconds",
            f"any time above 0, up to {_LONGEST} seconds",
        )
    if find_spec("langchain_openai") is None:
        raise ModelMissing(
            "a chat model on a server needs langchain-openai", "pip install 'limner[server]'"
        )
    name = model or _first(base, max(attempts, 1), backoff, min(timeout, _LIST))
    from .server_chat import Limits, ServerChat

    return ServerChat.at(base, name, key, Limits(timeout, max(attempts, 1), backoff))


def models_of(endpoint: str, timeout: float = _LIST) -> list[str]:
    """The names of the models that a server lists, in its order.

    Args:
        endpoint: as for `connect`.
        timeout: seconds that the whole answer may take to begin.

    Raises:
        DeveloperError: not such an address.
        ModelMissing: no server answers there.
        ModelError: it refuses, fails, or takes too long.
        ModelOutputError: what it answers is no list of models.
    """
    import httpx

    base, key = base_of(endpoint), chat_key()
    reason, hung = "", False
    try:
        with _client(key, timeout) as client, client.stream("GET", f"{base}/models") as response:
            return _names(base, response, key)
    except httpx.TimeoutException as error:
        hung = not isinstance(error, httpx.ConnectTimeout)
        reason = one_line(str(error)) or "no connection in time"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = one_line(str(error)) or type(error).__name__
    if hung:
        raise ModelError(
            f"{base}: no list of models within {timeout:g} seconds", "look at the server's log"
        )
    raise ModelMissing(
        f"{base}: no chat server answers ({reason})",
        f"start it, then try: limner doctor --endpoint {base}",
    )


def base_of(endpoint: str) -> str:
    """The address up to ``/v1``.

    Raises:
        DeveloperError: not an http address, or one that holds a password or more than a path.
    """
    try:
        parts = urlsplit(endpoint.strip())
        host, secret, _ = parts.hostname, parts.username or parts.password, parts.port
    except ValueError:
        raise DeveloperError("the endpoint is no URL", _FORM) from None
    if secret:
        raise DeveloperError(
            f"{host}: the endpoint holds a password", "leave it out and set LIMNER_CHAT_KEY"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise DeveloperError(f"{one_line(endpoint)!r} is not the address of a server", _FORM)
    if parts.query or parts.fragment:
        raise DeveloperError(
            f"{host}: an endpoint ends with its path", f"{_FORM}, and name the model: --chat-model"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/v1'}"


def chat_key() -> str:
    """The key of the server that the user named; no other program's key is sent there.

    Raises:
        ModelError: it holds characters that cannot be sent.
    """
    key = os.environ.get("LIMNER_CHAT_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ModelError(
            "LIMNER_CHAT_KEY holds characters that no key has", "set LIMNER_CHAT_KEY anew"
        )
    return key


def trust() -> ssl.SSLContext:
    """The certificate authorities that are trusted: certifi's, or those of ``SSL_CERT_FILE``."""
    import certifi

    return ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())


def one_line(words: str, key: str = "") -> str:
    """A server's words as one short line without control characters, and without the key."""
    words = _ESCAPES.sub("", words.replace(key, "…") if key else words)
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())[:200]


def message_in(body: object) -> str:
    """What a server says, wherever in the body of a refusal it stands."""
    for name in ("error", "detail", "error", "message"):  # each may stand in the one before
        if isinstance(body, Mapping):
            body = body.get(name) or body
    if isinstance(body, str):
        return body
    try:
        return json.dumps(body, ensure_ascii=False) if body else ""
    except RecursionError:
        return ""


def listed(models: list[str]) -> str:
    """Names for an error: the first few, and how many more there are."""
    more = f" and {len(models) - _NAMED} more" if len(models) > _NAMED else ""
    return (", ".join(models[:_NAMED]) or "none") + more


def _first(base: str, attempts: int, backoff: float, timeout: float) -> str:
    models = None
    for attempt in range(attempts):
        try:
            models = models_of(base, timeout)
            break
        except ModelMissing as error:
            if attempt + 1 == attempts or "refused" not in str(error):
                raise  # else it may just be starting
            time.sleep(backoff * 2**attempt)
    if not models:
        raise ModelMissing(
            f"{base}: the server lists no model", "load one there, or name one: --chat-model NAME"
        )
    return models[0]


def _client(key: str, timeout: float) -> httpx.Client:
    """Sends nothing to any other address: redirects, proxies and ``.netrc`` are not followed."""
    import httpx

    return httpx.Client(
        headers={"authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
        follow_redirects=False,
        trust_env=False,
        verify=trust(),
    )


def _names(base: str, response: httpx.Response, key: str) -> list[str]:
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > _LARGEST:
            raise _no_list(base, "more than 4 MB")
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if response.status_code != 200:
        words = message_in(answer) or bytes(content[:4000]).decode("utf-8", "replace")
        raise _refused(base, response.status_code, one_line(words, key))
    if answer is None:
        raise _no_list(base, "not JSON")
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        raise _no_list(base, "no list of models in it")
    names = [entry.get("id") for entry in data if isinstance(entry, dict)]
    return [name for name in names if isinstance(name, str) and re.search(r"\S", name)]


def _refused(base: str, status: int, words: str) -> ModelError:
    hint = "look at the server's log"
    if status in (401, 403):
        hint = "set LIMNER_CHAT_KEY to the key that the server expects"
    elif 300 <= status < 400:
        hint = "give the address that it redirects to; redirects are not followed"
    elif status == 503:
        hint = "wait until it has loaded its model"
    elif status in (404, 405):
        hint = f"is the path right? {_FORM}; or name the model: --chat-model NAME"
    return ModelError(f"{base}: the server does not list its models ({status}: {words})", hint)


def _no_list(base: str, why: str) -> ModelOutputError:
    return ModelOutputError(
        f"{base}: the list of models cannot be read ({why})",
        f"is this an OpenAI-compatible server? See: curl {base}/models",
    )
