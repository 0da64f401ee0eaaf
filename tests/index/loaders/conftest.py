"""What the loaders' tests share: a media store and a writer of small PDFs."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from limner.index.loaders import Block, load
from limner.tools.media import MediaStore


@dataclass
class Sheet:
    """One page to be written; x and y are in points from the top left, as loaders give them."""

    width: float = 400
    height: float = 500
    rotate: int = 0
    crop: tuple[float, float, float, float] | None = None
    marks: list[str] = field(default_factory=list)
    images: list[tuple[bytes, str]] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, size: float = 10, font: str = "F1") -> Sheet:
        escaped = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        self.marks.append(f"BT /{font} {size} Tf {x} {self.height - y} Td ({escaped}) Tj ET")
        return self

    def lines(
        self, x: float, y: float, *lines: str, size: float = 10, leading: float = 12
    ) -> Sheet:
        for number, words in enumerate(lines):
            self.text(x, y + number * leading, words, size)
        return self

    def draw(self, operators: str) -> Sheet:
        """Operators in the page's own coordinates."""
        self.marks.append(operators)
        return self

    def box(self, x: float, y: float, width: float, height: float, paint: str = "S") -> Sheet:
        return self.draw(f"{x} {self.height - y - height} {width} {height} re {paint}")

    def image(self, x: float, y: float, width: float, height: float, picture: Image.Image) -> Sheet:
        rgb = picture.convert("RGB")
        head = f"/Width {rgb.width} /Height {rgb.height} /ColorSpace /DeviceRGB"
        return self.raw_image(x, y, width, height, zlib.compress(rgb.tobytes()), head)

    def raw_image(
        self, x: float, y: float, width: float, height: float, data: bytes, head: str
    ) -> Sheet:
        self.images.append((data, f"{head} /BitsPerComponent 8 /Filter /FlateDecode"))
        name = f"Im{len(self.images)}"
        place = f"{width} 0 0 {height} {x} {self.height - y - height}"
        return self.draw(f"q {place} cm /{name} Do Q")

    def form(self, x: float, y: float, scale: float, operators: str) -> Sheet:
        self.forms.append(operators)
        name = f"Fm{len(self.forms)}"
        return self.draw(f"q {scale} 0 0 {scale} {x} {self.height - y} cm /{name} Do Q")


def pdf_bytes(*sheets: Sheet, trailer: str = "") -> bytes:
    """A PDF file of the sheets, with F1 Helvetica, F2 its bold and F3 Courier."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    fonts = []
    for name, face in (("F1", "Helvetica"), ("F2", "Helvetica-Bold"), ("F3", "Courier")):
        objects.append(f"<< /Type /Font /Subtype /Type1 /BaseFont /{face} >>".encode())
        fonts.append(f"/{name} {len(objects)} 0 R")

    def stream(head: str, data: bytes) -> int:
        body = f"<< {head} /Length {len(data)} >>\nstream\n".encode()
        objects.append(body + data + b"\nendstream")
        return len(objects)

    kids = []
    for sheet in sheets:
        things = []
        for number, (data, head) in enumerate(sheet.images, 1):
            place = stream(f"/Type /XObject /Subtype /Image {head}", data)
            things.append(f"/Im{number} {place} 0 R")
        resources = f"/Font << {' '.join(fonts)} >>"
        for number, operators in enumerate(sheet.forms, 1):
            head = f"/Type /XObject /Subtype /Form /BBox [0 0 999 999] /Resources << {resources} >>"
            things.append(f"/Fm{number} {stream(head, operators.encode())} 0 R")
        content = stream("", "\n".join(sheet.marks).encode("latin-1"))
        crop = f"/CropBox [{' '.join(map(str, sheet.crop))}]" if sheet.crop else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {sheet.width} {sheet.height}] {crop} "
            f"/Rotate {sheet.rotate} /Contents {content} 0 R "
            f"/Resources << {resources} /XObject << {' '.join(things)} >> >> >>".encode()
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>".encode()
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\n".encode()
    return bytes(out) + f"startxref\n{start}\n%%EOF\n".encode()


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media")


@pytest.fixture
def sheet() -> type[Sheet]:
    return Sheet


@pytest.fixture
def write_pdf(tmp_path: Path) -> Callable[..., Path]:
    """Write sheets (or ready bytes) to a file."""

    def write(*sheets: Sheet, trailer: str = "", name: str = "test.pdf") -> Path:
        path = tmp_path / name
        path.write_bytes(pdf_bytes(*sheets, trailer=trailer))
        return path

    return write


@pytest.fixture
def load_pdf(write_pdf: Callable[..., Path], media: MediaStore) -> Callable[..., list[Block]]:
    """The blocks of a PDF made of sheets."""
    return lambda *sheets: load(write_pdf(*sheets), media)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file into a folder of its own."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def lettered() -> Callable[..., Image.Image]:
    """A picture with lines of print that OCR can read."""

    def paint(*lines: str, size: tuple[int, int] = (900, 400), letters: int = 32) -> Image.Image:
        image = Image.new("RGB", size, "white")
        pen = ImageDraw.Draw(image)
        font = ImageFont.load_default(letters)
        for number, words in enumerate(lines):
            pen.text((40, 40 + number * letters * 2), words, "black", font)
        return image

    return paint
