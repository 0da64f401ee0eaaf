"""Pages per second of the limited reader, against the parsers alone, in turns.

The parsers alone: pypdfium2 opens each page and gives its text; Beautiful Soup builds each page's
tree and gives its text; RapidOCR reads each picture, decoded by Pillow. They keep nothing: no
boxes, paragraphs, figures, tables. Ours is `Reader` with one process and with two, started and
warm, pictures stored; and, for comparison, `load` in this process.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import common
from bombs import pdf
from malformed import WORDS
from PIL import Image, ImageDraw, ImageFont

from limner.index.loaders import load
from limner.index.reading import Reader
from limner.tools.media import MediaStore

MARK = 1.2
PAGES = 10  # of each PDF


def sentence(dice: random.Random) -> str:
    return " ".join(dice.choices(WORDS, k=12)).capitalize() + "."


def write_pdf(path: Path, dice: random.Random) -> int:
    """Pages of prose: 5 paragraphs of 8 lines and a heading each."""
    fonts = b"/Font << /F1 3 0 R /F2 4 0 R >>"
    face = b"<< /Type /Font /Subtype /Type1 /BaseFont /%b >>"
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    objects += [face % b"Helvetica", face % b"Helvetica-Bold"]
    kids = []
    for number in range(PAGES):
        words = [f"BT /F2 14 Tf 60 740 Td (Chapter {number + 1}) Tj ET"]
        for line in range(40):
            y = 710 - 14 * line - 8 * (line // 8)
            words.append(f"BT /F1 10 Tf 60 {y} Td ({sentence(dice)}) Tj ET")
        content = "\n".join(words).encode()
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
        page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 792] /Contents %d 0 R"
        objects.append(page % len(objects) + b" /Resources << %b >> >>" % fonts)
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Count %d /Kids [%b] >>" % (PAGES, b" ".join(kids))
    path.write_bytes(pdf(objects))
    return PAGES


def write_html(path: Path, dice: random.Random) -> int:
    parts = [f"<h1>Page {path.stem}</h1>"]
    for number in range(12):
        parts.append(f"<h2>Part {number}</h2>")
        parts += [f"<p>{sentence(dice)} <b>{sentence(dice)}</b></p>" for _ in range(4)]
        parts.append(f"<ul>{''.join(f'<li>{sentence(dice)}' for _ in range(4))}</ul>")
    path.write_text(f"<html><body>{''.join(parts)}</body></html>")
    return 1


def write_png(path: Path, dice: random.Random) -> int:
    image = Image.new("RGB", (800, 300), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(22)
    for line in range(5):
        pen.text((20, 20 + 50 * line), " ".join(dice.choices(WORDS, k=6)), "black", font)
    image.save(path)
    return 1


def bare_pdf(path: Path) -> int:
    import pypdfium2

    document, letters = pypdfium2.PdfDocument(path), 0
    for page in document:
        text = page.get_textpage()
        letters += len(text.get_text_range())
        text.close()
        page.close()
    document.close()
    return letters


def bare_html(path: Path) -> int:
    from bs4 import BeautifulSoup

    return len(BeautifulSoup(path.read_bytes(), "html.parser").get_text())


def bare_png() -> Callable[[Path], int]:
    import logging

    import numpy as np
    from rapidocr import RapidOCR

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    engine = RapidOCR(params={"Global.use_cls": False, "Global.log_level": "error"})

    def read(path: Path) -> int:
        with Image.open(path) as image:
            pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
        return len(engine(pixels, use_cls=False).txts or ())

    return read


KINDS: Mapping[str, tuple[int, Callable[[Path, random.Random], int], Callable[[], Any]]] = {
    "pdf": (12, write_pdf, lambda: bare_pdf),
    "html": (30, write_html, lambda: bare_html),
    "png": (4, write_png, bare_png),
}


def all_read(results: Iterable[tuple[Path, object]]) -> None:
    for path, result in results:
        assert isinstance(result, list), (path, result)


def measured(kind: str, folder: Path, rounds: int) -> dict[str, Any]:
    count, write, make = KINDS[kind]
    dice = random.Random(kind)
    paths = [folder / f"{number:03}.{kind}" for number in range(count)]
    pages = sum(write(path, dice) for path in paths)
    bare, media = make(), MediaStore(folder / "own")
    with Reader(folder / "one", 1) as one, Reader(folder / "two", 2) as two:
        runs = {
            "parser alone": lambda: common.seconds(lambda: [bare(path) for path in paths]),
            "load": lambda: common.seconds(lambda: [load(path, media) for path in paths]),
            "one process": lambda: common.seconds(lambda: all_read(one.read(paths))),
            "two processes": lambda: common.seconds(lambda: all_read(two.read(paths))),
        }
        found = common.interleaved(runs, rounds)
        started = time.perf_counter()
        with Reader(folder / "cold", 1) as cold:
            cold.read_one(paths[0])
            first = time.perf_counter() - started
    alone = found["parser alone"]
    return {
        "files": count,
        "pages": pages,
        "pages_per_second": {n: common.spread([pages / s for s in v]) for n, v in found.items()},
        "times_the_parser": {
            name: common.spread(common.ratios(values, alone))
            for name, values in found.items()
            if name != "parser alone"
        },
        "first_file_seconds": first,
    }


def main() -> None:
    parser = common.arguments(__doc__ or "", "ingest")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    figures = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as name:
            figures[kind] = measured(kind, Path(name), options.rounds)
    rows = []
    for kind, found in figures.items():
        for name, speed in found["pages_per_second"].items():
            times = found["times_the_parser"].get(name)
            ratio = [times[k] for k in ("median", "min", "max")] if times else []
            shown = "{:.2f} ({:.2f}–{:.2f})".format(*ratio) if ratio else ""
            rows.append((f"{kind}, {name}", speed["median"], shown))
    common.show(f"ingest (mark: {MARK} times)", ("", "pages/s", "times the parser"), rows)
    common.write(options.out, {"mark": MARK, "kinds": figures})


if __name__ == "__main__":
    main()
