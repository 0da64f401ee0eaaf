"""An Answer as Markdown, HTML and JSON: complete, self-contained, inert (row 11)."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image

from limner.agent import render
from limner.agent.answer import Answer, Generated, Marked, Picture, Retrieved, Text, Usage
from limner.agent.citations import cited_passages, notice, split_citations
from limner.agent.markdown import escape, is_active, to_html, to_inert
from limner.agent.render import fragment, save, save_page, to_json, to_json_dict, to_markdown
from limner.errors import UserError
from limner.index.passage import Passage
from limner.tools.media import MediaStore

PASSAGES = (
    Passage("p1", "Open the settings first.", "guide.pdf", page=3, score=0.5),
    Passage("p2", "Then restart.", "notes/über uns.md"),
    Passage("p3", "Never cited.", "other.txt"),
)
GENERATED = Generated("pocket", "r1", "a red square", "", 7, 20, 5.0, "euler", (64, 64))

PAYLOADS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)><circle r=9></svg>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe src=http://evil.example></iframe>",
    "<iframe srcdoc='<script>x</script>'>",
    "<object data=http://evil.example></object>",
    "<embed src=//evil.example>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<style>@import url(http://evil.example)</style>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href=http://evil.example/>",
    "<form action=http://evil.example><button>go</button></form>",
    "<a href=javascript:alert(1)>x</a>",
    "<details open ontoggle=alert(1)>",
    "<video poster=http://evil.example/x.png>",
    "<math><mi xlink:href=javascript:alert(1)>x</mi></math>",
    "<!-- comment --><b>",
    "<![CDATA[<script>]]>",
    "<?php echo 1 ?>",
    "<!DOCTYPE html>",
    "</article></main><script>x</script>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;img src=x onerror=alert(1)&#62;",
    "![x](http://evil.example/p.png)",
    "![x][1]",
    "![1](http://evil.example)",
    "![[http://evil.example]]",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "[x](javascript:alert(1))",
    "[1](javascript:alert(1))",
    "[2](http://evil.example)",
    "[1]: http://evil.example",
    "[x]: http://evil.example 'title'\n\n[x] ![x]",
    "[1][1]\n\n[1]: javascript:alert(1)",
    "[x](<javascript:alert(1)>)",
    "[a[b](http://evil.example)](http://evil.example)",
    "[![x](http://a.example)](http://b.example)",
    "[x](data:text/html,<script>alert(1)</script>)",
    "<http://evil.example>",
    "<javascript:alert(1)>",
    "<mail@evil.example>",
    "http://evil.example and www.evil.example",
    "\\<script>alert(1)\\</script>",
    "\\[x](http://evil.example) \\![y](http://evil.example)",
    "`<script>`<script>alert(1)</script>",
    "```\n</code><script>\n```\n<script>alert(1)</script>",
    "``` html{=html}\n<script>\n```\n",
    "a`b``c`<img src=x>``d",
    "[^1] [^1]: http://evil.example",
    "{{ 7*7 }} {% raw %} ${7*7} #{7*7}",
    "[x]\u202e(http://evil.example)",
    "<scr\u200bipt>alert(1)</script>",
    "<scr\x00ipt>alert(1)</script>",
)
WRAPS = ("{} word", "before\n\n{}\n\nword", "- {} word\n- b", "| a | b |\n|---|---|\n| {} | word |")
HOSTILE = [wrap.format(payload) for payload in PAYLOADS for wrap in WRAPS]

PIECES = (
    *(
        "`",
        "```",
        "*",
        "**",
        "_",
        "[",
        "]",
        "(",
        ")",
        "<",
        ">",
        "!",
        "\\",
        "\n",
        "\n\n",
        " ",
        "    ",
    ),
    *(
        "- ",
        "1. ",
        "> ",
        "|",
        "|-|-|\n",
        "~~",
        "a",
        ":",
        "#",
        "=",
        "---",
        "\t",
        "&lt;",
        "&",
        "{",
        "}",
    ),
    *("[1]", "[2]", "[x](y)", "![x](y)", "[x]: y", "<!--", "-->", "<script>", "<img src=x>"),
    *("http://a.b", "javascript:1"),
)

VOID = {"img", "meta", "br", "hr"}
TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "main",
    "article",
    "section",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "p",
    "div",
    "span",
    "figure",
    "figcaption",
    "img",
    "details",
    "summary",
    "dl",
    "dt",
    "dd",
    "ol",
    "ul",
    "li",
    "blockquote",
    "bdi",
    "a",
    "sup",
    "strong",
    "em",
    "s",
    "code",
    "pre",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "br",
    "hr",
}
ATTRIBUTES = {
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "dir",
    "role",
    "src",
    "width",
    "height",
    "alt",
    "id",
    "href",
    "style",
    "start",
    "aria-label",
}


class Page(HTMLParser):
    """What a reader of the page would meet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.other: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words += data

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    def values(self, attribute: str) -> list[str]:
        return [a[attribute] or "" for _, a in self.tags if attribute in a]

    def assert_inert(self) -> None:
        assert not self.open
        assert not self.other
        assert {tag for tag, _ in self.tags} <= TAGS
        assert {name for _, attributes in self.tags for name in attributes} <= ATTRIBUTES
        assert all(value.startswith("data:image/") for value in self.values("src"))
        assert all(value.startswith("#") for value in self.values("href"))


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    store = MediaStore(tmp_path / "media")
    red, blue = (store.put(Image.new("RGB", (64, 48), c)) for c in ("red", "blue"))
    wide = store.put(Image.new("RGB", (3000, 300), "green"), "jpg")
    return Answer(
        parts=(
            Text("Open the *settings* [1].\n\n1. one\n2. two `x < y` [9]", (1,)),
            Picture(red, "The dialogue", "A dialogue", Retrieved(PASSAGES[0])),
            Picture(blue, "Press this", "A button", Marked(PASSAGES[1], ((1, 2, 3, 4),))),
            Text("Restart [2].", (2,)),
            Picture(wide, "A mood", "", replace(GENERATED, size=(3000, 300))),
        ),
        passages=PASSAGES,
        usage=Usage(10, 5),
        timings=(("retrieve", 0.25),),
        folder=str(tmp_path / "media"),
    )


def test_citations_are_found_within_range():
    assert list(split_citations("a[1][2] [3] [0] [01]", 2)) == ["a", 1, 2, " [3] [0] [01]"]


def test_only_cited_passages_are_sources(answer: Answer):
    assert [n for n, _ in cited_passages(answer)] == [1, 2]
    assert cited_passages(replace(answer, parts=(Text("x", (7,)),))) == ()


def test_html_page_is_complete_and_inert(answer: Answer, tmp_path: Path):
    target = save(answer, tmp_path / "a.html", "How do I start?")
    html = target.read_text("utf-8")
    page = Page(html)
    page.assert_inert()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert policy in page.values("content")
    assert "prefers-color-scheme: dark" in html
    assert page.values("lang") == ["en"]
    assert "url(" not in html and "@import" not in html
    for words in ("How do I start?", "from your files", "marked copy", "generated", "a red square"):
        assert words in page.words
    assert "guide.pdf, page 3" in page.words and "Never cited." not in page.words
    assert [a["alt"] for tag, a in page.tags if tag == "img"] == [
        "A dialogue",
        "A button",
        "A mood",
    ]


def test_citations_lead_to_their_sources(answer: Answer):
    page = Page(render.to_html([("a", answer), ("b", answer)], "Both"))
    assert page.values("href") == ["#s1-1", "#s1-2", "#s2-1", "#s2-2"]
    assert page.values("id") == page.values("href") or page.values("id") == [
        href[1:] for href in page.values("href")
    ]
    assert "two x < y [9]" in page.words


def test_one_heading_of_the_first_rank(answer: Answer):
    for turns in ([("a", answer)], [("a", answer), ("b", answer)], [("", answer)], []):
        page = Page(render.to_html(turns, "a" if len(turns) == 1 else "Both"))
        assert [tag for tag, _ in page.tags].count("h1") == 1


def test_wide_pictures_are_made_smaller(answer: Answer):
    page = Page(render.to_html([("", answer)], "x"))
    sizes = []
    for url in page.values("src"):
        data = base64.b64decode(url.partition("base64,")[2])
        sizes.append(Image.open(io.BytesIO(data)).size)
    assert sizes == [(64, 48), (64, 48), (1600, 160)]


@pytest.mark.parametrize("flag", ["refused", "abstained", "partial"])
def test_lesser_answers_say_so(answer: Answer, flag: str):
    lesser = replace(answer, **{flag: True})
    words = notice(lesser)
    assert words
    assert words in Page(render.to_html([("", lesser)], "x")).words
    assert words in to_markdown(lesser, {})
    assert to_json_dict(lesser)[flag] is True


def test_a_missing_picture_leaves_its_words(answer: Answer, tmp_path: Path):
    poor = replace(answer, folder=str(tmp_path / "elsewhere"))
    page = Page(save(poor, tmp_path / "a.html").read_text("utf-8"))
    page.assert_inert()
    assert "A dialogue" in page.words and not page.values("src")
    assert "![" not in save(poor, tmp_path / "a.md").read_text("utf-8")
    assert not (tmp_path / "a_pictures").exists()


def test_fragment_stands_alone(answer: Answer):
    html = fragment(answer)
    page = Page(html)
    page.assert_inert()
    assert "<style" not in html and not page.values("id")
    assert len(page.values("src")) == 3
    assert html == answer._repr_html_()


def test_hostile_strings_do_nothing_in_html():
    assert len(HOSTILE) >= 200
    for text in HOSTILE:
        page = Page(to_html(text, 3, "s1"))
        page.assert_inert()
        assert not page.values("src") and not page.values("style"), text
        assert "word" in page.words, text


def test_hostile_strings_do_nothing_in_markdown():
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for text in HOSTILE:
        written = to_inert(text, 3)
        assert not is_active(written), text
        env: dict[str, object] = {}
        page = Page(reader.render(written, env))
        page.assert_inert()
        assert not page.values("src") and not page.values("href") and not page.values("style"), text
        assert not env.get("references"), text
        assert "word" in page.words, text
        if "`" not in text:
            assert "://" not in written.replace("\\://", ""), text


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_no_mixture_of_pieces_is_active(text: str):
    assert not is_active(to_inert(text, 3))
    Page(to_html(text, 3, "s1")).assert_inert()
    assert not is_active(escape(text))


def test_what_is_read_is_what_was_written():
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for text in HOSTILE:
        if "`" in text or "| a" in text:
            continue
        meant = Page(to_html(text, 0)).words
        assert Page(reader.render(to_inert(text, 0))).words == meant, text


def test_hostile_names_captions_and_questions(answer: Answer, tmp_path: Path):
    for number, payload in enumerate(PAYLOADS):
        passage = replace(PASSAGES[0], source=payload, text=payload)
        picture = replace(
            answer.pictures[0], caption=payload, alt=payload, origin=Retrieved(passage)
        )
        drawn = replace(
            answer.pictures[2],
            origin=replace(GENERATED, prompt=payload, model=payload, size=(3000, 300)),
        )
        bad = replace(answer, parts=(Text("[1]", (1,)), picture, drawn), passages=(passage,))
        page = Page(save(bad, tmp_path / f"{number}.html", payload).read_text("utf-8"))
        page.assert_inert()
        assert len(page.values("src")) == 2
        Page(fragment(bad)).assert_inert()
        written = save(bad, tmp_path / f"{number}.md", payload).read_text("utf-8")
        tokens = MarkdownIt("commonmark", {"html": True}).parse(written)
        inner = [child for token in tokens for child in token.children or ()]
        found = [t.attrs["src"] for t in inner if t.type == "image"]
        assert all(str(src).startswith(f"{number}_pictures/") for src in found)
        assert len(found) == 2
        assert not {t.type for t in (*tokens, *inner)} & {"link_open", "html_inline", "html_block"}


def test_markdown_keeps_its_shape():
    text = (
        "# Top\n\n**bold** *em* `a|b` ~~s~~\\\nnext [1]\n\n1. one\n   - two\n2. three\n\n> said\n\n"
    )
    text += "```python\nx = `1`\n```\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"
    text += "\n\n***\n\n3\\. no list\n\\# no"
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    assert reader.render(to_inert(text, 1)) == reader.render(text.replace("# Top", "### Top", 1))


def test_markdown_folder(answer: Answer, tmp_path: Path):
    target = save(answer, tmp_path / "my answer.md", "How *so*?")
    written = target.read_text("utf-8")
    assert written.startswith("# How \\*so\\*?\n")
    tokens = MarkdownIt("commonmark").parse(written)
    sources = [str(c.attrs["src"]) for t in tokens for c in t.children or () if c.type == "image"]
    assert len(sources) == 3
    for source in sources:
        folder, name = source.split("/")
        assert folder == "my%20answer_pictures"
        assert Image.open(tmp_path / "my answer_pictures" / name).size
    assert "(marked copy of notes/über uns.md)" in written
    assert "- [2] notes/über uns.md\n  > Then restart." in written


def test_a_small_drawing_is_no_stamp(answer: Answer, tmp_path: Path):
    media = answer.pictures[0].media
    small = Picture(media, "A <fox>", 'A "fox"', replace(GENERATED, size=(64, 48)))
    drawn = replace(answer, parts=(small,))
    page = Page(render.to_html([("", drawn)], "x"))
    page.assert_inert()
    assert (page.values("width"), page.values("height")) == (["256"], ["192"])
    assert page.values("class").count("small") == 1
    assert 'width="256"' in fragment(drawn) and "pixelated" in fragment(drawn)
    tag = Page(save(drawn, tmp_path / "a.md").read_text("utf-8").partition("\n")[0])
    assert tag.values("width") == ["256"] and tag.values("alt") == ['A "fox"']
    for payload in PAYLOADS:
        hostile = replace(drawn, parts=(replace(small, alt=f"{payload}\n\n{payload}"),))
        tag = Page(to_markdown(hostile, {media: "a/b.png"}).partition("\n")[0])
        assert [name for name, _ in tag.tags] == ["img"] and not tag.other
        assert set(tag.tags[0][1]) == {"src", "alt", "width", "style"} and not tag.words
    (kept,) = (tmp_path / "a_pictures").iterdir()
    assert Image.open(kept).size == (64, 48)
    found = replace(answer, parts=(answer.pictures[0],))  # a button of a screenshot is as it is
    assert Page(render.to_html([("", found)], "x")).values("width") == ["64"]


def test_json_shape(answer: Answer, tmp_path: Path):
    values = json.loads(save(answer, tmp_path / "a.json").read_text("utf-8"))
    assert values == json.loads(to_json(to_json_dict(answer)))
    assert {"text", "parts", "passages", "usage", "timings", "refused", "abstained"} <= set(values)
    assert values["usage"] == {"input_tokens": 10, "output_tokens": 5, "image_tokens": 0}
    text, picture = values["parts"][:2]
    assert text == {"type": "text", "text": answer.parts[0].content, "citations": [1]}
    assert set(picture) == {"type", "path", "caption", "alt", "origin"}
    assert Path(picture["path"]).is_absolute() and Path(picture["path"]).is_file()
    assert picture["origin"]["type"] == "retrieved"
    expected = {"source": "guide.pdf", "page": 3, "box": None, "score": 0.5}
    assert values["passages"][0] == {**expected, "text": "Open the settings first."}


def test_json_is_safe_on_a_terminal_and_reads_back():
    text = "gr\x9b31mün \u202e\ud800 \x7f \U000e0041 日本\n"
    written = to_json({"text": text})
    assert json.loads(written)["text"] == text
    assert "日本" in written and "ün" in written
    assert not set(written) & set("\x9b\u202e\ud800\x7f\U000e0041")


def test_several_turns(answer: Answer, tmp_path: Path):
    turns = [("First?", answer), ("Second?", answer)]
    values = json.loads(save_page(turns, tmp_path / "a.json").read_text("utf-8"))
    assert [turn["question"] for turn in values] == ["First?", "Second?"]
    page = Page(save_page(turns, tmp_path / "a.html", "A session").read_text("utf-8"))
    assert all(words in page.words for words in ("A session", "First?", "Second?"))
    written = save_page(turns, tmp_path / "a.md", "A session").read_text("utf-8")
    assert written.startswith("# A session\n") and "\n## Second?\n" in written


@pytest.mark.parametrize("name", ["a.txt", "a", "a.htm"])
def test_other_suffixes_are_refused(answer: Answer, tmp_path: Path, name: str):
    with pytest.raises(UserError, match="cannot export") as caught:
        answer.save(tmp_path / name)
    assert all(suffix in caught.value.hint for suffix in (".md", ".html", ".json"))


@pytest.mark.parametrize("suffix", [".md", ".html", ".json"])
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_failed_save_leaves_what_was_there(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, call: str
):
    place = tmp_path / "out"
    place.mkdir()
    old = place / f"a{suffix}"
    old.write_text("old")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if call == "open":
            real = Path.open
            patch.setattr(
                Path, "open", lambda p, mode="r", **k: fail() if mode == "xb" else real(p, mode)
            )
        elif call == "fsync":
            patch.setattr("os.fsync", fail)
        else:
            real_replace = Path.replace
            patch.setattr(Path, "replace", lambda p, t: fail() if t == old else real_replace(p, t))
        with pytest.raises(UserError, match="No space left") as caught:
            save(answer, old)
        assert str(old) in str(caught.value)
    assert [p.name for p in place.iterdir()] == [old.name]
    assert old.read_text() == "old"


def test_a_failed_save_removes_the_folders_it_made(answer: Answer, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write"):
        save(answer, tmp_path / "file" / "b" / "a.html")
    target = save(answer, tmp_path / "new" / "b" / "a.html")
    assert target.is_file()


def test_lone_surrogates_are_no_obstacle(answer: Answer, tmp_path: Path):
    odd = replace(answer, parts=(Text("a\ud800b [1]", (1,)),))
    for suffix in (".md", ".html", ".json"):
        assert "b" in save(odd, tmp_path / f"a{suffix}", "q\udfff").read_text("utf-8")
