"""How long earlier pictures took on this machine, kept in the user's cache folder.

One small JSON file; losing it loses estimates, nothing else, so whatever is wrong with it is
passed over. Knows numbers, no models.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from statistics import median

__all__ = ["History"]

_KEPT, _MODELS = 8, 256  # pictures of a kind, kinds


class History:
    """Seconds per evaluation of a model, for each kind of picture.

    Args:
        path: the file; None keeps the figures in memory only.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of_user(cls) -> History:
        """The user's; in memory only where ``LIMNER_CACHE`` is ``off``."""
        from platformdirs import user_cache_dir

        folder = os.environ.get("LIMNER_CACHE", "").strip()
        if folder.lower() == "off":
            return cls(None)
        path = Path(folder).expanduser() if folder else Path(user_cache_dir("limner"))
        return cls(path / "drawing.json")

    def seconds(self, kind: str, evaluations: int) -> float | None:
        """What so many evaluations took before, in the median; None where none are known."""
        with self._lock:
            known = self._read().get(kind)
        return median(known) * evaluations if known else None

    def note(self, kind: str, evaluations: int, seconds: float) -> None:
        """Keep what a picture took."""
        with self._lock:
            known = self._read()
            rates = [*known.pop(kind, []), seconds / evaluations][-_KEPT:]
            self._known = dict([*known.items(), (kind, rates)][-_MODELS:])
            if self._path is None:
                return
            with suppress(OSError):  # a cache that cannot be written is no reason to fail
                self._path.parent.mkdir(parents=True, exist_ok=True)
                fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
                fresh.write_text(json.dumps(self._known), encoding="utf-8")
                fresh.replace(self._path)

    def _read(self) -> dict[str, list[float]]:
        if self._path is None:
            return self._known
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(kind): [float(rate) for rate in rates] for kind, rates in found.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return self._known
