"""What reaches a terminal: harmless, complete, and plain where there is none (row 10)."""

from __future__ import annotations

import io
import re
import sys
import types
import unicodedata
from dataclasses import replace
from pathlib import Path

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console, ConsoleDimensions
from rich.text import Text as Styled

from limner.agent import terminal_pictures
from limner.agent.answer import Answer, Generated, Marked, Picture, Text
from limner.agent.plain_text import shortened
from limner.agent.terminal import Screen, clean, clean_line
from limner.agent.terminal_pictures import half_blocks, picture
from limner.errors import UserError
from limner.index.passage import Passage
from limner.tools.media import MediaStore

SEQUENCES = (
    *(
        f"\x1b[{code}"
        for code in [
            "2J",
            "H",
            "31m",
            "?25l",
            "?1049h",
            "6n",
            "5n",
            "c",
            ">c",
            "10A",
            "99;99H",
            "K",
            "0;0r",
            "8m",
            "!p",
        ]
    ),
    *(f"\x9b{code}" for code in ["2J", "H", "31m", "?25l", "6n", "c"]),
    *(
        f"\x1b{code}"
        for code in [
            "c",
            "7",
            "8",
            "D",
            "M",
            "E",
            "Z",
            "=",
            ">",
            "(0",
            ")B",
            "#8",
            "%G",
            "N",
            "O",
            "\\",
        ]
    ),
    "\x1b]0;title\x07",
    "\x1b]2;title\x1b\\",
    "\x1b]8;;http://evil.example\x07",
    "\x1b]8;id=a;file:///etc/passwd\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b]52;c;?\x1b\\",
    "\x1b]50;font\x07",
    "\x1b]4;1;?\x07",
    "\x1b]1337;File=inline=1:AAAA\x07",
    "\x1b]9;notify\x1b\\",
    "\x1b]777;notify;a;b\x9c",
    "\x9d0;title\x9c",
    "\x9d8;;http://evil.example\x07",
    "\x1bP1$r0m\x1b\\",
    "\x1bPq#0;2;0;0;0#0~~\x1b\\",
    "\x90q~~\x9c",
    "\x1b_Ga=T,f=100;AAAA\x1b\\",
    "\x9fGa=q\x9c",
    "\x1b^privacy\x1b\\",
    "\x1bXstart\x1b\\",
)
CHARACTERS = (
    *(chr(n) for n in (*range(9), *range(11, 27), *range(28, 32), *range(127, 155))),
    *(chr(n) for n in range(156, 160)),
    *"\xad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029",
    *"\u202a\u202b\u202c\u202d\u202e\u2060\u2063\u2066\u2067\u2068\u2069\u206a\u3164\ufeff\ufff9",
    *"\ufe00\ufe0f\U000e0001\U000e0041\U000e0100\ud800\udbff\udc00\udfff\ufffe\uffff",
)
WRAPS = ("safe{}ty", "{}safety", "safety{}")
PAYLOADS = [w.format(s) for s in (*SEQUENCES, *CHARACTERS) for w in WRAPS]
JOINERS = "\u200c\u200d\ufe0f"
OUR_STYLES = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    store = MediaStore(tmp_path)
    image = Image.new("RGB", (2, 2))
    for place, colour in {(0, 0): (255, 0, 0), (1, 0): (0, 255, 0), (0, 1): (0, 0, 255)}.items():
        image.putpixel(place, colour)
    passages = (
        Passage("1", "Open it.", "guide.pdf", page=3, score=0.5),
        Passage("2", "Uncited.", "b.md"),
    )
    picture = Picture(store.put(image), "The button", "a button", Marked(passages[0], ()))
    return Answer((Text("Open it [1].", (1,)), picture), passages, folder=str(tmp_path))


def is_safe(text: str) -> bool:
    hidden = ("Cc", "Cs", "Cf")
    visible = (
        "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
    )
    return not any(
        unicodedata.category(c) in hidden
        and c not in visible + "\n\t" + JOINERS
        and not 0x13430 <= ord(c) <= 0x1343F  # hieroglyph joiners, which stand for something
        for c in text
    )


def test_payloads_are_gone_with_all_they_carry():
    assert len(PAYLOADS) >= 300
    for payload in PAYLOADS:
        assert clean_line(payload).replace(" ", "") == "safety", ascii(payload)
        assert is_safe(clean(payload))


@settings(max_examples=500)
@given(
    st.lists(
        st.one_of(
            st.sampled_from((*SEQUENCES, *CHARACTERS, "😀", "❤", "ن", "क", "1", "\u20e3")),
            st.text(st.characters(), max_size=4),
        ),
        max_size=12,
    ).map("".join)
)
def test_clean_is_safe_and_idempotent(text: str):
    cleaned = clean(text)
    assert is_safe(cleaned)
    assert clean(cleaned) == cleaned
    assert "\n" not in clean_line(text) and "\t" not in clean_line(text)


def test_clean_keeps_what_people_write():
    for text in (
        "a\tb\nc",
        "naïve Zoë €5 日本語 עברית",
        "👩‍👩‍👧 👍🏽 ❤️ 1️⃣ 🏳️‍🌈",
        "می‌خواهم",
        "क्‍ष",
        "x\u0301",
    ):
        assert clean(text) == text


@given(st.text(), st.integers(4, 40))
def test_a_text_is_cut_between_words(text: str, most: int):
    line, short = clean_line(text), shortened(text, most)
    assert len(short) <= most
    assert short == line if len(line) <= most else line.startswith(short.removesuffix(" …"))


def test_words_are_not_cut_at_hyphens_and_text_without_blanks_is_not_lost():
    assert shortened("the state-of-the-art lamp", 24) == "the state-of-the-art …"
    assert shortened("漢字" * 40, 20) == "漢字" * 9 + " …"


def test_clean_gives_lines_where_lines_were():
    assert clean("a\r\nb\x0cc\u2028d\x85e") == "a\nb\nc\nd\ne"
    assert clean("pass\rfail\b\b") == "passfail"


def test_an_unended_string_swallows_nothing():
    assert clean("a\x1b]52;c;b c\nd") == "a52;c;b c\nd"
    assert clean("“quoted\x9d and more") == "“quoted and more"


def test_nothing_hostile_reaches_the_terminal(colours: None, answer: Answer):
    for payload in PAYLOADS:
        out, err = Terminal(), Terminal()
        screen = Screen(out, err)
        passage = replace(answer.passages[0], source=payload, text=payload)
        origin = Generated(payload, payload, payload, "", 1, 1, 1.0, "x", (8, 8))
        picture = Picture(payload, payload, payload, origin)
        bad = replace(answer, parts=(Text(f"{payload} [1]"), picture), passages=(passage,))
        screen.print_answer(bad)
        screen.print_sources([passage])
        screen.print_found([passage])
        screen.print_table([payload], [[payload]])
        screen.print(payload)
        screen.write(payload)
        screen.say(payload)
        screen.print_error(UserError(payload, payload))
        for stream in (out, err):
            assert is_safe(OUR_STYLES.sub("", stream.getvalue())), ascii(payload)


def test_a_real_screen_shows_the_words(colours: None, answer: Answer):
    out = Terminal()
    text = "one \x1b[2J\x1b[Htwo \x1b]0;evil\x07three \x1b[8mfour"
    Screen(out, Terminal()).print_answer(replace(answer, parts=(Text(text),)))
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(out.getvalue().replace("\n", "\r\n"))
    assert screen.display[0].rstrip() == "one two three four"
    assert screen.title == ""


def test_markup_in_data_is_text(colours: None):
    out = Terminal()
    screen = Screen(out, Terminal())
    screen.print("[bold red]x[/] [link=http://evil.example]y[/link] :smile:")
    screen.print_table(["[red]h"], [["[/nope]"]])
    plain = OUR_STYLES.sub("", out.getvalue())
    assert "[bold red]x[/] [link=http://evil.example]y[/link] :smile:" in plain
    assert "[red]h" in plain and "[/nope]" in plain


def test_without_a_terminal_plain_lines(answer: Answer):
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err)
    long = "word " * 100 + "end"
    screen.print_answer(replace(answer, parts=(Text(long), *answer.parts)))
    with screen.working("busy") as say:
        say("still busy")
    lines = out.getvalue().splitlines()
    assert lines[0] == long
    assert "The button (marked copy of guide.pdf, page 3)" in lines
    assert str(Path(answer.folder) / answer.pictures[0].media) in lines
    assert lines[-1] == "[1] guide.pdf, page 3"
    assert "\x1b" not in out.getvalue() and "▀" not in out.getvalue()
    assert err.getvalue() == ""


def test_a_table_without_a_terminal_has_tabs():
    out = io.StringIO()
    Screen(out, io.StringIO()).print_table(["a", "b"], [["x\ty", "z"], ["1", "2"]])
    assert out.getvalue() == "x y\tz\n1\t2\n"


def test_citations_are_dim_and_sources_listed(colours: None, answer: Answer):
    out = Terminal()
    Screen(out, Terminal()).print_answer(answer)
    assert "\x1b[2m[1]\x1b[0m" in out.getvalue()
    plain = OUR_STYLES.sub("", out.getvalue())
    assert "[1] guide.pdf, page 3" in plain and "b.md" not in plain


def test_errors_go_to_stderr_on_two_lines():
    out, err = io.StringIO(), io.StringIO()
    Screen(out, err).print_error(UserError("cannot read\nx", "limner add x"))
    assert err.getvalue() == "error: cannot read x\ntry: limner add x\n"
    assert out.getvalue() == ""


def test_half_blocks_carry_two_pixels_each(answer: Answer):
    image = MediaStore(Path(answer.folder)).open(answer.pictures[0].media)
    text = half_blocks(image)
    assert text.plain == "▀▀\n"
    first, second = (span.style for span in text.spans)
    assert first.color.triplet == (255, 0, 0) and first.bgcolor.triplet == (0, 0, 255)
    assert second.color.triplet == (0, 255, 0) and second.bgcolor.triplet == (0, 0, 0)


@pytest.mark.parametrize(
    ("size", "columns", "lines"),
    [
        ((1200, 600), 60, 15),
        ((600, 1200), 24, 24),
        ((10, 10), 10, 5),
        ((5000, 1), 60, 1),
        ((1, 1), 1, 1),
    ],
)
def test_half_blocks_keep_the_shape(size: tuple[int, int], columns: int, lines: int):
    shown = half_blocks(Image.new("RGB", size)).plain.splitlines()
    assert (len(shown[0]), len(shown)) == (columns, lines)


@pytest.mark.parametrize(
    ("window", "columns", "lines"), [((100, 50), 64, 32), ((100, 24), 48, 24), ((60, 50), 48, 24)]
)
def test_every_pixel_of_a_small_picture_is_shown_where_there_is_room(
    colours: None, window: tuple[int, int], columns: int, lines: int
):
    console = Screen(Terminal(), Terminal()).out
    console.size = ConsoleDimensions(*window)
    shown = picture(Image.new("RGB", (64, 64)), console)
    assert isinstance(shown, Styled)
    rows = shown.plain.splitlines()
    assert (len(rows[0]), len(rows)) == (columns, lines)


def test_a_picture_stands_in_the_terminal(colours: None, answer: Answer):
    out = Terminal()
    Screen(out, Terminal()).print_answer(answer)
    assert "\x1b[38;2;255;0;0;48;2;0;0;255m▀" in out.getvalue()
    assert "The button" in out.getvalue()
    assert answer.pictures[0].media[:40] in out.getvalue()


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_no_picture_without_colour(
    colours: None, answer: Answer, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv(name, {"NO_COLOR": "1", "TERM": "dumb"}[name])
    out = Terminal()
    Screen(out, Terminal()).print_answer(answer)
    assert "▀" not in out.getvalue() and "The button" in out.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", out.getvalue())


def test_a_missing_picture_is_named(colours: None, answer: Answer, tmp_path: Path):
    out = Terminal()
    Screen(out, Terminal()).print_answer(replace(answer, folder=str(tmp_path / "gone")))
    assert "file is missing" in out.getvalue() and "The button" in out.getvalue()


def test_textual_image_where_it_can(colours: None, answer: Answer, monkeypatch: pytest.MonkeyPatch):
    class Sixel:
        def __init__(self, image: Image.Image, width: int, height: int) -> None:
            self.size = (width, height)

    class Half(Sixel):
        pass

    module = types.ModuleType("textual_image.renderable")
    module.SixelImage = module.TGPImage = module.Image = Sixel  # type: ignore[attr-defined]
    package = types.ModuleType("textual_image")
    monkeypatch.setitem(sys.modules, "textual_image", package)
    monkeypatch.setitem(sys.modules, "textual_image.renderable", module)
    stream = Terminal()
    monkeypatch.setattr(sys, "__stdout__", stream)
    monkeypatch.setattr(sys, "stdin", Terminal())
    image = Image.new("RGB", (600, 300))
    shown = terminal_pictures.picture(image, Console(file=stream))
    assert isinstance(shown, Sixel) and shown.size == (60, 15)
    module.Image = Half  # type: ignore[attr-defined]
    assert not isinstance(terminal_pictures.picture(image, Console(file=stream)), Sixel)
    assert terminal_pictures.picture(image, Console(file=io.StringIO())) is None
