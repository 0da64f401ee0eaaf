"""HTML, Markdown and reStructuredText, and what they may and may not open."""

from __future__ import annotations

import base64
import io
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from limner.errors import SourceError
from limner.index.loaders import Block, load, markup, markup_pictures
from limner.tools.media import MediaStore

Write = Callable[[str, str | bytes], Path]


def picture_bytes(kind: str = "PNG", size: tuple[int, int] = (60, 50)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def read(write: Write, media: MediaStore) -> Callable[[str, str], list[tuple[str, str]]]:
    """Kind and text of each block of a document with the given suffix."""
    write("disc.png", picture_bytes())
    return lambda suffix, content: [
        (b.kind, b.text) for b in load(write("a" + suffix, content), media)
    ]


Read = Callable[[str, str], list[tuple[str, str]]]


def test_html_blocks(read: Read) -> None:
    page = """<!DOCTYPE html><html><head><title>Title</title><style>p {}</style></head><body>
    <nav><a href="/">Home</a></nav><h1>Ma<b>chi</b>nes</h1>
    <p>One <a href="x">two</a><br>three<sup>2</sup>.<!-- not this --></p>
    loose <i>words</i><div>in a div<p>inner</p>after</div>
    <script>alert("no")</script><noscript>no</noscript><p hidden>no</p>
    <p style="color:red; display : NONE">no</p><span aria-hidden="true">no</span>
    <template>no</template><svg><text>no</text></svg>
    <ul><li>first <b>item</b><ul><li>nested</li></ul>rest</li></ul>
    <ol start="4"><li>fourth</li><li><p>fifth</p><p>more</p></li></ol>
    <dl><dt>Term:</dt><dd>Meaning</dd></dl>
    <pre>def f():
    return 1
</pre><blockquote>Quoted</blockquote></body></html>"""
    assert read(".html", page) == [
        ("heading", "Machines"),
        ("paragraph", "One two three2."),
        ("paragraph", "loose words"),
        ("paragraph", "in a div"),
        ("paragraph", "inner"),
        ("paragraph", "after"),
        ("item", "first item"),
        ("item", "nested"),
        ("item", "rest"),
        ("item", "4. fourth"),
        ("item", "5. fifth"),
        ("item", "more"),
        ("item", "Term: Meaning"),
        ("code", "def f():\n    return 1"),
        ("paragraph", "Quoted"),
    ]


@pytest.mark.parametrize(
    ("content", "blocks"),
    [
        ("![Figure 1: network](disc.png)", [("figure", "Figure 1: network")]),
        ("![](disc.png)\n\nFigure 1: Network.", [("figure", "Figure 1: Network.")]),
        ("![plan](disc.png)\n*Figure 1: Network*", [("figure", "Figure 1: Network")]),
        ("![plan](disc.png)\\\nFig. 2.1 – Network", [("figure", "Fig. 2.1 – Network")]),
        ("![plan](disc.png)\n\n**Figure 1**: Network", [("figure", "Figure 1: Network")]),
        (
            "![plan](disc.png)\n*Figure 1: Network*\nIt is small.",
            [("figure", "Figure 1: Network"), ("paragraph", "It is small.")],
        ),
        (
            "![plan](disc.png)\n\nFigure 1 shows that it is small.",
            [("figure", "plan"), ("paragraph", "Figure 1 shows that it is small.")],
        ),
        (
            "![plan](disc.png)\n\nIt is small.\n\nFigure 1: Network",
            [("figure", "plan"), ("paragraph", "It is small."), ("paragraph", "Figure 1: Network")],
        ),
        (
            "![plan](gone.png)\n\nFigure 1: Network",
            [("paragraph", "plan"), ("paragraph", "Figure 1: Network")],
        ),
        (
            "![a](disc.png)\n\n![b](disc.png)\n\nFigure 2: Both",
            [("figure", "a"), ("figure", "Figure 2: Both")],
        ),
    ],
)
def test_the_line_under_a_picture_is_its_caption(
    read: Read, content: str, blocks: list[tuple[str, str]]
) -> None:
    assert sorted(read(".md", content)) == sorted(blocks)


def test_the_title_stands_in_for_a_missing_heading(read: Read) -> None:
    assert read(".html", "<title>Door  codes</title><p>D-12</p>")[0] == ("heading", "Door codes")


def test_html_tables(read: Read) -> None:
    page = """
    <table><caption>Fees</caption><thead><tr><th>Tier<th colspan=2>Fee</tr></thead>
    <tr><td rowspan=2>Full<td>48<td>euros</tr><tr><td>12<td>cents</tr>
    <tr><td colspan=3>Notes</tr></table>
    <table><tr><th>Server</th><td>vpn</td></tr><tr><th>User</th><td>okafor</td></tr></table>
    <table><tr><td><b>Room</b></td><td><b>Size</b></td></tr><tr><td>3</td><td>20 m</td></tr></table>
    <table><tr><td><table><tr><td>inner</td><td>cell</td></tr></table></td><td>side</td></tr></table>
    """
    assert read(".html", page) == [
        ("paragraph", "Fees"),
        ("row", "Tier: Full; Fee: 48; Fee: euros"),
        ("row", "Tier: Full; Fee: 12; Fee: cents"),
        ("row", "Notes"),
        ("row", "Server: vpn"),
        ("row", "User: okafor"),
        ("row", "Room: 3; Size: 20 m"),
        ("row", "inner: cell"),
        ("paragraph", "side"),
    ]


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("", "utf-8"),
        ('<meta charset="iso-8859-1">', "latin-1"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=shift_jis">', "shift-jis"),
        ("", "utf-16"),
    ],
)
def test_html_encodings(write: Write, media: MediaStore, head: str, encoding: str) -> None:
    words = "レーザーカッター" if encoding == "shift-jis" else "Größe: geöffnet"
    path = write("a.html", f"<html>{head}<p>{words}</p></html>".encode(encoding))
    assert load(path, media)[-1].text == words


def test_html_figures(read: Read, write: Write, media: MediaStore) -> None:
    page = """<p>Before <img src="disc.png" alt="A disc"> after</p>
    <figure><figcaption>Figure 1: <b>The</b> disc</figcaption><img src="./disc.png?v=2#x"></figure>
    <figure><img src="gone.png" alt="alt of it"><figcaption>Figure 2: Gone</figcaption></figure>
    <p>Press <img src="icon.png" alt="Start"> now.</p>"""
    write("icon.png", picture_bytes(size=(16, 16)))
    assert read(".html", page) == [
        ("paragraph", "Before after"),
        ("figure", "A disc"),
        ("figure", "Figure 1: The disc"),
        ("paragraph", "alt of it"),
        ("paragraph", "Figure 2: Gone"),
        ("paragraph", "Press Start now."),
    ]
    blocks = load(write("a.html", page), media)
    (reference,) = {block.image for block in blocks if block.kind == "figure"}
    assert reference is not None and media.open(reference).size == (60, 50)


OUTSIDE = [
    "../secret.png",
    "sub/../../secret.png",
    "..%2fsecret.png",
    "%2e%2e/secret.png",
    "{folder}/secret.png",
    "file://{folder}/secret.png",
    "FILE:{folder}/secret.png",
    "//{folder}/secret.png",
    "\\\\host\\secret.png",
    "link.png",
    "linked/secret.png",
    "http://127.0.0.1:{port}/secret.png",
    "//127.0.0.1:{port}/secret.png",
    "ftp://127.0.0.1:{port}/secret.png",
    "secret.png%00",
    "pipe.png",
    ".",
    "",
    "x" * 5000,
]


@pytest.mark.parametrize("suffix", [".html", ".md", ".rst"])
@pytest.mark.parametrize("source", OUTSIDE)
def test_no_picture_from_elsewhere(
    write: Write, media: MediaStore, tmp_path: Path, suffix: str, source: str
) -> None:
    (tmp_path / "secret.png").write_bytes(picture_bytes())
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.png")  # opening it would wait for ever
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        address = source.format(folder=tmp_path, port=server.getsockname()[1])
        template = {
            ".html": '<p>Words.</p><img src="{}" alt="Words too.">',
            ".md": "Words.\n\n![Words too.](<{}>)\n",
            ".rst": "Words.\n\n.. image:: {}\n   :alt: Words too.\n   :loading: embed\n",
        }[suffix]
        blocks = load(write("a" + suffix, template.format(address)), media)
        with pytest.raises(TimeoutError):  # nobody called
            server.accept()
    assert blocks[0].text == "Words."
    assert not any(block.image for block in blocks)
    assert list(media) == []


def test_a_link_inside_the_folder_is_not_followed_either(read: Read, tmp_path: Path) -> None:
    (tmp_path / "documents" / "again.png").symlink_to(tmp_path / "documents" / "disc.png")
    assert read(".html", '<img src="again.png" alt="Disc">') == [("paragraph", "Disc")]


def test_pictures_in_subfolders_and_with_spaces(read: Read, write: Write) -> None:
    write("sub/a disc.png", picture_bytes())
    assert read(".md", "![A disc](sub/a%20disc.png)") == [("figure", "A disc")]


def test_a_document_reached_through_a_link_keeps_its_folder(
    write: Write, media: MediaStore, tmp_path: Path
) -> None:
    write("disc.png", picture_bytes())
    write("a.md", "![A disc](disc.png)")
    (tmp_path / "alias").symlink_to(tmp_path / "documents")
    assert [b.kind for b in load(tmp_path / "alias" / "a.md", media)] == ["figure"]


def test_pictures_inside_the_document(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    data = base64.b64encode(picture_bytes()).decode()
    page = '<img src="data:image/{};base64,{}" alt="Disc">'
    assert read(".html", page.format("png", data)) == [("figure", "Disc")]
    assert read(".html", page.format("svg+xml", data)) == [("paragraph", "Disc")]
    assert read(".html", page.format("png", "broken!")) == [("paragraph", "Disc")]
    monkeypatch.setattr(markup_pictures, "MAX_PICTURE_BYTES", 50)
    assert read(".html", page.format("png", data)) == [("paragraph", "Disc")]
    assert read(".html", '<img src="disc.png" alt="Disc">') == [("paragraph", "Disc")]


def test_broken_pictures_leave_their_caption(read: Read, write: Write) -> None:
    write("broken.png", picture_bytes()[:60])
    assert read(".md", "![The disc](broken.png)") == [("paragraph", "The disc")]


def test_markdown(read: Read) -> None:
    page = """---
title: Not this
---
# Machines *and* rooms

Words that
go on with `code` and [a link](https://example.org).

1. First
2. Second
   - nested

![Alternative](disc.png "The title")

| Room | Machine |
|------|---------|
| 3    | saw     |

```python
print(1)
```

<div hidden>no</div> <!-- no -->

Last ~~words~~
--------------
"""
    assert read(".md", page) == [
        ("heading", "Machines and rooms"),
        ("paragraph", "Words that go on with code and a link."),
        ("item", "1. First"),
        ("item", "2. Second"),
        ("item", "nested"),
        ("figure", "The title"),
        ("row", "Room: 3; Machine: saw"),
        ("code", "print(1)"),
        ("heading", "Last words"),
    ]


def test_a_rule_at_the_top_is_no_front_matter(read: Read) -> None:
    assert read(".md", "---\n\nWords and no end of it.\n") == [
        ("paragraph", "Words and no end of it.")
    ]


def test_rst(read: Read) -> None:
    page = """
Machines
========

Words *that* go on.

Rooms
-----

1. First
2. Second

term
  Its meaning

.. figure:: disc.png

   Figure 1: A disc

.. list-table::
   :header-rows: 1

   * - Room
     - Machine
   * - 3
     - saw

Code::

   print(1)

.. note:: Mind the step.
"""
    assert read(".rst", page) == [
        ("heading", "Machines"),
        ("paragraph", "Words that go on."),
        ("heading", "Rooms"),
        ("item", "1. First"),
        ("item", "2. Second"),
        ("item", "term: Its meaning"),
        ("figure", "Figure 1: A disc"),
        ("row", "Room: 3; Machine: saw"),
        ("paragraph", "Code:"),
        ("code", "print(1)"),
        ("paragraph", "Note"),
        ("paragraph", "Mind the step."),
    ]


@pytest.mark.parametrize(
    "directive",
    [
        ".. include:: {secret}",
        ".. include:: secret.txt",
        ".. literalinclude:: {secret}",
        ".. raw:: html\n   :file: {secret}",
        ".. raw:: html\n   :url: file://{secret}",
        ".. raw:: html\n\n   swordfish",
        ".. csv-table::\n   :file: {secret}",
        ".. csv-table::\n   :url: file://{secret}",
        ".. image:: {secret}\n   :loading: embed",
        ".. figure:: {secret}\n   :figwidth: image\n   :loading: embed\n\n   Caption",
        ".. |x| image:: {secret}\n   :loading: embed\n\nSee |x|",
        ".. |x| replace:: y\n.. role:: raw-html(raw)\n   :format: html\n\n:raw-html:`the password`",
        ".. math::\n\n   \\input{{{secret}}}",
    ],
)
def test_rst_opens_nothing(
    write: Write, media: MediaStore, capfd: pytest.CaptureFixture[str], directive: str
) -> None:
    secret = write("secret.txt", "the password is swordfish")
    path = write("a.rst", f"Words.\n\n{directive.format(secret=secret)}\n")
    blocks = load(path, media)
    assert blocks[0] == Block("paragraph", "Words.")
    for words in ("swordfish", "System Message", "disabled"):
        assert not any(words in block.text for block in blocks if block.kind != "code")
    assert not any(block.image for block in blocks)
    assert capfd.readouterr() == ("", "")  # docutils reports nothing behind our back


def test_rst_ignores_configuration_files(
    read: Read, write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "docutils.conf").write_text("[general]\nfile_insertion_enabled: yes\n")
    monkeypatch.chdir(tmp_path)
    secret = write("secret.txt", "swordfish")
    assert read(".rst", f"Words.\n\n.. include:: {secret}\n") == [("paragraph", "Words.")]


def test_bad_rst_still_gives_its_words(read: Read) -> None:
    assert ("paragraph", "Words.") in read(
        ".rst", "Title\n==\n\nWords.\n\n.. unknown:: x\n\n*open\n"
    )


def test_nested_beyond_any_stack(write: Write, media: MediaStore) -> None:
    depth = 3000
    started = time.perf_counter()
    path = write("a.html", "<div>" * depth + "Words." + "</div>" * depth)
    assert load(path, media) == [Block("paragraph", "Words.")]
    with pytest.raises(SourceError, match="no text found"):  # given up after twenty levels
        load(write("a.md", "> " * depth + "Words."), media)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("suffix", [".html", ".md", ".rst"])
def test_too_large(
    write: Write, media: MediaStore, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(markup, "MAX_BYTES", 10)
    with pytest.raises(SourceError, match="larger than"):
        load(write("a" + suffix, "eleven chars"), media)


def test_end_tags_that_are_left_out(read: Read) -> None:
    page = "<p>One<p>Two<ol><li>First<li>Second</ol><table><tr><th>A<th>B<tr><td>1<td>2</table>"
    assert read(".html", page) == [
        ("paragraph", "One"),
        ("paragraph", "Two"),
        ("item", "1. First"),
        ("item", "2. Second"),
        ("row", "A: 1; B: 2"),
    ]


def test_speed_grows_with_size_alone(write: Write, media: MediaStore) -> None:
    page = "<li>Words and <b>more</b> words" * 20_000
    started = time.perf_counter()
    assert len(load(write("a.html", page), media)) == 20_000
    assert time.perf_counter() - started < 10
