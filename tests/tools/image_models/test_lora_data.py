"""Pictures and captions for training, as people leave them in folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from limner.errors import UserError
from limner.tests.conftest import painted
from limner.tools.image_models.training_data import found, square


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("red_boat-01.png", "IMG_2041.jpg", "pier.webp"):
        painted(name, (96, 80)).save(folder / name)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.md").write_text("no picture")
    return folder


def captions(folder: Path, **more: object) -> dict[str, str]:
    return {e.path.name: e.caption for e in found(folder, 64, **more).examples}  # type: ignore[arg-type]


def test_names_serve_where_nothing_is_written(folder: Path) -> None:
    result = found(folder, 64)
    assert [(e.path.name, e.caption) for e in result.examples] == [
        ("IMG_2041.jpg", ""), ("pier.webp", "pier"), ("red_boat-01.png", "red boat"),
    ]  # fmt: skip
    assert result.notes == ("3 of 3 pictures have no caption; the file's name serves",)
    assert not result.skipped


def test_what_is_written_comes_first(folder: Path, tmp_path: Path) -> None:
    (folder / "pier.txt").write_text("a pier\n  at dusk\n")
    rows = [
        {"file_name": "pier.webp", "text": "no"},
        {"file_name": "IMG_2041.jpg", "text": "a gull"},
    ]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    seen: list[tuple[int, int]] = []

    def describe(image: Image.Image) -> str:
        seen.append(image.size)
        return "a ship"

    assert captions(folder, trigger=" zwx ", describe=describe) == {
        "IMG_2041.jpg": "zwx, a gull", "pier.webp": "zwx, a pier at dusk",
        "red_boat-01.png": "zwx, a ship",
    }  # fmt: skip
    assert seen == [(96, 80)]
    elsewhere = tmp_path / "words"
    elsewhere.mkdir()
    (elsewhere / "pier.txt").write_text("elsewhere")
    assert captions(folder, captions=elsewhere)["pier.webp"] == "elsewhere"
    assert captions(folder, captions=elsewhere)["IMG_2041.jpg"] == ""
    some = found(folder, 64, captions=elsewhere)
    assert "2 of 3 pictures have no caption" in some.notes[0]


def test_a_trigger_alone_is_a_caption(folder: Path) -> None:
    assert captions(folder, trigger="zwx")["IMG_2041.jpg"] == "zwx"


@pytest.mark.parametrize("line", ["{", "[]", '{"text": "x"}', '{"file_name": 3}', "[" * 9999])
def test_a_list_that_cannot_be_read(folder: Path, line: str) -> None:
    (folder / "metadata.jsonl").write_text(line)
    with pytest.raises(UserError, match=r"metadata\.jsonl: cannot be read"):
        found(folder, 64)


def test_pictures_that_cannot_be_read_are_named(folder: Path) -> None:
    (folder / "broken.png").write_bytes((folder / "red_boat-01.png").read_bytes()[:99])
    (folder / "folder.png").mkdir()
    result = found(folder, 96)
    assert [path.name for path, _ in result.skipped] == ["broken.png", "folder.png"]
    assert len(result.examples) == 3
    assert result.notes[-1] == "3 pictures are smaller than 96×96 and enlarged"


def test_folders_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pictures"):
        found(tmp_path, 64)
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(UserError, match="1 pictures, none of which"):
        found(tmp_path, 64)
    for place in (tmp_path / "nowhere", tmp_path / "a.png"):
        with pytest.raises(UserError, match="no such folder"):
            found(place, 64)


def test_odd_files(folder: Path) -> None:
    Image.new("RGBA", (70, 70), (0, 0, 0, 0)).save(folder / "clear.png")
    (folder / "clear.txt").write_bytes(b"caf\xe9 " + b"x" * 50_000)
    clear = next(e for e in found(folder, 64).examples if e.path.name == "clear.png")
    assert clear.caption.startswith("caf� x") and len(clear.caption) <= 10_000


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    side=st.integers(1, 20).map(lambda n: 8 * n),
)
def test_the_middle_is_cut(width: int, height: int, side: int) -> None:
    cut = square(Image.new("RGB", (width, height), "red"), side)
    before_h, before_w, top, left, after_h, after_w = cut.time_ids
    assert cut.image.size == (side, side) == (after_w, after_h)
    assert (before_w, before_h) == (width, height)
    assert cut.image.getextrema() == ((255, 255), (0, 0), (0, 0))  # nothing beyond the picture
    scale = side / min(width, height)
    assert (
        abs(left - (width * scale - side) / 2) <= 1 and abs(top - (height * scale - side) / 2) <= 1
    )
    assert min(top, left) >= 0
