from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library

TIDES = """# Tides

High water at the harbour is at noon on Friday. Low water follows six hours later.

![Figure 1: The tide table of the harbour](tides.png)

# Lighthouse

The lighthouse was built in 1871. Its keeper lives in the village.

![Figure 2: A drawing of the lighthouse](lighthouse.png)
"""


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Vectors are cached in a folder of the tests' own, not in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMNER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_is_heard() -> None:
    """Children stop at Ctrl-C also where the tests run in the background, which ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def painted(words: str, size: tuple[int, int] = (320, 200)) -> Image.Image:
    """A picture that is not blank and differs with its words."""
    image = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(image)
    for i, letter in enumerate(words):
        at = (10 + 37 * i) % (size[0] - 40), (20 + 53 * ord(letter)) % (size[1] - 40)
        pen.rectangle((*at, at[0] + 30, at[1] + 20), fill=(ord(letter) * 2 % 256, 60, 120))
    return image


@pytest.fixture
def paint() -> Callable[[str], Image.Image]:
    """Makes a picture of its own for every word."""
    return painted


@pytest.fixture
def harbour(tmp_path: Path) -> Path:
    """A folder with a document of two sections and two figures."""
    folder = tmp_path / "harbour"
    folder.mkdir()
    (folder / "tides.md").write_text(TIDES)
    painted("tides").save(folder / "tides.png")
    painted("lighthouse").save(folder / "lighthouse.png")
    return folder


@pytest.fixture
def library(tmp_path: Path, harbour: Path) -> Library:
    """The harbour in a library with hashed words for vectors: no model, no OCR."""
    library = Library.open(tmp_path / "library", HashEmbeddings())
    report = library.add(harbour / "tides.md")
    assert not report.failed
    return library


@pytest.fixture
def number_of(library: Library) -> Callable[[str, str], int]:
    """The number under which a search offers the passage that holds some words."""

    def find(question: str, words: str) -> int:
        found = library.search(question, k=6)
        return next(n for n, p in enumerate(found, 1) if words in p.text)

    return find
