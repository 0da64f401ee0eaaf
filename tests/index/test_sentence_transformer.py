from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from limner.errors import ModelMissing, ModelOutputError, UserError
from limner.index import sentence_transformer
from limner.index.batching import batches, bfloat16_copy, one_thread_each
from limner.index.embeddings import EmbeddingSettings, HashEmbeddings, embedded, find_embeddings
from limner.index.sentence_transformer import SentenceTransformerEmbeddings
from limner.tests import tiny_models
from limner.tools import model_files

TEXTS = [
    "High water at the harbour is at noon.",
    "a",
    "The keeper lives in the village. " * 12,
    "",
    "潮は正午に満ちる。 Low water follows <|im_end|> six hours later.",
    "The lighthouse was built in 1871.",
]


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.qwen3_embedding(tmp_path_factory.mktemp("models") / "qwen3")


def card(folder: Path, texts: list[str], dimensions: int = 64, batch: int = 2) -> np.ndarray:
    """The recipe of the model's card, with transformers alone."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), padding_side="left")
    model = AutoModel.from_pretrained(str(folder), dtype=torch.float32).eval()
    rows = []
    for at in range(0, len(texts), batch):
        inputs = tokenizer(
            texts[at : at + batch],
            padding=True,
            truncation=True,
            max_length=512,
            return_tensors="pt",
        )
        with torch.no_grad():
            last = model(**inputs).last_hidden_state[:, -1, :dimensions]
        rows.append(torch.nn.functional.normalize(last, p=2, dim=1).numpy())
    return np.concatenate(rows)


def instructed(texts: list[str], task: str = tiny_models.QWEN3_TASK) -> list[str]:
    return [f"Instruct: {task}\nQuery:{text}" for text in texts]


# ── Qwen3-Embedding ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("budget", [1, 64, 300, 100_000])
@pytest.mark.parametrize("dimensions", [64, 32, 16, 1])
def test_vectors_are_those_of_the_card(qwen3: Path, budget: int, dimensions: int) -> None:
    model = find_embeddings(f"{qwen3}?dimensions={dimensions}&batch_tokens={budget}")
    assert model.dimensions == dimensions
    for found, wanted in (
        (model.encode_document(TEXTS), card(qwen3, TEXTS, dimensions)),
        (model.encode_query(TEXTS), card(qwen3, instructed(TEXTS), dimensions)),
    ):
        assert found.shape == (len(TEXTS), dimensions) and found.dtype == np.float32
        assert (found * wanted).sum(axis=1).min() >= 0.99999
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_text_ends_with_its_end_token_and_padding_is_on_the_left(qwen3: Path) -> None:
    model = find_embeddings(str(qwen3))._model
    found = model.preprocess(["a", TEXTS[0], TEXTS[2] * 20])
    assert found["input_ids"][:, -1].tolist() == [0, 0, 0]
    assert found["attention_mask"][:, -1].all() and not found["attention_mask"][0, 0]
    assert found["input_ids"].shape[1] == 512


@pytest.mark.parametrize("stored", ["published", "none"])
def test_the_instruction_of_questions(tmp_path: Path, stored: str) -> None:
    prompts = {} if stored == "published" else {"query": "", "document": ""}
    folder = tiny_models.qwen3_embedding(tmp_path / "m", **prompts)
    for name, wanted in (
        (str(folder), instructed(TEXTS)),
        (f"{folder}?instruction=Find%20the%20tide", instructed(TEXTS, "Find the tide")),
    ):
        model = find_embeddings(name)
        assert (model.encode_query(TEXTS) * card(folder, wanted)).sum(axis=1).min() >= 0.99999
        documents = model.encode_document(TEXTS)
        assert (documents * card(folder, TEXTS)).sum(axis=1).min() >= 0.99999


def test_an_instruction_for_a_model_that_takes_none(tmp_path: Path) -> None:
    folder = tiny_models.sentence_transformer(tmp_path / "m")
    model = find_embeddings(f"{folder}?instruction=Find%20the%20tide")
    with pytest.raises(UserError, match="not trained with instructions") as caught:
        model.encode_query(["a"])
    assert "instruction=" in caught.value.hint


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_formats_and_attention(qwen3: Path, dtype: str, attention: str) -> None:
    model = find_embeddings(f"{qwen3}?dtype={dtype}&attention={attention}&device=cpu")
    close = 0.99999 if dtype == "float32" else 0.98  # random weights magnify rounding
    vectors = model.encode_document(TEXTS)
    assert (vectors * card(qwen3, TEXTS)).sum(axis=1).min() >= close
    assert str(model._model[0].auto_model.dtype) == f"torch.{dtype}"
    assert model._model[0].auto_model.config._attn_implementation == attention


def test_more_dimensions_than_there_are(qwen3: Path) -> None:
    with pytest.raises(UserError, match="64 dimensions") as caught:
        find_embeddings(f"{qwen3}?dimensions=65").encode_query(["a"])
    assert "1 to 64" in caught.value.hint


# ── names, recipes, settings ─────────────────────────────────────────────────────────────────


def test_the_name_says_what_cannot_be_mixed_and_the_recipe_all(qwen3: Path) -> None:
    options = ("", "?dimensions=32", "?dtype=bfloat16", "?batch_tokens=64", "?instruction=Other")
    plain, cut, half, batch, asked = (find_embeddings(f"{qwen3}{o}") for o in options)
    assert plain.name == half.name == batch.name == asked.name != cut.name
    assert cut.name == f"{plain.name}?dimensions=32"
    assert plain.recipe == batch.recipe == asked.recipe
    assert len({plain.recipe, cut.recipe, half.recipe}) == 3
    assert plain.name in plain.recipe and "model" not in str(vars(plain).keys() & {"_model"})
    assert HashEmbeddings(32).recipe == "hash-32" != HashEmbeddings().recipe
    assert embedded().recipe.startswith("all-MiniLM-L6-v2@53aa51172d14 files=")


def test_another_pooling_or_prompt_is_another_recipe(qwen3: Path, tmp_path: Path) -> None:
    found = {find_embeddings(str(qwen3)).recipe}
    for name in ("1_Pooling/config.json", "config_sentence_transformers.json"):
        folder = tmp_path / name.partition(".")[0] / "qwen3"
        shutil.copytree(qwen3, folder)
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | {"x": 1}))
        found.add(find_embeddings(str(folder)).recipe)
    assert len(found) == 3


def test_settings_are_read_from_a_name() -> None:
    read = EmbeddingSettings.parse
    assert read("") == EmbeddingSettings()
    assert read("dimensions=512&dtype=float16&device=cuda:1") == EmbeddingSettings(
        dimensions=512, dtype="float16", device="cuda:1"
    )
    wrong = ["size=1", "dimensions=0", "dimensions=x", "dtype=int4", "dimensions=1&dimensions=2"]
    for text in (*wrong, "device=", "dimensions", "attention=fast", "nonsense", "&"):
        with pytest.raises(UserError) as caught:
            read(text)
        assert caught.value.hint


def test_unusable_settings_are_heard_before_anything_is_loaded(qwen3: Path) -> None:
    with pytest.raises(UserError, match="size") as caught:
        find_embeddings(f"{qwen3}?size=1")
    assert "dimensions, dtype" in caught.value.hint
    with pytest.raises(UserError, match="revision"):
        find_embeddings(f"{qwen3}?revision=main")
    assert find_embeddings("embedded?dimensions=128").encode_query(["a"]).shape == (1, 128)


def test_a_folder_whose_name_holds_a_question_mark(qwen3: Path, tmp_path: Path) -> None:
    shutil.copytree(qwen3, tmp_path / "what?really")
    assert find_embeddings(str(tmp_path / "what?really")).dimensions == 64


# ── models of the hub ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def hub(qwen3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local Hugging Face cache that holds one model at its pinned commit."""
    name = "Qwen/Qwen3-Embedding-0.6B"
    commit = model_files.HUB_REVISIONS[name]
    folder = tmp_path / "hub" / "models--Qwen--Qwen3-Embedding-0.6B"
    shutil.copytree(qwen3, folder / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder


def test_a_model_in_the_local_cache(hub: Path, qwen3: Path) -> None:
    model = find_embeddings("Qwen/Qwen3-Embedding-0.6B?dimensions=32")
    assert model.name == "Qwen/Qwen3-Embedding-0.6B@97b0c614be4d?dimensions=32"
    wanted = card(qwen3, instructed(TEXTS), 32)
    assert (model.encode_query(TEXTS) * wanted).sum(axis=1).min() >= 0.99999


def test_a_model_that_was_not_downloaded(hub: Path) -> None:
    with pytest.raises(ModelMissing, match="not in the local Hugging Face cache") as caught:
        find_embeddings("Qwen/Qwen3-Embedding-4B")
    assert caught.value.hint == "limner models pull Qwen/Qwen3-Embedding-4B"
    with pytest.raises(ModelMissing) as caught:
        find_embeddings("Qwen/Qwen3-Embedding-0.6B?revision=" + "0" * 40)
    assert caught.value.hint.endswith("0" * 40)


# ── batches and formats ──────────────────────────────────────────────────────────────────────


def test_batches_hold_each_text_once_within_the_budget() -> None:
    lengths = np.random.default_rng(0).integers(0, 300, 500).tolist()
    for budget in (1, 100, 1024, 10**6):
        found = batches(lengths, budget)
        assert sorted(i for batch in found for i in batch) == list(range(500))
        for batch in found:
            assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    assert batches([], 10) == [] and batches([0, 0], 5) == [[0, 1]]


def test_threads_side_by_side_keep_the_order_and_the_setting() -> None:
    import torch

    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert one_thread_each(lambda x: x * 2, range(50)) == list(range(0, 100, 2))
        assert torch.get_num_threads() == threads
        with pytest.raises(ZeroDivisionError):
            one_thread_each(lambda x: 1 / x, [1, 0])
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)


def test_many_documents_come_out_the_same_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = embedded()
    texts = [f"Paragraph {i}: " + "high water at noon. " * (i % 7) for i in range(150)]
    wanted = find_embeddings("embedded?dtype=float32").encode_document(texts)
    tried: list[object] = []

    def copied(module, encode, sample):
        monkeypatch.setattr("limner.index.batching._GAIN", 0.0)  # whatever this machine says
        tried.append(bfloat16_copy(module, encode, sample))
        return tried[-1]

    monkeypatch.setattr(sentence_transformer, "bfloat16_copy", copied)
    assert np.allclose(model.encode_document(texts[:100]), wanted[:100], atol=1e-5) and not tried
    for _ in range(2):
        assert ((model.encode_document(texts) * wanted).sum(axis=1)).min() >= 0.999
    assert len(tried) == 1
    assert np.allclose(model.encode_query(texts), wanted, atol=1e-5)  # questions: float32


def test_a_format_that_is_slower_or_says_something_else_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    right = np.eye(3, dtype=np.float32)
    module = torch.nn.Linear(2, 2)

    def taken(seconds_half: float, vectors_half: np.ndarray) -> bool:
        times = iter([0.0, seconds_half, 0.0, 1.0])
        monkeypatch.setattr("limner.index.batching.time.process_time", lambda: next(times))

        def encode(model, texts):
            return right if model is module else vectors_half

        return bfloat16_copy(module, encode, ["a", "bb", "ccc"]) is not None

    monkeypatch.setattr("limner.index.batching._has_bfloat16", lambda: True)
    assert taken(0.5, right)
    assert not taken(0.9, right)
    assert not taken(0.5, np.roll(right, 1, axis=0))
    assert not taken(0.5, np.full_like(right, np.nan))
    monkeypatch.setattr("limner.index.batching._has_bfloat16", lambda: False)
    assert not taken(0.5, right)


@pytest.mark.parametrize("broken", ["nan", "shape"])
def test_what_a_model_must_not_give(qwen3: Path, broken: str) -> None:
    import torch

    model = SentenceTransformerEmbeddings(qwen3)
    inner = model._model
    if broken == "nan":
        with torch.no_grad():
            next(inner.parameters()).fill_(float("nan"))
    else:
        inner.append(torch.nn.Identity())
        inner[-1].forward = lambda f, **_: (
            f | {"sentence_embedding": f["sentence_embedding"][:, :5]}
        )
        model._whole = 64
    for encode in (model.encode_query, model.encode_document):
        with pytest.raises(ModelOutputError, match="64 finite numbers"):
            encode(["a", "b"])
