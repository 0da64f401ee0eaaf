"""Looks at a chat server: what it lists, whether it answers, streams, and takes a picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from langchain_core.messages import HumanMessage

from ..errors import LimnerError
from ..tools.chat_models.server import base_of, connect, listed, models_of
from .doctor import Finding
from .profiles import TIMEOUT

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ["examine_server"]

_GREETING = "Hello!"
_ENOUGH = 64  # chunks after which an answer is not listened to any further
_SIDE = 56  # pixels: two patches of every vision model that is known here


def examine_server(
    endpoint: str, chat_model: str | None = None, timeout: float = TIMEOUT
) -> Iterator[Finding]:
    """Look at a server, a finding for each question; what fails ends it.

    Args:
        endpoint: as for `limner.tools.chat_models.server.connect`.
        chat_model: as the server calls it; the first that it lists if left out.
        timeout: seconds without a word after which the server is given up.

    Raises:
        LimnerError: the first thing that failed.
    """
    base = base_of(endpoint)
    begun = monotonic()
    models = models_of(endpoint)
    detail = f"{base} lists {listed(models)} ({_ms(monotonic() - begun)})"
    yield Finding("ok" if models else "note", "server", detail)
    model = connect(endpoint, chat_model or "", timeout=timeout)
    yield _streams(model, chat_model or models[0])
    yield _sees(model, chat_model or models[0])


def _streams(model: BaseChatModel, name: str) -> Finding:
    begun = monotonic()
    first, words = 0.0, 0
    for number, chunk in enumerate(model.stream([HumanMessage(_GREETING)]), 1):
        words += bool(chunk.text)
        first = first or (monotonic() - begun if chunk.text else 0.0)
        if number == _ENOUGH:
            break
    if words > 1:
        return Finding("ok", "streaming", f"{name}: the first word after {_ms(first)}")
    if words:
        return Finding("note", "streaming", f"{name} answers in one piece, after {_ms(first)}")
    return Finding("note", "streaming", f"{name} thinks before it answers; no word came yet")


def _sees(model: BaseChatModel, name: str) -> Finding:
    """A picture that is refused is worth knowing; questions without one are answered all the same.

    The next step is then the server's, or to leave pictures out.
    """
    asked = HumanMessage([{"type": "text", "text": _GREETING}, _picture()])
    try:
        for number, _ in enumerate(model.stream([asked]), 1):
            if number == _ENOUGH:
                break
    except LimnerError as error:
        return Finding("note", "pictures", f"none are taken: {error}", error.hint)
    return Finding("ok", "pictures", f"{name} takes them")


def _picture() -> dict[str, Any]:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), "steelblue").save(data, "PNG")
    text = base64.b64encode(data.getvalue()).decode("ascii")
    return {"type": "image", "base64": text, "mime_type": "image/png"}


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"
