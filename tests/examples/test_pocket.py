"""What the pocket model learns from: pictures, sentences, what is kept back, how it is painted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from limner.examples.pocket import classifier, emoji
from limner.examples.pocket.classifier import judged, looked_closely
from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.measures import hits, nearest, share
from limner.examples.pocket.render import Renderer, references
from limner.examples.pocket.scenes import COLOURS, Background, Placed, Scene, Scenes

SPLIT = Split()

pytestmark = pytest.mark.skipif(bool(emoji.missing()), reason=f"missing: {emoji.missing()}")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("glyphs")


@pytest.fixture(scope="module")
def paint(cache: Path) -> Renderer:
    return Renderer(64, cache)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [s for n in range(3) for s in Scenes(SPLIT).batch(0, n, 2000)]


def number(name: str) -> int:
    return next(i for i, e in enumerate(load()) if e.name == name)


# ── Pictures and names ───────────────────────────────────────────────────────────────────────


def test_pictures_without_near_duplicates() -> None:
    drawn = {e.name for e in load() if e.drawn}
    assert len(load()) > 1800 and 1350 < len(drawn) < 1500
    assert {"house", "cat", "farmer", "man", "woman", "pirate flag", "grinning face"} <= drawn
    left = {e.name for e in load()} - drawn
    assert {"man farmer", "woman running", "flag france", "family man, woman, boy"} <= left
    assert not any("skin tone" in e.name for e in load())
    assert len({e.name for e in load()}) == len(load())


def test_every_picture_is_one_of_its_own(cache: Path) -> None:
    drawn = emoji.glyphs(64, cache)
    assert drawn.shape == (len(load()), 4, 64, 64)
    assert (drawn[:, 3].max(axis=(1, 2)) > 200).all()
    assert (drawn[:, :3] <= drawn[:, 3:]).all()  # premultiplied
    assert len({glyph.tobytes() for glyph in drawn}) > 0.99 * len(drawn)
    assert np.array_equal(emoji.glyphs(64, cache), drawn)


@pytest.mark.parametrize("missing", ["font", "names"])
def test_a_missing_package_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, package = {"font": ("FONT", "fonts-noto-color-emoji"),
                     "names": ("_CLDR", "unicode-cldr-core")}[missing]  # fmt: skip
    monkeypatch.setattr(emoji, name, Path("/nowhere"))
    load.cache_clear()
    with pytest.raises(SystemExit, match=f"apt-get install {package}$"):
        load()
    load.cache_clear()


# ── What is kept back ────────────────────────────────────────────────────────────────────────


def test_the_split_depends_on_its_seed_alone() -> None:
    assert Split(3).synonyms == Split(3).synonyms
    assert Split(3).synonyms != Split(4).synonyms
    assert all(meant for meant in SPLIT.synonyms.values())


def test_no_caption_says_a_held_out_word(scenes: list[Scene]) -> None:
    assert len(SPLIT.synonyms) > 400 and "puppy" in SPLIT.synonyms
    held = re.compile(rf"\b({'|'.join(map(re.escape, SPLIT.synonyms))})\b")
    said = [word for e in load() if e.drawn for word in (e.name, *SPLIT.words(e))]
    said += [caption for scene in scenes for caption in scene.captions]
    assert not [words for words in said if held.search(words)]


def test_no_scene_shows_a_held_out_composition(scenes: list[Scene]) -> None:
    split, pairs, coloured = SPLIT, 0, 0
    near = {name: np.array(colour) for name, colour in COLOURS.items()}
    for scene in scenes:
        shown = sorted({placed.number for placed in scene.objects})
        pairs += len(shown) == 2
        assert len(shown) == 1 or not split.keeps_pair(*shown)
        for colour in scene.background.colours:
            name = min(near, key=lambda n: int(np.abs(near[n] - colour).sum()))
            coloured += name != "white"
            assert name == "grey" or not any(split.keeps_colour(n, name) for n in shown)
    assert pairs > 1000 and coloured > 1000


def test_held_out_compositions_can_be_asked_for() -> None:
    split = SPLIT
    for scene in Scenes(split, held_out=True).batch(0, 0, 300):
        shown = {placed.number for placed in scene.objects}
        assert len(shown) == 1 or split.keeps_pair(*shown)


# ── Scenes and sentences ─────────────────────────────────────────────────────────────────────


def test_scenes_are_seeded() -> None:
    of = Scenes(SPLIT).batch
    assert of(1, 2, 50) == of(1, 2, 50)
    assert of(1, 2, 50) != of(1, 3, 50) and of(1, 2, 50) != of(2, 2, 50)


def test_every_picture_comes_up(scenes: list[Scene]) -> None:
    first = {scene.objects[0].number for scene in scenes}
    assert first == {i for i, e in enumerate(load()) if e.drawn}


def test_captions_tell_what_is_there(scenes: list[Scene]) -> None:
    kinds = set()
    for scene in scenes:
        for caption in scene.captions:
            kinds.add(scene.background.kind)
            shown = {placed.number for placed in scene.objects}
            called = [(load()[n].name, *SPLIT.words(load()[n])) for n in shown]
            assert all(any(word in caption for word in words) for words in called), caption
            told = re.search("(?<!white) background| stripes| gradient", caption)
            assert (scene.background == Background()) == (told is None), caption
            if "on the left of" in caption and len(shown) == 2:
                left, right = sorted(scene.objects, key=lambda placed: placed.x)
                said = caption.split("on the left of")
                names = (load()[right.number].name, *SPLIT.words(load()[right.number]))
                assert any(word in said[1] for word in names) and left.x < right.x
    assert kinds == {"plain", "across", "down", "stripes", "dots", "clouds"}


# ── Painting ─────────────────────────────────────────────────────────────────────────────────


def test_painting_is_deterministic_and_in_range(paint: Renderer, cache: Path) -> None:
    batch = Scenes(SPLIT).batch(5, 0, 40)
    pictures = paint(batch)
    assert pictures.shape == (40, 3, 64, 64) and pictures.dtype == torch.float32
    assert float(pictures.min()) >= -1 and float(pictures.max()) <= 1
    assert torch.equal(pictures, Renderer(64, cache)(batch))
    alone = torch.cat([paint([scene]) for scene in batch])
    assert torch.allclose(pictures, alone, atol=1e-5)


def test_objects_stand_where_they_are_placed(paint: Renderer) -> None:
    cat = number("cat face")
    for x, y in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75)):
        ink = 1 - paint([Scene((Placed(cat, x, y, 0.4),), Background(), ())])[0].mean(0)
        line = (torch.arange(64) + 0.5) / 64
        centre = (ink.sum(0) @ line / ink.sum(), ink.sum(1) @ line / ink.sum())
        assert abs(float(centre[0]) - x) < 0.03 and abs(float(centre[1]) - y) < 0.05


def test_a_mirrored_picture_is_the_other_way_round(paint: Renderer) -> None:
    key = number("key")
    one, other = (
        paint([Scene((Placed(key, mirrored=m),), Background(), ())]) for m in (False, True)
    )
    assert torch.allclose(one.flip(3), other, atol=0.02)
    assert float((one - other).abs().mean()) > 0.05


def test_a_background_is_of_its_colour(paint: Renderer) -> None:
    scene = Scene((Placed(number("cat"), size=0.3),), Background("plain", ((214, 48, 49),)), ())
    corner = (paint([scene])[0, :, 0, 0] + 1) * 127.5
    assert torch.allclose(corner, torch.tensor([214.0, 48.0, 49.0]), atol=0.5)


# ── Measures ─────────────────────────────────────────────────────────────────────────────────


def test_the_nearest_reference_is_the_picture_itself_also_shifted(cache: Path) -> None:
    known = references(64, cache)
    picked = [number(name) for name in ("house", "cat", "violin", "snow-capped mountain")]
    moved = torch.roll(known[picked], (2, -3), (2, 3))
    apart = nearest(moved, known)
    assert apart.argmin(1).tolist() == picked
    assert hits(apart.argsort(1)[:, :5], [{i} for i in picked]) == ([True] * 4, [True] * 4)


def test_the_distance_is_the_plain_one_at_its_best_shift() -> None:
    torch.manual_seed(0)
    a, b = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 3, 64, 64) * 2 - 1
    found = nearest(a, b)[0, 1]

    def linear(p: torch.Tensor) -> torch.Tensor:
        value = (p + 1) / 2
        value = torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        return torch.nn.functional.avg_pool2d(value, 2)

    padded = torch.nn.functional.pad(a[:1], (3, 3, 3, 3), "replicate")[0]
    best = min(
        float((linear(padded[None, :, y : y + 64, x : x + 64])[0] - linear(b)[1]).square().mean())
        for x in range(7)
        for y in range(7)
    )
    assert float(found) == pytest.approx(best, abs=1e-5)


def test_shares_have_wilsons_interval() -> None:
    assert share([True] * 5 + [False] * 5) == {"share": 0.5, "interval": [0.237, 0.763], "of": 10}
    assert share([True] * 20)["interval"] == [0.839, 1.0]


# ── The judge that is shipped ────────────────────────────────────────────────────────────────


@torch.no_grad()
def test_the_judge_knows_one_thing_and_by_a_close_look_two(paint: Renderer) -> None:
    judge = judged(Path(classifier.__file__).parent)
    numbers = [i for i, e in enumerate(load()) if e.drawn][::18]
    alone = paint([Scene((Placed(i),), Background(), ()) for i in numbers])
    right, _ = hits(judge(alone).topk(5).indices, [{i} for i in numbers])
    assert sum(right) >= 0.85 * len(right)
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    places = [(Placed(a, 0.26, 0.5, 0.46), Placed(b, 0.74, 0.5, 0.46)) for a, b in pairs]
    both = paint([Scene(two, Background(), ()) for two in places])
    best = looked_closely(judge, both).topk(5).indices.tolist()
    seen = [{a, b} <= set(row) for row, (a, b) in zip(best, pairs, strict=True)]
    assert sum(seen) >= 0.85 * len(seen)
