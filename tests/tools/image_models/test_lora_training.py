"""Adapters are trained end to end on tiny models: what is learnt, kept, gone on with, refused."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from limner.errors import LimnerError, ModelError, ModelMissing, UserError
from limner.tests.conftest import painted
from limner.tests.tiny_adapters import PIPELINES
from limner.tools.image_models import training, training_model, training_state
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.diffusion import Diffusion
from limner.tools.image_models.training import Settings, Step, Stopped, Trained, train

QUICK = Settings(rank=4, steps=8, batch=2, learning_rate=1e-2, every=4, prompts=("a red boat",))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    """Sums in the same order, and samples of few steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_model, "_SAMPLE_STEPS", 3)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for words in ("red boat", "lighthouse", "harbour wall"):
        painted(words, (96, 80)).save(folder / f"{words.replace(' ', '_')}.png")
    return folder


def rows(done: Trained | Path) -> list[dict[str, float]]:
    folder = done if isinstance(done, Path) else done.folder
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(done: Trained | Path) -> list[tuple[float, float]]:
    return [(row["step"], row["loss"]) for row in rows(done) if "loss" in row]


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def trained(
    request: pytest.FixtureRequest, models: Path, images: Path, tmp_path_factory: Any
) -> tuple[str, Trained]:
    """A family, and an adapter of 60 steps for its tiny model."""
    out = tmp_path_factory.mktemp("out") / "style.safetensors"
    settings = replace(QUICK, steps=60, every=15, alpha=8.0, trigger="zwx")
    return request.param, train(images, str(models / request.param), str(out), settings)


def test_the_loss_falls(trained: tuple[str, Trained]) -> None:
    _, done = trained
    seen = [row["validation"] for row in rows(done) if "validation" in row]
    assert len(seen) == 5
    assert (done.before, done.after) == (seen[0], seen[-1])
    assert np.mean(seen[-2:]) < 0.97 * np.mean(seen[:2])


def theirs(folder: Path, file: Path | None, prompt: str, seed: int, steps: int) -> Any:
    import diffusers

    pipe = getattr(diffusers, PIPELINES[folder.name]).from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    if file is not None:
        pipe.load_lora_weights(str(file))
    kind = {"sdxl": "EulerDiscreteScheduler", "sd15": "DPMSolverMultistepScheduler"}[folder.name]
    pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config)
    made = pipe(
        prompt,
        width=64,
        height=64,
        num_inference_steps=steps,
        guidance_scale={"sdxl": 5.0, "sd15": 7.5}[folder.name],
        generator=torch.Generator("cpu").manual_seed(seed),
    )
    return np.asarray(made.images[0])


def test_it_draws_the_same_in_diffusers_in_limner_and_on_the_sheet(
    trained: tuple[str, Trained], models: Path, painter: Callable[..., Diffusion]
) -> None:
    family, done = trained
    ours = painter(family).generate(
        ImageRequest("a red boat", size=(64, 64), steps=3, seed=1, lora=((str(done.path), 1.0),)),
        lambda k, n, preview: None,
    )
    drawn = np.asarray(ours.image)
    assert np.array_equal(drawn, theirs(models / family, done.path, "a red boat", 1, 3))
    plain = theirs(models / family, None, "a red boat", 1, 3)
    assert (drawn != plain).mean() > 0.2
    first, last = (np.asarray(Image.open(done.folder / f"samples-{n:06d}.png")) for n in (0, 60))
    place = (slice(32, 96), slice(72, 136))  # the second seed of the only prompt
    assert np.array_equal(first[place], plain)
    assert np.array_equal(last[place], drawn)


def test_what_is_written(trained: tuple[str, Trained], models: Path) -> None:
    family, done = trained
    with safe_open(done.path, "pt") as file:
        facts = json.loads(file.metadata()["limner"])
        names = list(file.keys())
    assert all(n.startswith("unet.") and ".attentions." in n for n in names)
    assert {n.split(".lora_")[0].rpartition("transformer_blocks.")[2][2:] for n in names} == {
        f"attn{k}.{t}" for k in (1, 2) for t in training_model.TARGETS
    }
    assert facts["base"] == family and facts["trigger"] == "zwx" and facts["steps"] == 60
    assert facts["base_revision"] == Diffusion.load(str(models / family)).revision
    card = done.path.with_suffix(".md").read_text()
    assert "zwx" in card and facts["base_revision"] in card
    steps = [row for row in rows(done) if "loss" in row]
    assert [row["step"] for row in steps] == list(range(1, 61))
    assert all(row["lr"] == 1e-2 and row["seconds"] > 0 for row in steps)
    assert len(list(done.folder.glob("samples-*.png"))) == 5


# ── What is computed, held against diffusers' and torch's own ────────────────────────────────


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_the_loss_is_that_of_diffusers(
    family: str, prediction: str, models: Path, images: Path, tmp_path: Path
) -> None:
    import shutil

    import diffusers

    folder = tmp_path / family
    shutil.copytree(models / family, folder)
    config = folder / "scheduler" / "scheduler_config.json"
    told = json.loads(config.read_text()) | {"prediction_type": prediction}
    config.write_text(json.dumps(told))
    checkpoint, kind = training.base_of(str(folder))
    learner = training_model.Learner(
        checkpoint, kind, device="cpu", dtype="float32", rank=2, alpha=2, seed=3,
        checkpointing=False,
    )  # fmt: skip
    found = training.found(images, 64).examples
    examples, _ = learner.encoded(found, 64)
    pipe = getattr(diffusers, PIPELINES[family]).from_pretrained(folder)
    given: dict[str, Any] = {}
    if family == "sdxl":
        words, _, pooled, _ = pipe.encode_prompt(
            found[0].caption, do_classifier_free_guidance=False
        )
        ids = pipe._get_add_time_ids((80, 96), (0, 6), (64, 64), torch.float32, 32)
        given["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": ids}
    else:
        words, _ = pipe.encode_prompt(found[0].caption, "cpu", 1, False)
    assert torch.equal(words[0], examples[0].words)
    image = Image.open(found[0].path).resize((77, 64), Image.Resampling.LANCZOS)
    pixels = pipe.image_processor.preprocess(image.crop((6, 0, 70, 64)))
    with torch.no_grad():
        latents = pipe.vae.encode(pixels).latent_dist.mean * pipe.vae.config.scaling_factor
    assert torch.allclose(latents[0], examples[0].mean, atol=1e-6)
    scheduler = diffusers.DDPMScheduler.from_config(pipe.scheduler.config)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    times = torch.tensor([321])
    noisy = scheduler.add_noise(latents, noise, times)
    wanted = noise if prediction == "epsilon" else scheduler.get_velocity(latents, noise, times)
    with torch.no_grad():
        guess = pipe.unet(noisy, times, words, **given).sample
        ours = learner._denoised(examples[:1], latents, noise, times)
    assert float(ours) == pytest.approx(float((guess - wanted).square().mean()), rel=1e-5)


def test_every_picture_comes_once_before_any_again() -> None:
    order = training_model.Learner._order
    learner: Any = type("", (), {"_seed": 1})()
    seen = [at for step in range(10) for at in order(learner, 5, step, 2)]
    assert all(sorted(seen[n : n + 5]) == list(range(5)) for n in range(0, 20, 5))
    assert seen[:5] != seen[5:10]
    assert sorted(order(learner, 2, 0, 4)) == [0, 0, 1, 1]


def test_twice_computed_is_the_same(models: Path, images: Path) -> None:
    checkpoint, family = training.base_of(str(models / "sd15"))
    found, gradients = training.found(images, 64).examples, []
    for checkpointing in (False, True):
        learner = training_model.Learner(
            checkpoint, family, device="cpu", dtype="float32", rank=2, alpha=2, seed=3,
            checkpointing=checkpointing,
        )  # fmt: skip
        examples, _ = learner.encoded(found, 64)
        learner.loss(examples, 0, 2).backward()
        gradients.append([w.grad for w in learner.weights.values()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert any(bool(gradient.any()) for gradient in gradients[0])


def test_memory_is_counted(models: Path) -> None:
    checkpoint, _ = training.base_of(str(models / "sdxl"))
    weights, kept = training_model.memory(checkpoint, "float32", 64, 1, 4)
    _, doubled = training_model.memory(checkpoint, "float32", 64, 2, 4)
    assert weights > 4 * sum(checkpoint.parameters(part) for part in checkpoint.parts)
    assert 1.9 * kept < doubled < 2.1 * kept


# ── Cut short ────────────────────────────────────────────────────────────────────────────────


def stopping_after(stop: int) -> dict[str, Any]:
    steps: list[int] = []
    return {
        "on_step": lambda step: steps.append(step.number),
        "stopping": lambda: steps[-1] == stop,
    }


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_stopped_anywhere_it_ends_as_if_it_had_not_been(
    schedule: str, models: Path, images: Path, tmp_path: Path
) -> None:
    settings = replace(QUICK, schedule=schedule)
    base = str(models / "sd15")
    whole = train(images, base, str(tmp_path / "whole.safetensors"), settings)
    out = str(tmp_path / "cut.safetensors")
    for stop in (3, 5):
        with pytest.raises(Stopped, match=f"after step {stop} of 8"):
            train(images, base, out, settings, **stopping_after(stop))
        assert not Path(out).exists()
    told: list[str] = []
    cut = train(images, base, out, settings, say=told.append)
    assert "going on after step 5 of 8" in told
    assert losses(cut) == losses(whole)
    assert (cut.before, cut.after) == (whole.before, whole.after)
    ours, whole_weights = load_file(cut.path), load_file(whole.path)
    assert ours.keys() == whole_weights.keys()
    assert all(torch.equal(ours[name], weight) for name, weight in whole_weights.items())
    rates = [row["lr"] for row in rows(cut) if "lr" in row]
    assert (rates[-1] == 0) == (schedule == "cosine")


CHILD = """
import sys, torch
from pathlib import Path
from limner.tools.image_models.training import Settings, train
torch.set_num_threads(1)
images, base, out = sys.argv[1:]
settings = Settings(rank=4, steps=24, batch=2, learning_rate=1e-2, every=4, prompts=("a red boat",))
train(Path(images), base, out, settings, on_step=lambda step: print(step.number, flush=True))
"""


@pytest.mark.slow
def test_killed_it_goes_on_from_the_last_checkpoint(
    models: Path, images: Path, tmp_path: Path
) -> None:
    base, out = str(models / "sd15"), str(tmp_path / "killed.safetensors")
    command = [sys.executable, "-c", CHILD, str(images), base, out]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == "10":
            break
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not Path(out).exists()
    settings = replace(QUICK, steps=24)
    told: list[str] = []
    killed = train(images, base, out, settings, say=told.append)
    assert any(f"going on after step {n} of 24" in told for n in (8, 12))
    whole = train(images, base, str(tmp_path / "whole.safetensors"), settings)
    assert losses(killed) == losses(whole)
    ours = load_file(killed.path)
    assert all(torch.equal(ours[n], w) for n, w in load_file(whole.path).items())


def test_more_steps_can_be_asked_for(models: Path, images: Path, tmp_path: Path) -> None:
    base, out = str(models / "sd15"), str(tmp_path / "a.safetensors")
    train(images, base, out, replace(QUICK, steps=4))
    more = train(images, base, out, QUICK)
    whole = train(images, base, str(tmp_path / "b.safetensors"), QUICK)
    assert losses(more) == losses(whole)
    steps: list[Step] = []
    train(images, base, out, QUICK, on_step=steps.append)  # nothing is left to do
    assert not steps


def test_fewer_steps_than_were_taken_are_refused(
    models: Path, images: Path, tmp_path: Path
) -> None:
    base, out = str(models / "sd15"), tmp_path / "la.safetensors"
    train(images, base, str(out), QUICK)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="la has 8 steps already, more than 4") as caught:
        train(images, base, str(out), replace(QUICK, steps=4))
    assert "--steps 8" in caught.value.hint
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    train(images, base, str(out), replace(QUICK, steps=9))
    with safe_open(out, "pt") as file:
        assert json.loads(file.metadata()["limner"])["steps"] == 9


@pytest.mark.filterwarnings("error:Converting a tensor")
def test_a_step_says_nothing_beside_what_it_is_told(
    models: Path, images: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    torch.set_warn_always(True)
    try:
        train(images, str(models / "sd15"), str(tmp_path / "a.safetensors"),
              replace(QUICK, steps=1, prompts=()))  # fmt: skip
    finally:
        torch.set_warn_always(False)
    assert not [w for w in recwarn if "requires_grad" in str(w.message)]


def test_other_wishes_are_not_mixed_up(models: Path, images: Path, tmp_path: Path) -> None:
    base, out = str(models / "sd15"), str(tmp_path / "a.safetensors")
    short = replace(QUICK, steps=1, prompts=())
    train(images, base, out, short)
    for other in (replace(short, rank=2), replace(short, seed=1), replace(short, trigger="x")):
        with pytest.raises(UserError, match="other settings"):
            train(images, base, out, other)
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    with pytest.raises(UserError, match="already"):
        train(images, base, str(tmp_path / "there.safetensors"), short)
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"
    state = training_state.State(tmp_path / "a.training", {})
    with state.alone(), pytest.raises(UserError, match="another training"):
        train(images, base, out, short)


def test_a_full_disk_leaves_the_last_checkpoint(
    models: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, out = str(models / "sd15"), str(tmp_path / "full.safetensors")
    sync, calls = os.fsync, []

    def full(handle: int) -> None:
        name = str(Path(f"/proc/self/fd/{handle}").readlink())
        calls.append(name)
        if "checkpoint" in name and sum("checkpoint" in call for call in calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="no space left") as caught:
        train(images, base, out, QUICK)
    assert "same again" in caught.value.hint
    folder = tmp_path / "full.training"
    assert not list(folder.glob("*.part"))
    monkeypatch.undo()
    told: list[str] = []
    done = train(images, base, out, QUICK, say=told.append)
    assert "going on after step 0 of 8" in told
    assert [step for step, _ in losses(done)] == list(range(1, 9))


def test_a_damaged_checkpoint_is_named(models: Path, images: Path, tmp_path: Path) -> None:
    base, out = str(models / "sd15"), str(tmp_path / "a.safetensors")
    train(images, base, out, replace(QUICK, steps=1, prompts=()))
    file = tmp_path / "a.training" / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UserError, match="cannot be read"):
        train(images, base, out, replace(QUICK, steps=2, prompts=()))


# ── Told and refused ─────────────────────────────────────────────────────────────────────────


def test_memory_and_time_are_told(models: Path, images: Path, tmp_path: Path) -> None:
    told: list[str] = []
    steps: list[Step] = []
    train(
        images, str(models / "sd15"), str(tmp_path / "a.safetensors"),
        replace(QUICK, steps=5), say=told.append, on_step=steps.append,
    )  # fmt: skip
    assert any(words.startswith("memory: about") and "for weights" in words for words in told)
    assert [step.left is not None for step in steps] == [False, False, True, True, True]
    assert steps[-1].left == 0


def test_little_memory(
    models: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, short = str(models / "sd15"), replace(QUICK, steps=1, prompts=())
    checkpoint, _ = training.base_of(base)
    weights, kept = training_model.memory(checkpoint, "float32", 64, 2, 4)
    monkeypatch.setattr(training, "free_memory", lambda device: weights + kept // 2)
    told: list[str] = []
    train(images, base, str(tmp_path / "a.safetensors"), short, say=told.append)
    assert any("computed twice" in words for words in told)
    monkeypatch.setattr(training, "free_memory", lambda device: weights // 2)
    with pytest.raises(ModelError, match="its weights take"):
        train(images, base, str(tmp_path / "b.safetensors"), short)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"rank": 0}, "rank 0"),
        ({"alpha": -1.0}, "alpha"),
        ({"steps": 0}, "steps 0"),
        ({"batch": 0}, "batch 0"),
        ({"every": 0}, "every 0"),
        ({"seed": -1}, "seed -1"),
        ({"resolution": 100}, "divisible by 8"),
        ({"resolution": 0}, "divisible by 8"),
        ({"learning_rate": 0.0}, "learning-rate"),
        ({"learning_rate": float("nan")}, "learning-rate"),
        ({"schedule": "linear"}, "constant or cosine"),
    ],
)
def test_settings_that_do_not_do(
    wrong: dict[str, Any], words: str, models: Path, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        train(images, str(models / "sd15"), str(tmp_path / "a.safetensors"), Settings(**wrong))
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


def test_bases_that_do_not_do(models: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "janus").mkdir()
    (tmp_path / "janus" / "config.json").write_text('{"model_type": "janus"}')
    cases: list[tuple[str, type[LimnerError], str]] = [
        (str(tmp_path / "janus"), ModelError, "no UNet"),
        (str(tmp_path / "nowhere"), ModelMissing, "nowhere"),
        (str(models / "lcm"), ModelError, "few steps"),
        (str(models / "sdxl_turbo"), ModelError, "few steps"),
        (str(models / "sdxl_refiner"), ModelError, "refiner"),
    ]
    for base, kind, words in cases:
        with pytest.raises(kind, match=words) as caught:
            train(images, base, str(tmp_path / "a.safetensors"), QUICK)
        assert caught.value.hint
    with pytest.raises(UserError, match="neither a name"):
        train(images, str(models / "sd15"), "a/b", QUICK)


def test_a_loss_that_is_no_number_ends_it(
    models: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_model.Learner, "loss", lambda *a: torch.tensor(float("nan")))
    with pytest.raises(ModelError, match="step 1: the loss is nan"):
        train(images, str(models / "sd15"), str(tmp_path / "a.safetensors"), QUICK)


def test_one_small_picture_and_a_broken_one(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    painted("boat", (96, 80)).resize((40, 60)).save(folder / "boat.png")
    (folder / "cut.png").write_bytes((folder / "boat.png").read_bytes()[:60])
    told: list[str] = []
    done = train(
        folder, str(models / "sd15"), str(tmp_path / "a.safetensors"),
        replace(QUICK, steps=2, batch=3), say=told.append,
    )  # fmt: skip
    assert done.examples == 1 and [path.name for path, _ in done.skipped] == ["cut.png"]
    assert any(words.startswith("skipped: cut.png") for words in told)
    assert any("enlarged" in words for words in told)


def test_a_captioner_is_asked_once_though_the_run_is_cut(
    models: Path, images: Path, tmp_path: Path
) -> None:
    asked: list[tuple[int, int]] = []

    def describe(image: Image.Image) -> str:
        asked.append(image.size)
        return "a drawing" + " of rectangles" * 60

    base, out, told = str(models / "sd15"), str(tmp_path / "a.safetensors"), list[str]()
    for steps in (1, 2):
        short = replace(QUICK, steps=steps, prompts=())
        train(images, base, out, short, describe=describe, say=told.append)
    assert len(asked) == 3
    assert any("longer than the model reads" in words for words in told)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_the_width_learns_nearly_the_same(dtype: str, models: Path, images: Path) -> None:
    checkpoint, family = training.base_of(str(models / "sdxl"))
    found, gradients = training.found(images, 64).examples, []
    for width in ("float32", dtype):
        learner = training_model.Learner(
            checkpoint, family, device="cpu", dtype=width, rank=2, alpha=2, seed=3,
            checkpointing=False,
        )  # fmt: skip
        examples, _ = learner.encoded(found, 64)
        lost = learner.loss(examples, 0, 2)
        lost.backward()
        assert lost.dtype == torch.float32
        assert {weight.dtype for weight in learner.weights.values()} == {torch.float32}
        gradients.append(torch.cat([w.grad.flatten() for w in learner.weights.values()]))
        assert learner.scaled == (width == "float16")
    similarity = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    assert float(similarity) > 0.97
