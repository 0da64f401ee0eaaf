"""What is measured of a picture and of drawing it. Knows pixels and the process, no models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["Peak", "measured_peak", "sharpness"]


def sharpness(image: Image.Image) -> float:
    """Variance of the Laplacian: low for a blurred picture, high for a detailed or a noisy one.

    Comparable between pictures of one size only. See Pech-Pacheco et al., ICPR 2000.

    Args:
        image: of any mode; its grey values, 0 to 255, count.
    """
    grey = np.pad(np.asarray(image.convert("L"), np.float64), 1, mode="reflect")
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())


class Peak:
    """The most memory that was used.

    Attributes:
        bytes: of the GPU's memory where one drew, else of the process's; None where the system
            does not tell.
    """

    bytes: int | None = None


@contextmanager
def measured_peak() -> Iterator[Peak]:
    """Measure what runs within; known when it has ended."""
    peak, cuda = Peak(), _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak starts anew
    yield peak
    used = 0 if cuda is None else int(cuda.max_memory_allocated())
    peak.bytes = used or _most_resident()


def _cuda() -> Any:
    """torch's, if it is loaded and there is a GPU."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None


def _most_resident() -> int | None:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None
