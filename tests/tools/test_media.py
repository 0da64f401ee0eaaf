"""Untrusted pictures in, plain pictures kept."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from limner.errors import LibraryDamaged, LibraryReadOnly, SourceError
from limner.tools import media as module
from limner.tools.media import MAX_PIXELS, MediaStore, decode_image, is_reference

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_every_accepted_format(kind: str, tmp_path: Path) -> None:
    data = saved(Image.new("RGB", (9, 7), RED), kind)
    path = tmp_path / "file"
    path.write_bytes(data)
    for source in (data, path):
        image = decode_image(source)
        assert (image.mode, image.size) == ("RGB", (9, 7))
        red, green, blue = image.getpixel((4, 3))  # type: ignore[misc]
        assert red > 240 and green < 10 and blue < 10


@pytest.mark.parametrize("kind", ["PPM", "ICO", "PCX", "TGA", "EPS"])
def test_no_other_format(kind: str) -> None:
    with pytest.raises(SourceError, match="not a picture"):
        decode_image(saved(Image.new("RGB", (16, 16), RED), kind))


def test_too_many_pixels_are_refused_before_decoding() -> None:
    with pytest.raises(SourceError, match=r"bomb\.png: 15000×10000 is more than the 100 mega"):
        decode_image(png_claiming(15_000, 10_000), "bomb.png")
    with pytest.raises(SourceError, match=r"bomb\.png: more than the 100 megapixels") as caught:
        decode_image(png_claiming(20_000, 10_000), "bomb.png")  # Pillow refuses these itself
    assert caught.value.hint == "scale it down and try again"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")  # just below our own limit Pillow would warn
        with pytest.raises(SourceError, match="damaged"):
            decode_image(png_claiming(10_000, MAX_PIXELS // 10_000))
    assert warned == []


def test_camera_orientation_is_applied_and_forgotten() -> None:
    image = Image.new("RGB", (20, 10), WHITE)
    image.paste(RED, (0, 0, 10, 10))  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown a quarter turn clockwise: red on top
    upright = decode_image(saved(image, "PNG", exif=exif))
    assert upright.size == (10, 20)
    assert upright.getpixel((5, 2)) == RED and upright.getpixel((5, 17)) == WHITE
    assert not upright.getexif()


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    clear.putpixel((0, 0), (255, 0, 0, 255))
    flat = decode_image(saved(clear))
    assert flat.getpixel((0, 0)) == RED and flat.getpixel((3, 3)) == WHITE
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((0, 0), 1)
    flat = decode_image(saved(palette, "PNG", transparency=0))
    assert flat.getpixel((0, 0)) == RED and flat.getpixel((3, 3)) == WHITE
    grey = decode_image(saved(Image.new("LA", (4, 4), (0, 0))))
    assert grey.getpixel((1, 1)) == WHITE


def test_palettes_and_bitmaps() -> None:
    palette = Image.new("RGB", (4, 4), RED).convert("P")
    assert decode_image(saved(palette)).getpixel((1, 1)) == RED
    assert decode_image(saved(Image.new("1", (4, 4), 1))).getpixel((1, 1)) == WHITE


def test_cmyk() -> None:
    red, green, blue = decode_image(  # type: ignore[misc]
        saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF")
    ).getpixel((4, 4))
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_deep_grey_keeps_its_steps(white: int) -> None:
    image = Image.new("I;16", (3, 1))
    for place, level in enumerate((0, white // 2, white)):
        image.putpixel((place, 0), level)
    levels = [decode_image(saved(image)).getpixel((x, 0))[0] for x in range(3)]  # type: ignore[index]
    assert levels[0] == 0 and levels[1] in (127, 128) and levels[2] == 255


def test_a_plain_white_deep_grey_is_white() -> None:
    assert decode_image(saved(Image.new("I;16", (2, 2), 65535))).getpixel((0, 0)) == WHITE


def test_the_first_picture_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, WHITE, BLACK)]
    for kind in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert decode_image(data).getpixel((4, 4)) == RED


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_cut_short(kind: str) -> None:
    noise = Image.effect_noise((64, 64), 90).convert("RGB")
    data = saved(noise, kind)
    with pytest.raises(SourceError, match=r"cut\.img"):
        decode_image(data[: len(data) * 2 // 3], "cut.img")


def test_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.png"):
        decode_image(tmp_path / "gone.png")


@pytest.mark.parametrize("error", [TypeError, OverflowError, MemoryError, struct.error])
def test_whatever_a_decoder_raises_is_a_source_error(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(image: Image.Image) -> Image.Image:
        raise error

    monkeypatch.setattr(module, "_flatten", broken)
    with pytest.raises(SourceError):
        decode_image(saved(Image.new("RGB", (3, 3))))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_mutilated_pictures(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]))
    mode = "CMYK" if kind == "JPEG" else data.draw(st.sampled_from(["RGB", "P", "L"]))
    mode = "RGB" if kind == "WEBP" else mode
    whole = bytearray(saved(Image.new(mode, (23, 17)), kind))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=12)):
        whole[place] = data.draw(st.sampled_from([0, 1, 127, 128, 254, 255]))
    try:
        image = decode_image(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except SourceError:
        return
    assert image.mode == "RGB" and image.width * image.height <= MAX_PIXELS


def test_put_and_open(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "new" / "media")
    image = Image.effect_noise((30, 20), 60).convert("RGB")
    reference = store.put(image)
    assert is_reference(reference) and reference in store and list(store) == [reference]
    assert reference.startswith(hashlib.sha256(store.path(reference).read_bytes()).hexdigest())
    assert store.open(reference).tobytes() == image.tobytes()
    assert store.put(image.copy()) == reference and list(store) == [reference]
    assert store.put(image, "jpg").endswith(".jpg")


def test_nothing_but_the_picture_is_kept(tmp_path: Path) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", "swordfish")
    exif = Image.Exif()
    exif[0x010E] = "swordfish"
    for kind, options in (("PNG", {"pnginfo": notes, "exif": exif}), ("JPEG", {"exif": exif})):
        data = saved(Image.new("RGB", (9, 9), RED), kind, **options)
        assert b"swordfish" in data
        store = MediaStore(tmp_path / kind)
        for suffix in ("png", "jpg"):
            reference = store.put(decode_image(data), suffix)  # type: ignore[arg-type]
            assert b"swordfish" not in store.path(reference).read_bytes()


@pytest.mark.parametrize(
    "text", ["", "x.png", "../" + "a" * 61 + ".png", "a" * 64 + ".gif", "a" * 64 + ".png\n"]
)
def test_what_is_no_reference(tmp_path: Path, text: str) -> None:
    store = MediaStore(tmp_path)
    (tmp_path / "x.png").write_bytes(b"")
    assert not is_reference(text) and text not in store
    store.remove(text)
    assert (tmp_path / "x.png").exists()
    with pytest.raises(LibraryDamaged, match="not a media reference"):
        store.path(text)


def test_missing_and_changed_pictures(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    reference = store.put(Image.new("RGB", (5, 5), RED))
    store.path(reference).write_bytes(saved(Image.new("RGB", (5, 5), WHITE)))
    with pytest.raises(LibraryDamaged, match="was changed"):
        store.open(reference)
    store.remove(reference)
    store.remove(reference)
    with pytest.raises(LibraryDamaged, match="is missing") as caught:
        store.open(reference)
    assert caught.value.hint == "limner doctor"


def test_a_store_reads_through_to_its_parent(tmp_path: Path) -> None:
    parent = MediaStore(tmp_path / "parent")
    child = MediaStore(tmp_path / "child", parent)
    reference = parent.put(Image.new("RGB", (5, 5), RED))
    assert reference in child and list(child) == []
    assert child.open(reference).size == (5, 5)
    assert list(child) == [reference]  # copied: one folder holds all of an answer
    child.remove(reference)
    assert reference in parent


def test_new_files_have_ordinary_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        store = MediaStore(tmp_path)
        reference = store.put(Image.new("RGB", (5, 5)))
    finally:
        os.umask(before)
    assert store.path(reference).stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store = MediaStore(tmp_path / "media")
    with pytest.raises(LibraryReadOnly, match="no space"):
        store.put(Image.new("RGB", (5, 5)))
    assert list((tmp_path / "media").iterdir()) == []


def test_many_threads_put_the_same_picture(tmp_path: Path) -> None:
    store = MediaStore(tmp_path / "media")
    image = Image.effect_noise((80, 80), 60).convert("RGB")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(store.put(image))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert [p.name for p in (tmp_path / "media").iterdir()] == [found[0]]
    assert store.open(found[0]).size == (80, 80)
