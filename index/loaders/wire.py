"""What a limited process and its owner say to each other: lengths, JSON, blocks, errors.

A message is four bytes of length (big-endian) and as many bytes of JSON; nothing is ever unpickled,
for the process has read untrusted documents. Knows no processes and no formats.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, get_args

from ... import errors
from ...errors import LimnerError, SourceError
from ...tools.media import is_reference
from .base import Block, Kind

__all__ = ["HEADER", "MAX_BYTES", "block_of", "error_of", "error_values", "pack", "values_of"]

HEADER = 4
"""Bytes before each message: its length."""

MAX_BYTES = 1 << 28
"""No message is longer; blocks come some hundreds at a time."""

_KINDS = frozenset(get_args(Kind))
_CODE = json.JSONEncoder(separators=(",", ":")).encode  # escapes lone surrogates, as in paths


def pack(message: object) -> bytes:
    """A message as bytes, its length first."""
    body = _CODE(message).encode("ascii")
    return len(body).to_bytes(HEADER, "big") + body


def values_of(block: Block) -> tuple[object, ...]:
    """A block as JSON-ready values."""
    return block.kind, block.text, block.level, block.page, block.box, block.image


def block_of(values: Sequence[Any]) -> Block:
    """The inverse of ``values_of``; what comes in is not trusted.

    Raises:
        ValueError: not a block.
    """
    kind, text, level, page, box, image = values
    fits = (
        kind in _KINDS
        and isinstance(text, str)
        and isinstance(level, int)
        and (page is None or isinstance(page, int))
        and (box is None or (len(box) == 4 and all(isinstance(x, int | float) for x in box)))
        and (image is None or is_reference(image))
    )
    if not fits:
        raise ValueError("not a block")
    return Block(kind, text, level, page, tuple(box) if box else None, image)


def error_values(error: LimnerError) -> list[object]:
    """An error as JSON-ready values: class, message, hint, and the number of an OSError behind."""
    cause = error.__cause__
    number = cause.errno if isinstance(cause, OSError) else None
    return [type(error).__name__, str(error), error.hint, number]


def error_of(values: Sequence[Any]) -> LimnerError:
    """The inverse of ``error_values``; a class that does not exist becomes `SourceError`."""
    name, message, hint, number = values
    kind = getattr(errors, str(name), None) if name in errors.__all__ else None
    made = kind or SourceError
    error: LimnerError = made(str(message), str(hint))
    if isinstance(number, int):
        error.__cause__ = OSError(number, os.strerror(number))
    return error
