"""One server, asked for JSON over HTTP with a deadline and as often as is reasonable.

Knows HTTP and one address, and sends nothing to any other: redirects, proxies and ``.netrc`` are
not followed. Knows nothing of vectors.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import DeveloperError, ModelError, ModelMissing, ModelOutputError

if TYPE_CHECKING:
    import httpx

__all__ = ["Address", "RefusedError", "Server", "one_line", "unusable"]

_BUSY = (429, 502, 503, 504)
_LONGEST_WAIT = 30.0  # seconds, whatever Retry-After says
_LARGEST = 64 << 20  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server is and what it is asked for; its words hold no secret.

    Attributes:
        base: up to ``/v1``.
        model: as the server calls it; may be empty.
        dimensions: asked for; 0 for the model's own.
    """

    base: str
    model: str = ""
    dimensions: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address in ``http://host:8000/v1?dimensions=512#model-name``.

        Raises:
            DeveloperError: it is not of that form, or holds a password.
        """
        form = "write it like http://localhost:8000/v1#model-name"
        try:
            parts = urlsplit(text.strip())
            host, secret, _ = parts.hostname, parts.username or parts.password, parts.port
        except ValueError:
            raise DeveloperError("the address of the embedding server is no URL", form) from None
        if secret:
            raise DeveloperError(
                f"{host}: the address of the embedding server holds a password",
                "leave it out and set LIMNER_EMBEDDING_KEY",
            )
        if parts.scheme not in ("http", "https") or not host:
            raise DeveloperError(f"{text}: not the address of an embedding server", form)
        model, _, late = parts.fragment.partition("?")  # ?dimensions=… may follow the model too
        options = parse_qs("&".join(filter(None, (parts.query, late))), keep_blank_values=True)
        wanted = options.pop("dimensions", ["0"])[-1]
        if options or not re.fullmatch(r"[0-9]{1,5}", wanted):
            raise DeveloperError(
                f"{host}: the only option of an address is dimensions, a number",
                "write it like http://localhost:8000/v1?dimensions=512#model-name",
            )
        path = parts.path.rstrip("/") or "/v1"
        base = f"{parts.scheme}://{parts.netloc}{path}"
        return cls(base, unquote(model), int(wanted))

    def __str__(self) -> str:
        return f"{self.base}#{self.model}" if self.model else self.base

    def url(self, path: str) -> str:
        """Of a path below ``/v1``; of one beside it where the path begins with ``/../``."""
        if path.startswith("/../"):
            return self.base.removesuffix("/v1") + path.removeprefix("/..")
        return self.base + path


def one_line(words: str) -> str:
    """A server's words as one short line without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())[:200]


class RefusedError(ModelError):
    """The server answers, and says no."""

    def __init__(self, address: Address, status: int, words: str) -> None:
        self.status, self.words = status, words
        self.too_long = status == 413 or (
            status in (400, 422, 500) and _TOO_LONG.search(words) is not None
        )
        hint = "look at the server's log"
        if self.too_long:
            hint = "start the server with a longer context (vLLM: --max-model-len)"
        elif status in (401, 403):
            hint = "set LIMNER_EMBEDDING_KEY to the key that the server expects"
        elif 300 <= status < 400:
            hint = "give the address that it redirects to; redirects are not followed"
        elif status == 404:
            hint = f"see what it serves: curl {address.base}/models"
        elif "dimension" in words or "matryoshka" in words:
            hint = "leave out ?dimensions="
        super().__init__(f"{address}: the server refuses ({status}: {words or 'no words'})", hint)


_TOO_LONG = re.compile(
    r"\btokens?\b|too (long|large)|(context|maximum|input) (size|length)|batch size", re.IGNORECASE
)


class Server:
    """One address, asked with a deadline and as often as is reasonable. Threads may share it."""

    def __init__(
        self, address: Address, connections: int, timeout: float, attempts: int, backoff: float
    ) -> None:
        self._address = address
        self._connections = connections
        self._timeout = timeout
        self._attempts = attempts
        self._backoff = backoff
        self._key = _key()
        self._answered = False

    def ask(self, path: str, body: Mapping[str, object] | None = None) -> object:
        """The JSON that a path answers with; ``POST`` where there is a body."""
        import httpx

        for attempt in range(1, self._attempts + 1):
            wait = self._backoff * 2 ** (attempt - 1) * random.uniform(1, 1.25)
            try:
                status, asked_wait, content = self._exchange(self._address.url(path), body)
            except httpx.ConnectTimeout as error:
                raise self._down(error) from None
            except httpx.TimeoutException:
                raise self._hung() from None
            except httpx.TransportError as error:
                never = isinstance(error, httpx.ConnectError) and not self._answered
                if never or attempt == self._attempts:
                    raise self._down(error) from None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._garbled(one_line(str(error))) from None
            else:
                self._answered = True
                if status not in _BUSY:
                    return self._read(status, content)
                wait = max(wait, asked_wait)
            if attempt < self._attempts:
                time.sleep(min(wait, _LONGEST_WAIT))
        raise ModelError(
            f"{self._address}: still busy after {self._attempts} attempts ({status})",
            "run the same command again later, or give the server more room",
        )

    def _exchange(self, url: str, body: Mapping[str, object] | None) -> tuple[int, float, bytes]:
        """Status, seconds that the server asks to wait, and content of one answer."""
        import httpx

        ends, content = time.monotonic() + self._timeout, bytearray()
        with self._client.stream("GET" if body is None else "POST", url, json=body) as response:
            for piece in response.iter_bytes():
                content += piece
                if time.monotonic() > ends:  # a trickle, each piece of it in time
                    raise httpx.ReadTimeout("too slow")
                if len(content) > _LARGEST:
                    raise self._garbled(f"more than {_LARGEST >> 20} MB")
            wait = response.headers.get("retry-after", "")
            seconds = float(wait) if re.fullmatch(r"[0-9]{1,6}", wait) else 0.0
            return response.status_code, seconds, bytes(content)

    def _read(self, status: int, content: bytes) -> object:
        if status != 200:
            raise RefusedError(self._address, status, self._words(content))
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise self._garbled("not JSON") from None

    def _words(self, content: bytes) -> str:
        """What a refusal says, without the key that some servers repeat."""
        words = content[:4000].decode("utf-8", "replace")
        return one_line(words.replace(self._key, "…") if self._key else words)

    @cached_property
    def _client(self) -> httpx.Client:
        import ssl

        import certifi
        import httpx

        authorities = os.environ.get("SSL_CERT_FILE") or certifi.where()
        return httpx.Client(
            headers={"accept-encoding": "identity"}
            | ({"authorization": f"Bearer {self._key}"} if self._key else {}),
            timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, 10), pool=None),
            limits=httpx.Limits(max_connections=self._connections),
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context(cafile=authorities),
        )

    def _down(self, error: Exception) -> ModelMissing:
        reason = one_line(str(error)) or type(error).__name__
        return ModelMissing(
            f"{self._address}: no embedding server answers ({reason})",
            f"start it, then try: curl {self._address.base}/models",
        )

    def _hung(self) -> ModelError:
        return ModelError(
            f"{self._address}: no answer within {self._timeout:g} seconds",
            "look at the server's log; what is stored already is not embedded again",
        )

    def _garbled(self, why: str) -> ModelOutputError:
        return unusable(self._address, f"the answer cannot be read ({why})")


def _key() -> str:
    """The key of the server that the user named; no other program's key is sent there."""
    key = os.environ.get("LIMNER_EMBEDDING_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):  # httpx would show it in its error
        raise ModelError(
            "LIMNER_EMBEDDING_KEY holds characters that no key has", "set LIMNER_EMBEDDING_KEY anew"
        )
    return key


def unusable(address: Address, why: str) -> ModelOutputError:
    """The error for an answer that is not what was asked for."""
    hint = f"is this an OpenAI-compatible embedding server? See: curl {address.base}/models"
    return ModelOutputError(f"{address}: {why}", hint)
