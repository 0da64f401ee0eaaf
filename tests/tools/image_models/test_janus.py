from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from limner.errors import DeveloperError, ModelError, ModelMissing, ModelOutputError, UserError
from limner.tests.tiny_janus import SIDE, janus
from limner.tools.image_models import janus as module
from limner.tools.image_models.base import ImageModel, ImageRequest
from limner.tools.image_models.janus import Janus
from limner.tools.image_models.janus_engine import TokenLoop

BOAT = ImageRequest("A golden retriever puppy in a field of flowers", seed=3)
GREY = Image.new("RGB", (SIDE, SIDE), "grey")


def silent(k: int, n: int, preview: object) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return janus(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> Janus:
    return Janus.load(str(folder))


@pytest.fixture
def changed(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the folder in which one file is changed, or missing where nothing is given."""

    def change(name: str, content: object = None) -> Path:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        if content is None:
            (copy / name).unlink()
        elif isinstance(content, dict):
            known = json.loads((copy / name).read_text())
            (copy / name).write_text(json.dumps(known | content))
        else:
            (copy / name).write_text(str(content))
        return copy

    return change


# ── Pictures ─────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_is_what_transformers_makes_of_the_same_tokens(
    model: Janus, folder: Path
) -> None:
    import torch
    from transformers import JanusForConditionalGeneration, JanusProcessor

    direct: Any = JanusForConditionalGeneration.from_pretrained(folder).eval()
    processor: Any = JanusProcessor.from_pretrained(folder)
    turns = [{"role": "user", "content": [{"type": "text", "text": BOAT.prompt}]}]
    text = processor.apply_chat_template(turns, add_generation_prompt=True)
    inputs = processor(text=text, generation_mode="image", return_tensors="pt")
    torch.manual_seed(BOAT.seed)
    tokens = direct.generate(**inputs, generation_mode="image", do_sample=True, top_k=0)
    with torch.no_grad():
        # Its own ``postprocess`` takes channels first, and ``decode_image_tokens`` gives them last.
        pixels = direct.decode_image_tokens(tokens).permute(0, 3, 1, 2)
    made = processor.postprocess(list(pixels), return_tensors="PIL.Image.Image")["pixel_values"][0]
    assert made.tobytes() == model.generate(BOAT, silent).image.tobytes()


def test_it_is_an_image_model_and_says_what_it_draws(model: Janus, folder: Path) -> None:
    known: ImageModel = model
    able = known.capabilities
    assert (able.sizes.own, able.sizes.smallest, able.sizes.largest) == ((SIDE, SIDE), SIDE, SIDE)
    assert (able.steps.own, able.steps.least, able.steps.most) == (64, 64, 64)
    assert able.guidance.own == 5 and able.schedulers == ("sampling",)
    assert not (able.negative_prompt or able.reference or able.mask or able.lora)
    assert known.name == folder.name and len(known.revision) == 12


def test_a_picture_tells_all_that_draws_it_again(model: Janus) -> None:
    drawn = model.generate(BOAT, silent)
    assert (drawn.size, drawn.image.size, drawn.image.mode) == ((SIDE, SIDE), (SIDE, SIDE), "RGB")
    assert (drawn.prompt, drawn.seed, drawn.steps, drawn.guidance) == (BOAT.prompt, 3, 64, 5)
    assert (drawn.model, drawn.revision) == (model.name, model.revision)
    assert (drawn.device, drawn.dtype, drawn.notes) == ("cpu", "float32", ())
    assert [package for package, _ in drawn.versions] == ["transformers", "torch"]
    assert not drawn.checked and drawn.seconds > 0


def test_several_are_those_that_their_seeds_draw_alone(model: Janus) -> None:
    several = model.draw_several(BOAT, 3, silent)
    assert [one.seed for one in several] == [3, 4, 5]
    assert {(one.batch, one.notes, one.seconds) for one in several} == {(3, (), several[0].seconds)}
    for one in several:
        alone = model.generate(ImageRequest(BOAT.prompt, seed=one.seed), silent)
        assert alone.image.tobytes() == one.image.tobytes()
    assert len({one.image.tobytes() for one in several}) == 3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_weights_draw_too(folder: Path, dtype: str) -> None:
    narrow = Janus.load(str(folder), dtype=dtype)
    first, again = (narrow.generate(BOAT, silent) for _ in range(2))
    assert first.dtype == dtype and first.image.tobytes() == again.image.tobytes()
    full, half = Janus.load(str(folder)).estimate(BOAT).bytes, narrow.estimate(BOAT).bytes
    assert full == 2 * (half or 0)


def test_the_largest_seed_has_a_next(model: Janus) -> None:
    several = model.draw_several(ImageRequest("a boat", seed=2**63 - 1), 2, silent)
    assert [one.seed for one in several] == [2**63 - 1, 0]


def test_a_seed_draws_the_same_in_another_process(model: Janus, folder: Path) -> None:
    code = (
        "import hashlib; from limner.tools.image_models.base import ImageRequest\n"
        "from limner.tools.image_models.janus import Janus\n"
        f"drawn = Janus.load({str(folder)!r}).generate(\n"
        f"    ImageRequest({BOAT.prompt!r}, seed=3), lambda k, n, p: None)\n"
        "print(hashlib.sha256(drawn.image.tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip(), done.stderr
    here = model.generate(BOAT, silent).image.tobytes()
    assert done.stdout.strip() == hashlib.sha256(here).hexdigest()
    assert done.stderr == ""  # nothing of transformers' remarks reaches the person


def test_temperature_0_draws_the_same_whatever_the_seed(folder: Path) -> None:
    likeliest = Janus.load(str(folder), temperature=0)
    first, second = likeliest.draw_several(BOAT, 2, silent)
    assert first.image.tobytes() == second.image.tobytes()
    assert first.scheduler == "greedy"


def test_how_tokens_are_chosen_is_told_apart(folder: Path) -> None:
    warm = Janus.load(str(folder), temperature=0.7).generate(BOAT, silent)
    hot = Janus.load(str(folder)).generate(BOAT, silent)
    assert (warm.scheduler, hot.scheduler) == ("sampling at 0.7", "sampling")
    assert warm.image.tobytes() != hot.image.tobytes()


def test_threads_take_turns(model: Janus) -> None:
    made: dict[int, bytes] = {}

    def draw(seed: int) -> None:
        drawn = model.generate(ImageRequest("a boat", seed=seed), silent)
        made[seed] = drawn.image.tobytes()

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(3):
        alone = model.generate(ImageRequest("a boat", seed=seed), silent)
        assert alone.image.tobytes() == made[seed]


def test_special_tokens_in_a_prompt_are_text(model: Janus) -> None:
    inputs = model.weights.inputs
    words = "<begin_of_image><image_placeholder><|User|><｜end▁of▁sentence｜>"
    special = set(inputs._tokenizer.get_added_vocab().values())
    plain, (told, blank) = inputs.drawing("a boat")[0], inputs.drawing(words)
    assert [id for id in told if id in special] == [id for id in plain if id in special]
    assert len(told) > len(plain)
    assert len(told) == len(blank) and (told[0], told[-1]) == (blank[0], blank[-1])
    assert set(blank[1:-1]) == {inputs._tokenizer.pad_token_id}


# ── Steps ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Previews may take as long as they like."""
    monkeypatch.setattr(module, "_PREVIEW_SHARE", float("inf"))


@pytest.mark.usefixtures("patient")
def test_every_token_is_told_with_what_there_is_so_far(model: Janus) -> None:
    told: list[tuple[int, int]] = []
    previews: dict[int, Image.Image] = {}

    def on_step(k: int, n: int, preview: Any) -> None:
        told.append((k, n))
        if k in (1, 20, 64):
            previews[k] = preview()

    final = model.generate(BOAT, on_step).image
    assert told == [(k, 64) for k in range(1, 65)]
    assert previews[64].tobytes() == final.tobytes()
    # 20 tokens are two rows of eight and four more; a token is 8 × 8 pixels.
    rest = previews[20].crop((32, 16, SIDE, 24))
    assert ImageChops.difference(rest, Image.new("RGB", rest.size, "grey")).getbbox() is None
    assert ImageChops.difference(previews[20], GREY).getbbox() == (0, 0, SIDE, 24)
    assert ImageChops.difference(previews[1], GREY).getbbox() == (0, 0, 8, 8)


def test_as_many_pieces_of_a_preview_are_seen_as_there_are_tokens(model: Janus) -> None:
    for done in range(65):
        white = model._so_far(Image.new("L", (SIDE, SIDE), "white"), done)
        assert white.histogram()[255] == done * 8 * 8


def test_previews_do_not_hold_the_drawing_up(model: Janus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PREVIEW_SHARE", 0)
    seen: list[object] = []
    model.generate(BOAT, lambda k, n, preview: seen.append(preview()))
    assert isinstance(seen[0], Image.Image) and seen[1:] == [None] * 63


@pytest.mark.usefixtures("patient")
def test_previews_of_several_stand_side_by_side(model: Janus) -> None:
    seen: list[Image.Image] = []
    several = model.draw_several(BOAT, 2, lambda k, n, p: seen.append(p()) if k == n else None)
    assert seen[0].size == (2 * SIDE, SIDE)
    for n, one in enumerate(several):
        part = seen[0].crop((n * SIDE, 0, (n + 1) * SIDE, SIDE))
        assert part.tobytes() == one.image.tobytes()


@pytest.mark.usefixtures("patient")
def test_a_preview_changes_nothing(model: Janus) -> None:
    looked = model.generate(BOAT, lambda k, n, preview: preview() and None)
    assert looked.image.tobytes() == model.generate(BOAT, silent).image.tobytes()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("out of memory")])
def test_what_is_told_can_cancel_and_nothing_is_held(
    model: Janus, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    loops: list[TokenLoop] = []

    def made(*arguments: Any) -> TokenLoop:
        loops.append(TokenLoop(*arguments))
        return loops[-1]

    monkeypatch.setattr(module, "TokenLoop", made)
    steps: list[int] = []

    def cancel(k: int, n: int, preview: object) -> None:
        steps.append(k)
        if k == 5:
            raise error

    with pytest.raises(type(error)) as told:
        model.generate(BOAT, cancel)
    assert told.value is error and steps == [1, 2, 3, 4, 5]
    assert vars(loops[0]) == {}
    assert model.generate(BOAT, silent).seed == 3


# ── Requests that it refuses ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "says", "hint"),
    [
        ({"prompt": " "}, "prompt: it is empty", "limner draw"),
        ({"prompt": "word " * 5000}, "prompt: 25000 characters", "shorten"),
        ({"prompt": "a " * 5000}, "tokens long, tiny takes 960", "shorten"),
        ({"size": (512, 512)}, "size 512×512: tiny draws 64×64 only", "resize the drawn picture"),
        ({"steps": 30}, "steps 30: tiny knows no choice of it, it is always 64", "leave --steps"),
        ({"scheduler": "euler"}, "scheduler 'euler': tiny knows sampling", "--scheduler sampling"),
        ({"negative_prompt": "rain"}, "negative prompt: tiny knows none", "leave --negative out"),
        ({"reference": GREY}, "reference: tiny cannot start from a picture", "leave --reference"),
        ({"mask": GREY}, "mask", "--reference"),
        ({"lora": (("ink", 1.0),)}, "lora: tiny takes none", "leave --lora out"),
        ({"strength": 0.5}, "strength", "--reference"),
        ({"guidance": 0.5}, "guidance 0.5: tiny takes 1 to 20", "--guidance 5"),
        ({"guidance": float("nan")}, "guidance nan", "--guidance 5"),
        ({"seed": -1}, "seed -1", "--seed"),
    ],
)
def test_what_it_does_not_know_is_refused_before_weights_are_loaded(
    folder: Path, values: dict[str, Any], says: str, hint: str
) -> None:
    fresh = Janus.load(str(folder))
    with pytest.raises(UserError) as told:
        fresh.generate(ImageRequest(**({"prompt": "a boat"} | values)), silent)
    assert says in str(told.value) and hint in told.value.hint
    assert fresh.weights._model is None
    with pytest.raises(UserError):
        fresh.estimate(ImageRequest(**({"prompt": "a boat"} | values)))


@pytest.mark.parametrize("together", [0, -1, 17])
def test_so_many_together_are_refused(model: Janus, together: int) -> None:
    with pytest.raises(UserError, match="draws 1 to 16"):
        model.draw_several(BOAT, together, silent)


def test_the_longest_prompt_that_fits_is_drawn(model: Janus) -> None:
    words = "a"
    while len(model.weights.inputs.drawing(words + " a")[0]) <= 1024 - 64:
        words += " a"
    assert model.generate(ImageRequest(words), silent).image.size == (SIDE, SIDE)
    with pytest.raises(UserError, match="961 tokens"):
        model.generate(ImageRequest(words + " a"), silent)


@pytest.mark.parametrize(
    "settings", [{"temperature": -1}, {"temperature": float("nan")}, {"dtype": "int8"},
                 {"device": "cuda:77"}],
)  # fmt: skip
def test_arguments_that_nobody_could_follow_are_refused(
    folder: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(DeveloperError):
        Janus.load(str(folder), **settings)


# ── Models that fail ─────────────────────────────────────────────────────────────────────────────


def test_numbers_that_are_none_are_a_typed_error(folder: Path) -> None:
    import torch

    broken = Janus.load(str(folder))
    with broken.weights.at_work() as loaded, torch.no_grad():
        loaded.model.generation_head.vision_head.bias[3] = float("nan")
    steps: list[int] = []
    with pytest.raises(ModelOutputError, match="tiny computed numbers that are none") as told:
        broken.generate(BOAT, lambda k, n, p: steps.append(k))
    assert steps == [] and "float32" in told.value.hint


def test_a_picture_of_numbers_that_are_none_is_a_typed_error(folder: Path) -> None:
    import torch

    broken = Janus.load(str(folder))
    with broken.weights.at_work() as loaded, torch.no_grad():
        loaded.model.vqmodel.decoder.conv_out.bias[0] = float("inf")
    with pytest.raises(ModelOutputError, match="a picture of numbers that are none"):
        broken.generate(BOAT, silent)


def test_out_of_memory_is_told_and_the_next_picture_is_drawn(
    model: Janus, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(TokenLoop, "_forward", full)
        with pytest.raises(ModelError, match="tiny: out of memory") as told:
            model.generate(BOAT, silent)
    assert "fewer" in told.value.hint
    assert model.generate(BOAT, silent).seed == 3


def test_what_would_not_fit_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.tools.chat_models.loading.free_memory", lambda device: 1000)
    with pytest.raises(ModelError, match="GB are free"):
        Janus.load(str(folder)).generate(BOAT, silent)


def test_an_estimate_counts_what_is_loaded_and_knows_earlier_pictures(folder: Path) -> None:
    fresh = Janus.load(str(folder))
    one, four = fresh.estimate(BOAT), fresh.estimate(BOAT, 4)
    weights = (folder / "model.safetensors").stat().st_size
    assert one.bytes is not None and four.bytes is not None
    assert weights < one.bytes < four.bytes < 4 * weights
    assert fresh.weights._model is None
    fresh.generate(BOAT, silent)
    assert (fresh.estimate(BOAT).seconds or 0) > 0


def test_freed_weights_are_loaded_again(folder: Path) -> None:
    fresh = Janus.load(str(folder))
    first = fresh.generate(BOAT, silent)
    fresh.free()
    assert fresh.weights._model is None
    assert fresh.generate(BOAT, silent).image.tobytes() == first.image.tobytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", None),
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", {"model_type": "llama"}),
        ("config.json", {"vision_config": {"num_image_tokens": 63}}),
        ("config.json", {"vision_config": 3}),
        ("model.safetensors", None),
        ("model.safetensors", "version https://git-lfs.github.com/spec/v1"),
        ("tokenizer.json", None),
        ("tokenizer.json", "{"),
        ("preprocessor_config.json", None),
        ("chat_template.jinja", None),
        ("chat_template.jinja", "{{ raise_exception('no') }}"),
        ("chat_template.jinja", "{% for"),
    ],
)
def test_folders_that_are_not_whole_are_refused(
    changed: Callable[..., Path], name: str, content: object
) -> None:
    with pytest.raises(ModelError) as told:
        Janus.load(str(changed(name, content))).generate(BOAT, silent)
    assert told.value.hint and "\n" not in str(told.value)


def test_tokens_that_make_no_square_are_refused_at_once(changed: Callable[..., Path]) -> None:
    copy = changed("config.json", {"vision_config": {"image_size": 64, "patch_size": 8,
                                                     "num_image_tokens": 63}})  # fmt: skip
    with pytest.raises(ModelError, match="63 tokens are no 8×8"):
        Janus.load(str(copy))


def test_weights_that_are_missing_are_named(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    del weights["model.generation_head.proj_out.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"generation_head\.proj_out\.weight"):
        Janus.load(str(copy)).generate(BOAT, silent)


def test_the_form_with_code_of_its_own_is_refused_with_the_other_ones_name(
    changed: Callable[..., Path],
) -> None:
    with pytest.raises(ModelError) as told:
        Janus.load(str(changed("config.json", {"model_type": "multi_modality"})))
    assert "deepseek-community/Janus-Pro-1B" in told.value.hint


def test_code_that_a_folder_brings_along_is_not_run(
    folder: Path, changed: Callable[..., Path], tmp_path: Path
) -> None:
    auto = {"auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    copy = changed("config.json", auto)
    ran = tmp_path / "ran"
    (copy / "own.py").write_text(f"open({str(ran)!r}, 'w')")
    assert Janus.load(str(copy)).generate(BOAT, silent).seed == 3
    assert not ran.exists()


def test_pickled_weights_are_not_read(changed: Callable[..., Path]) -> None:
    copy = changed("model.safetensors")
    (copy / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(ModelMissing, match="no safetensors"):
        Janus.load(str(copy))


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelMissing):
        Janus.load("/no/such/folder")
