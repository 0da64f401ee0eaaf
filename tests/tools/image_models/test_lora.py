"""Adapters held against diffusers' own way with them, pixel by pixel."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from limner.errors import LimnerError, ModelMissing, UserError
from limner.tests.tiny_adapters import PIPELINES, adapter
from limner.tests.tools.image_models.conftest import picture
from limner.tools.image_models import lora
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.cache import key_of
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.lora_fitting import need_fitting
from limner.tools.image_models.opening import open_model

FAMILIES = tuple(PIPELINES)
Painter = Callable[..., Diffusion]
PROMPT = "A red boat off the lighthouse at dusk"


@pytest.fixture(scope="session")
def adapters(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of adapters by ``FAMILY NAME``."""
    folder = tmp_path_factory.mktemp("adapters")
    made: dict[str, str] = {}
    for family in FAMILIES:
        model = models / family
        made |= {
            f"{family} one": adapter(folder / f"{family}-one.safetensors", model, 1),
            f"{family} text": adapter(folder / f"{family}-text.safetensors", model, 2, 2, True),
            f"{family} peft": adapter(folder / f"{family}-p.safetensors", model, 3, form="peft"),
            f"{family} kohya": adapter(folder / f"{family}-k.safetensors", model, 4, form="kohya"),
        }
    return made


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LIMNER_ADAPTERS", str(tmp_path / "adapters"))
    yield tmp_path / "adapters"


def drawn(model: Diffusion, *named: tuple[str, float], **more: Any) -> Any:
    request = ImageRequest(PROMPT, steps=3, seed=5, lora=named, **more)
    return np.asarray(model.generate(request, lambda k, n, preview: None).image)


def theirs(folder: Path, *named: tuple[str, float]) -> Any:
    """What diffusers draws with adapters, called as it documents."""
    import diffusers

    family = folder.name
    pipe = getattr(diffusers, PIPELINES[family]).from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    for number, (file, _) in enumerate(named):
        pipe.load_lora_weights(file, adapter_name=f"a{number}")
    pipe.set_adapters([f"a{n}" for n in range(len(named))], [weight for _, weight in named])
    kind = {"sdxl": "EulerDiscreteScheduler", "sd15": "DPMSolverMultistepScheduler"}[family]
    pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config)
    made = pipe(
        PROMPT,
        width=64,
        height=64,
        num_inference_steps=3,
        guidance_scale={"sdxl": 5.0, "sd15": 7.5}[family],
        generator=torch.Generator("cpu").manual_seed(5),
    )
    return np.asarray(made.images[0])


def ordered(*named: tuple[str, float]) -> list[tuple[str, float]]:
    """As Limner stacks them: float sums depend on their order."""
    return sorted(named, key=lambda pair: lora.digest_of(Path(pair[0])))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["one", "text", "peft", "kohya"])
def test_one_adapter_draws_as_in_diffusers(
    family: str, name: str, models: Path, painter: Painter, adapters: dict[str, str]
) -> None:
    file = adapters[f"{family} {name}"]
    model = painter(family)
    plain, with_it = drawn(model, size=(64, 64)), drawn(model, (file, 0.8), size=(64, 64))
    assert np.array_equal(with_it, theirs(models / family, (file, 0.8)))
    assert (with_it != plain).mean() > 0.2
    assert not np.array_equal(with_it, drawn(model, (file, 0.4), size=(64, 64)))
    assert np.array_equal(drawn(model, size=(64, 64)), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_two_are_stacked_as_in_diffusers(
    family: str, models: Path, painter: Painter, adapters: dict[str, str]
) -> None:
    pair = [(adapters[f"{family} one"], 0.7), (adapters[f"{family} text"], 0.4)]
    ours = drawn(painter(family), *pair, size=(64, 64))
    assert np.array_equal(ours, theirs(models / family, *ordered(*pair)))
    assert np.array_equal(ours, drawn(painter(family), *pair[::-1], size=(64, 64)))
    assert not np.array_equal(ours, drawn(painter(family), pair[0], size=(64, 64)))


@pytest.mark.parametrize("family", FAMILIES)
def test_taking_adapters_out_leaves_the_very_weights(
    family: str, models: Path, adapters: dict[str, str]
) -> None:
    model = Diffusion.load(str(models / family))
    first = drawn(model)
    parts = model._engine._parts
    before = {
        (part, name): weight.clone()
        for part, made in parts.items()
        if hasattr(made, "state_dict")
        for name, weight in made.state_dict().items()
    }
    for name in ("one", "text", "kohya"):
        drawn(model, (adapters[f"{family} {name}"], 1.3))
    assert np.array_equal(drawn(model), first)
    after = {
        (part, name): weight
        for part, made in parts.items()
        if hasattr(made, "state_dict")
        for name, weight in made.state_dict().items()
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_no_weight_is_no_adapter(painter: Painter, adapters: dict[str, str]) -> None:
    model, file = painter("sd15"), adapters["sd15 one"]
    plain = drawn(model)
    assert np.array_equal(drawn(model, (file, 0.0)), plain)
    assert np.array_equal(drawn(model, (file, 0.5), (file, -0.5)), plain)
    assert np.array_equal(drawn(model, (file, 0.5), (file, 0.5)), drawn(model, (file, 1.0)))


def test_those_that_are_there_are_not_loaded_again(
    painter: Painter, adapters: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, file = painter("sd15"), adapters["sd15 one"]
    loads: list[str] = []
    load = lora._load
    monkeypatch.setattr(lora, "_load", lambda p, a, m: (loads.append(a.path.name), load(p, a, m)))
    drawn(model)
    drawn(model, (file, 1.0))
    drawn(model, (file, 0.3))
    drawn(model, (file, 0.3), reference=picture())
    assert loads == ["sd15-one.safetensors"]
    drawn(model)
    drawn(model, (file, 1.0))
    assert len(loads) == 2


def test_with_a_refiner_the_base_is_adapted(painter: Painter, adapters: dict[str, str]) -> None:
    model, file = painter("sdxl", refined=True), adapters["sdxl text"]
    plain = drawn(model)
    assert not np.array_equal(drawn(model, (file, 1.0)), plain)
    assert np.array_equal(drawn(model), plain)


def test_freed_and_loaded_again(models: Path, adapters: dict[str, str]) -> None:
    model = Diffusion.load(str(models / "sd15"))
    with_it = drawn(model, (adapters["sd15 one"], 1.0))
    model.free()
    assert np.array_equal(drawn(model, (adapters["sd15 one"], 1.0)), with_it)
    model.free()
    plain = drawn(model)
    assert not np.array_equal(plain, with_it)


# ── What does not fit ────────────────────────────────────────────────────────────────────────


def refused(model: Diffusion, name: str, kind: type[LimnerError] = UserError) -> str:
    with pytest.raises(kind) as caught:
        drawn(model, (name, 1.0))
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("form", ["one", "text", "peft", "kohya"])
def test_another_models_adapter_is_refused(
    form: str, painter: Painter, adapters: dict[str, str]
) -> None:
    for family, other in (("sd15", "sdxl"), ("sdxl", "sd15")):
        model = painter(family)
        plain, file = drawn(model), adapters[f"{other} {form}"]
        said = refused(model, file)
        assert file in said and family in said
        assert np.array_equal(drawn(model), plain)
        own = adapters[f"{family} one"]
        good = drawn(model, (own, 1.0))
        with pytest.raises(UserError):
            drawn(model, (own, 1.0), (file, 1.0))
        assert np.array_equal(drawn(model, (own, 1.0)), good)


@pytest.mark.parametrize("form", ["one", "text", "peft", "kohya"])
def test_another_models_adapter_is_told_before_anything_is_loaded(
    form: str, models: Path, adapters: dict[str, str]
) -> None:
    for family, other in (("sd15", "sdxl"), ("sdxl", "sd15")):
        model = Diffusion.load(str(models / family))
        ours, foreign = (
            ImageRequest(PROMPT, lora=((adapters[f"{of} {form}"], 1.0),)) for of in (family, other)
        )
        model.estimate(ours)
        with pytest.raises(UserError, match=f"does not fit {family}"):
            model.estimate(foreign)
        with pytest.raises(UserError, match=f"does not fit {family}"):
            model.generate(foreign, lambda k, n, preview: None)
        assert not model._engine._parts


def test_blocks_that_are_numbered_otherwise_are_told_by_what_reads_the_prompt(
    models: Path, tmp_path: Path
) -> None:
    checkpoint = Diffusion.load(str(models / "sdxl"))._engine.checkpoint
    block = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    for width in (64, 32):
        file = tmp_path / f"{width}.safetensors"
        save_file({f"{block}.lora_down.weight": torch.zeros(4, width)}, file)
    need_fitting(tmp_path / "64.safetensors", checkpoint)
    with pytest.raises(UserError, match="32 wide, not 64"):
        need_fitting(tmp_path / "32.safetensors", checkpoint)


@pytest.mark.parametrize("name", ["~nobody-is-here", "~nobody-is-here/a.safetensors", "a\0b", "\0"])
def test_what_is_no_path_is_the_users_error(name: str, models: Path) -> None:
    asks: list[Callable[[], object]] = [
        lambda: lora.find(name),
        lambda: open_model(name),
        lambda: Diffusion.load(name),
        lambda: Diffusion.load(str(models / "sd15")).estimate(ImageRequest("a", lora=((name, 1),))),
        lambda: lora.adapter_file(f"{name}.safetensors"),
    ]
    for ask in asks:
        with pytest.raises(UserError, match=r"no home|NUL") as told:
            ask()
        assert "\0" not in str(told.value) and told.value.hint


def test_weights_that_have_no_place_are_not_passed_over(
    painter: Painter, adapters: dict[str, str], tmp_path: Path
) -> None:
    weights = load_file(adapters["sd15 one"])
    name = next(name for name in weights if "lora_A" in name)
    lost = name.replace("down_blocks.1", "down_blocks.7")
    for more in (
        {lost: weights[name].clone(), lost.replace("lora_A", "lora_B"): torch.zeros(32, 4)},
    ):
        save_file(weights | more, tmp_path / "more.safetensors")
        assert "have a place in it" in refused(painter("sd15"), str(tmp_path / "more.safetensors"))
    save_file({"weight": torch.zeros(2)}, tmp_path / "none.safetensors")
    refused(painter("sd15"), str(tmp_path / "none.safetensors"))


def test_damaged_and_foreign_files(
    painter: Painter, adapters: dict[str, str], tmp_path: Path
) -> None:
    model = painter("sd15")
    whole = Path(adapters["sd15 one"]).read_bytes()
    for name, data in (("cut", whole[:-100]), ("empty", b""), ("noise", bytes(range(256)) * 9)):
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(data)
        assert str(file) in refused(model, str(file))
    pickled = tmp_path / "adapter.bin"
    torch.save({}, pickled)
    assert "only .safetensors" in refused(model, str(pickled))
    assert "nothing" in refused(model, "nothing", ModelMissing)
    assert "no such file" in refused(model, "../up.safetensors", ModelMissing)
    assert "cache" in refused(model, "someone/style", ModelMissing)


@pytest.mark.parametrize(
    "setting", [{"init_lora_weights": "pissa"}, {"layer_replication": [[0, 1]]}, {"use_dora": True}]
)
def test_settings_that_would_change_the_model_are_refused(
    setting: dict[str, Any], painter: Painter, adapters: dict[str, str], tmp_path: Path
) -> None:
    with safe_open(adapters["sd15 peft"], "pt") as file:
        told = json.loads(file.metadata()["lora_adapter_metadata"])
    told |= {f"unet.{name}": value for name, value in setting.items()}
    bad = tmp_path / "bad.safetensors"
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(told)}
    save_file(load_file(adapters["sd15 peft"]), bad, metadata=metadata)
    assert next(iter(setting)) in refused(painter("sd15"), str(bad))


def test_names(own_folder: Path, adapters: dict[str, str], tmp_path: Path) -> None:
    own_folder.mkdir()
    kept = own_folder / "neon.safetensors"
    kept.write_bytes(Path(adapters["sd15 one"]).read_bytes())
    assert lora.find("neon") == kept
    assert lora.find(str(own_folder)) == kept
    (own_folder / "other.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="2 files"):
        lora.find(str(own_folder))
    (tmp_path / "bare").mkdir()
    with pytest.raises(ModelMissing, match=r"no \.safetensors"):
        lora.find(str(tmp_path / "bare"))


def test_without_peft_it_says_what_to_install(
    painter: Painter, adapters: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing) as caught:
        drawn(painter("sd15"), (adapters["sd15 one"], 1.0))
    assert caught.value.hint == "pip install 'limner[lora]'"
    drawn(painter("sd15"))


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_the_order_of_naming_changes_nothing(data: st.DataObject, adapters: dict[str, str]) -> None:
    files = sorted(set(adapters.values()))
    weight = st.sampled_from([-1.0, -0.1, 0.0, 0.1, 0.2, 0.3, 1.0])
    named = data.draw(st.lists(st.tuples(st.sampled_from(files), weight), max_size=6))
    shuffled = data.draw(st.permutations(named))
    found = lora.chosen(named)
    assert found == lora.chosen(shuffled)
    assert all(adapter.weight for adapter in found)
    assert len({adapter.digest for adapter in found}) == len(found)


def test_a_name_that_stands_for_another_adapter_is_another_picture(
    painter: Painter, adapters: dict[str, str], own_folder: Path
) -> None:
    own_folder.mkdir()
    keys = []
    for name in ("one", "kohya", "one"):
        data = Path(adapters[f"sd15 {name}"]).read_bytes()
        (own_folder / "neon.safetensors").unlink(missing_ok=True)
        (own_folder / "neon.safetensors").write_bytes(data)
        keys.append(key_of(painter("sd15"), ImageRequest(PROMPT, lora=(("neon", 1.0),))))
    assert keys[0] == keys[2] != keys[1]
