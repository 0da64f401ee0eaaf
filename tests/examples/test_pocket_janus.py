"""The small Janus trains as it is asked later: same tokens, no held-out word, unbroken."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from limner.examples.pocket import emoji, janus_evaluate, janus_eyes, janus_vq
from limner.examples.pocket.emoji import Split, load
from limner.examples.pocket.janus import LARGEST, JanusStage, laid_out
from limner.examples.pocket.janus_eyes import Eyes, EyesStage
from limner.examples.pocket.janus_folder import NAMING, phrases
from limner.examples.pocket.janus_questions import Questions, groups, named, unlike
from limner.examples.pocket.janus_vq import VqStage, dead, quantised, small_vq, tokens_of
from limner.examples.pocket.scenes import Scenes
from limner.examples.pocket.sheets import image
from limner.examples.pocket.training import Plan, Stage, load_shards, train
from limner.prompts import prompt
from limner.tests.examples.unbroken import unbroken
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.janus import Janus
from limner.tools.image_models.janus_inputs import Inputs
from limner.tools.image_models.janus_reading import JanusReader

needs_font = pytest.mark.skipif(bool(emoji.missing()), reason=f"missing: {emoji.missing()}")


def long(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.long(needs_font(test))


MAKERS: dict[str, Callable[[Plan], Stage]] = {
    "janus_vq": VqStage,
    "janus_eyes": EyesStage,
    "janus": lambda plan: JanusStage(plan, shard=32),
}


def small(patch: pytest.MonkeyPatch) -> None:
    """Short reports and counts, one thread, so that sums come out the same."""
    patch.setattr(janus_vq, "_REPORTED", 16)
    patch.setattr(janus_eyes, "_REPORTED", 16)
    patch.setattr(janus_vq, "_COUNTED", 8)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recipe whose stages made two steps."""
    out = tmp_path_factory.mktemp("pocket")
    with pytest.MonkeyPatch.context() as patch:
        small(patch)
        for make in MAKERS.values():
            assert train(make(Plan(out, steps=2, batch=4)), Plan(out, steps=2, batch=4))
    return out


@pytest.fixture(scope="module")
def stage(trained: Path) -> JanusStage:
    return JanusStage(Plan(trained, batch=8), shard=32)


@pytest.fixture(scope="module")
def inputs(trained: Path) -> Inputs:
    return Inputs.load(trained / "janus" / "model")


# ── Codes ────────────────────────────────────────────────────────────────────────────────────


def test_the_nearest_code_is_taken_whatever_its_length() -> None:
    torch.manual_seed(0)
    book = torch.randn(16, 8)
    found = torch.nn.functional.normalize(book[[3, 11, 5]], dim=-1)
    numbers, codes = quantised(found, book * torch.rand(16, 1).add(0.1))
    assert numbers.tolist() == [3, 11, 5]
    assert torch.allclose(codes, found, atol=1e-6)


def test_codes_that_nothing_takes_are_dead() -> None:
    book = torch.eye(8)
    assert dead(torch.eye(8)[[0, 2, 2, 7]], book).tolist() == [1, 3, 4, 5, 6]


@long
def test_transformers_finds_the_same_tokens_and_decodes_the_same_codes() -> None:
    torch.manual_seed(0)
    vq = small_vq(64, codes=32).eval()
    book = vq.quantize.embedding.weight
    with torch.no_grad():
        book.copy_(torch.nn.functional.normalize(torch.randn_like(book), dim=-1))
        pictures = torch.rand(2, 3, 64, 64) * 2 - 1
        said = vq.quant_conv(vq.encoder(pictures)).permute(0, 2, 3, 1).flatten(0, 2)
        numbers, codes = quantised(torch.nn.functional.normalize(said, dim=-1), book)
        tokens = tokens_of(vq, pictures)
        laid = codes.view(2, 8, 8, 8).permute(0, 3, 1, 2)
        assert torch.equal(tokens.flatten(), numbers)
        ours, theirs = vq.decoder(vq.post_quant_conv(laid)), vq.decode(tokens)
    assert torch.allclose(ours, theirs, atol=1e-5)


@long
def test_dead_codes_are_revived_and_live_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch)
    stage = VqStage(Plan(tmp_path, batch=2))
    book = stage.model.quantize.embedding.weight
    with torch.no_grad():
        book[100:] = -book[:1] + 1e-4 * torch.randn(len(book) - 100, 8)  # all but a few alike
    pictures = stage._pictures(0, 8, janus_vq._SEED - 1_000)
    with torch.no_grad():
        found = stage._directions(pictures)
    before, unused = book.detach().clone(), dead(found, book)
    assert 0 < stage._revive(0) == min(len(unused), len(found))
    live = torch.ones(len(book), dtype=torch.bool)
    live[unused] = False
    assert torch.equal(book[live], before[live])
    own = (book[unused[: len(found)], None] - found).abs().sum(-1).min(1).values
    assert float(own.detach().max()) < 1e-5  # each is what the encoder says of some picture
    assert len(dead(found, book)) < len(unused)
    again = VqStage(Plan(tmp_path, batch=2))
    with torch.no_grad():
        again.model.quantize.embedding.weight.copy_(before)
    again._revive(0)
    assert torch.equal(again.model.quantize.embedding.weight, book)


# ── Words ────────────────────────────────────────────────────────────────────────────────────


def test_questions_and_answers_are_laid_out_one_by_one() -> None:
    read = laid_out([[5, 6], [7, 8, 9]], [[1, 2, 0], [3, 0]], pad=4)
    assert read.ids.tolist() == [[5, 6, 1, 2], [7, 8, 9, 3]]
    assert read.targets.tolist() == [[-100, 1, 2, 0], [-100, -100, 3, 0]]
    assert read.first.tolist() == [[False, True, False, False], [False, False, True, False]]


def test_the_projects_sentences_are_the_phrases() -> None:
    told = prompt("shows", words="a cat")
    for text in (*NAMING, told):
        for phrase in phrases():
            text = text.replace(phrase, "")
        assert text.split() in ([], ["a", "cat"])


@long
def test_what_is_drawn_is_laid_out_as_limner_asks(stage: JanusStage, inputs: Inputs) -> None:
    captions = [c for scene in Scenes(Split(0)).batch(3, 0, 60) for c in scene.captions]
    captions += [emoji.name for emoji in load()[::40]] + ["A Red BOAT ", "日本 ✈ ünïcode #!?"]
    assert stage._layout.drawing(captions) == [inputs.drawing(caption)[0] for caption in captions]


@long
def test_a_steps_turns_are_limners_blank_ones_too(stage: JanusStage, inputs: Inputs) -> None:
    kinds = set()
    for step in range(6):
        turns, lengths, tokens = stage.drawing(step)
        assert tokens.shape == (4, 64) and 0 <= int(tokens.min()) <= int(tokens.max()) < 1024
        pad = stage._layout.tokens["pad_token"]
        for row, length in zip(turns.tolist(), lengths.tolist(), strict=True):
            told = row[:length]
            blank = all(token == pad for token in told[1:-1])
            said = inputs._tokenizer.decode(told[3:-4])
            assert told == inputs.drawing("x " * (length - 7) if blank else said)[blank]
            assert all(token == pad for token in row[length:])
            kinds.add(blank)
    assert kinds == {True, False}


@long
def test_what_is_read_is_laid_out_as_limner_asks(stage: JanusStage, inputs: Inputs) -> None:
    picture, layout = Image.new("RGB", (64, 64)), stage._layout
    _, asked = stage.reading(0)
    questions = [question for row in asked for question, _ in row] + ["Is it RED? ", "日本 #"]
    for question, ids in zip(questions, layout.questions(questions), strict=True):
        assert layout.before + ids == inputs.reading(question, picture)["input_ids"][0].tolist()
    assert len(asked[0]) == 4 and [answer for _, answer in asked[0][1:3]] == ["yes", "no"]
    read = stage.laid_out(asked)
    for ids, targets, (question, answer) in zip(
        read.ids, read.targets, (pair for row in asked for pair in row), strict=True
    ):
        begin = len(layout.questions([question])[0]) - 1
        there = (targets != -100).nonzero()[:, 0].tolist()
        assert there == list(range(begin, begin + len(there)))
        assert targets[there[-1]] == layout.tokens["eos_token"]
        assert inputs.text(targets[there]) == answer
        assert ids[there[1:]].tolist() == targets[there[:-1]].tolist()


@long
def test_questions_share_a_picture_and_do_not_see_each_other(stage: JanusStage) -> None:
    scenes, asked = stage.reading(1)
    pictures, model = stage._renderer(scenes), stage.model.janus
    with torch.no_grad():
        states, _ = stage.answered(pictures, stage.laid_out(asked))
        own = Inputs.load(stage._words)
        for i, row in enumerate(asked[:2]):
            for j, (question, _) in enumerate(row):
                alone = own.reading(question, image(pictures[i]))
                out = model.model(**alone, use_cache=False).last_hidden_state[0, -1]
                at = len(stage._layout.questions([question])[0]) - 1
                assert torch.allclose(states[4 * i + j, at], out, atol=1e-4)


@long
def test_drawing_computes_what_limners_loop_computes(stage: JanusStage) -> None:
    from limner.tools.image_models.janus_engine import TokenLoop

    turns, lengths, tokens = stage.drawing(0)
    told, model = turns[0, : lengths[0]].tolist(), stage.model.janus
    model.set_attn_implementation("sdpa")  # as Limner loads it
    with torch.no_grad():
        loop = TokenLoop(model, told, told, [0], 1.0, 0.0, 64)
        found = []
        choose = loop._choose

        def forced(hidden: Tensor) -> None:
            found.append(model.model.generation_head(hidden)[0])
            choose(hidden)
            loop._token.copy_(tokens[0, loop.done])

        loop._choose = forced  # type: ignore[method-assign]
        for _ in range(64):
            loop.next()
        own = torch.nn.functional.cross_entropy(torch.stack(found), tokens[0])
        one = (turns[:1], lengths[:1], tokens[:1])
        stage.drawing = lambda step: one  # type: ignore[method-assign]
        assert abs(float(stage._draw(0)) - float(own)) < 1e-3
        del stage.drawing
    model.set_attn_implementation("eager")


@long
def test_yes_and_no_are_words_of_their_own(inputs: Inputs) -> None:
    assert len(inputs.one_token("yes")) == len(inputs.one_token("no")) == 2
    assert inputs.one_token("yes", "Yes", "YES") == inputs.one_token("yes")


@long
def test_held_out_words_are_never_said(stage: JanusStage) -> None:
    kept = stage._scenes.split._kept
    fixed = prompt("shows", words="\0").split("\0")
    for step in range(40):
        scenes, asked = stage.reading(step)
        for scene, row in zip(scenes, asked, strict=True):
            name, *others = row
            assert name[0] in NAMING and name[1] == named(scene)
            assert not kept.search(name[1])
            for question, answer in others:
                assert question.startswith(fixed[0]) and question.endswith(fixed[1])
                words = question.removeprefix(fixed[0]).removesuffix(fixed[1])
                assert words and answer in ("yes", "no")
                assert not kept.search(words), words


@long
def test_what_a_scene_does_not_show_is_something_else() -> None:
    scenes = Scenes(Split(0))
    questions, random = Questions(scenes), np.random.default_rng(0)
    alike = 0
    for scene in scenes.batch(0, 0, 300):
        numbers = {placed.number for placed in scene.objects}
        other = questions._other(min(numbers), list(numbers), random)
        assert other not in numbers and all(unlike(other, n) for n in numbers)
        assert load()[other].drawn
        alike += other in questions._alike[min(numbers)]
        words, shown = questions.missing(scene, random), questions.shown(scene, random)
        assert words != shown and words not in scene.captions
    assert 100 < alike < 260  # about half on purpose, and some by chance


@long
def test_groups_are_unicodes() -> None:
    found = {emoji.name: group for emoji, group in zip(load(), groups(), strict=True)}
    assert found["dog face"] == ("Animals & Nature", "animal-mammal")
    assert found["otter"][0] == "Animals & Nature"  # newer than the list: its neighbour's
    assert found["black cat"][0] == "Animals & Nature"
    assert found["red square"] == found["blue circle"] == ("Symbols", "geometric")
    assert sum(not group for group, _ in groups()) < 45


# ── Going on ─────────────────────────────────────────────────────────────────────────────────


@long
@pytest.mark.parametrize("name", MAKERS)
def test_interrupted_training_is_unbroken_training(
    name: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepared(out: Path) -> Path:
        out.mkdir()
        (out / "glyphs-64.npy").symlink_to(trained / "glyphs-64.npy")
        if name == "janus":
            for needed in ("janus_vq", "janus_eyes"):
                (out / needed).symlink_to(trained / needed)
            (out / "janus").mkdir()
            (out / "janus" / "words").symlink_to(trained / "janus" / "words")
        return out

    small(monkeypatch)
    unbroken(name, MAKERS[name], prepared, tmp_path, monkeypatch)


@long
def test_the_autoencoder_stays_as_it_was_trained(trained: Path, stage: JanusStage) -> None:
    last = load_shards(trained / "janus" / "checkpoint-00000002", "weights")
    own = {n: t for n, t in stage.model.named_parameters() if ".vqmodel." in n}
    assert own and all(torch.equal(t, last[f"w.{n}"]) for n, t in own.items())
    grown = [n for n, t in stage.model.named_parameters() if not torch.equal(t, last[f"w.{n}"])]
    assert len(grown) > 50


@long
def test_the_eyes_go_on_from_what_they_learnt_alone(trained: Path) -> None:
    eyes = Eyes.found(64, trained / "janus_eyes")
    stage = JanusStage(Plan(trained, batch=8), shard=32)
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        looks = stage.model.janus.model.get_image_features(janus_eyes.whole(pictures)).pooler_output
        assert torch.allclose(looks, eyes(pictures), atol=1e-4)
    assert torch.equal(stage.model.names.weight, eyes.names.weight)
    assert float(eyes.names.weight.detach().abs().max()) > 0  # they learnt something


# ── What is shipped ──────────────────────────────────────────────────────────────────────────


@long
def test_the_folder_is_small(trained: Path) -> None:
    files = list((trained / "janus" / "model").iterdir())
    assert sum(path.stat().st_size for path in files) <= LARGEST
    assert max(path.stat().st_size for path in files) <= 12_000_000
    assert json.loads((trained / "janus/model/config.json").read_text())["dtype"] == "float16"
    told = json.loads((trained / "janus_vq" / "report.json").read_text())
    assert told["psnr"] > 0 and 0 < told["used"] <= 1


@long
def test_limner_draws_and_reads_with_it_as_it_is(trained: Path) -> None:
    folder = str(trained / "janus" / "model")
    artist, reader = Janus.load(folder), JanusReader.load(folder)
    seeds = (1, 1, 2)
    made = [artist.generate(ImageRequest("a cat", seed=s), lambda *_: None) for s in seeds]
    assert made[0].size == (64, 64) and made[0].steps == 64
    assert made[0].image.tobytes() == made[1].image.tobytes() != made[2].image.tobytes()
    picture = made[0].image
    assert isinstance(reader.answer(picture, NAMING[0], 8), str)
    assert isinstance(reader.describe(picture, 8), str)
    assert reader.shows(picture, "a cat") in (True, False, None)
    assert 0 <= reader.yes(picture, "Is it red? Write yes or no.") <= 1


@long
def test_figures_and_a_sheet_are_written(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    janus_evaluate.main(["--out", str(trained), "--count", "2"])
    told = json.loads((trained / "janus.json").read_text())
    assert told["naming"]["on white: name"]["of"] == 2
    assert (
        {"share", "interval", "of"}
        == told["shows"]["all"].keys()
        == told["drawing"]["nearest"].keys()
    )
    assert told["guidance"].keys() == {"1", "2", "3", "5", "8"}
    assert Image.open(trained / "janus.png").width > 64
    assert "written" in capsys.readouterr().out
