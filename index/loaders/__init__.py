"""From a file to its blocks: picks the loader by suffix and stands between it and the library.

Knows every format's suffixes and first bytes, and nothing of what is inside. Documents are
untrusted: whatever goes wrong in a parser leaves here as a `SourceError` that names the file.
The parsers' packages are imported when a document first needs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import cast

from ...errors import LimnerError, SourceError
from ...tools.media import MediaStore
from .base import Block, Kind, Loader, step

__all__ = ["LOADERS", "Block", "Kind", "Loader", "load"]


def _late(module: str, function: str) -> Loader:
    def load_late(path: Path, media: MediaStore) -> Iterator[Block]:
        loader = cast(Loader, getattr(import_module(f".{module}", __name__), function))
        yield from loader(path, media)

    return load_late


_TEXT = {
    **dict.fromkeys((".txt", ".log"), _late("text", "load_text")),
    **dict.fromkeys((".csv", ".tsv"), _late("text", "load_csv")),
    ".json": _late("text", "load_json"),
    **dict.fromkeys((".html", ".htm"), _late("markup", "load_html")),
    **dict.fromkeys((".md", ".markdown"), _late("markup", "load_markdown")),
    ".rst": _late("markup", "load_rst"),
}
_PICTURES = dict.fromkeys(
    (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    _late("image", "load_image"),
)

LOADERS: Mapping[str, Loader] = MappingProxyType(
    {
        **_TEXT,
        ".pdf": _late("pdf", "load_pdf"),
        ".docx": _late("docx", "load_docx"),
        **_PICTURES,
    }
)
"""The loader of every suffix, in lower case with its dot."""

_HEAD = 1024
_SIGNATURES = (
    (b"%PDF-", "a PDF"),
    (b"\x89PNG\r\n\x1a\n", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF87a", "a picture (GIF)"),
    (b"GIF89a", "a picture (GIF)"),
    (b"II*\0", "a picture (TIFF)"),
    (b"MM\0*", "a picture (TIFF)"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or password-protected Office file"),
    (b"\x7fELF", "a program (ELF)"),
    (b"MZ\x90\0", "a program (Windows)"),
    (b"\xcf\xfa\xed\xfe", "a program (macOS)"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\0", "an SQLite database"),
)


def load(path: Path, media: MediaStore) -> list[Block]:
    """Every block of a document, in reading order.

    Args:
        path: the document; its suffix says how it is read.
        media: where its pictures are kept.

    Returns:
        At least one block with words or a picture.

    Raises:
        SourceError: another format than its suffix says, unsupported, empty, damaged, encrypted,
            too large, or without any text or picture.
    """
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise SourceError(
            f"{path}: {path.suffix or 'a file without extension'} is not supported",
            f"supported: {' '.join(sorted(LOADERS))}",
        )
    try:
        _check_signature(path)
        blocks = []
        for block in loader(path, media):
            step()
            blocks.append(block)
    except LimnerError:
        raise
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:
        # A parser fed with an untrusted document may raise anything, MemoryError and
        # RecursionError included; one bad file must not end the ingest of all others.
        raise SourceError(
            f"{path}: cannot be read ({type(error).__name__}: {error})"[:500],
            "open it in its own program, save a copy and add that",
        ) from error
    if not any(block.text.strip() or block.image for block in blocks):
        raise SourceError(f"no text found in {path}")
    return blocks


def _check_signature(path: Path) -> None:
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        raise SourceError(f"{path} is empty")
    suffix, found = path.suffix.lower(), _looks_like(head)
    if suffix in _TEXT:
        fits = found is None or found == "HTML"
    elif suffix in _PICTURES:
        fits = found is not None and found.startswith("a picture")
    elif suffix == ".pdf":
        fits = b"%PDF-" in head  # some writers put a few bytes before the header
    else:
        fits = found == "a zip archive"
    if not fits:
        raise SourceError(
            f"{path}: not what {suffix} says; it looks like {found or 'something else'}",
            "give it the extension it really has"
            if found != "an old or password-protected Office file"
            else "save a copy as .docx without a password",
        )


def _looks_like(head: bytes) -> str | None:
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a picture (WebP)"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "a picture (BMP)"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return None
