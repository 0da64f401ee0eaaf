"""Pictures with names: what Noto Color Emoji draws, what CLDR calls it, what is kept back.

    python examples/pocket/emoji.py --out demo/pocket

Knows the font and the annotations (Debian: fonts-noto-color-emoji, unicode-cldr-core) and the
split between training and evaluation; nothing of scenes, sentences or models. Run by itself it
writes the split as JSON and sheets of what the models are trained on.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "FONT",
    "HELD_OUT_SYNONYMS",
    "SENTENCES",
    "Emoji",
    "Split",
    "glyphs",
    "load",
    "missing",
    "phrase",
]

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
_CLDR = Path("/usr/share/unicode/cldr/common")
_PARAPHRASES = Path(__file__).with_name("paraphrases.tsv")
_STRIKE = 109  # the font's only size
SENTENCES = """
a above an and at background below black blue bottom brown cloudy corner dotted down drawing from
gradient green grey icon illustration image in large left light mirrored next of on orange over
picture pink purple red right showing simple small stripes the three tiny to top two under very
white with yellow
"""
"""What captions say around names, so nothing that could be kept back."""
HELD_OUT_SYNONYMS = 400
"""Keywords that no caption uses."""


@dataclass(frozen=True)
class Emoji:
    """A picture of the font.

    Attributes:
        text: its characters.
        name: as captions have it.
        keywords: that mean it rather than others, without its name.
        drawn: whether the generator learns it; the others are near duplicates of it or flags,
            which remain among the pictures that a drawing may be mistaken for.
    """

    text: str
    name: str
    keywords: tuple[str, ...]
    drawn: bool


def missing() -> str:
    """What has to be installed, as a command; empty where all is there."""
    packages = {FONT: "fonts-noto-color-emoji", _CLDR / "annotations": "unicode-cldr-core"}
    absent = [package for path, package in packages.items() if not path.exists()]
    return f"apt-get install {' '.join(absent)}" if absent else ""


def phrase(name: str) -> str:
    """A name as it stands in a sentence: lower case, without quotation marks and colons."""
    return re.sub(r"\s+", " ", re.sub(r"[“”\"]|:(?= )", "", name)).strip().lower()


@lru_cache
def load() -> tuple[Emoji, ...]:
    """All pictures that the font has and CLDR names, but for skin tones, in a fixed order.

    Raises:
        SystemExit: a package is missing; says which.
    """
    if absent := missing():
        raise SystemExit(f"pictures or names are missing: {absent}")
    names, keywords = _annotations()
    font = ImageFont.truetype(str(FONT), _STRIKE)
    there = {text: phrase(name) for text, name in names.items() if _is_picture(text, font)}
    known = set(there.values())
    drawn = {text: not _is_variant(name, known) and not _is_flag(text)
             for text, name in there.items()}  # fmt: skip
    owners: dict[str, list[str]] = {}
    for text in there:
        for word in {phrase(word) for word in keywords.get(text, []) if drawn[text]}:
            owners.setdefault(word, []).append(text)
    mine: dict[str, list[str]] = {}
    for word, texts in owners.items():
        if len(texts) <= 2 and word not in known and re.fullmatch(r"[a-z][a-z '’.-]+[a-z]", word):
            for text in texts:
                mine.setdefault(text, []).append(word)
    return tuple(
        Emoji(text, name, tuple(sorted(mine.get(text, []))), drawn[text])
        for text, name in sorted(there.items())
    )


def _annotations() -> tuple[dict[str, str], dict[str, list[str]]]:
    names, keywords = {}, {}
    for folder in ("annotations", "annotationsDerived"):
        for found in ElementTree.parse(_CLDR / folder / "en.xml").iter("annotation"):
            text, told = found.get("cp", ""), found.text or ""
            if found.get("type") == "tts":
                names[text] = told
            else:
                keywords[text] = told.split("|")
    return names, keywords


def _is_picture(text: str, font: ImageFont.FreeTypeFont) -> bool:
    """Whether the font draws it as one glyph of its own."""
    if any(0x1F3FB <= ord(letter) <= 0x1F3FF for letter in text) or len(text.encode()) < 3:
        return text in "©®"
    if font.getlength(text) > 1.1 * font.getlength("😀"):
        return False  # a sequence that the font has no picture for is drawn as its parts
    return font.getmask(text).getbbox() is not None


def _is_flag(text: str) -> bool:
    return any(0x1F1E6 <= ord(mark) <= 0x1F1FF or ord(mark) >= 0xE0000 for mark in text)


def _is_variant(name: str, known: set[str]) -> bool:
    """Whether it is a man's or a woman's version of another, or one of the many families."""
    if re.match(r"(family|kiss|couple with heart) .*(man|boy|girl)", name):
        return True
    found = re.match(r"(?:man|woman|men|women)\b (.+)", name)
    return found is not None and bool(
        known & {found[1], f"person {found[1]}", f"people {found[1]}", f"deaf {found[1]}"}
    )


def glyphs(size: int, cache: Path | None = None) -> NDArray[np.uint8]:
    """Every picture of `load`, centred in a square, premultiplied by its opacity.

    Args:
        size: side in pixels.
        cache: a folder in which they are kept.

    Returns:
        ``(n, 4, size, size)``: red, green, blue, opacity.
    """
    path = cache / f"glyphs-{size}.npy" if cache else None
    if path is not None and path.exists():
        kept: NDArray[np.uint8] = np.load(path)
        if len(kept) == len(load()):
            return kept
    font = ImageFont.truetype(str(FONT), _STRIKE)
    made = np.stack([_glyph(emoji.text, font, size) for emoji in load()])
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".tmp.npy")
        np.save(half, made)
        half.replace(path)
    return made


def _glyph(text: str, font: ImageFont.FreeTypeFont, size: int) -> NDArray[np.uint8]:
    canvas = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(canvas).text((12, 12), text, font=font, embedded_color=True)
    cut = canvas.crop(canvas.getbbox())
    square = Image.new("RGBA", (max(cut.size),) * 2)
    square.paste(cut, ((square.width - cut.width) // 2, (square.height - cut.height) // 2))
    small = square.convert("RGBa").resize((size, size), Image.Resampling.BOX)
    return np.asarray(small).transpose(2, 0, 1).copy()


@dataclass(frozen=True)
class Split:
    """What training never sees, drawn by a seed.

    Attributes:
        seed: of all of it.
    """

    seed: int = 0

    @cached_property
    def synonyms(self) -> dict[str, frozenset[int]]:
        """Words that no caption uses, and the pictures (positions in `load`) that they mean."""
        numbers = {emoji.name: i for i, emoji in enumerate(load())}
        found = {
            words: frozenset(numbers[name] for name in names if name in numbers)
            for words, names in _paraphrases().items()
        }
        names = "\n".join(_numbers(name) for name in numbers)
        keywords = {word for emoji in load() for word in emoji.keywords}
        unsaid = sorted(
            word
            for word in keywords
            if not re.search(rf"\b{re.escape(word)}\b", names)
            and not set(word.split()) <= set(SENTENCES.split())
        )
        random.Random(self.seed).shuffle(unsaid)
        for word in unsaid[:HELD_OUT_SYNONYMS]:
            meant = (i for i, emoji in enumerate(load()) if word in emoji.keywords)
            found[word] = found.get(word, frozenset()) | frozenset(meant)
        return dict(sorted(found.items()))

    def words(self, emoji: Emoji) -> tuple[str, ...]:
        """What captions call a picture besides its name: no held-out word, nor a part of one."""
        return tuple(word for word in emoji.keywords if not self._kept.search(_numbers(word)))

    def keeps_pair(self, a: int, b: int) -> bool:
        """Whether two pictures are never seen together."""
        return self._draws(f"{min(a, b)} and {max(a, b)}")

    def keeps_colour(self, number: int, colour: str) -> bool:
        """Whether a picture is never seen on a background of a colour other than white."""
        return colour != "white" and self._draws(f"{number} on {colour}")

    def _draws(self, what: str) -> bool:
        return zlib.crc32(f"{self.seed} {what}".encode()) % 8 == 0

    @cached_property
    def _kept(self) -> re.Pattern[str]:
        return re.compile(rf"\b(?:{'|'.join(map(re.escape, self.synonyms))})\b")


def _numbers(word: str) -> str:
    """A word as captions may say it: one, or several."""
    return f"{word}\n{word}s"


def _paraphrases() -> dict[str, list[str]]:
    """By hand: words that CLDR does not have, and the names of what they may mean."""
    rows = (line.split("\t") for line in _PARAPHRASES.read_text("utf-8").splitlines() if line)
    return {words: names.split("|") for words, names in rows}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the split and sheets of training pictures."""
    from limner.examples.pocket.render import Renderer
    from limner.examples.pocket.scenes import Scenes
    from limner.examples.pocket.sheets import sheet

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("demo/pocket"))
    parser.add_argument("--size", type=int, default=64, help="side of a picture in pixels")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    split, pictures = Split(given.seed), load()
    given.out.mkdir(parents=True, exist_ok=True)
    told = {
        "seed": given.seed,
        "pictures": len(pictures),
        "drawn": sum(emoji.drawn for emoji in pictures),
        "held_out_synonyms": {
            word: sorted(pictures[i].name for i in meant) for word, meant in split.synonyms.items()
        },
        "held_out_pairs": "crc32('SEED A and B') % 8 == 0, A < B positions in the list of pictures",
        "held_out_colours": "crc32('SEED A on COLOUR') % 8 == 0",
    }
    (given.out / "split.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    scenes = Scenes(split).batch(given.seed, 0, 80)
    drawn = Renderer(given.size, given.out)(scenes)
    sheet(drawn, [scene.captions[0] for scene in scenes], given.out / "training.png", columns=10)
    print(f"{told['drawn']} of {told['pictures']} pictures are drawn")
    print(f"{len(split.synonyms)} synonyms are kept back")
    print(f"written: {given.out}/split.json, {given.out}/training.png")


if __name__ == "__main__":
    main()
