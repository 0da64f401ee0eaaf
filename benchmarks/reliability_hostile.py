"""Row 13: planted code. Pickles in state files, weights that are pickles, remote code asked for.

Each payload makes a marker file when it is executed. Whatever reads the planted file does so in a
process of its own; a refusal must name the file or its folder.
"""

from __future__ import annotations

import json
import pickle
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

__all__ = ["MODELS", "STATES", "plant_model", "plant_state", "planted"]


class _Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> Any:
        return open, (self._marker, "w")


def pickled(marker: Path) -> bytes:
    """A pickle that makes the marker."""
    return pickle.dumps(_Payload(marker))


_CODE = """
open({marker!r}, "w").close()
import torch
from sentence_transformers.models import Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast
class Evil(Transformer): pass
class EvilConfig(BertConfig): pass
class EvilModel(BertModel): pass
class EvilTokenizer(BertTokenizerFast): pass
"""

# ── model folders ────────────────────────────────────────────────────────────────────────────

MODELS = (
    "only pytorch_model.bin",
    "only model.pt",
    "pytorch_model.bin beside safetensors",
    "a later layer only in .bin",
    "auto_map of the model",
    "auto_map of the configuration",
    "auto_map of the tokenizer",
    "a custom module in modules.json",
    "a module of another package in modules.json",
    "a custom module by its folder",
    "a pickle called model.safetensors",
    "a reranker with only .bin",
    "a reranker with auto_map",
)


def plant_model(kind: str, good: Path, folder: Path, marker: Path) -> None:
    """A copy of a good sentence-transformers folder with one thing planted in it."""
    shutil.copytree(good, folder)
    (folder / "evil.py").write_text(_CODE.format(marker=str(marker)))
    weights, config = folder / "model.safetensors", folder / "config.json"
    if ".bin" in kind or "model.pt" in kind:
        name = "model.pt" if "model.pt" in kind else "pytorch_model.bin"
        (folder / name).write_bytes(pickled(marker))
        if "only" in kind and "layer" not in kind:
            weights.unlink()
    if "layer" in kind:
        layer = folder / "2_Dense"
        layer.mkdir(exist_ok=True)
        (layer / "pytorch_model.bin").write_bytes(pickled(marker))
        values = {"in_features": 16, "out_features": 8, "bias": True}
        activation = {"activation_function": "torch.nn.modules.activation.Tanh"}
        (layer / "config.json").write_text(json.dumps(values | activation))
        _edit(folder / "modules.json", lambda m: m.append(_module("2_Dense", "Dense")))
    if "of the model" in kind or "a reranker with auto_map" in kind:
        auto = {"AutoModel": "evil.EvilModel", "AutoModelForCausalLM": "evil.EvilModel"}
        _edit(config, lambda c: c.update(auto_map=auto))
    if "of the configuration" in kind:
        auto = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"}
        _edit(config, lambda c: c.update(auto_map=auto, model_type="evil"))
    if "of the tokenizer" in kind:
        auto = {"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]}
        change = {"auto_map": auto, "tokenizer_class": "EvilTokenizer"}
        _edit(folder / "tokenizer_config.json", lambda c: c.update(change))
    if "a custom module in" in kind:
        _edit(folder / "modules.json", lambda m: m[0].update(type="evil.Evil"))
    if "another package" in kind:
        _edit(folder / "modules.json", lambda m: m[0].update(type="antigravity.Evil"))
        (folder / "antigravity.py").write_text(_CODE.format(marker=str(marker)))
    if "by its folder" in kind:
        (folder / "1_Evil").mkdir()
        shutil.copy(folder / "evil.py", folder / "1_Evil" / "evil.py")
        _edit(folder / "modules.json", lambda m: m[0].update(type="1_Evil.evil.Evil"))
    if "called model.safetensors" in kind:
        weights.write_bytes(pickled(marker))


def _module(path: str, kind: str) -> dict[str, Any]:
    return {"idx": 9, "name": "9", "path": path, "type": f"sentence_transformers.models.{kind}"}


def _edit(path: Path, change: Callable[[Any], object]) -> None:
    values = json.loads(path.read_text()) if path.exists() else {}
    change(values)
    path.write_text(json.dumps(values))


# ── state files ──────────────────────────────────────────────────────────────────────────────

STATES = (
    *("library.db", "vectors", "words", "media", "sessions.db", "running.db", "embeddings.db"),
    *("running.db row: pickle", "running.db row: msgpack", "running.db row: json"),
    *("sessions.db row", "embeddings.db row", "library.db row", "library.db state", "index.pkl"),
    *("chroma", "chroma index_metadata.pickle"),
)


def plant_state(kind: str, library: Path, cache: Path, marker: Path) -> Path:
    """Plant a payload in one of a library's files, and say which it is."""
    data, name = pickled(marker), kind.partition(" ")[0]
    target = cache if name == "embeddings.db" else library / name
    if " row" in kind or " state" in kind:
        _in_rows(kind, target, data, marker)
        return target
    if name in ("vectors", "words", "media"):
        target = next(path for path in sorted(target.iterdir()) if path.is_file())
    if name == "chroma":
        target = next((library / "chroma").glob("*.sqlite3"))
    if "index_metadata" in kind:
        for folder in [library / "chroma", *(library / "chroma").iterdir()]:
            if folder.is_dir():
                (folder / "index_metadata.pickle").write_bytes(data)
        return library / "chroma"
    target.write_bytes(data)
    for more in ("-wal", "-shm", "-journal"):
        Path(f"{target}{more}").unlink(missing_ok=True)
    return target


def _in_rows(kind: str, path: Path, data: bytes, marker: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        names = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        if name := {"pickle": "pickle", "json": "json", "msgpack": "msgpack"}.get(kind.split()[-1]):
            body = {"pickle": data, "json": _json(marker), "msgpack": _msgpack(marker)}[name]
            db.execute("UPDATE checkpoints SET type=?, checkpoint=?", (name, body))
            db.execute("UPDATE writes SET type=?, value=?", (name, body))
        for table in names if " row" in kind and not kind.startswith("running") else ():
            for _, column, form, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                if form in ("BLOB", "TEXT") and column in ("body", "vector", "chunk", "text"):
                    db.execute(f"UPDATE OR IGNORE {table} SET {column}=?", (data,))
        if " state" in kind:
            for table in set(names) & {"state", "meta", "notes", "about"}:
                db.execute(f"UPDATE {table} SET value=?", (data,))
        db.commit()


def _json(marker: Path) -> bytes:
    call = {"lc": 2, "type": "constructor", "id": ["builtins", "open"], "args": [str(marker), "w"]}
    return json.dumps(call).encode()


def _msgpack(marker: Path) -> bytes:
    import ormsgpack

    call = ormsgpack.packb(("builtins", "open", [str(marker), "w"]))
    return bytes(ormsgpack.packb(ormsgpack.Ext(1, call)))


# ── the row ──────────────────────────────────────────────────────────────────────────────────


def planted(folder: Path) -> dict[str, Any]:
    """Plant each payload, read what was planted, and count what was executed."""
    folder, executed, unnamed, accepted = folder.resolve(), list[str](), list[str](), list[str]()
    _child("build", folder / "built", folder / "good", folder / "world")
    marker, refused = folder / "marker", dict[str, str]()
    for number, kind in enumerate([*MODELS, *STATES]):
        place = folder / f"case{number}"
        if kind in MODELS:
            plant_model(kind, folder / "good", place, marker)
            named, verb = place, "reranker" if "reranker" in kind else "model"
        else:
            shutil.copytree(folder / "world", place)
            library = place / ("chroma-library" if kind.startswith("chroma") else "library")
            plant_state(kind, library, place / "cache" / "embeddings.db", marker)
            named, verb = library, "state"
        answer = _child(verb, place, named)
        if marker.exists():
            executed.append(kind)
            marker.unlink()
        if answer.get("crash"):
            unnamed.append(f"{kind}: {answer['crash'][-300:]}".replace(str(folder), ""))
        elif answer.get("refused"):
            words = answer["refused"]
            refused[kind] = words.replace(str(folder), "")
            if str(place) not in words:
                unnamed.append(f"{kind}: {words[:200]}".replace(str(folder), ""))
        else:
            accepted.append(kind)
    return {
        "payloads": len(MODELS) + len(STATES),
        "executed": len(executed),
        "which": executed,
        "refused": len(refused),
        "refusals that name no file, or tracebacks": unnamed,
        "without effect": accepted,
        "refusals": refused,
    }


def _child(*words: Any) -> dict[str, Any]:
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=words[1].parent)
    if done.returncode:
        return {"crash": done.stderr}
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _build(good: Path, world: Path) -> None:
    """A good model, and a library with a cache, a conversation, and a running turn."""
    from PIL import Image

    from limner.agent.agent import Agent
    from limner.index.embedding_cache import EmbeddingCache
    from limner.index.embeddings import HashEmbeddings
    from limner.index.library import Library
    from limner.tests.tiny_models import sentence_transformer
    from limner.tools.chat_models.scripted import Scripted

    sentence_transformer(good)
    (world / "docs").mkdir(parents=True)
    image = Image.new("RGB", (64, 64), "white")
    image.paste(Image.new("RGB", (30, 20), "green"), (10, 10))
    image.save(world / "docs" / "x.png")
    (world / "docs" / "a.md").write_text("# Tides\n\nHigh water is at noon.\n\n![Tides](x.png)\n")
    cache = EmbeddingCache(world / "cache" / "embeddings.db")
    with Library(world / "library", HashEmbeddings(), None, cache) as library:
        library.add(world / "docs" / "a.md")
        shutil.copytree(world / "library", world / "chroma-library")
        Library.migrate(world / "chroma-library", "chroma")
        agent = Agent(library, chat_model=Scripted(replies=["Noon. [1]"]), session="s")
        agent._checkpoints.forget = lambda thread: None  # type: ignore[method-assign]
        agent.ask("When is high water?")
        with closing(sqlite3.connect(world / "library" / "running.db")) as db:
            db.execute("UPDATE checkpoints SET thread_id='s/1'")
            db.execute("UPDATE writes SET thread_id='s/1'")
            db.commit()


def _use_model(folder: Path) -> None:
    from limner.index.embeddings import find_embeddings

    find_embeddings(str(folder)).encode_document(["High water is at noon."])


def _use_reranker(folder: Path) -> None:
    from limner.index.reranking import find_reranker

    find_reranker(str(folder)).rerank("water", ["High water is at noon."])


def _use_state(folder: Path) -> None:
    """Everything that reads a library's state."""
    from limner.agent.agent import Agent
    from limner.index.embedding_cache import EmbeddingCache
    from limner.index.embeddings import HashEmbeddings
    from limner.index.library import Library
    from limner.tools.chat_models.scripted import Scripted

    cache = EmbeddingCache(folder.parent / "cache" / "embeddings.db")
    cache.encode(HashEmbeddings(), ["High water is at noon.", "Tides"], "x")
    problems = Library.diagnose(folder)
    with Library.open(folder, HashEmbeddings()) as library:
        for passage in library.search("water tides"):
            if passage.image:
                library.media.open(passage.image)
        agent = Agent(library, chat_model=Scripted(replies=["Noon. [1]"]), session="s")
        if agent.pending:
            list(agent.resume())
        agent.ask("And low water?")
    if problems:
        print(json.dumps({"refused": f"{problems[0].path}: {problems[0].reason}"}))
        sys.exit()


def _main(verb: str, folder: Path, *more: str) -> None:
    from limner.errors import LimnerError

    try:
        if verb == "build":
            _build(*map(Path, more))
        else:
            use = {"model": _use_model, "reranker": _use_reranker, "state": _use_state}[verb]
            use(Path(more[0]))
    except LimnerError as error:
        print(json.dumps({"refused": str(error)}))
    else:
        print(json.dumps({}))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
