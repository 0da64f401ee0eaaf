from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml
from PIL import Image

from limner.errors import SourceError
from limner.index.loaders import Block, load
from limner.tools.media import MediaStore

NAMESPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
)


def picture_bytes(kind: str = "PNG", colour: str = "teal") -> io.BytesIO:
    buffer = io.BytesIO()
    Image.new("RGB", (90, 60), colour).save(buffer, kind)
    return io.BytesIO(buffer.getvalue())


@pytest.fixture
def read(tmp_path: Path, media: MediaStore) -> Callable[[Any], list[Block]]:
    def read_document(document: Any) -> list[Block]:
        document.save(str(tmp_path / "a.docx"))
        return load(tmp_path / "a.docx", media)

    return read_document


def plain(blocks: list[Block]) -> list[tuple[str, str]]:
    return [(block.kind, block.text) for block in blocks]


def test_blocks_in_order(read: Callable[[Any], list[Block]], media: MediaStore) -> None:
    document = docx.Document()
    document.add_heading("Handbook", 0)
    document.add_heading("Rooms", 2)
    document.add_paragraph("Words\tand\nwords.")
    document.add_paragraph("First", style="List Number")
    document.add_picture(picture_bytes())
    document.add_paragraph("Figure 1: A plan", style="Caption")
    table = document.add_table(3, 2)
    for cell, words in zip(table._cells, ["Room", "Price", "3", "5", "4", ""], strict=True):
        cell.text = words
    document.add_paragraph("Last.")
    blocks = read(document)
    assert plain(blocks) == [
        ("heading", "Handbook"),
        ("heading", "Rooms"),
        ("paragraph", "Words and words."),
        ("item", "First"),
        ("figure", "Figure 1: A plan"),
        ("row", "Room: 3; Price: 5"),
        ("row", "Room: 4"),
        ("paragraph", "Last."),
    ]
    assert [block.level for block in blocks[:2]] == [1, 2]
    assert blocks[4].image is not None and media.open(blocks[4].image).size == (90, 60)


def test_styles_made_from_headings(read: Callable[[Any], list[Block]]) -> None:
    document = docx.Document()
    style = document.styles.add_style("House heading", WD_STYLE_TYPE.PARAGRAPH)
    style.base_style = document.styles["Heading 3"]
    document.add_paragraph("Doors", style=style)
    (block,) = read(document)
    assert (block.kind, block.level) == ("heading", 3)


def test_captions_before_after_and_in_ordinary_style(read: Callable[[Any], list[Block]]) -> None:
    document = docx.Document()
    document.add_paragraph("Figure 1: Above", style="Caption")
    document.add_picture(picture_bytes(colour="red"))
    document.add_paragraph("Words.")
    document.add_picture(picture_bytes("JPEG"))
    document.add_paragraph("Figure 2. Below")
    document.add_picture(picture_bytes(colour="blue"))
    document.add_paragraph("Ordinary words.")
    blocks = read(document)
    assert plain(blocks) == [
        ("figure", "Figure 1: Above"),
        ("paragraph", "Words."),
        ("figure", "Figure 2. Below"),
        ("figure", ""),
        ("paragraph", "Ordinary words."),
    ]
    assert str(blocks[2].image).endswith(".jpg")


def test_what_python_docx_passes_over(read: Callable[[Any], list[Block]]) -> None:
    document = docx.Document()
    body = document.element.body
    xml = [
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>In a control</w:t></w:r></w:p></w:sdtContent></w:sdt>",
        "<w:p><w:ins><w:r><w:t>Added, </w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>cut</w:delText></w:r></w:del><w:r><w:t>kept</w:t></w:r></w:p>",
        "<w:p><w:r><w:t>Beside a box</w:t></w:r><w:r><mc:AlternateContent>"
        "<mc:Choice Requires='wps'><w:drawing><wps:txbx><w:txbxContent><w:p><w:r><w:t>In the box"
        "</w:t></w:r></w:p></w:txbxContent></wps:txbx></w:drawing></mc:Choice><mc:Fallback>"
        "<w:pict><w:txbxContent><w:p><w:r><w:t>In the box</w:t></w:r></w:p></w:txbxContent>"
        "</w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>",
    ]
    for number, element in enumerate(xml):
        opening, rest = element.split(">", 1)
        body.insert(number, parse_xml(f"{opening} {NAMESPACES}>{rest}"))
    assert plain(read(document)) == [
        ("paragraph", "In a control"),
        ("paragraph", "Added, kept"),
        ("paragraph", "Beside a box"),
        ("paragraph", "In the box"),
    ]


def test_tables_with_merged_cells_and_frames(read: Callable[[Any], list[Block]]) -> None:
    document = docx.Document()
    table = document.add_table(4, 2)
    for cell, words in zip(
        table._cells, ["Room", "Use", "3", "saw", "", "drill", "", ""], strict=True
    ):
        cell.text = words
    table.cell(1, 0).merge(table.cell(2, 0))
    table.cell(3, 0).merge(table.cell(3, 1)).text = "Across"
    frame = document.add_table(1, 1)
    frame.cell(0, 0).text = "A note in a frame."
    assert plain(read(document)) == [
        ("row", "Room: 3; Use: saw"),
        ("row", "Room: 3; Use: drill"),
        ("row", "Across"),
        ("paragraph", "A note in a frame."),
    ]


def test_linked_and_unreadable_pictures_leave_their_caption(
    read: Callable[[Any], list[Block]],
) -> None:
    document = docx.Document()
    document.add_picture(picture_bytes())
    (blip,) = document.element.body.iter(
        "{http://schemas.openxmlformats.org/drawingml/2006/main}blip"
    )
    office = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
    link = document.part.relate_to("http://127.0.0.1/x.png", office[1:-1] + "/image", True)
    del blip.attrib[office + "embed"]
    blip.set(office + "link", link)
    document.add_paragraph("Figure 1: Linked", style="Caption")
    assert plain(read(document)) == [("paragraph", "Figure 1: Linked")]


def rebuilt(path: Path, name: str, content: bytes) -> None:
    """Replace or add one part of a package."""
    with zipfile.ZipFile(path) as package:
        parts = {entry: package.read(entry) for entry in package.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        for entry, data in {**parts, name: content}.items():
            package.writestr(entry, data)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    document = docx.Document()
    document.add_paragraph("Words.")
    document.save(str(tmp_path / "a.docx"))
    return tmp_path / "a.docx"


def test_zip_bombs(saved: Path, media: MediaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(saved, media)
    rebuilt(saved, "word/media/zeros.bin", bytes(30_000_000))
    with pytest.raises(SourceError, match="unpacks to 31 MB"):
        load(saved, media)
    rebuilt(saved, "word/media/zeros.bin", bytes(1_000_000))
    monkeypatch.setattr("limner.index.loaders.docx.MAX_UNPACKED", 900_000)
    with pytest.raises(SourceError, match="unpacks to"):
        load(saved, media)


def test_entity_bombs_and_outer_entities(saved: Path, media: MediaStore, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("swordfish")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    outer = f'<!ENTITY x SYSTEM "file://{tmp_path}/secret.txt">'
    for entity, use in ((laughs, "&l11;"), (outer, "&x;")):
        xml = f"<!DOCTYPE d [{entity}]><w:document {NAMESPACES}><w:body><w:p><w:r>"
        xml += f"<w:t>Words {use}</w:t></w:r></w:p></w:body></w:document>"
        rebuilt(saved, "word/document.xml", xml.encode())
        try:
            blocks = load(saved, media)
        except SourceError:
            continue
        assert len(blocks[0].text) < 100 and "swordfish" not in blocks[0].text


def test_damaged(saved: Path, media: MediaStore, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:200] + whole[700:]):
        saved.write_bytes(data)
        with pytest.raises(SourceError, match=r"a\.docx: (damaged|not a Word document)"):
            load(saved, media)
    with zipfile.ZipFile(saved, "w") as package:
        package.writestr("readme.txt", "an ordinary archive")
    with pytest.raises(SourceError, match="not a Word document"):
        load(saved, media)


def test_pictures_of_too_many_pixels_are_left_out(
    read: Callable[[Any], list[Block]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.tools.media.MAX_PIXELS", 100)
    document = docx.Document()
    document.add_picture(picture_bytes())
    document.add_paragraph("Figure 1: Too large", style="Caption")
    assert plain(read(document)) == [("paragraph", "Figure 1: Too large")]
