"""Files that are small to send and ruinous to open: pictures, PDFs, Word documents, markup, tables.

Each is written on the fly; nothing here measures. Knows no part of the product.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

__all__ = ["bombs", "pdf"]

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    'relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.'
    'openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
    'relationships/officeDocument" Target="word/document.xml"/></Relationships>'
)


def bombs() -> Iterator[tuple[str, bytes]]:
    """Every bomb with the name of its file."""
    yield from _pictures()
    yield from _pdfs()
    yield from _words()
    yield from _markup()
    yield from _tables()


def _zeros(count: int) -> bytes:
    packer, block = zlib.compressobj(9), bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(count >> 20)]
    return b"".join([*parts, packer.compress(bytes(count & ((1 << 20) - 1))), packer.flush()])


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def _png(width: int, height: int, rows: bytes, bits: int = 1, extra: bytes = b"") -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _pictures() -> Iterator[tuple[str, bytes]]:
    side = 30_000
    yield "whole.png", _png(side, side, _zeros(side * (side // 8 + 1)))
    yield "header.png", _png(2**31 - 1, 2**31 - 1, _zeros(100))
    text = _chunk(b"zTXt", b"Comment\0\0" + _zeros(1 << 29))
    yield "text.png", _png(100, 100, _zeros(100 * 14), extra=text)
    frame = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, 65500, 65500, 3)
    yield "header.jpg", frame + b"\1\x22\0\2\x11\1\3\x11\1" + b"\xff\xda" + bytes(500)
    packed = (16383 | 16383 << 14).to_bytes(4, "little")
    body = b"WEBPVP8L" + struct.pack("<I", 105) + b"\x2f" + packed + bytes(101)
    yield "lossless.webp", b"RIFF" + struct.pack("<I", len(body)) + body
    canvas = bytes([2, 0, 0, 0]) + (65534).to_bytes(3, "little") + (65534).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    yield "canvas.webp", b"RIFF" + struct.pack("<I", len(body)) + body
    screen = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x44\x01\x00;"
    yield "header.gif", screen + frame
    yield "frames.gif", screen[:6] + struct.pack("<HH", 9000, 9000) + screen[10:] + frame * 2000
    tags = [(256, 100_000), (257, 100_000), (258, 8), (259, 1), (262, 1), (273, 8), (278, 100_000)]
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (279, 100)])
    yield "header.tiff", b"II*\0" + struct.pack("<IH", 8, 8) + body + bytes(104)
    head = struct.pack("<2sIHHIIiiHH", b"BM", 2000, 0, 0, 54, 40, 100_000, 100_000, 1, 24)
    yield "header.bmp", head + bytes(2000)


def pdf(objects: list[bytes], root: int = 1) -> bytes:
    """A PDF of numbered objects."""
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root %d 0 R >>\n" % (len(objects) + 1, root)
    return bytes(out) + b"startxref\n%d\n%%%%EOF\n" % start


def _stream(head: bytes, data: bytes) -> bytes:
    return b"<< %b /Length %d >>\nstream\n%b\nendstream" % (head, len(data), data)


def _one_page(content: bytes, resources: bytes = b"", box: bytes = b"0 0 400 500") -> list[bytes]:
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [%b] /Contents 4 0 R /Resources << %b >> >>"
    return [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        page % (box, resources),
        content,
    ]


def _pdfs() -> Iterator[tuple[str, bytes]]:
    flate = b"/Filter /FlateDecode"
    yield "flate.pdf", pdf(_one_page(_stream(flate, _zeros(1 << 30))))
    twice = zlib.compress(_zeros(1 << 30), 9)
    yield "flate-twice.pdf", pdf(_one_page(_stream(b"/Filter [/FlateDecode /FlateDecode]", twice)))
    strokes = zlib.compress(b"1 1 m 2 2 l S " * 3_000_000, 9)
    yield "strokes.pdf", pdf(_one_page(_stream(flate, strokes)))
    letters = zlib.compress(b"BT /F1 9 Tf " + b"(a) Tj " * 3_000_000 + b"ET", 9)
    font = b"/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"
    yield "letters.pdf", pdf(_one_page(_stream(flate, letters), font))
    yield "mediabox.pdf", pdf(_one_page(_stream(b"", b"(x) Tj"), box=b"0 0 1e9 1e9"))
    loop = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    loop += [b"<< /Type /Pages /Count 1000000000 /Parent 2 0 R /Kids [2 0 R 2 0 R] >>"]
    yield "page-loop.pdf", pdf(loop)
    deep = b"<< /Type /Pages /Count 1 /Kids [%d 0 R] >>"
    yield "page-depth.pdf", pdf([loop[0], *(deep % (n + 3) for n in range(50_000))])
    yield "arrays.pdf", pdf([loop[0], b"[" * 200_000 + b"]" * 200_000])
    form = (
        b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F %d 0 R >> >>"
    )
    draw = _stream(b"", b"/F Do")
    yield (
        "form-loop.pdf",
        pdf([*_one_page(draw, b"/XObject << /F 5 0 R >>"), _stream(form % 5, b"/F Do /F Do")]),
    )
    doubled = [_stream(form % (n + 6), b"/F Do /F Do") for n in range(40)]
    yield "form-doubling.pdf", pdf([*_one_page(draw, b"/XObject << /F 5 0 R >>"), *doubled])
    image = b"/Type /XObject /Subtype /Image /Width 60000 /Height 60000 /BitsPerComponent 8"
    image += b" /ColorSpace /DeviceRGB " + flate
    place = _stream(b"", b"q 400 0 0 500 0 0 cm /I Do Q")
    pixels = _stream(image, _zeros(1 << 28))
    yield "picture.pdf", pdf([*_one_page(place, b"/XObject << /I 5 0 R >>"), pixels])


def _docx(document: str | bytes, *more: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("[Content_Types].xml", _TYPES)
        package.writestr("_rels/.rels", _RELATIONS)
        package.writestr("word/document.xml", document)
        for name, data in more:
            package.writestr(name, data)
    return out.getvalue()


def _words() -> Iterator[tuple[str, bytes]]:
    yield "zip.docx", _docx(_body("<w:p/>"), ("word/media/image1.png", bytes(1 << 29)))
    yield "lying-zip.docx", _lying(_docx(_body("<w:p/>" + " " * (1 << 28))))
    yield "entries.docx", _docx(_body("<w:p/>"), *((f"x/{n}", b"") for n in range(60_000)))
    laughs = ['<!ENTITY a0 "ha">']
    laughs += [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)]
    word = "<w:p><w:r><w:t>{}</w:t></w:r></w:p>"
    kinds = f"<!DOCTYPE d [{''.join(laughs)}]>"
    yield "entities.docx", _docx(kinds + _body(word.format("&a11;")))
    kinds = f'<!DOCTYPE d [<!ENTITY a "{"ha" * 50_000}">]>'
    yield "quadratic.docx", _docx(kinds + _body(word.format("&a;" * 50_000)))
    kinds = '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    yield "external.docx", _docx(kinds + _body(word.format("&a;")))
    yield "depth.docx", _docx(_body("<w:ins>" * 100_000 + "</w:ins>" * 100_000))
    yield "paragraphs.docx", _docx(_body(word.format("a") * 260_000))
    yield "cells.docx", _docx(_body(f"<w:tbl><w:tr>{_CELL * 40_000}</w:tr></w:tbl>"))


_CELL = (
    '<w:tc><w:tcPr><w:gridSpan w:val="50"/></w:tcPr>'
    "<w:p><w:r><w:t>abcdefgh</w:t></w:r></w:p></w:tc>"
)


def _body(inner: str) -> str:
    return f"<w:document {_W}><w:body>{inner}</w:body></w:document>"


def _lying(package: bytes) -> bytes:
    """Say in the directory that the largest entry is small."""
    true = struct.pack("<I", len(_body("<w:p/>")) + (1 << 28))
    return package.replace(true, struct.pack("<I", 1000))


def _markup() -> Iterator[tuple[str, bytes]]:
    n = 20_000
    yield "divs.html", b"<html>" + b"<div>" * n + b"a"
    yield "spans.html", b"<html>" + b"<span>a" * n
    yield "broken-spans.html", b"<html>" + b"<span>a<br>" * n
    yield "items.html", b"<html>" + b"<ul><li>a" * n
    yield "tables.html", b"<html>" + b"<table><tr><td>a" * (n // 4)
    yield "attributes.html", b"<html><p " + b" ".join(b"a%d=1" % k for k in range(n * 4)) + b">a"
    wide = b"<td colspan=50 rowspan=50>" + b"word " * 2000
    yield "spanning.html", b"<html><table>" + (b"<tr>" + wide * 20) * 20 + b"</table>"
    name = b"<table><tr><th>" + b"n" * 1_000_000 + b"<th>b" + b"<tr><td>a<td>b" * 3000
    yield "names.html", b"<html>" + name
    yield "entities.html", b"<html>" + b"&CounterClockwiseContourIntegral;" * 50_000
    yield "open.html", b"<html>" + b"<" * 500_000
    yield "comments.html", b"<html>" + b"<!--" * 200_000
    yield "styles.html", b"<html>" + b"<p style='display" + b" " * 500_000 + b"'>a"
    yield "definitions.html", b"<html>" + b"<dl><dt>a" * n + b"<dd>b" * n
    yield "quotes.md", b">" * 100_000 + b" a"
    yield "lists.md", b"- " * 50_000 + b"a"
    yield "links.md", b"[" * 30_000 + b"a" + b"](b)" * 30_000
    yield "stars.md", b"*a **b " * 20_000
    yield "ticks.md", b" ".join(b"`" * k for k in range(1, 1200))
    yield "references.md", b"[a]: <b" * 20_000 + b"\n\n" + b"[a]" * 20_000
    yield "front.md", b"---\n" + b"a: b\n" * 60_000
    rows = b"|".join([b"a"] * 2000) + b"\n" + b"|".join([b"-"] * 2000) + b"\n" + b"a|\n" * 30_000
    yield "columns.md", rows
    yield (
        "substitutions.rst",
        b"".join(
            b".. |a%d| replace:: %b\n" % (k, b"|a%d| " % (k - 1) * 10 if k else b"ha")
            for k in range(12)
        )
        + b"\n|a11|\n",
    )
    yield "nested.rst", b"".join(b"  " * k + b"* a\n\n" for k in range(400))


def _tables() -> Iterator[tuple[str, bytes]]:
    yield "arrays.json", b"[" * 1_000_000 + b"]" * 1_000_000
    yield "objects.json", b'{"a":' * 900 + b"1" + b"}" * 900
    yield "number.json", b"9" * 10_000_000
    yield "name.json", b'{"%b": [%b]}' % (b"n" * 1_000_000, b",".join([b'{"a": 1}'] * 3000))
    yield "names.csv", b"n" * 1_000_000 + b",b\n" + b"a,b\n" * 3000
    yield "quote.csv", b'a,b\n"' + b"x\n" * 3_000_000
    yield "columns.csv", b"a" + b"," * 5_000_000 + b"\n"
    yield "bullets.txt", b"\n".join([b"- a"] * 50_000)
    yield "gaps.txt", b"a" + b" " * 5_000_000 + b"b\n" * 2
    yield "breaks.txt", b"\n \t" * 2_000_000 + b"a"
    yield "binary.txt", bytes(range(256)) * 100_000
