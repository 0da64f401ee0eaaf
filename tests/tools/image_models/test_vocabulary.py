"""Which words a model was taught is its folder's to say; what it was not is told to people."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from limner.errors import ModelError
from limner.tools.image_models.captions import CAPTIONS
from limner.tools.image_models.fake import HashPainter
from limner.tools.image_models.opening import open_model
from limner.tools.image_models.tool import as_tool
from limner.tools.image_models.vocabulary import Vocabulary, remark
from limner.tools.model_files import SHIPPED

TOKENS = {
    "model": {"vocab": {"fox</w>": 0, "knife</w>": 1, "qui": 2, "ck</w>": 3, "a</w>": 4}},
    "added_tokens": [{"content": "bakery"}, {"content": "dance"}, {"content": "leaf"}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text(json.dumps(TOKENS))
    (tmp_path / CAPTIONS).write_text('taught = "a few names"')
    return tmp_path


class Taught(HashPainter):
    def __init__(self, folder: Path) -> None:
        self.capabilities = replace(
            HashPainter.capabilities, vocabulary=Vocabulary.of_folder(folder)
        )


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("A fox at the bakery", ()),
        ("foxes, bakeries, knives and leaves", ()),
        ("dancing foxes danced", ()),
        ("a quick xyzzy and a quick fox", ("quick", "xyzzy")),
        ("лиса", ("лиса",)),
        ("狐", ("狐",)),
        ("7 foxes, 1/2", ()),
        ("¿?!", ()),
    ],
)
def test_what_is_broken_into_pieces_is_not_known(
    folder: Path, prompt: str, unknown: tuple[str, ...]
) -> None:
    vocabulary = Vocabulary.of_folder(folder)
    assert vocabulary is not None and vocabulary.unknown(prompt) == unknown


def test_the_remark_is_one_sentence(folder: Path) -> None:
    model = Taught(folder)
    assert remark(model, "a fox") == ""
    assert remark(model, "a xyzzy") == "hash-painter knows a few names, and does not know “xyzzy”."
    assert remark(model, "b1 cc dd ee ff").endswith("know “cc”, “dd”, “ee” and others.")


@pytest.mark.parametrize(
    "told", [None, "", 'taught = ""', "taught = 7", "alike = true", r'taught = "\u001b["']
)
def test_of_a_folder_that_says_nothing_nothing_is_said(folder: Path, told: str | None) -> None:
    (folder / CAPTIONS).unlink()
    if told is not None:
        (folder / CAPTIONS).write_text(told)
    assert Vocabulary.of_folder(folder) is None
    assert remark(Taught(folder), "xyzzy") == ""
    assert remark(HashPainter(), "xyzzy") == ""


@pytest.mark.parametrize("text", ["{", "{}", '{"model": 3}'])
def test_a_damaged_tokenizer_is_an_error_of_the_model(folder: Path, text: str) -> None:
    (folder / "tokenizer" / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        remark(Taught(folder), "xyzzy")


def test_whoever_calls_the_tool_is_told_too(folder: Path) -> None:
    call = {"name": "draw_picture", "args": {"prompt": "xyzzy"}, "id": "1", "type": "tool_call"}
    assert "does not know “xyzzy”" in as_tool(Taught(folder)).invoke(call).content


@pytest.mark.parametrize(
    "prompt",
    [
        "a fox on a blue background",
        "two kittens and a running dog",
        "fox face, cat face",
        "A PUPPY",
    ],
)
def test_the_shipped_model_knows_what_it_was_taught(prompt: str) -> None:
    model = open_model("pocket-sdxl")
    assert remark(model, prompt) == ""
    assert model.capabilities.vocabulary == Vocabulary.of_folder(SHIPPED["pocket-sdxl"])


@pytest.mark.parametrize("word", ["xyzzy", "blorf", "лиса", "狐狸", "qwertyuiop"])
def test_the_shipped_model_says_what_it_does_not_know(word: str) -> None:
    assert remark(open_model("pocket-sdxl"), f"a {word}") == (
        "pocket-sdxl knows the English names of things that emoji show, "
        f"and does not know “{word}”."
    )
