"""Picking the loader, and what stands between an untrusted file and the library."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from limner.errors import SourceError
from limner.index import loaders
from limner.index.loaders import LOADERS, Block, load
from limner.tools.media import MediaStore

Write = Callable[[str, str | bytes], Path]

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


def picture_bytes(kind: str = "PNG", size: tuple[int, int] = (60, 50)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind)
    return buffer.getvalue()


def test_all_names_exist() -> None:
    assert all(hasattr(loaders, name) for name in loaders.__all__)
    assert set(LOADERS) >= PICTURES | {".pdf", ".docx", ".html", ".md", ".rst", ".txt", ".csv"}


def test_import_brings_no_parser() -> None:
    heavy = "pypdfium2 docx bs4 docutils markdown_it onnxruntime rapidocr numpy"
    code = (
        "import sys, limner.index.loaders as loaders; "
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("suffix", sorted(LOADERS))
def test_empty_file(write: Write, media: MediaStore, suffix: str) -> None:
    path = write(f"nothing{suffix}", b"")
    with pytest.raises(SourceError, match=r"is empty$"):
        load(path, media)


def test_upper_case_suffix(write: Write, media: MediaStore) -> None:
    assert load(write("NOTES.TXT", "Words."), media) == [Block("paragraph", "Words.")]


@pytest.mark.parametrize("name", ["song.mp3", "README"])
def test_unsupported_suffix_lists_the_supported_ones(
    write: Write, media: MediaStore, name: str
) -> None:
    with pytest.raises(SourceError, match="not supported") as caught:
        load(write(name, "words"), media)
    assert all(suffix in caught.value.hint for suffix in LOADERS)


@pytest.mark.parametrize(
    ("name", "content", "truth"),
    [
        ("a.pdf", picture_bytes(), "picture (PNG)"),
        ("a.txt", b"\x7fELF\x02\x01\x01" + bytes(60), "program (ELF)"),
        ("a.docx", b"<!DOCTYPE html><p>Words</p>", "HTML"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60), "password-protected"),
        ("a.png", b"%PDF-1.7\n", "PDF"),
        ("a.jpg", b"<html><p>404</p></html>", "HTML"),
        ("a.md", picture_bytes("WEBP"), "picture (WebP)"),
        ("a.csv", picture_bytes("BMP"), "picture (BMP)"),
        ("a.html", b"PK\x03\x04" + bytes(60), "zip archive"),
        ("a.json", b"SQLite format 3\0" + bytes(60), "SQLite"),
        ("a.tif", b"Words and nothing else", "something else"),
    ],
)
def test_the_first_bytes_must_fit_the_suffix(
    write: Write, media: MediaStore, name: str, content: bytes, truth: str
) -> None:
    path = write(name, content)
    with pytest.raises(SourceError) as caught:
        load(path, media)
    assert truth in str(caught.value) and str(path) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.txt", "BM stands for benchmark, MZ for nothing."),
        ("a.txt", "PK is a set of initials."),
        ("a.txt", "<html> is how a page begins"),
        ("a.md", "GIF is a format"),
    ],
)
def test_words_that_look_like_a_signature(
    write: Write, media: MediaStore, name: str, words: str
) -> None:
    assert load(write(name, words), media)


def test_a_picture_may_be_of_another_kind_than_its_suffix(
    write: Write, media: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.index.loaders.image.read_lines", lambda image: ())
    assert load(write("a.png", picture_bytes("JPEG")), media)


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.csv"])
def test_no_text(write: Write, media: MediaStore, name: str) -> None:
    with pytest.raises(SourceError, match="no text found"):
        load(write(name, " \n\n \n"), media)


@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError("deep"), MemoryError(), OSError(5)]
)
def test_whatever_a_parser_raises_names_the_file(
    write: Write, media: MediaStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(path: Path, media: MediaStore) -> Any:
        yield Block("paragraph", "so far so good")
        raise error

    monkeypatch.setattr("limner.index.loaders.text.load_text", broken)
    path = write("a.txt", "words")
    with pytest.raises(SourceError) as caught:
        load(path, media)
    assert str(path) in str(caught.value)
    assert isinstance(error, OSError) or type(error).__name__ in str(caught.value)


def test_missing_and_unreadable(tmp_path: Path, media: MediaStore) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        load(tmp_path / "gone.txt", media)
    folder = tmp_path / "folder.txt"
    folder.mkdir()
    with pytest.raises(SourceError, match="cannot be read"):
        load(folder, media)


def zip_bytes(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr(name, content)
    return buffer.getvalue()


HEADS = (
    *(b"", b"%PDF-1.4\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\0"),
    *(b"BM\0\0\0\0\0\0\0\0", b"RIFF\0\0\0\0WEBPVP8 ", zip_bytes("word/document.xml", b"<a/>")),
    *(b"\xff\xfe", b"{", b"[", b"<html>", b"---\n", b"a,b\n", b".. figure:: x\n\n   "),
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    suffix=st.sampled_from(sorted(LOADERS)),
    head=st.sampled_from(HEADS),
    body=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)),
)
def test_random_bytes_give_blocks_or_a_source_error(
    tmp_path: Path, media: MediaStore, suffix: str, head: bytes, body: bytes
) -> None:
    path = tmp_path / f"fuzz{suffix}"
    path.write_bytes(head + body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limner.index.loaders.image.read_lines", lambda image: ())
        patch.setattr("limner.index.loaders.pdf.read_lines", lambda image: ())
        try:
            blocks = load(path, media)
        except SourceError as error:
            assert str(path) in str(error)
        else:
            assert blocks and all(isinstance(block, Block) for block in blocks)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_mutilated_documents_give_blocks_or_a_source_error(
    tmp_path: Path, media: MediaStore, data: st.DataObject, write_pdf: Any, sheet: Any
) -> None:
    page = (
        sheet()
        .text(50, 50, "Words")
        .box(50, 100, 90, 90)
        .image(50, 200, 90, 90, Image.new("RGB", (9, 9)))
    )
    whole = bytearray(write_pdf(page, name="whole.pdf").read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=8)):
        whole[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutilated.pdf"
    path.write_bytes(whole[: data.draw(st.integers(1, len(whole)))])
    try:
        assert load(path, media)
    except SourceError as error:
        assert str(path) in str(error)
