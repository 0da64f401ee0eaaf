"""What the doctor finds, and has rebuilt."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from limner.agent import doctor
from limner.agent.doctor import Finding, examine, rebuild
from limner.agent.profiles import Choice
from limner.agent.sessions import Sessions
from limner.errors import LimnerError
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.tests.tiny_chat_models import chat_model


@pytest.fixture(autouse=True)
def small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("limner.index.library", "limner.agent.doctor"):
        monkeypatch.setattr(f"{module}.find_embeddings", lambda name: HashEmbeddings())
    monkeypatch.setenv("LIMNER_CACHE", "off")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library of two notes."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "tides.md").write_text("# Tides\n\nHigh water is at noon.\n")
    (notes / "lights.md").write_text("# Lights\n\nThe lighthouse blinks twice.\n")
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        library.add(notes)
    return tmp_path / "library"


def about_library(folder: Path) -> list[Finding]:
    return [f for f in examine(folder, "embedded") if f.what in ("library", "session")]


def test_a_sound_library(folder: Path) -> None:
    (found,) = about_library(folder)
    assert found.status == "ok" and "2 files, 2 passages" in found.detail
    assert [f.status for f in rebuild(folder, "embedded")] == ["ok"]


def test_no_library(tmp_path: Path) -> None:
    (found,) = about_library(tmp_path / "none")
    assert found.status == "note" and found.hint == "limner add PATH"
    with pytest.raises(LimnerError, match="no library here"):
        rebuild(tmp_path / "none", "embedded")


def test_each_damage_is_named_with_what_to_type(folder: Path) -> None:
    with sqlite3.connect(folder / "library.db") as book:
        book.execute("UPDATE passages SET body = replace(body, 'noon', 'dusk')")
    next((folder / "words").iterdir()).write_bytes(b"")
    found = about_library(folder)
    assert {f.status for f in found} == {"error"}
    assert {f.hint for f in found} == {"limner doctor --repair"}
    told = " ".join(f.detail for f in found)
    assert "passage 2 was damaged" in told or "passage 1 was damaged" in told
    assert "words" in told
    done = rebuild(folder, "embedded")
    assert [f.status for f in done if f.what == "library"] == ["ok"]
    assert any(f.what == "read again" and "tides.md" in f.detail for f in done)
    assert about_library(folder)[0].status == "ok"


def test_a_missing_book(folder: Path) -> None:
    (folder / "library.db").unlink()
    (found,) = about_library(folder)
    assert found.status == "error" and found.hint == "limner doctor --repair"
    done = rebuild(folder, "embedded")
    assert any(f.status == "error" and "limner add PATH" in f.detail for f in done)


def test_many_damages_are_not_all_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_MOST", 1)
    with sqlite3.connect(folder / "library.db") as book:
        book.execute("UPDATE passages SET body = '[]'")
    assert "1 more damages" in about_library(folder)[1].detail


def test_a_damaged_conversation_is_named_and_left_alone(folder: Path) -> None:
    Sessions(folder).ls()
    (folder / "sessions.db").write_bytes(b"x" * 5000)
    assert any(f.status == "error" for f in examine(folder, "embedded"))
    (folder / "library.db").write_bytes((folder / "library.db").read_bytes()[:8192])
    rebuild(folder, "embedded")
    assert (folder / "sessions.db").read_bytes() == b"x" * 5000


def test_weights_of_a_chat_model_that_are_cut_off_are_told(tmp_path: Path) -> None:
    model = chat_model(tmp_path / "model")
    choice = Choice(chat_model=str(model))
    found = [f for f in examine(tmp_path / "none", "embedded", choice) if f.what == "chat model"]
    assert [f.status for f in found] == ["ok"]
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    found = [f for f in examine(tmp_path / "none", "embedded", choice) if f.what == "chat model"]
    assert [f.status for f in found] == ["error"]
    assert "model.safetensors" in found[0].detail and found[0].hint
