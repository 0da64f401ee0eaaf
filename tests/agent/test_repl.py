"""The REPL in a real terminal, on a scripted chat model (rows 10, 14 and 15)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pyte
import pytest
from PIL import Image

from limner.agent.sessions import Sessions
from limner.index.library import Library

PROGRAM = """
import json, sys
from limner.agent.repl import Repl
from limner.agent.terminal import Screen
from limner.index.embeddings import HashEmbeddings
from limner.index.library import Library
from limner.tools.chat_models.scripted import Scripted
asked = json.loads(sys.argv[1])
errors = [MemoryError("out of memory"), TimeoutError("no answer"), RuntimeError("\\x1b[31337mCUDA")]
replies = [errors[r] if isinstance(r, int) else r for r in asked["replies"]]
embeddings = HashEmbeddings()
library = Library.open(asked["folder"], embeddings)
if asked["broken"]:
    plain, left = embeddings.encode_query, [asked["broken"]]
    def encode_query(texts):
        left[0] -= 1
        if left[0] >= 0:
            raise ValueError("\\x1b]52;c;ZXZpbA==\\x07the vectors are gone")
        return plain(texts)
    embeddings.encode_query = encode_query
model = Scripted(replies=replies, piece=asked["piece"], delay=asked["delay"])
Repl(library, "embedded", asked["session"], Screen(), chat_model=model).run()
"""
TIDE = "High water is at noon on Friday. [1]"
PROMPT = re.compile(r"\n›\n+[^\n]+ · /help\n*\Z")
STYLING = re.compile(rb"\x1b\[[?>0-9;]{0,12}[A-Za-z]|\x1b[=>78]")


class _Screen(pyte.HistoryScreen):
    """A screen that answers when it is asked where its cursor is."""

    answer: Callable[[str], object] = str

    def write_process_input(self, data: str) -> None:
        self.answer(data)


class Terminal:
    """A REPL in a pseudo-terminal and what its person sees."""

    def __init__(self, folder: Path, replies: list[Any], **asked: Any) -> None:
        spec = {"session": None, "piece": 8, "delay": 0.0, "broken": 0} | asked
        spec |= {"folder": str(folder), "replies": replies}
        environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
        environment |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self.raw = b""
        self.screen = _Screen(110, 60, history=5000, ratio=0.5)
        self.child = pexpect.spawn(
            sys.executable,
            ["-c", PROGRAM, json.dumps(spec)],
            dimensions=(60, 110),
            env=environment,
            timeout=20,
        )
        self.child.delaybeforesend = None
        self.screen.answer = self.child.send
        self._stream = pyte.ByteStream(self.screen)
        self.until("· /help", prompted=True)

    @property
    def text(self) -> str:
        """Everything on the screen and scrolled off it."""
        gone = ["".join(row[x].data for x in range(110)) for row in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*gone, *self.screen.display])

    def until(self, words: str, times: int = 1, prompted: bool = False) -> str:
        """Read on until words stand on the screen so many times, and with the next prompt below."""
        end = time.monotonic() + 20
        while self._count(words) < times or (prompted and not PROMPT.search(self.text)):
            assert time.monotonic() < end, f"{words!r} is not on the screen:\n{self.text.rstrip()}"
            self._read()
        return self.text

    def type(self, line: str, words: str) -> str:
        """Send a line, wait for new words and the next prompt, and give what came between."""
        times = self._count(words) + 1
        self.child.send(line + "\r")
        return self.until(words, times, prompted=True).rpartition("› ")[2]

    def leave(self) -> str:
        self.child.send("\x04")
        end = time.monotonic() + 20
        while self.child.isalive() or not self.child.eof():
            assert time.monotonic() < end, self.text
            self._read()
        self.child.close()
        assert self.child.exitstatus == 0, self.text
        return self.text

    def _count(self, words: str) -> int:
        """How often words stand on the screen, wherever its lines end."""
        return self.text.replace("\n", " ").count(words)

    def _read(self) -> None:
        try:
            data = self.child.read_nonblocking(65536, timeout=0.1)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return
        self.raw += data
        self._stream.feed(data)


@pytest.fixture
def start(library: Library) -> Iterator[Callable[..., Terminal]]:
    """Starts a REPL on the harbour's library."""
    opened: list[Terminal] = []

    def run(*replies: str | int, **asked: Any) -> Terminal:
        opened.append(Terminal(library.folder, list(replies), **asked))
        return opened[-1]

    yield run
    for terminal in opened:
        terminal.child.close(force=True)


@pytest.fixture
def shot(tmp_path: Path, paint: Callable[[str], Image.Image]) -> Path:
    """A picture whose name has spaces."""
    path = tmp_path / "my first shot.png"
    paint("shot").save(path)
    return path


def test_no_model_is_imported_before_the_first_prompt() -> None:
    heavy = ("torch", "transformers", "faiss", "langgraph", "langchain_core", "pydantic")
    code = f"import sys, limner.agent.repl; print([m for m in {heavy!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr


def test_a_conversation_with_its_commands(
    start: Callable[..., Terminal],
    library: Library,
    tmp_path: Path,
    number_of: Callable[[str, str], int],
) -> None:
    question = "When is high water?"
    table = number_of(question, "The tide table")
    terminal = start(f"{TIDE}\n\n[[show {table}: The tide table of the harbour]]\n\nSo be early.")
    shown = terminal.type("/help", "Alt-Enter")
    assert "/attach PATH" in shown and "/quit" in shown
    assert "nothing has been answered yet" in terminal.type("/sources", "try:")

    shown = terminal.type(question, "[1] tides.md, Tides")
    assert shown.count("High water is at noon on Friday.") == 1
    assert "▀▀▀" in shown and "(from tides.md, " in shown and "[[" not in shown
    assert shown.index("Friday") < shown.index("▀▀▀") < shown.index("So be early.")

    assert "[2] tides.md, " in terminal.type("/sources", "cited: [1]")
    shown = terminal.type(f"/show {table}", "(from tides.md, ")
    assert "▀▀▀" in shown and "The tide table of the harbour" in shown
    assert "not one of 1 to" in terminal.type("/show 99", "try:")
    shown = terminal.type("/why", "profile")
    assert re.search(r"searched for\s+When is high water\?", shown) and "answered" in shown
    assert "/show N" in terminal.type("/shw 1", "there is no command /shw")

    page = tmp_path / "page.html"
    terminal.type(f"/export {page}", "written:")
    assert "High water is at noon" in page.read_text()
    assert "cannot export as .doc" in terminal.type("/export answers.doc", "try:")
    assert "this one" in terminal.type("/sessions", "turns")
    assert "embedded (now)" in terminal.type("/profile", "server")
    assert "no profile 'cloud'" in terminal.type("/profile cloud", "try:")

    (kept,) = Sessions(library.folder).ls()
    command = f"limner chat --library {library.folder} --session {kept.name}"
    assert command in terminal.leave().replace("\n", "")
    assert kept.turns == 1

    again = start("Six hours later. [1]", session=kept.name)
    assert "1 turn, the last:" in again.text and "High water is at noon" in again.text
    again.type("And low water?", "Six hours later.")
    assert re.search(r"searched for\s+When is high water\? And low", again.type("/why", "profile"))
    assert [t.question for t in Sessions(library.folder).open(kept.name).turns] == [
        question,
        "And low water?",
    ]


def test_resume_moves_to_another_conversation(
    start: Callable[..., Terminal], library: Library
) -> None:
    start(TIDE, session="first").type("When is high water?", "Friday")
    terminal = start("The lighthouse is of 1871. [1]", session="second")
    assert "no conversation is called 'frist'" in terminal.type("/resume frist", "try:")
    terminal.type("/resume first", "Friday")
    assert "first: 1 turn" in terminal.text
    terminal.type("And the lighthouse?", "1871")
    assert [(s.name, s.turns) for s in Sessions(library.folder).ls()] == [("first", 2)]


def test_pictures_are_attached_looked_at_and_dropped(
    start: Callable[..., Terminal], shot: Path, library: Library
) -> None:
    bad = shot.with_name("bad.png")
    bad.write_bytes(b"no picture")
    terminal = start("A shot. [a1]", session="s")
    assert "no such file" in terminal.type("/attach nowhere.png", "try:")
    terminal.type(f"/attach {bad}", "not a picture")
    assert "not a file" in terminal.type(f"/attach {shot.parent}", "try:")
    for typed in (str(shot), f"'{shot}'", str(shot).replace(" ", "\\ ")):
        terminal.type(f"/attach {typed}", "attached to the next question: my first shot.png")
    terminal.until("· attached: my first shot.png, my first shot.png, my first shot.png ·")
    assert "not one of 1 to 3" in terminal.type("/drop 4", "try:")
    terminal.type("/drop 1", "no longer attached: my first shot.png")
    terminal.type("/drop", "no longer attached: my first shot.png, my first shot.png")
    terminal.type(f"/attach {shot}", "attached to the next question")
    shown = terminal.type("What is it?", "A shot.")
    assert "[5] my first shot.png" in shown and "[a1]" not in shown
    assert "attached:" not in terminal.type("/sessions", "turns")
    (turn,) = Sessions(library.folder).open("s").turns
    assert [a.name for a in turn.attachments] == ["my first shot.png"]


def test_ctrl_c_keeps_what_was_written(start: Callable[..., Terminal], library: Library) -> None:
    long = "High water is at noon. " + "It comes and it goes. " * 6
    terminal = start(long, "Yes. [1]", piece=5, delay=0.1, session="s")
    terminal.child.send("When is high water?\r")
    terminal.until("High water is at")
    terminal.child.send("\x03")
    shown = terminal.until("Incomplete", prompted=True)
    assert "High water is at" in shown
    terminal.type("Really?", "[1] tides.md")
    cut, whole = Sessions(library.folder).open("s").turns
    assert cut.answer.partial and cut.answer.text.startswith("High water is at")
    assert len(cut.answer.text) < len(long) - 20 and not whole.answer.partial
    assert "go on with it later" in terminal.leave()


def test_keys(start: Callable[..., Terminal], library: Library) -> None:
    terminal = start(TIDE, session="s")
    terminal.child.send("a line that is regretted\x03")
    terminal.child.send("first\nsecond\x1b\rthird \x1b[200~pasted\rfourth\x1b]52;c;x\x07\x1b[201~")
    terminal.type("", "Friday")
    terminal.child.send("\x1b[A")  # up: the history
    terminal.until("› first")
    terminal.child.send("\x03")
    shown = terminal.leave()
    assert "go on" in shown, shown.rstrip()
    (turn,) = Sessions(library.folder).open("s").turns
    assert turn.question == "first\nsecond\nthird pasted\nfourth"
    assert (library.folder / "history").stat().st_mode & 0o077 == 0
    assert "+fourth" in (library.folder / "history").read_text()


def test_what_is_typed_during_an_answer_comes_after_it(
    start: Callable[..., Terminal], library: Library
) -> None:
    terminal = start("One. [1]", "Two. [1]", piece=2, delay=0.1, session="s")
    terminal.child.send("First?\r")
    terminal.until("writing")
    terminal.child.send("Second?\r")
    terminal.until("[1] tides.md", times=2, prompted=True)
    assert [t.question for t in Sessions(library.folder).open("s").turns] == ["First?", "Second?"]
    assert terminal.text.count("Second?") == 1


def test_twenty_failing_turns(start: Callable[..., Terminal], library: Library) -> None:
    failing = [n % 3 for n in range(14)]
    terminal = start(*failing, TIDE, broken=7, session="s")  # the warm-up is the first of seven
    for turn in range(20):
        terminal.type(f"Question {turn}?", "error: ")
    shown = terminal.type("When is high water?", "[1] tides.md")
    assert "Friday" in shown and "Traceback" not in terminal.raw.decode()
    assert b"the vectors are gone" in terminal.raw and b"out of memory" in terminal.raw
    terminal.leave()
    assert len(Sessions(library.folder).open("s").turns) == 1


HOSTILE = (
    "safe\x1b]52;c;ZXZpbA==\x07 \x1b[31337mred \x1b]0;title\x1b\\ \x9b31337m \x90q\x9c back\b\b\b "
    "over\rwritten \u202eright \x1bP1$r\x1b\\ bell\x07 \x1b[13;37H end"
)


def test_nothing_hostile_reaches_the_terminal(
    tmp_path: Path, paint: Callable[[str], Image.Image]
) -> None:
    from limner.index.embeddings import HashEmbeddings

    folder = tmp_path / "docs\x1b]0;evil\x07"
    folder.mkdir()
    name = "no\x1b[31337mtes\u202e.md"
    words = "".join(f"&#{ord(c)};" if c < " " or c > "~" else c for c in HOSTILE)
    (folder / name).write_text(f"# Title\n\nHigh water {words} noon.\n")
    shot = folder / "sh\x1b]52;c;x\x07\u202eot.png"
    paint("shot").save(shot)
    with Library.open(tmp_path / "library", HashEmbeddings()) as library:
        assert not library.add(folder / name).failed
    terminal = Terminal(
        tmp_path / "library", [f"{HOSTILE} [1]\n[[draw: {HOSTILE}]]\n", 2, f"{HOSTILE} [a1]"]
    )
    terminal.type("high water?", "tes")
    terminal.type("/sources", "cited:")
    terminal.type("/show 1", "noon")
    terminal.type("/why", "profile")
    terminal.type("fail", "error:")
    terminal.child.send("/attach ")
    terminal.child.send(f"\x1b[200~{shot}\x1b[201~")  # loses its controls: there is no such file
    terminal.type("", "no such file")
    (tmp_path / "link.png").symlink_to(shot)
    terminal.type(f"/attach {tmp_path / 'link.png'}", "attached to the next question")
    terminal.type("what?", "[2] link.png")
    terminal.leave()
    for sequence in (b"\x1b]", b"\x1bP", b"\x1b[31337m", b"\x1b[13;37H"):
        assert sequence not in terminal.raw
    bare = STYLING.sub(b"", terminal.raw).decode()
    assert not re.findall("[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", bare), ascii(bare)
    assert "\b\b" not in bare


def test_without_a_terminal_each_line_is_a_question(library: Library) -> None:
    spec = {"session": "s", "piece": 8, "delay": 0, "broken": 0, "folder": str(library.folder)}
    spec["replies"] = [TIDE, 1, "Six hours later. [1]"]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(spec)],
        input=b"When is high water?\n\n/nonsense\nWill this fail?\nLow \xff\xfe?\n/quit\nnever\n",
        capture_output=True,
    )
    out, err = run.stdout.decode(), run.stderr.decode()
    assert run.returncode == 0, err
    assert out.startswith(f"{TIDE}\n\n[1] tides.md, Tides\n") and "Six hours later." in out
    assert "\x1b" not in out + err and "›" not in out + err
    assert err.count("error: ") == 2 and "TimeoutError" in err
    assert len(Sessions(library.folder).open("s").turns) == 2
