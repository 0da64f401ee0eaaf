"""Pictures that were drawn before: found again, bounded, and never wrong."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from limner.errors import ModelMissing, UserError
from limner.tests.agent.painting import Painter
from limner.tools.image_models.base import GeneratedImage, ImageRequest, OnStep
from limner.tools.image_models.cache import PictureCache, Remembering, key_of
from limner.tools.image_models.fake import HashPainter
from limner.tools.image_models.provenance import signed_png

BOAT = ImageRequest("a boat", size=(64, 64), steps=3)


class Counting(Painter):
    drawn = 0

    def generate(self, request: ImageRequest, on_step: OnStep) -> GeneratedImage:
        self.drawn += 1
        return super().generate(request, on_step)


def quiet(*_: object) -> None:
    pass


def test_the_same_request_is_drawn_once(tmp_path: Path) -> None:
    painter = Counting()
    model = Remembering(painter, PictureCache(tmp_path / "pictures"))
    assert model.known(BOAT) is None
    first = model.generate(BOAT, quiet)
    again = Remembering(Counting(), PictureCache(tmp_path / "pictures")).generate(BOAT, quiet)
    assert again.to_dict() == first.to_dict() and again.image.tobytes() == first.image.tobytes()
    assert model.known(BOAT) is not None and painter.drawn == 1
    assert (tmp_path / "pictures").stat().st_mode & 0o777 == 0o700
    other = model.generate(replace(BOAT, seed=1), quiet)
    assert painter.drawn == 2 and other.seed == 1


def test_without_a_cache_everything_is_drawn() -> None:
    painter = Counting()
    model = Remembering(painter, None)
    model.generate(BOAT, quiet)
    model.generate(BOAT, quiet)
    assert painter.drawn == 2 and model.known(BOAT) is None


class Editing(HashPainter):
    capabilities = replace(Painter.capabilities, reference=True, mask=True)


GREY, WHITE = Image.new("RGB", (64, 64), "grey"), Image.new("L", (64, 64), 255)
EDIT = replace(BOAT, reference=GREY, mask=WHITE, strength=0.5, lora=(("a", 1.0),))


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a bout"},
        {"negative_prompt": "rain"},
        {"size": (64, 72)},
        {"steps": 4},
        {"guidance": 6.0},
        {"scheduler": "dpm"},
        {"seed": 1},
        {"reference": Image.new("RGB", (64, 64), "black")},
        {"mask": Image.new("L", (64, 64), 254)},
        {"mask": None},
        {"strength": 0.9},
        {"lora": (("a", 0.5),)},
        {"lora": (("b", 1.0),)},
        {"lora": ()},
    ],
)
def test_whatever_differs_is_another_picture(change: dict[str, Any]) -> None:
    assert key_of(Editing(), replace(EDIT, **change)) != key_of(Editing(), EDIT)


def test_another_revision_is_another_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(Painter(), BOAT)
    monkeypatch.setattr(Painter, "revision", "2")
    assert key_of(Painter(), BOAT) != before


def test_a_choice_that_is_spelled_out_is_the_same_picture() -> None:
    open_, told = ImageRequest("a boat"), replace(BOAT, steps=2, guidance=5, scheduler="euler")
    assert key_of(Painter(), open_) == key_of(Painter(), told)


def test_another_adapter_at_the_same_path_is_another_picture(tmp_path: Path) -> None:
    file = tmp_path / "style.safetensors"
    request = replace(BOAT, lora=((str(file), 1.0),))
    keys = []
    for content in (b"one", b"two"):
        file.write_bytes(content)
        keys.append(key_of(Painter(), request))
    assert keys[0] != keys[1]


def test_a_picture_that_was_changed_is_drawn_again(tmp_path: Path) -> None:
    painter, cache = Counting(), PictureCache(tmp_path)
    model = Remembering(painter, cache)
    good = model.generate(BOAT, quiet)
    path = cache.path(key_of(painter, BOAT))
    repainted = Image.new("RGB", good.image.size, "red")
    lying = signed_png(good)  # its record with other pixels
    for data in (b"", lying[:200], b"x" * 5000, _with_pixels(lying, repainted)):
        path.write_bytes(data)
        assert model.known(BOAT) is None
        assert not path.exists()
        path.write_bytes(lying)


def _with_pixels(data: bytes, image: Image.Image) -> bytes:
    import io

    from PIL.PngImagePlugin import PngInfo

    with Image.open(io.BytesIO(data)) as opened:
        info = PngInfo()
        info.add_itxt("limner", opened.info["limner"])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_the_pictures_used_longest_ago_give_way(tmp_path: Path) -> None:
    size = len(signed_png(Painter().generate(BOAT, quiet)))
    cache = PictureCache(tmp_path, max_bytes=size * 5 + size // 2)
    model = Remembering(Painter(), cache)
    for seed in range(5):
        model.generate(replace(BOAT, seed=seed), quiet)
        os.utime(cache.path(key_of(model, replace(BOAT, seed=seed))), (seed, seed))
    assert model.known(replace(BOAT, seed=0)) is not None  # used now
    for seed in range(5, 12):
        model.generate(replace(BOAT, seed=seed), quiet)
        held = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert held <= cache.max_bytes  # type: ignore[operator]
    assert model.known(replace(BOAT, seed=1)) is None
    assert model.known(replace(BOAT, seed=11)) is not None


def test_the_one_used_last_stays(tmp_path: Path) -> None:
    size = len(signed_png(Painter().generate(BOAT, quiet)))
    model = Remembering(Painter(), cache := PictureCache(tmp_path, max_bytes=size * 3 + size // 2))
    for seed in range(3):
        model.generate(replace(BOAT, seed=seed), quiet)
        os.utime(cache.path(key_of(model, replace(BOAT, seed=seed))), (seed, seed))
    model.known(replace(BOAT, seed=0))
    model.generate(replace(BOAT, seed=3), quiet)
    assert model.known(replace(BOAT, seed=0)) is not None
    assert model.known(replace(BOAT, seed=1)) is None


def test_a_folder_that_cannot_be_made_costs_nothing_but_the_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = Remembering(Painter(), PictureCache(tmp_path / "file" / "pictures"))
    assert model.generate(BOAT, quiet).prompt == "a boat"


def test_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIMNER_CACHE", " OFF ")
    assert PictureCache.of_user() is None
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path))
    monkeypatch.setenv("LIMNER_CACHE_BYTES", "12")
    cache = PictureCache.of_user()
    assert cache is not None and (cache.folder, cache.max_bytes) == (tmp_path / "pictures", 12)
    monkeypatch.setenv("LIMNER_CACHE_BYTES", "many")
    with pytest.raises(UserError, match="LIMNER_CACHE_BYTES"):
        PictureCache.of_user()


def test_what_is_no_image_model(tmp_path: Path) -> None:
    from limner.errors import ModelError
    from limner.tools.image_models.opening import open_model

    with pytest.raises(ModelMissing, match="no such folder"):
        open_model(str(tmp_path / "none"))
    with pytest.raises(ModelMissing, match="not in the local"):
        open_model("nobody/nothing-at-all")
    with pytest.raises(ModelError, match="known are"):
        open_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        open_model(str(tmp_path))
