"""The whole recipe: every stage in its order, within a number of minutes.

    python examples/pocket/train.py --out demo/pocket --minutes 150
    torchrun --nproc-per-node 2 examples/pocket/train.py --out demo/pocket --minutes 150
    python examples/pocket/train.py --out demo/pocket --minutes 25 --call 9     # a GPU, in calls

The same command goes on where it was interrupted, also after SIGKILL. The judge comes first, so
that it cannot have been made for the pictures it is to judge. Knows the stages, not what they do.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from limner.examples.pocket import assemble, classifier, emoji, evaluate, text, unet, vae
from limner.examples.pocket.training import the_firsts

__all__ = ["SHARES", "main"]

SHARES: dict[str, tuple[Callable[[Sequence[str]], bool], float]] = {
    "classifier": (classifier.main, 0.10),
    "vae": (vae.main, 0.18),
    "text": (text.main, 0.16),
    "unet": (unet.main, 0.50),
}
"""Of the minutes; what is left is for starting, assembling and evaluating."""


def main(arguments: Sequence[str] | None = None) -> bool:
    """Run what is not done yet; whether all is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo/pocket"))
    parser.add_argument("--minutes", type=float, default=150.0, help="for all stages together")
    parser.add_argument("--call", type=float, default=0.0, help="stop cleanly after; 0: do not")
    given, others = parser.parse_known_args(arguments)  # the rest goes to every stage
    ends = time.monotonic() + 60 * given.call if given.call else float("inf")
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    if first and not (given.out / "split.json").exists():
        emoji.main(["--out", str(given.out), *_of(others, "--size", "--seed")])
    for name, (stage, share) in SHARES.items():
        left = the_firsts((ends - time.monotonic()) / 60)
        if left < 0.3:
            return _unfinished(name)
        limit = [] if left == float("inf") else ["--minutes", f"{left:.2f}"]
        total = ["--total", f"{share * given.minutes:.2f}"]
        if not stage(["--out", str(given.out), *total, *limit, *others]):
            return _unfinished(name)
    if not first:
        return True
    assemble.main(["--out", str(given.out)])
    if (ends - time.monotonic()) / 60 < 0.06 * given.minutes:
        return _unfinished("evaluate")
    evaluate.main(["--out", str(given.out), *_of(others, "--seed")])
    return True


def _of(others: Sequence[str], *names: str) -> list[str]:
    """Those options with their values."""
    pairs = pairwise(others)
    return [word for name, value in pairs if name in names for word in (name, value)]


def _unfinished(name: str) -> bool:
    print(f"{name} is not done; the same command goes on")
    return False


if __name__ == "__main__":
    main()
