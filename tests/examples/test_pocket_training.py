"""Every stage of the pocket model trains, stops, goes on as if unbroken, and fits what follows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from limner.examples.pocket import assemble, classifier, emoji, text, unet, vae
from limner.examples.pocket.classifier import JudgeStage, judged
from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.latents import Pool
from limner.examples.pocket.teacher import near_words
from limner.examples.pocket.text import TextStage, encoded, ending
from limner.examples.pocket.tokens import TOKENS, _unlike, said, small_tokenizer, tokenized
from limner.examples.pocket.training import Plan, Stage, load_shards, save_shards, train
from limner.examples.pocket.unet import UNetStage, denoised_loss, kept_signal, noised
from limner.examples.pocket.vae import VaeStage, normalised, small_vae
from limner.tests.examples.unbroken import unbroken
from limner.tools.image_models.schedulers import SCHEDULERS, scheduler_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(emoji.missing()), reason=f"missing: {emoji.missing()}"),
]

MAKERS: dict[str, Callable[[Plan], Stage]] = {
    "classifier": JudgeStage,
    "vae": VaeStage,
    "text": lambda plan: TextStage(plan, captions=40, words=500),
    "unet": lambda plan: UNetStage(plan, shard=32),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recipe whose every stage made two steps, assembled."""
    out = tmp_path_factory.mktemp("pocket")
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        for make in MAKERS.values():
            assert train(make(Plan(out, steps=2, batch=4)), Plan(out, steps=2, batch=4))
        assemble.assembled(out)
    return out


def small(patch: pytest.MonkeyPatch) -> None:
    """Short reports, one thread, so that sums come out the same."""
    patch.setattr(classifier, "_REPORTED", 1)
    patch.setattr(vae, "_REPORTED", 16)
    torch.set_num_threads(1)


NEEDS = {"text": ("vae",), "unet": ("vae", "text")}


def prepared(trained: Path, out: Path, name: str = "unet") -> Path:
    """A fresh recipe that has what the stages before one made."""
    out.mkdir()
    for needed in (*NEEDS.get(name, ()), "glyphs-64.npy"):
        (out / needed).symlink_to(trained / needed)
    if name == "text":  # the teacher is not asked about a whole dictionary again
        (out / "text").mkdir()
        (out / "text" / "near.txt").symlink_to(trained / "text" / "near.txt")
    return out


# ── Going on ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", MAKERS)
def test_interrupted_training_is_unbroken_training(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    unbroken(name, MAKERS[name], lambda out: prepared(trained, out, name), tmp_path, monkeypatch)


def test_a_fulfilled_plan_trains_no_more(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(trained, steps=2, batch=4)
    before = load_shards(trained / "unet" / "checkpoint-00000002", "weights")
    stage = MAKERS["unet"](plan)
    stage.loss = lambda step: pytest.fail("trained again")  # type: ignore[method-assign]
    assert train(stage, plan)
    assert "step 2" in capsys.readouterr().out
    after = load_shards(trained / "unet" / "checkpoint-00000002", "weights")
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_a_call_stops_after_its_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    plan = Plan(tmp_path, total=1000, minutes=1e-4, batch=2)
    assert not train(VaeStage(plan), plan)
    state = json.loads(next(tmp_path.glob("vae/checkpoint-*/state.json")).read_text())
    assert state["step"] == 1 and state["seconds"] > 0
    assert (tmp_path / "vae" / "model" / "config.json").exists()  # what there is can be looked at


def test_other_seeds_and_other_steps_train_otherwise(tmp_path: Path) -> None:
    plan = Plan(tmp_path, batch=4)
    stage = VaeStage(plan)
    losses = [float(stage.loss(step)[0].detach()) for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert float(VaeStage(replace(plan, seed=1)).loss(0)[0].detach()) != losses[0]


def test_processes_train_one_model_together(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "alone", steps=1, batch=4, dtype="float32")
    together = replace(plan, out=tmp_path / "together")
    script = "from limner.examples.pocket.vae import main; main()"
    (tmp_path / "vae.py").write_text(script, encoding="utf-8")
    given = ["--out", str(together.out), "--steps", "1", "--batch", "4", "--dtype", "float32"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "vae.py"), *given], check=True, env=environment)
    torch.set_num_threads(1)
    stage = VaeStage(plan)
    both = (stage.loss(0)[0] + stage.loss(1)[0]) / 2
    stage.loss = lambda step: (both, {})  # type: ignore[method-assign]
    assert train(stage, plan)
    ours, theirs = (load_shards(p.out / "vae" / "checkpoint-00000001", "weights")
                    for p in (plan, together))  # fmt: skip
    for name, weight in ours.items():
        assert torch.allclose(weight, theirs[name], atol=2e-5), name
    assert len((together.out / "vae" / "log.jsonl").read_text().splitlines()) == 1


def test_shards_are_small_enough_to_carry(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensors = {f"t{i}": torch.randn(700_000) for i in range(20)} | {"one": torch.tensor(1.0)}
    save_shards(tensors, tmp_path, "weights")
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) > 4 and max(sizes) <= 12_000_000
    found = load_shards(tmp_path, "weights")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[n], t) for n, t in tensors.items())


# ── Autoencoder ──────────────────────────────────────────────────────────────────────────────


def test_normalising_changes_latents_and_no_picture() -> None:
    torch.manual_seed(0)
    model, pictures = small_vae(64).eval(), torch.rand(24, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        made = normalised(model, pictures)
        latents, was = made.encode(pictures).latent_dist, model.encode(pictures).latent_dist
        assert torch.allclose(latents.mean.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
        assert torch.allclose(latents.mean.std((0, 2, 3)), torch.ones(4), atol=1e-4)
        scale = was.mean.std((0, 2, 3))[None, :, None, None]
        assert torch.allclose(latents.std * scale, was.std, rtol=1e-3)
        again, before = made.decode(latents.mean).sample, model.decode(was.mean).sample
    assert torch.allclose(again, before, atol=1e-4)


# ── Text ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def reading(trained: Path) -> TextStage:
    return TextStage(Plan(trained, steps=2, batch=4), captions=40, words=500)


def test_the_teacher_is_the_embedded_model(reading: TextStage) -> None:
    from limner.index.embeddings import embedded

    texts = ["a red fox", "snow-capped mountain on a blue background", "puppy"]
    pooled, words = reading._teacher([t.split() for t in texts])
    assert torch.allclose(pooled, torch.from_numpy(embedded().encode_document(texts)), atol=1e-4)
    assert [len(w) for w in words] == [3, 6, 1]


def test_kept_answers_are_the_teachers(reading: TextStage) -> None:
    import numpy as np

    rows = np.array([0, len(reading._texts) - 1, 41])
    sentences, words = reading._answers(rows)
    wanted, states = reading._teacher([reading._texts[row] for row in rows])
    assert torch.allclose(sentences, wanted, atol=2e-3)
    for ours, theirs in zip(words, states, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-2)


def test_texts_are_read_word_by_word_as_at_once(reading: TextStage) -> None:
    texts = ["a snow-capped mountain and two dogs", "piñata !", "", "one " * 60]
    ids, ends = reading._read([t.split() for t in texts])
    whole = tokenized(reading.tokenizer, texts)
    for row, start in zip(ids.tolist(), whole.tolist(), strict=True):
        assert row == start[: len(row)]
    assert [len(e) for e in ends] == [6, 2, 0, 30]
    with torch.no_grad():
        short = encoded(reading.model.one, reading.model.two, whole[:3, : ids.shape[1]])
        long = encoded(reading.model.one, reading.model.two, whole[:3])
    assert torch.allclose(short[1], long[1], atol=1e-5)  # padding changes nothing before it


def test_words_begin_as_what_the_teacher_takes_them_for(reading: TextStage) -> None:
    fresh = text.Reader(len(reading.tokenizer), reading.tokenizer.eos_token_id)
    numbers, meanings = reading._whole_words()
    fresh.start_from(numbers, meanings)
    tokens = reading.tokenizer.convert_ids_to_tokens(numbers)
    said = {token.removesuffix("</w>"): i for i, token in enumerate(tokens)}
    dog, cat, house = (said[word] for word in ("dog", "cat", "house"))
    for encoder in (fresh.one, fresh.two):
        rows = encoder.get_input_embeddings().weight[torch.tensor(numbers)]
        near = torch.cosine_similarity(rows[dog], rows[[cat, house]])
        assert near[0] > near[1]


def test_pictures_codes_tell_pictures_apart(trained: Path, reading: TextStage) -> None:
    codes = text.pictured(trained, 64)
    assert codes.shape == (len(load()), 256)
    drawn = codes[[i for i, emoji in enumerate(load()) if emoji.drawn]]
    assert float(drawn.square().sum(1).mean()) == pytest.approx(1, abs=1e-3)
    assert torch.allclose(drawn.mean(0), torch.zeros(256), atol=1e-4)
    named = {" ".join(t): int(o) for t, o in zip(reading._texts, reading._owners, strict=True)}
    numbers = {emoji.name: i for i, emoji in enumerate(load())}
    assert named["dog face"] == numbers["dog face"]
    assert all(load()[owner].drawn for owner in named.values() if owner >= 0)


def test_names_are_found_where_they_end() -> None:
    words = ["a", "fire", "engine", "and", "two", "red", "apples", ","]
    assert ending(words, ["fire", "fire engine"]) == 2
    assert ending(words, ["red apple"]) == 6
    assert ending(words, ["engine fire", "apple red", "pear"]) == -1 == ending([], ["a"])


def test_of_two_things_each_is_told_where_it_is_named(reading: TextStage) -> None:
    both = [
        (words, spots)
        for words, spots in zip(reading._texts, reading._spots, strict=True)
        if len(spots) == 2
    ]
    assert both
    for words, spots in both:
        for at, number in spots:
            last = load()[number].name.split()[-1]
            called = {word.split()[-1] for word in reading._split.words(load()[number])} | {last}
            assert words[at].removesuffix("s") in {word.removesuffix("s") for word in called}


def test_tokenizers_come_out_the_same() -> None:
    made = [small_tokenizer(Split(0), ["lagoon"]).get_vocab() for _ in range(2)]
    assert made[0] == made[1] and "lagoon" in made[0]


def test_what_captions_say_is_read_as_whole_words(reading: TextStage) -> None:
    spoken = said(reading._split)
    assert {"dog", "background", "snow"} <= set(spoken)
    assert not [word for word in spoken if reading._split._kept.fullmatch(word)]
    ids = reading.tokenizer(spoken, add_special_tokens=False)["input_ids"]
    assert all(len(row) == 1 for row in ids)
    assert len(reading.tokenizer("dog-sled, DOG")["input_ids"]) >= 6  # not within a word


def test_forms_of_spoken_words_need_no_token() -> None:
    assert _unlike(["dogs", "kennel", "sledding", "cat"], ["cat", "sled", "dogs"]) == ["kennel"]


def test_near_words_are_what_the_teacher_takes_for_a_name(reading: TextStage) -> None:
    found = near_words(reading._teacher, ["dog", "house"], ["economics", "hound", "cottage"])
    assert found[:2] == ["hound", "cottage"] or found[:2] == ["cottage", "hound"]
    assert "economics" not in found


def test_words_near_a_picture_are_read_most_often(reading: TextStage) -> None:
    owned = (reading._owners[reading._others] >= 0).numpy()
    assert reading._often.sum() == pytest.approx(1)
    assert reading._often[owned].min() > 3 * reading._often[~owned].max() > 0


def test_texts_that_name_nothing_are_no_error(reading: TextStage) -> None:
    rows = reading._others[(reading._owners[reading._others] < 0).numpy()][:3]
    apart = reading._apart(rows)
    assert float(apart["look"]) == 0
    assert all(torch.isfinite(value) for value in apart.values())


def test_every_byte_can_be_read(reading: TextStage) -> None:
    words = "日本 ✈ Ünïcode #!?"
    ids = reading.tokenizer(words)["input_ids"]
    assert reading.tokenizer.decode(ids[1:-1]).strip() == words.lower()


# ── U-Net ────────────────────────────────────────────────────────────────────────────────────


def test_the_noise_ends_where_schedulers_begin() -> None:
    kept = kept_signal()
    assert len(kept) == 1000 and (kept.diff() < 0).all()
    assert 0 < float(kept[-1].sqrt()) < 0.006  # half a per cent, and no division by zero
    assert float(((1 - kept[-1]) / kept[-1]).sqrt()) < 300  # noise of float16's range


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_finds_the_picture_that_v_points_to(name: str, trained: Path) -> None:
    torch.manual_seed(0)
    clean, kept = torch.randn(1, 4, 16, 16), kept_signal()
    config = json.loads((trained / "model/scheduler/scheduler_config.json").read_text())
    scheduler = scheduler_of(name, config)
    scheduler.set_timesteps(20)
    state = torch.randn(clean.shape) * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        seen = scheduler.scale_model_input(state, time)
        a = kept[int(time)].sqrt()
        b = (1 - a * a).sqrt()
        noise = (seen - a * clean) / b
        state = scheduler.step(a * noise - b * clean, time, state).prev_sample
    assert torch.allclose(state, clean, atol=0.05)


def test_the_loss_is_nothing_for_the_right_v_alone() -> None:
    torch.manual_seed(0)
    kept = kept_signal()[[10, 400, 990]]
    clean, noise = torch.randn(2, 3, 4, 16, 16)
    noisy, v = noised(clean, noise, kept)
    a, b = kept.sqrt()[:, None, None, None], (1 - kept).sqrt()[:, None, None, None]
    assert torch.allclose(a * noisy - b * v, clean, atol=1e-4)
    assert float(denoised_loss(v, v, kept)) == 0 < float(denoised_loss(noise, v, kept))


def test_the_pool_keeps_shards_and_lets_old_ones_go(trained: Path) -> None:
    pool: Pool = UNetStage(Plan(trained, batch=4), shard=32)._pool
    pool.shards, pool.reuse = 2, 1
    assert len(list(pool.folder.glob("*.safetensors"))) >= 1
    first = pool.batch(0, 4)
    assert first[0].shape == (4, 4, 16, 16) and first[1].shape == (4, TOKENS)
    assert torch.equal(first[0], pool.batch(0, 4)[0])
    pool.batch(24, 4)  # 96 samples on: the fourth shard
    assert sorted(int(p.stem[-6:]) for p in pool.folder.glob("*.safetensors")) == [2, 3]
    assert torch.equal(first[0], pool.batch(0, 4)[0])  # made again


# ── The whole ────────────────────────────────────────────────────────────────────────────────


def test_the_judge_is_small_and_reads_back(trained: Path) -> None:
    path = trained / "classifier" / "judge.safetensors"
    assert path.stat().st_size <= 4_000_000
    assert all(t.dtype == torch.float16 for t in load_file(path).values())
    with torch.no_grad():
        assert judged(path.parent)(torch.zeros(2, 3, 64, 64)).shape == (2, len(load()))


def test_the_folder_is_diffusers_own_and_small(trained: Path) -> None:
    import diffusers

    folder = trained / "model"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 26_000_000
    assert max(path.stat().st_size for path in files) <= 12_000_000
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a cat", num_inference_steps=2, guidance_scale=3.0).images[0]
    assert image.size == (64, 64)


def test_limner_draws_with_it_as_it_is(trained: Path) -> None:
    made = [assemble.drawn(trained / "model", "a cat", seed) for seed in (1, 1, 2)]
    assert made[0].size == (64, 64) and made[0].scheduler == "euler"
    assert made[0].image.tobytes() == made[1].image.tobytes() != made[2].image.tobytes()


def test_the_encoders_can_be_trained_along(trained: Path, tmp_path: Path) -> None:
    plan = Plan(prepared(trained, tmp_path / "along"), steps=1, batch=4)
    train(UNetStage(plan, text_rate=0.05, shard=32), plan)
    was = load_file(trained / "text/text_encoder_2/model.safetensors")
    now = load_file(plan.out / "unet/text_encoder_2/model.safetensors")
    assert was.keys() == now.keys() and any(not torch.equal(was[n], now[n]) for n in was)
    assert unet.small_unet(16).config.addition_embed_type == "text_time"
