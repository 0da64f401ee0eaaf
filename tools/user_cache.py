"""Where the user's caches are, and how large each may become: two variables say."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UserError

__all__ = ["user_cache"]

_BYTES = 2_000_000_000


def user_cache() -> tuple[Path, int] | None:
    """The folder and the bytes of each cache in it, or none where ``LIMNER_CACHE`` is ``off``.

    ``LIMNER_CACHE`` names another folder, ``LIMNER_CACHE_BYTES`` another size than 2 GB.

    Raises:
        UserError: ``LIMNER_CACHE_BYTES`` is not a number of bytes.
    """
    from platformdirs import user_cache_dir

    folder = os.environ.get("LIMNER_CACHE", "").strip()
    if folder.lower() == "off":
        return None
    size = os.environ.get("LIMNER_CACHE_BYTES", "").strip() or str(_BYTES)
    if not (size.isascii() and size.isdigit() and 0 < int(size) < 2**60):
        raise UserError(
            "LIMNER_CACHE_BYTES is not a number of bytes",
            "set it to 2000000000, say; LIMNER_CACHE=off turns the cache off",
        )
    return Path(folder).expanduser() if folder else Path(user_cache_dir("limner")), int(size)
