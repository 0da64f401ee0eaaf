"""HTML, Markdown and reStructuredText: the last two become HTML in memory, one walk reads all.

Knows elements and lists; tables are in ``markup_tables``, pictures in ``markup_pictures``. Nothing
is fetched and nothing runs: the walk reads text and, of pictures, what lies in the document's own
folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import NavigableString, Tag

from ...errors import SourceError
from ...tools.media import MediaStore
from .base import LONGEST_STEP, Block, step
from .markup_pictures import Pictures
from .markup_tables import flatten_tables
from .text import read_text

__all__ = ["MAX_BYTES", "load_html", "load_markdown", "load_rst"]

MAX_BYTES = 20_000_000
"""Markup above this is refused: its tree takes many times its size in memory."""

_SILENT = (
    *("script", "style", "template", "noscript", "nav", "svg", "math", "canvas", "iframe"),
    *("object", "embed", "audio", "video", "select", "datalist", "textarea", "rp", "rt"),
)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = frozenset(
    (
        *(*_HEADINGS, "p", "li", "dt", "dd", "pre", "row", "ul", "ol", "dl", "menu", "hr"),
        *("div", "section", "article", "main", "header", "footer", "aside", "address"),
        *("blockquote", "figure", "figcaption", "details", "summary", "hgroup", "center"),
        *("table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"),
        *("form", "fieldset", "legend", "body", "html", "[document]"),
    )
)
_ENDED_BY = {
    "li": ("li", "p"),
    "p": ("p",),
    "dt": ("dt", "dd", "p"),
    "dd": ("dt", "dd", "p"),
    "td": ("td", "th", "p"),
    "th": ("td", "th", "p"),
    "tr": ("tr", "td", "th", "p"),
}
_MARKDOWN_PACE = 200_000  # bytes a second that are read in one step, at the least
_RST_PACE = 20_000
_MOST_UNCLOSED = 100  # comments or tags
_UNSEEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")


def load_html(path: Path, media: MediaStore) -> Iterator[Block]:
    """What a reader of the page sees, without its scripts, navigation and hidden parts.

    The encoding is the page's own declaration's, else guessed.
    """
    _check_size(path)
    yield from _read(path.read_bytes(), path, media)


def load_markdown(path: Path, media: MediaStore) -> Iterator[Block]:
    """CommonMark with tables; front matter is skipped, HTML within it is read as HTML."""
    from markdown_it import MarkdownIt

    _check_size(path)
    text = _FRONT_MATTER.sub("", read_text(path))
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    step(LONGEST_STEP + len(text) / _MARKDOWN_PACE)
    yield from _read(renderer.render(text), path, media)


def load_rst(path: Path, media: MediaStore) -> Iterator[Block]:
    """ReStructuredText; directives that would read a file or pass raw text through do nothing."""
    from docutils.core import publish_doctree, publish_from_doctree
    from docutils.nodes import image
    from docutils.writers.html5_polyglot import Writer

    _check_size(path)
    settings = {
        "file_insertion_enabled": False,
        "raw_enabled": False,
        "_disable_config": True,
        "halt_level": 5,
        "report_level": 5,
        "syntax_highlight": "none",
        "math_output": "LaTeX",
        "embed_stylesheet": False,
        "output_encoding": "unicode",
    }
    text = read_text(path)
    step(LONGEST_STEP + len(text) / _RST_PACE)
    document = publish_doctree(text, settings_overrides=settings)
    for node in document.findall(image):
        # ``:loading: embed`` has the writer read any file, even with file insertion disabled.
        node.attributes.pop("loading", None)
        node.attributes.setdefault("alt", "")
    writer = Writer()
    publish_from_doctree(document, writer=writer, settings_overrides=settings)
    yield from _read(str(writer.parts["html_body"]), path, media)


def _check_size(path: Path) -> None:
    if path.stat().st_size > MAX_BYTES:
        raise SourceError(f"{path}: larger than {MAX_BYTES // 10**6} MB", "split it and add again")


def _read(source: str | bytes, path: Path, media: MediaStore) -> Iterator[Block]:
    soup = _Soup(_closed(source), "html.parser")
    _drop_unseen(soup)
    if soup.title is not None:
        title = " ".join(soup.title.get_text().split())
        soup.title.decompose()
        if title and soup.h1 is None:
            yield Block("heading", title, level=1)
    pictures = Pictures(soup, path, media)
    flatten_tables(soup)
    _write_out_lists(soup)
    yield from _walk(soup, pictures)


def _closed(source: str | bytes) -> str | bytes:
    """Markup that is never closed made plain: the parser seeks the end of each to the very end."""
    if isinstance(source, bytes):
        return _closed(source.decode("latin-1")).encode("latin-1")  # type: ignore[union-attr]
    for opening, closing in (("<!--", "-->"), ("<", ">")):
        end = source.rfind(closing) + 1
        if source.count(opening, end) > _MOST_UNCLOSED:
            source = source[:end] + source[end:].replace("<", "&lt;")
    return source


class _Soup(BeautifulSoup):
    """A tree in which a list item ends where the next begins, for end tags may be left out."""

    def handle_starttag(self, name: str, *rest: Any, **named: Any) -> Tag | None:
        """Close what the beginning of this element ends, then open it."""
        step()
        while self.currentTag is not None and self.currentTag.name in _ENDED_BY.get(name, ()):
            self.handle_endtag(self.currentTag.name)
        opened: Tag | None = super().handle_starttag(name, *rest, **named)
        return opened


def _drop_unseen(soup: BeautifulSoup) -> None:
    def unseen(tag: Tag) -> bool:
        return (
            tag.name in _SILENT
            or tag.has_attr("hidden")
            or tag.get("aria-hidden") == "true"
            or tag.get("role") == "navigation"
            or _UNSEEN.search(str(tag.get("style", ""))) is not None
        )

    for tag in soup.find_all(unseen):
        if not tag.decomposed:
            tag.decompose()


def _write_out_lists(soup: BeautifulSoup) -> None:
    """Put into words what a list says by its form: numbers, and the term before its definition."""
    for numbered in soup("ol"):
        start = str(numbered.get("start", "1"))
        first = int(start) if re.fullmatch(r"\d{1,6}", start) else 1
        for number, item in enumerate(numbered.find_all("li", recursive=False), first):
            _put_before(item, f"{number}. ")
    for term in soup("dt"):
        definition = term.find_next_sibling()
        if definition is not None and definition.name == "dd":
            words = " ".join(term.get_text().split()).rstrip(":")
            term.decompose()
            _put_before(definition, f"{words}: ")


def _put_before(tag: Tag, words: str) -> None:
    first = next((child for child in tag.children if str(child).strip()), None)
    inner = getattr(first, "name", None) in ("p", "div")
    (first if inner else tag).insert(0, words)  # type: ignore[union-attr]


def _walk(soup: BeautifulSoup, pictures: Pictures) -> Iterator[Block]:
    """Strings that stand one after another under the same block element are one block.

    A loop over the flat sequence of nodes, so that no depth of nesting exhausts the stack.
    """
    words: list[str] = []
    figures: list[Block] = []
    home: Tag | None = None
    homes: dict[int, Tag] = {id(soup): soup}  # of every element so far: the block it is in, or is
    for node in soup.descendants:
        place = homes[id(node.parent)]
        if isinstance(node, Tag):
            homes[id(node)] = node if node.name in _BLOCKS else place
            if node.name not in ("br", "img"):
                continue
        elif type(node) is not NavigableString:  # comments and the like are its subclasses
            continue
        if place is not home:
            yield from _block(home, words, figures)
            words, figures, home = [], [], place
        if isinstance(node, NavigableString):
            words.append(node)
        elif node.name == "br":
            words.append("\n")
        else:
            figure, alt = pictures.of(node)
            figures += [figure] if figure else []
            words.append(alt)
    yield from _block(home, words, figures)


def _block(home: Tag | None, words: list[str], figures: list[Block]) -> Iterator[Block]:
    text = "".join(words)
    name = home.name if home else ""
    text = text.strip("\n").rstrip() if name == "pre" else " ".join(text.split())
    if text.strip():
        yield _words(home, name, text)
    yield from figures


def _words(home: Tag | None, name: str, text: str) -> Block:
    if name in _HEADINGS:
        return Block("heading", text, level=int(name[1]))
    if name == "pre":
        return Block("code", text)
    if name == "row":
        return Block("row", text)
    return Block("item" if home is not None and _is_item(home) else "paragraph", text)


def _is_item(home: Tag) -> bool:
    near: Any = takewhile(lambda tag: tag.name not in ("td", "th", "table"), home.parents)
    return home.name in ("li", "dt", "dd") or any(tag.name in ("li", "dd") for tag in near)
