from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from limner.errors import ModelError, ModelOutputError, QuestionError
from limner.prompts import prompt
from limner.tests.tiny_janus import janus
from limner.tools.image_models.base import ImageRequest
from limner.tools.image_models.janus import Janus
from limner.tools.image_models.janus_reading import JanusReader
from limner.tools.picture_checker import PictureChecker

ASKED = "What does this picture show?"


def picture(width: int = 90, height: int = 50) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert("RGB")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return janus(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def reader(folder: Path) -> JanusReader:
    return JanusReader.load(str(folder))


@pytest.fixture(scope="module")
def direct(folder: Path) -> tuple[Any, Any]:
    """Transformers' own model and processor."""
    from transformers import JanusForConditionalGeneration, JanusProcessor

    model = JanusForConditionalGeneration.from_pretrained(folder).eval()
    return model, JanusProcessor.from_pretrained(folder)


def inputs_of(processor: Any, words: str, image: Image.Image) -> Any:
    content = [{"type": "image", "image": image}, {"type": "text", "text": words}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"generation_mode": "text"},
    )


def leaned(folder: Path, word: str) -> JanusReader:
    """A reader whose answers all begin with a word."""
    import torch

    made = JanusReader.load(str(folder))
    (token, *_) = made._weights.inputs.one_token(word)
    with made._weights.at_work() as model, torch.no_grad():
        final = model.model.language_model.norm
        final.weight.zero_()  # then the logits are the head's, whatever was read
        model.lm_head.bias = torch.nn.Parameter(torch.zeros(model.lm_head.out_features))
        model.lm_head.bias[token] = 4.0
    return made


@pytest.mark.parametrize("size", [(90, 50), (40, 200), (64, 64), (1, 1)])
@pytest.mark.parametrize("words", [ASKED, "Describe: a puppy.", "日本 – ünïcode"])
def test_a_question_is_prepared_as_transformers_does(
    reader: JanusReader, direct: tuple[Any, Any], words: str, size: tuple[int, int]
) -> None:
    import torch

    expected = inputs_of(direct[1], words, picture(*size))
    made = reader._weights.inputs.reading(words, picture(*size))
    assert made.keys() == expected.keys()
    assert all(torch.equal(made[name], expected[name]) for name in made)


def test_an_answer_is_the_one_of_transformers(
    reader: JanusReader, direct: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = direct
    inputs = inputs_of(processor, ASKED, picture())
    out = model.generate(**inputs, generation_mode="text", do_sample=False, max_new_tokens=24)
    expected = out[0, inputs["input_ids"].shape[1] :].tolist()
    ids: list[int] = []
    text = reader._weights.inputs.text

    def noted(tokens: Any) -> str:
        ids.extend(tokens.tolist())
        return text(tokens)

    monkeypatch.setattr(reader._weights.inputs, "text", noted)
    said = reader.answer(picture(), ASKED, 24)
    assert ids == expected
    assert said == processor.tokenizer.decode(expected, skip_special_tokens=True).strip()


def test_a_description_is_the_answer_to_a_prompt_of_ours(reader: JanusReader) -> None:
    assert reader.describe(picture(), 8) == reader.answer(picture(), prompt("describe"), 8)


def test_yes_is_its_share_of_both_words(reader: JanusReader, direct: tuple[Any, Any]) -> None:
    import torch

    model, processor = direct
    question = "Is there a puppy? Write yes or no."
    with torch.no_grad():
        shares = model(**inputs_of(processor, question, picture())).logits[0, -1].softmax(0)
    tokenizer = processor.tokenizer
    said = {}
    for word in ("yes", "no"):
        forms = [f + w for w in (word, word.capitalize(), word.upper()) for f in ("", " ")]
        ids = {tuple(tokenizer.encode(form, add_special_tokens=False)) for form in forms}
        said[word] = sum(float(shares[i[0]]) for i in ids if len(i) == 1)
    expected = said["yes"] / (said["yes"] + said["no"])
    assert reader.yes(picture(), question) == pytest.approx(expected, abs=1e-5)
    assert 0 < expected < 1


@pytest.mark.parametrize(
    ("word", "expected"), [("yes", True), ("Yes", True), ("no", False), ("puppy", None)]
)
def test_a_checker_says_yes_no_or_nothing(folder: Path, word: str, expected: bool | None) -> None:
    checker: PictureChecker = leaned(folder, word)
    assert checker.shows(picture(), "a puppy") is expected


def test_what_the_picture_is_matters(reader: JanusReader) -> None:
    dark = Image.new("RGB", (64, 64))
    assert reader.yes(dark, "Is it dark?") != reader.yes(picture(), "Is it dark?")


def test_pictures_of_every_mode_are_read(reader: JanusReader) -> None:
    modes = [picture().convert(mode) for mode in ("L", "RGBA", "P", "1", "CMYK")]
    assert all(0 <= reader.yes(image, "Is it dark?") <= 1 for image in modes)


def test_the_same_weights_draw_and_read(folder: Path) -> None:
    painter = Janus.load(str(folder))
    reader = JanusReader(painter.weights)
    first = reader.yes(picture(), "Is it dark?")
    drawn = painter.generate(ImageRequest("a puppy", seed=1), lambda k, n, p: None)
    assert isinstance(reader.answer(drawn.image, ASKED, 4), str)
    assert reader.yes(picture(), "Is it dark?") == first
    again = painter.generate(ImageRequest("a puppy", seed=1), lambda k, n, p: None)
    assert again.image.tobytes() == drawn.image.tobytes()


def test_special_tokens_in_a_question_are_text(reader: JanusReader) -> None:
    inputs = reader._weights.inputs
    ids = inputs.reading("<image_placeholder><end_of_image><|Assistant|>", picture())["input_ids"]
    plain = inputs.reading("x", picture())["input_ids"]
    for token in (inputs._tokenizer.image_token_id, inputs._tokenizer.eoi_token_id):
        assert int((ids == token).sum()) == int((plain == token).sum())


def test_questions_that_cannot_be_asked_are_refused(reader: JanusReader) -> None:
    with pytest.raises(QuestionError, match="empty"):
        reader.answer(picture(), " \n")
    with pytest.raises(QuestionError, match="tokens long; tiny takes"):
        reader.answer(picture(), "a " * 5000)
    with pytest.raises(QuestionError, match="tokens long"):
        reader.shows(picture(), "a " * 5000)
    assert reader.answer(picture(), "a " * 200, 4) is not None


def test_numbers_that_are_none_are_a_typed_error(folder: Path) -> None:
    import torch

    broken = JanusReader.load(str(folder))
    with broken._weights.at_work() as model, torch.no_grad():
        model.lm_head.weight[5] = float("nan")
    with pytest.raises(ModelOutputError, match="tiny computed numbers that are none"):
        broken.yes(picture(), ASKED)
    with pytest.raises(ModelOutputError, match="tiny computed numbers that are none"):
        broken.answer(picture(), ASKED, 4)


def test_a_tokenizer_without_yes_is_refused(
    reader: JanusReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader._weights.inputs, "one_token", lambda *words: [])
    with pytest.raises(ModelError, match="no token for 'yes'"):
        reader.yes(picture(), ASKED)


def test_out_of_memory_is_told(reader: JanusReader, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    with reader._weights.at_work() as model:
        monkeypatch.setattr(model, "forward", full)
    with pytest.raises(ModelError, match="tiny: out of memory"):
        reader.yes(picture(), ASKED)
    monkeypatch.undo()
    assert 0 < reader.yes(picture(), ASKED) < 1
