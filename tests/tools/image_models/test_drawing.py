"""A picture's life: seeds, previews, cancellation, numbers that are none, the safety checker."""

from __future__ import annotations

import gc
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from limner.errors import ModelError, ModelOutputError, UserError
from limner.tests.tiny_image_models import FAMILIES, image_model
from limner.tests.tools.image_models.conftest import half, picture, quiet, same
from limner.tools.image_models.base import GeneratedImage, ImageRequest
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.history import History

BOAT = ImageRequest("A red boat", steps=3, seed=8)
Painter = Callable[..., Diffusion]


def pixels(drawn: GeneratedImage) -> str:
    return hashlib.sha256(drawn.image.tobytes()).hexdigest()


# ── Seeds ────────────────────────────────────────────────────────────────────────────────────

ALONE = """
import hashlib, sys
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.diffusion import Diffusion
request = ImageRequest("A red boat", steps=3, seed=8)
for folder in sys.argv[1:]:
    drawn = Diffusion.load(folder).generate(request, lambda k, n, preview: None)
    print(hashlib.sha256(drawn.image.tobytes()).hexdigest())
"""


def test_a_seed_is_the_same_picture_in_every_process(models: Path) -> None:
    """Cold in another process, which has nothing else to say, and warm in this one."""
    folders = [str(models / family) for family in FAMILIES]
    command = [sys.executable, "-c", ALONE, *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wanted = ""
    for folder in folders:
        model = Diffusion.load(folder)
        model.generate(ImageRequest("A puppy", steps=2, seed=1), quiet)
        wanted += pixels(model.generate(BOAT, quiet)) + "\n"
    assert (done.stdout, done.stderr) == (wanted, "")


def test_what_was_drawn_before_does_not_matter(painter: Painter) -> None:
    model = painter("sdxl")
    first = pixels(model.generate(BOAT, quiet))
    others = [
        ImageRequest("A puppy", "blurry", (128, 64), 4, 3.0, "heun", 9),
        ImageRequest("A cabin", steps=4, scheduler="lcm", reference=picture(), strength=0.5),
        ImageRequest("A cabin", steps=4, reference=picture(), mask=half()),
    ]
    for other in others:
        model.generate(other, quiet)
        torch.manual_seed(4)
        assert pixels(model.generate(BOAT, quiet)) == first
    assert pixels(model.generate(ImageRequest("A red boat", steps=3, seed=9), quiet)) != first


def test_threads_may_share_a_model(painter: Painter) -> None:
    model, found = painter("sd15"), dict[int, str]()
    requests = [ImageRequest("A red boat", steps=2, seed=seed) for seed in range(4)]
    wanted = {r.seed: pixels(model.generate(r, quiet)) for r in requests}

    def draw(request: ImageRequest) -> None:
        found[request.seed] = pixels(model.generate(request, quiet))

    threads = [threading.Thread(target=draw, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted


def test_a_picture_tells_all_that_draws_it_again(painter: Painter) -> None:
    model = painter("sdxl")
    asked = ImageRequest(
        "A red boat", "blurry", steps=4, reference=picture(72, 80), mask=half(72, 80)
    )
    drawn = model.generate(asked, quiet)
    told = json.loads(json.dumps(drawn.to_dict()))
    again = ImageRequest(
        told["prompt"],
        told["negative_prompt"],
        tuple(told["size"]),
        told["steps"],
        told["guidance"],
        told["scheduler"],
        told["seed"],
        asked.reference,
        asked.mask,
        told["strength"],
    )
    assert same(model.generate(again, quiet).image, drawn.image)
    assert told["size"] == [72, 80] and told["dtype"] == "float32" and told["device"] == "cpu"
    assert told["model"] == "sdxl" and len(told["revision"]) == 12
    assert told["versions"].keys() == {"diffusers", "torch"}
    assert len(told["reference"]) == len(told["mask"]) == 64


# ── References ───────────────────────────────────────────────────────────────────────────────


def test_what_the_mask_keeps_is_kept_to_the_pixel(painter: Painter) -> None:
    reference = picture()
    drawn = painter("sd15").generate(
        ImageRequest("A red boat", steps=4, reference=reference, mask=half()), quiet
    )
    left, right = (0, 0, 32, 64), (32, 0, 64, 64)
    assert same(drawn.image.crop(left), reference.crop(left))
    assert not same(drawn.image.crop(right), reference.crop(right))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "I;16"])
def test_a_reference_of_any_kind_and_size(mode: str, painter: Painter) -> None:
    reference = picture(90, 70).convert("L").convert(mode) if mode != "RGBA" else picture(90, 70)
    request = ImageRequest("A red boat", steps=2, reference=reference.convert(mode), strength=0.5)
    drawn = painter("sdxl").generate(request, quiet)
    assert drawn.image.size == (88, 72) and drawn.image.mode == "RGB"


@pytest.mark.parametrize("strength", [0.1, 0.15, 0.25])
def test_a_faint_change_is_left_to_the_base_model(strength: float, painter: Painter) -> None:
    """Of 10 steps the last one or two: there is nothing to do before the hand-over."""
    request = ImageRequest("A red boat", steps=10, reference=picture(), strength=strength)
    refined, alone = (painter("sdxl", refined=so).generate(request, quiet) for so in (True, False))
    assert same(refined.image, alone.image)


# ── Previews and cancellation ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", FAMILIES)
def test_previews_are_small_and_change_nothing(family: str, painter: Painter) -> None:
    model = painter(family)
    request = ImageRequest("A red boat", size=(512, 256), steps=2)
    seen: list[Any] = []
    drawn = model.generate(request, lambda k, n, preview: seen.append(preview()))
    assert [image.size for image in seen] == [(256, 128)] * 2
    assert not same(seen[0], seen[1])
    assert same(drawn.image, model.generate(request, quiet).image)


def latents() -> int:
    """How many tensors of the size of this test's latents are alive."""
    gc.collect()
    return sum(
        1 for thing in gc.get_objects() if torch.is_tensor(thing) and thing.shape[-2:] == (10, 14)
    )


class Stop(BaseException):
    pass


@pytest.mark.parametrize("kind", [Stop, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("more", [{}, {"reference": picture(112, 80), "mask": half(112, 80)}])
def test_cancelling_ends_within_the_step_and_frees(
    kind: type[BaseException], more: dict[str, Any], painter: Painter
) -> None:
    model = painter("sdxl")
    before = pixels(model.generate(BOAT, quiet))
    count, steps, alive = latents(), list[int](), list[int]()

    def stop(k: int, n: int, preview: Any) -> None:
        steps.append(k)
        if k == 2:
            assert preview() is not None
            alive.append(latents())
            raise kind("enough")

    with pytest.raises(kind, match="enough") as told:
        model.generate(ImageRequest("A red boat", size=(112, 80), steps=9, **more), stop)
    assert steps == [1, 2]
    assert alive[0] > count
    assert latents() == count  # while `told` still holds the error and its frames
    assert told.value is not None
    assert pixels(model.generate(BOAT, quiet)) == before


# ── Numbers that are none ────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Diffusion]:
    """A model whose loaded parts are tampered with; its folder stays as it is."""
    folder = image_model(tmp_path_factory.mktemp("broken") / "model", "sd15")

    def make(tamper: Callable[[dict[str, Any]], None], dtype: str = "") -> Diffusion:
        model = Diffusion.load(str(folder), dtype=dtype)
        model.generate(ImageRequest("A red boat", steps=1), quiet)
        with torch.no_grad():
            tamper(model._engine._parts)
        return model

    return make


def test_numbers_that_are_none_are_an_error(broken: Callable[..., Diffusion]) -> None:
    model = broken(lambda parts: parts["unet"].conv_out.bias.fill_(float("nan")))
    with pytest.raises(ModelOutputError, match="numbers that are none") as told:
        model.generate(BOAT, quiet)
    assert "--seed" in told.value.hint


def test_a_black_picture_is_an_error(broken: Callable[..., Diffusion]) -> None:
    model = broken(lambda parts: parts["vae"].decoder.conv_out.bias.fill_(-100))
    with pytest.raises(ModelOutputError, match="black"):
        model.generate(BOAT, quiet)


def test_a_model_that_overflows_draws_again_in_float32(broken: Callable[..., Diffusion]) -> None:
    """Of finite weights sums beyond 65,504 are made, which float16 does not hold."""

    def loud(parts: dict[str, Any]) -> None:
        parts["unet"].conv_in.weight.mul_(6e4)
        parts["unet"].conv_norm_out.weight.mul_(1e-3)

    model = broken(loud, dtype="float16")
    told: list[int] = []
    drawn = model.generate(BOAT, lambda k, n, preview: told.append(k))
    assert drawn.dtype == "float32" and told == [1, 2, 3, 1, 2, 3]
    assert "drawn again in float32" in drawn.notes[0]
    assert drawn.image.getbbox()


def test_a_vae_that_overflows_decodes_again_in_float32(broken: Callable[..., Diffusion]) -> None:
    def loud(parts: dict[str, Any]) -> None:
        parts["vae"].register_to_config(force_upcast=False)
        parts["vae"].decoder.conv_in.weight.mul_(6e4)

    told: list[int] = []
    drawn = broken(loud, dtype="float16").generate(BOAT, lambda k, n, preview: told.append(k))
    assert drawn.dtype == "float16" and told == [1, 2, 3]
    assert drawn.notes == ("the VAE overflowed and worked in float32",)
    assert drawn.image.getbbox()


def test_a_vae_that_says_so_decodes_in_float32_at_once(broken: Callable[..., Diffusion]) -> None:
    model = broken(lambda parts: parts["vae"].decoder.conv_in.weight.mul_(6e4), dtype="float16")
    drawn = model.generate(BOAT, lambda k, n, preview: preview())
    assert drawn.dtype == "float16" and drawn.notes == ()
    assert {p.dtype for p in model._engine._parts["vae"].parameters()} == {torch.float16}


# ── The safety checker ───────────────────────────────────────────────────────────────────────


def test_a_checker_that_is_there_is_asked(painter: Painter) -> None:
    assert painter("sd15").generate(BOAT, quiet).checked
    assert not painter("sdxl").generate(BOAT, quiet).checked


def test_what_it_declines_is_not_given(models: Path) -> None:
    model = Diffusion.load(str(models / "sd15"))
    model.generate(BOAT, quiet)
    model._engine._parts["safety_checker"].concept_embeds_weights.data.fill_(-2.0)
    with pytest.raises(ModelOutputError, match="safety checker declines") as told:
        model.generate(BOAT, quiet)
    assert "--seed" in told.value.hint


# ── Before anything is loaded ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"steps": 0}, "steps 0"),
        ({"steps": 10_000}, "steps 10000"),
        ({"size": (65, 64)}, "nearest is 64×64"),
        ({"scheduler": "ddpm"}, "euler, euler_a, dpm, ddim, heun, unipc, lcm"),
        ({"reference": picture(), "mask": half(64, 72)}, "the reference is 64×64"),
        ({"mask": half()}, "no picture that it belongs to"),
        ({"prompt": ""}, "empty"),
    ],
)
def test_a_request_that_does_not_fit_loads_nothing(
    values: dict[str, Any], says: str, models: Path
) -> None:
    model = Diffusion.load(str(models / "sdxl"))
    for ask in (lambda r: model.generate(r, quiet), model.estimate):
        with pytest.raises(UserError, match=says):
            ask(ImageRequest(**({"prompt": "A red boat"} | values)))
    assert not model._engine._parts


def test_families_lack_different_things(painter: Painter) -> None:
    for family, values, says in (
        ("sdxl_turbo", {"guidance": 5.0}, "guidance"),
        ("sdxl_turbo", {"negative_prompt": "rain"}, "negative prompt"),
        ("lcm", {"negative_prompt": "rain"}, "negative prompt"),
        ("lcm", {"scheduler": "euler"}, "knows lcm"),
    ):
        with pytest.raises(UserError, match=says):
            painter(family).estimate(ImageRequest("A red boat", **values))


# ── Estimates ────────────────────────────────────────────────────────────────────────────────


def test_seconds_are_told_from_earlier_pictures_only(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMNER_CACHE", str(tmp_path))
    model = Diffusion.load(str(models / "sd15"))
    assert model.estimate(BOAT).seconds is None
    assert (model.estimate(BOAT).bytes or 0) > 1_000_000
    drawn = model.generate(BOAT, quiet)
    told = Diffusion.load(str(models / "sd15")).estimate(BOAT).seconds
    assert told == pytest.approx(drawn.seconds)
    double = ImageRequest("A puppy", steps=6)
    assert model.estimate(double).seconds == pytest.approx(2 * drawn.seconds)
    assert model.estimate(ImageRequest("A red boat", size=(128, 128))).seconds is None


def test_a_history_survives_whatever_is_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "drawing.json"
    for content in (b"", b"[]", b'{"a": 3}', b'{"a": ["x"]}', b"\xff", b"[" * 100_000):
        path.write_bytes(content)
        assert History(path).seconds("a", 3) is None
    kept = History(path)
    for n in range(300):
        kept.note(f"kind {n % 290}", 2, 4.0)
    assert History(path).seconds("kind 289", 3) == 6.0
    assert len(json.loads(path.read_text())) == 256
    assert History(None).seconds("a", 1) is None
    History(tmp_path / "drawing.json" / "below").note("a", 1, 1.0)  # cannot be written


def test_arguments_that_do_not_go_together(models: Path) -> None:
    from limner.errors import DeveloperError

    for values, says in (
        ({"dtype": "int8"}, "dtype"),
        ({"device": "tpu"}, "device"),
        ({"compiled": True, "device": "cpu"}, "compiling"),
        ({"refiner": str(models / "sdxl_refiner"), "handover": 1.0}, "handover"),
    ):
        with pytest.raises(DeveloperError, match=says):
            Diffusion.load(str(models / "sdxl"), **values)
    with pytest.raises(DeveloperError, match=r"SD 1\.5 takes no refiner"):
        Diffusion.load(str(models / "sd15"), refiner=str(models / "sdxl_refiner"))
    with pytest.raises(ModelError, match="it is no refiner"):
        Diffusion.load(str(models / "sdxl"), refiner=str(models / "sdxl"))
    with pytest.raises(ModelError, match="draws nothing by itself"):
        Diffusion.load(str(models / "sdxl_refiner"))
