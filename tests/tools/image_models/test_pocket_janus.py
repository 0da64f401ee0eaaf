"""The small Janus that comes with Limner: it is there, it is small, it knows what it sees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image

from limner.errors import UserError
from limner.tools.image_models.base import ImageModel, ImageRequest
from limner.tools.image_models.janus import Janus
from limner.tools.image_models.janus_reading import JanusReader
from limner.tools.image_models.opening import open_model
from limner.tools.model_files import SHIPPED
from limner.tools.pocket_checker import NO, YES, PocketChecker

NAME = "pocket-janus"
THINGS = (
    "fox", "strawberry", "fire extinguisher", "rocket", "umbrella", "hammer", "pizza", "anchor",
    "guitar", "tractor", "cactus", "teapot",
)  # fmt: skip


def drawn(model: ImageModel, prompt: str, **asked: object) -> Image.Image:
    request = ImageRequest(prompt, **asked)  # type: ignore[arg-type]
    return model.generate(request, lambda step, of, preview: None).image


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image.Image]:
    """Things as the small SDXL draws them."""
    model = open_model("pocket-sdxl")
    return {thing: drawn(model, thing, steps=12) for thing in THINGS}


@pytest.fixture(scope="module")
def janus() -> Iterator[ImageModel]:
    yield open_model(NAME)


def test_it_is_small_and_safe() -> None:
    files = [path for path in SHIPPED[NAME].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 18_000_000
    assert max(path.stat().st_size for path in files) <= 12_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".jinja"}
    assert not [p for p in files if p.suffix == ".json" and "_name_or_path" in p.read_text("utf-8")]


def test_it_names_what_the_small_sdxl_draws(pictures: dict[str, Image.Image]) -> None:
    reader = JanusReader.load(NAME)
    told = {thing: reader.describe(picture, 16) for thing, picture in pictures.items()}
    right = [thing for thing, said in told.items() if thing in said]
    assert len(right) >= 6, told  # eight; of pictures that are painted it names five of six


def test_it_checks_what_the_small_sdxl_draws(pictures: dict[str, Image.Image]) -> None:
    checker = PocketChecker(NAME)
    own = [checker.shows(picture, thing) for thing, picture in pictures.items()]
    foils = zip(pictures.values(), (*THINGS[1:], THINGS[0]), strict=True)
    others = [checker.shows(picture, thing) for picture, thing in foils]
    assert own.count(True) >= 9 and own.count(False) == 0
    assert others.count(False) >= 8 and others.count(True) <= 2


@pytest.mark.parametrize(
    ("yes", "said"),
    [(1.0, True), (YES, True), (0.5, None), (0.06, None), (NO, False), (0.0, False)],
)
def test_where_it_is_in_doubt_it_says_so(
    yes: float, said: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JanusReader, "yes", lambda self, picture, question: yes)
    assert PocketChecker(NAME).shows(Image.new("RGB", (64, 64)), "a fox") is said


def test_of_two_things_each_must_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {"a fox": 0.9, "a pig": 0.01, "a hen": 0.3}
    monkeypatch.setattr(JanusReader, "yes", lambda self, picture, question: max(
        (p for thing, p in seen.items() if thing in question), default=0.0))  # fmt: skip
    blank, eye = Image.new("RGB", (64, 64)), PocketChecker(NAME)
    assert eye.shows(blank, "a fox") is True
    assert eye.shows(blank, "a fox and a pig") is False
    assert eye.shows(blank, "a hen next to a fox") is None


def test_it_draws_and_looks_at_its_own_pictures(janus: ImageModel) -> None:
    assert isinstance(janus, Janus) and janus.name == NAME
    one, again, other = (drawn(janus, "a fox", seed=seed).tobytes() for seed in (1, 1, 2))
    assert one == again != other
    picture = drawn(janus, "a fox", seed=1)
    assert picture.size == (64, 64)
    assert JanusReader(janus.weights).shows(picture, "a fox") in (True, False, None)


@pytest.mark.parametrize("words", ["xqztl blorp", "猫と犬", "\u202eevil\u0000", "word " * 100])
def test_any_words_give_a_picture(janus: ImageModel, words: str) -> None:
    assert drawn(janus, words).size == (64, 64)


def test_more_words_than_it_reads_are_refused(janus: ImageModel) -> None:
    with pytest.raises(UserError, match="tokens long, pocket-janus takes"):
        drawn(janus, "word " * 500)


def test_no_library_speaks_while_it_loads(capfd: pytest.CaptureFixture[str]) -> None:
    PocketChecker(NAME).shows(Image.new("RGB", (64, 64)), "a fox")
    assert capfd.readouterr() == ("", "")
