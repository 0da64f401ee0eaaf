"""Records in pictures: what is written is read back, and what anybody may have written is not."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from limner.errors import LimnerError, SourceError
from limner.tools.image_models.base import GeneratedImage
from limner.tools.image_models.provenance import Claims, claims, read, signed_png

PICTURE = Image.effect_noise((24, 16), 60).convert("RGB")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)

DRAWN = GeneratedImage(
    image=PICTURE,
    model="org/model",
    revision="abc123",
    prompt="a red boat",
    negative_prompt="rain",
    size=(24, 16),
    steps=7,
    guidance=5.5,
    scheduler="euler",
    seed=2**63 - 1,
    strength=0.6,
    reference="a" * 64,
    mask="0" * 64,
    lora=(("style.safetensors", 0.8),),
    device="cpu",
    dtype="float32",
    versions=(("diffusers", "0.42.1"), ("torch", "2.13.0")),
    checked=True,
    notes=("drawn again in float32",),
    seconds=1.25,
)


def same(one: GeneratedImage, other: GeneratedImage) -> bool:
    return one.to_dict() == other.to_dict() and one.image.tobytes() == other.image.tobytes()


def test_everything_is_read_back() -> None:
    signed = read(signed_png(DRAWN))
    assert signed is not None and same(signed.drawn, DRAWN)
    assert signed.drawn == replace(DRAWN, image=signed.drawn.image)
    assert signed.untouched and signed.by.startswith("limner 0")


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=60, deadline=None)
@given(
    words=st.tuples(texts, texts, texts, texts),
    numbers=st.tuples(st.integers(0, 2**63 - 1), st.integers(1, 999)),
    guidance=NUMBERS,
    lora=st.lists(st.tuples(texts.filter(lambda name: "/" not in name), NUMBERS), max_size=3).map(
        tuple
    ),
    notes=st.lists(texts, max_size=3).map(tuple),
)
def test_any_words_and_numbers_are_read_back(
    words: Any, numbers: Any, guidance: float, lora: Any, notes: Any
) -> None:
    prompt, negative, model, revision = words
    drawn = replace(
        DRAWN, prompt=prompt, negative_prompt=negative, model=model, revision=revision,
        seed=numbers[0], steps=numbers[1], guidance=guidance, lora=lora, notes=notes,
    )  # fmt: skip
    signed = read(signed_png(drawn))
    assert signed is not None and same(signed.drawn, drawn)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("style", "style"),
        ("org/style", "org/style"),
        ("HERE/style.safetensors", "style.safetensors"),
        ("HERE/folder/", "folder"),
        ("loras/style.safetensors", "style.safetensors"),
        ("~/mine/style", "style"),
        ("./style", "style"),
    ],
)
def test_of_an_adapter_the_name_and_digest_are_kept_not_the_place(
    tmp_path: Path, name: str, kept: str
) -> None:
    (tmp_path / "style.safetensors").write_bytes(b"weights")
    name = name.replace("HERE", str(tmp_path))
    data = signed_png(replace(DRAWN, lora=((name, 0.5), ("none-such", 1.0))))
    signed = read(data)
    assert signed is not None and signed.drawn.lora == ((kept, 0.5), ("none-such", 1.0))
    there = Path(name).is_file()
    assert signed.adapters == (hashlib.sha256(b"weights").hexdigest() if there else "", "")
    assert str(tmp_path).encode() not in data and b"mine" not in data


def test_records_written_without_digests_are_read() -> None:
    found = read(signed(changed()))
    assert found is not None and found.adapters == ()


# ── What others say ──────────────────────────────────────────────────────────────────────────


def chunked(words: str, keyword: str = "parameters", kind: str = "tEXt") -> bytes:
    info, buffer = PngInfo(), io.BytesIO()
    if kind == "tEXt":
        info.add_text(keyword, words)
    else:
        info.add_itxt(keyword, words)
    PICTURE.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


WORDS = "a cat\nNegative prompt: rain\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"


@pytest.mark.parametrize("kind", ["tEXt", "iTXt"])
def test_parameters_alone_say_that_it_is_generated(kind: str) -> None:
    assert claims(chunked(WORDS, kind=kind)) == Claims(marked=False, parameters=WORDS)
    assert claims(chunked(WORDS, kind=kind)).generated
    assert not claims(chunked("of the camera", kind=kind)).generated
    assert not claims(chunked(WORDS, "comment", kind)).generated


def test_the_mark_alone_says_that_it_is_generated() -> None:
    with Image.open(io.BytesIO(signed_png(DRAWN))) as image:
        image.load()
        mark = image.info["XML:com.adobe.xmp"]
    found = chunked(mark, "XML:com.adobe.xmp", "iTXt")
    assert read(found) is None and claims(found) == Claims(marked=True, parameters="")
    jpeg = io.BytesIO()
    PICTURE.save(jpeg, "JPEG", xmp=mark.encode())
    assert claims(jpeg.getvalue()) == Claims(marked=True, parameters="")
    mixed = mark.replace("/trained", "/compositeWithTrained")
    assert not claims(chunked(mixed, "XML:com.adobe.xmp", "iTXt")).generated


def test_other_programs_read_it_too() -> None:
    with Image.open(io.BytesIO(signed_png(DRAWN))) as image:
        image.load()
        told = image.info
    assert told["parameters"].splitlines()[0] == "a red boat"
    assert "Negative prompt: rain" in told["parameters"]
    assert (
        "Steps: 7, Sampler: euler, CFG scale: 5.5, Seed: 9223372036854775807" in told["parameters"]
    )
    assert "trainedAlgorithmicMedia" in told["XML:com.adobe.xmp"]
    assert json.loads(told["limner"])["prompt"] == "a red boat"


def test_a_picture_that_was_painted_over_is_told() -> None:
    with Image.open(io.BytesIO(signed_png(DRAWN))) as image:
        chunk, other = image.info["limner"], image.convert("RGB")
    other.putpixel((3, 3), (1, 2, 3))
    assert read(signed(chunk, other)).untouched is False  # type: ignore[union-attr]


def test_pictures_without_a_record_say_nothing(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        PICTURE.save(tmp_path / name)
        assert read(tmp_path / name) is None
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match="not a picture"):
        read(tmp_path / "no.png")


# ── Hostile records ──────────────────────────────────────────────────────────────────────────


def signed(chunk: str | bytes, image: Image.Image = PICTURE, packed: bool = False) -> bytes:
    info = PngInfo()
    info.add_itxt("limner", chunk, zip=packed)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def changed(**values: Any) -> str:
    record = {"by": "limner 1", "pixels": ""} | DRAWN.to_dict()
    return json.dumps(record | values)


@pytest.mark.parametrize(
    "chunk",
    [
        "",
        "no json",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        '{"a":' * 100_000,
        changed(seed=-1),
        changed(seed=True),
        changed(seed=2**63),
        changed(seed="7"),
        changed(seed=None),
        changed(steps=1.5),
        changed(steps=10**400),
        changed(guidance="5"),
        changed(guidance=float("nan")),
        changed(guidance=float("inf")),
        changed(guidance=10**400),
        changed(prompt=None),
        changed(prompt=["a"]),
        changed(prompt="a" * 10_001),
        changed(prompt="\ud800"),
        changed(size=5),
        changed(size=[1]),
        changed(size=["1", 2]),
        changed(size={}),
        changed(lora=[["a"]]),
        changed(lora="ab"),
        changed(lora=[["a", 1]] * 1001),
        changed(versions=[1]),
        changed(versions={"a": {}}),
        changed(reference="../../etc/passwd"),
        changed(notes="ab"),
        changed(strength="x"),
        changed(by=7),
        changed(prompt="a" * 2_000_000),
    ],
)
def test_a_record_of_another_shape_is_a_typed_error(chunk: str) -> None:
    data = signed(chunk.encode("utf-8", "surrogatepass"))
    with pytest.raises(SourceError, match="cannot be read"):
        read(data)


@pytest.mark.parametrize("chunk", [b"\xff\xfe", b"\x00" * 40])
def test_bytes_that_are_no_text(chunk: bytes) -> None:
    with pytest.raises(SourceError):
        read(signed(chunk))


def test_a_packed_record_is_not_unpacked() -> None:
    bomb = signed(" " * 50_000_000, packed=True)
    assert len(bomb) < 1 << 20
    with pytest.raises(SourceError, match="damaged"):
        read(bomb)


def test_the_first_record_counts() -> None:
    info = PngInfo()
    info.add_itxt("limner", changed(prompt="first"))
    info.add_itxt("limner", changed(prompt="second"))
    buffer = io.BytesIO()
    PICTURE.save(buffer, "PNG", pnginfo=info)
    assert read(buffer.getvalue()).drawn.prompt == "first"  # type: ignore[union-attr]


def test_a_flipped_bit_is_an_error() -> None:
    data = bytearray(signed_png(DRAWN))
    at = data.index(b'"prompt": "a red boat"') + 12
    data[at] ^= 1
    with pytest.raises(SourceError):
        read(bytes(data))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 2000), byte=st.integers(0, 255), cut=st.integers(0, 4000))
def test_whatever_happens_to_the_bytes_no_other_error_comes(at: int, byte: int, cut: int) -> None:
    data = bytearray(signed_png(DRAWN))
    data[at % len(data)] = byte
    try:
        read(bytes(data[: len(data) - cut % 40]))
    except LimnerError as error:
        assert isinstance(error, SourceError)


def test_a_chunk_longer_than_the_file() -> None:
    whole = signed_png(DRAWN)
    body = b"limner\0\0\0\0\0{}"
    lying = struct.pack(">I4s", 100_000, b"iTXt") + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(SourceError):
        read(whole[:33] + lying)
