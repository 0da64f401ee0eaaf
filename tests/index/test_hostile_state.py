"""Planted code: it is never executed, and the refusal names the file.

benchmarks/reliability_hostile.py does the same with every file of a library and of a model.
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from limner.errors import LibraryDamaged, LimnerError, ModelError, ModelMissing
from limner.index.embedding_cache import EmbeddingCache
from limner.index.embeddings import HashEmbeddings, find_embeddings
from limner.index.library import Library
from limner.tests.tiny_models import sentence_transformer

EVIL = """
open({marker!r}, "w").close()
from sentence_transformers.models import Transformer
from transformers import BertConfig, BertModel
class Evil(Transformer): pass
class EvilConfig(BertConfig): pass
class EvilModel(BertModel): pass
"""


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return open, (str(self.marker), "w")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def payload(marker: Path) -> bytes:
    data = pickle.dumps(Payload(marker))
    pickle.loads(data).close()
    assert marker.exists()  # it works
    marker.unlink()
    return data


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sentence_transformer(tmp_path_factory.mktemp("models") / "good")


@pytest.fixture
def model_folder(good: Path, tmp_path: Path, marker: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(good, folder)
    (folder / "evil.py").write_text(EVIL.format(marker=str(marker)))
    return folder


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_weights_that_are_pickles(
    model_folder: Path, marker: Path, payload: bytes, name: str
) -> None:
    (model_folder / name).write_bytes(payload)
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(ModelMissing, match=str(model_folder)) as caught:
        find_embeddings(str(model_folder)).encode_document(["a"])
    assert "safetensors" in caught.value.hint
    assert not marker.exists()


def test_a_pickle_that_is_called_safetensors(
    model_folder: Path, marker: Path, payload: bytes
) -> None:
    (model_folder / "model.safetensors").write_bytes(payload)
    with pytest.raises(ModelError, match=str(model_folder)):
        find_embeddings(str(model_folder)).encode_document(["a"])
    assert not marker.exists()


def test_a_module_of_the_folders_own(model_folder: Path, marker: Path) -> None:
    path = model_folder / "modules.json"
    modules = json.loads(path.read_text())
    for kind in ("evil.Evil", "1_Evil.evil.Evil", "antigravity.Evil"):
        modules[0]["type"] = kind
        path.write_text(json.dumps(modules))
        with pytest.raises(ModelError, match=str(model_folder)):
            find_embeddings(str(model_folder)).encode_document(["a"])
        assert not marker.exists()


def test_remote_code_that_a_configuration_asks_for(model_folder: Path, marker: Path) -> None:
    auto = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}
    edit(model_folder / "config.json", auto_map=auto, model_type="evil")
    with pytest.raises(ModelError, match=str(model_folder)):
        find_embeddings(str(model_folder)).encode_document(["a"])
    edit(model_folder / "config.json", auto_map=auto, model_type="bert")
    find_embeddings(str(model_folder)).encode_document(["a"])  # a known one needs no such code
    assert not marker.exists()


def test_pickles_in_a_library(tmp_path: Path, docs: Path, marker: Path, payload: bytes) -> None:
    original = tmp_path / "original"
    Library.open(original, HashEmbeddings()).add(docs)
    files = [path.relative_to(original) for path in original.rglob("*") if path.is_file()]
    for file in files:
        folder = tmp_path / f"library-{file.name}"
        shutil.copytree(original, folder)
        (folder / file).write_bytes(payload)
        (folder / "index.pkl").write_bytes(payload)
        try:
            with Library.open(folder, HashEmbeddings()) as library:
                library.search("water")
            assert file.name in ("write.lock", "library.newest")  # which may say nothing
        except LibraryDamaged as error:
            assert str(folder / file) in str(error)
        assert not marker.exists()


def test_pickles_in_the_cache(tmp_path: Path, marker: Path, payload: bytes) -> None:
    cache = EmbeddingCache(tmp_path / "cache" / "embeddings.db")
    cache.path.parent.mkdir()
    cache.path.write_bytes(payload)
    assert cache.encode(HashEmbeddings(), ["a text"], "x").shape == (1, 64)
    assert not marker.exists()


def test_a_pickle_for_a_running_turn(library: Library, marker: Path, payload: bytes) -> None:
    from limner.agent.agent import Agent
    from limner.tools.chat_models.scripted import Scripted

    (library.folder / "running.db").write_bytes(payload)
    agent = Agent(library, chat_model=Scripted(replies=["Noon. [1]"]), session="s")
    with pytest.raises(LimnerError, match=r"running\.db"):
        agent.ask("When is high water?")
    assert not marker.exists()
