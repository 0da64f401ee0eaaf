"""Embedding many passages on a CPU, against plain ``SentenceTransformer.encode``.

Claims: at least twice as fast on real text with the embedded model, with recall@5 on XQuAD within
half a point.

    python benchmarks/embedding.py --xquad xquad.en.json [--rounds 3]

The passages are XQuAD's paragraphs and, to have more of the same length, the second half of each
with the first half of the next. Both sides normalise; plain is in float32 with batches of 32, as it
comes. Processor time is beside the elapsed one: it says more where others use the machine, and less
of threads. Recall is that of the right paragraph among all paragraphs, by cosine alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import arguments, interleaved, interval, ratios, seconds, show, spread, spread_text

from common import write  # isort: skip

# isort: split
import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from xquad import Data, load

from limner.index.embeddings import Embeddings, embedded, find_embeddings

_PLAIN, _SORTED, _OURS = "plain encode", "ours, float32", "ours"


def corpus(data: Data) -> list[str]:
    """Every paragraph, and as many that overlap two."""
    texts = list(data.texts.values())
    halves = [(t[: len(t) // 2], t[len(t) // 2 :]) for t in texts]
    return texts + [a[1] + " " + b[0] for a, b in pairwise(halves)]


def plain_model(model: Embeddings) -> SentenceTransformer:
    return SentenceTransformer(str(model._folder), device="cpu", local_files_only=True)


def speed(texts: list[str], rounds: int, threads: int) -> dict[str, Any]:
    """Passages a second of each side, interleaved, on so many threads."""
    torch.set_num_threads(threads)
    ours, sorted_only = embedded(), find_embeddings("embedded?dtype=float32")
    plain = plain_model(ours)
    for model in (ours, sorted_only):
        model.encode_query(["warm up"])
    first = seconds(lambda: ours.encode_document(texts))
    work: dict[str, Callable[[], object]] = {
        _PLAIN: lambda: plain.encode(texts, normalize_embeddings=True, show_progress_bar=False),
        _SORTED: lambda: sorted_only.encode_document(texts),
        _OURS: lambda: ours.encode_document(texts),
    }
    used: dict[str, list[float]] = {name: [] for name in work}

    def timed(name: str) -> float:
        before = time.process_time()
        elapsed = seconds(work[name])
        used[name].append(time.process_time() - before)
        return elapsed

    found = interleaved({name: partial(timed, name) for name in work}, rounds)
    used = {name: values[-rounds:] for name, values in used.items()}
    times = {name: ratios(found[_PLAIN], values) for name, values in found.items()}
    cpu = {name: ratios(used[_PLAIN], values) for name, values in used.items()}
    rows = [
        [
            name,
            spread_text([len(texts) / s for s in found[name]], digits=1),
            spread_text(times[name]),
            spread_text(cpu[name]),
        ]
        for name in found
    ]
    show(
        f"{len(texts)} passages, {threads} thread(s)",
        ["", "passages/s", "× plain", "× by CPU"],
        rows,
    )
    print(f"  the first call of a process, which tries the format: {first:.2f} s")
    return {
        "passages": len(texts),
        "format": "bfloat16" if ours._chosen[0] is not None else "float32",
        "first call, s": first,
        "seconds": {name: spread(values) for name, values in found.items()},
        "times plain": {name: spread(values) for name, values in times.items()},
        "times plain by processor time": {name: spread(v) for name, v in cpu.items()},
    }


def quality(data: Data, texts: list[str]) -> dict[str, Any]:
    """Recall of both sides, and how close their vectors are."""
    ours = embedded()
    plain = plain_model(ours)
    asked = [q.text for q in data.questions]
    sides = {
        _PLAIN: [plain.encode(part, normalize_embeddings=True) for part in (asked, texts)],
        _OURS: [ours.encode_query(asked), ours.encode_document(texts)],
    }
    body: dict[str, Any] = {}
    for name, (questions, passages) in sides.items():
        body[name] = _recalls(data, questions @ passages[: len(data.texts)].T)
    cosines = (sides[_PLAIN][1] * sides[_OURS][1]).sum(axis=1)
    body["cosine to plain"] = {"mean": float(cosines.mean()), "min": float(cosines.min())}
    rows = [[n, *(f"{v[0]:.4f}" for v in body[n].values())] for n in sides]
    show(f"Right paragraph of {len(data.texts)}, {len(asked)} questions", ["", *body[_OURS]], rows)
    print("  cosine to plain: mean {mean:.5f}, least {min:.5f}".format(**body["cosine to plain"]))
    return body


def _recalls(data: Data, scores: np.ndarray) -> dict[str, list[float]]:
    place = {name: i for i, name in enumerate(data.texts)}
    right = np.array([place[q.file] for q in data.questions])
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = (order == right[:, None]).argmax(axis=1)
    clusters = [q.article for q in data.questions]
    return {f"recall@{k}": interval((ranks < k).astype(float), clusters) for k in (1, 5)}


def main() -> None:
    parser = arguments(__doc__ or "", "embedding")
    parser.add_argument("--xquad", type=Path, required=True, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", help="1 and 2 and the cores if left out")
    parser.add_argument("--passages", type=int, help="at most; at least 128")
    args = parser.parse_args()
    data = load(args.xquad, "even")
    texts = corpus(data)[: args.passages]
    cores = len(os.sched_getaffinity(0))
    threads = args.threads or sorted({1, min(2, cores), cores})
    body = {f"{n} thread(s)": speed(texts, args.rounds, n) for n in threads}
    write(args.out, body | {"recall": quality(data, texts)})


if __name__ == "__main__":
    main()
