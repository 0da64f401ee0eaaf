"""XQuAD English through `limner eval run`: every score with its interval, the same to the digit.

Two runs of the command line on the embedded profile: all questions about all articles, and, with
every other article indexed, their questions beside those about the articles that are not there.

    python benchmarks/xquad_eval.py --xquad xquad.en.json --articles even [--part whole]

``even`` takes articles 0, 2, 4, … of a full file of 48; a file of 24 is taken as it is. Intervals
are by article. The weights of the package were chosen on all the even articles.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from common import arguments, limner, show, write

# isort: split
from limner.agent.evaluation.runs import Run
from limner.agent.evaluation.summary import Score, summarize

Articles = list[dict[str, Any]]


def articles_of(path: Path, which: str) -> Articles:
    found: Articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    if which != "all" and len(found) > 24:
        return found[which == "odd" :: 2]
    return found


def whole(articles: Articles, folder: Path) -> Run:
    """Every question, with every paragraph in the library."""
    path = folder / "xquad.json"
    path.write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    limner("eval", "run", path, "--out", folder / "whole")
    return Run.open(folder / "whole")


def abstention(articles: Articles, folder: Path) -> Run:
    """Every question, with the paragraphs of every other article in the library."""
    lines, files = [], folder / "files"
    files.mkdir()
    for number, article in enumerate(articles):
        indexed = number % 2 == 0
        for place, paragraph in enumerate(article["paragraphs"]):
            name = f"{number:02}-{place:02}.txt"
            if indexed:
                (files / name).write_text(paragraph["context"], encoding="utf-8")
            for asked in paragraph["qas"]:
                lines.append({
                    "id": asked["id"],
                    "question": asked["question"],
                    "document": article["title"],
                    "category": "indexed" if indexed else "foreign",
                    "answerable": indexed,
                })  # fmt: skip
    asked_of = folder / "halves.jsonl"
    asked_of.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    asked_of.with_suffix(".toml").write_text('documents = ["files"]\n', encoding="utf-8")
    limner("eval", "run", asked_of, "--out", folder / "halves", "--metric", "abstaining")
    return Run.open(folder / "halves")


def told(score: Score) -> dict[str, float | int | None]:
    mean, low, high = (
        None if value is None else round(value, 4) for value in (score.mean, score.low, score.high)
    )
    return {"mean": mean, "low": low, "high": high, "n": score.n}


def main() -> None:
    parser = arguments(__doc__ or "", "xquad_eval")
    parser.add_argument("--xquad", type=Path, required=True, metavar="FILE")
    parser.add_argument("--articles", choices=["even", "odd", "all"], default="even")
    parts = {"whole": whole, "abstention": abstention}
    parser.add_argument("--part", choices=[*parts, "all"], default="all")
    args = parser.parse_args()
    articles = articles_of(args.xquad, args.articles)
    body: dict[str, Any] = {"articles": len(articles)}
    for name, run in parts.items():
        if args.part not in (name, "all"):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            summary = summarize(run(articles, Path(scratch)).rows)
        scores = {score.name: told(score) for score in summary.scores}
        body[name] = {"rows": summary.rows, "failed": summary.failed, "scores": scores}
        rows = [[score, *values.values()] for score, values in scores.items()]
        show(f"{name}: {summary.rows} rows", ["", "mean", "low", "high", "n"], rows)
    write(args.out, body)


if __name__ == "__main__":
    main()
